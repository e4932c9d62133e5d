/**
 * Copies of files, proven before they get their names: each is written beside, synced and read back, and only when all of
 * them are right are they renamed, in the order given. Knows no run.
 */
import { dirname } from 'node:path';
import { fileDigest } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import { type CopyOptions, copyFile } from '../files/copy-file.js';
import { nearestFolder } from '../files/make-folder.js';
import type { Port } from '../files/port.js';
import { temporaryName } from '../files/temporary.js';

export interface Placing {
  from: string;
  /** A name that is not taken, in a folder that is there. */
  to: string;
  bytes: number;
  /** What the source has to be; in hexadecimal, of its bytes. */
  sha256?: string;
}

/** SHA-256 of each file, in their order. After a failure that comes before the first rename nothing is left. */
export async function placeFiles(
  port: Port,
  files: readonly Placing[],
  label: string,
  options: CopyOptions,
): Promise<string[]> {
  const copies: { temporary: string; sha256: string }[] = [];
  let named = 0;
  try {
    for (const file of files) {
      const temporary = temporaryName(file.to, label);
      const sha256 = await copyFile(port, file.from, temporary, options);
      copies.push({ temporary, sha256 });
      if (file.sha256 !== undefined && file.sha256 !== sha256) throw isAnother(file.from);
      if ((await sha256Of(port, temporary, options)) !== sha256) {
        throw new FirnError('failed', 'was read back otherwise than it was written', {
          path: file.to,
          advice: 'Look at that disk; the original is as it was.',
        });
      }
    }
    for (const [i, { temporary }] of copies.entries()) {
      await port.rename(temporary, files[i].to);
      named += 1;
    }
    for (const folder of new Set(files.map(({ to }) => dirname(to)))) await port.syncDirectory(folder);
    return copies.map(({ sha256 }) => sha256);
  } catch (error) {
    for (const { temporary } of copies.slice(named)) await port.unlink(temporary).catch(() => undefined);
    throw withNeed(error, files);
  }
}

/** SHA-256 of a file's bytes, in hexadecimal. */
export async function sha256Of(port: Port, path: string, options: CopyOptions): Promise<string> {
  return (await fileDigest(port, path, options)).replace(/^sha256:/, '');
}

export function isAnother(path: string): FirnError {
  return new FirnError('conflict', 'is not what it was when the run was archived', {
    path,
    advice: 'Put the archive back as it was, from a copy of it.',
  });
}

/** Refuses to begin what cannot fit: FirnError (failed) that names the bytes. */
export function expectSpace(port: Port, directory: string, bytes: number): void {
  const space = port.space(nearestFolder(port, directory));
  if (space === undefined || space.available >= bytes) return;
  throw new FirnError('failed', `${bytes} bytes are needed there, and ${space.available} are free`, {
    path: directory,
    advice: 'Make room, or name another disk.',
  });
}

function withNeed(error: unknown, files: readonly Placing[]): unknown {
  const errno = errnoOf(error);
  if (errno !== 'ENOSPC' && errno !== 'EDQUOT') return error;
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  return new FirnError('failed', `the disk is full (${errno}): ${bytes} bytes are needed in all`, {
    path: dirname(files[0].to),
    advice: 'Make room and try again; the original is as it was.',
    cause: error,
  });
}
