/**
 * Copies of files, proven before they get their names: each is written beside, synced and read back, and only when all of
 * them are right do they get their names, in the order given. Nothing is replaced. Knows no run.
 */
import { dirname } from 'node:path';
import { type CopyOptions, copyFile } from '../copy-file.js';
import { fileDigest } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import { nearestDirectory } from '../files/make-directory.js';
import type { Port } from '../files/port.js';
import { takeName } from '../files/take-name.js';
import { temporaryName } from '../files/temporary.js';

export interface Placing {
  from: string;
  /** A name that is not taken, in a folder that is there. */
  to: string;
  bytes: number;
  /** What the source has to be; in hexadecimal, of its bytes. */
  sha256?: string;
}

export interface PlaceOptions extends CopyOptions {
  /** Hears of each file that has its name now: after a failure too, these are left. */
  onPlaced?: (path: string) => void;
}

/**
 * SHA-256 of each file, in their order; copies have the dates of their sources. FirnError (conflict) when something else got
 * one of the names meanwhile.
 */
export async function placeFiles(
  port: Port,
  files: readonly Placing[],
  label: string,
  options: PlaceOptions,
): Promise<string[]> {
  const copies: string[] = [];
  const sums: string[] = [];
  let named = 0;
  try {
    for (const file of files) {
      const copy = temporaryName(file.to, label);
      copies.push(copy);
      sums.push(await proveCopy(port, file, copy, options));
    }
    for (const [i, copy] of copies.entries()) {
      await takeName(port, copy, files[i].to).catch((error: unknown) => {
        throw errnoOf(error) === 'EEXIST' ? isTaken(files[i].to) : error;
      });
      named += 1;
      options.onPlaced?.(files[i].to);
    }
    for (const folder of new Set(files.map(({ to }) => dirname(to)))) await port.syncDirectory(folder);
    return sums;
  } catch (error) {
    for (const copy of copies.slice(named)) await port.unlink(copy).catch(() => undefined);
    throw withNeed(error, files);
  }
}

/** Copies a file, and reads both: the copy from its disk, and the source again. */
async function proveCopy(port: Port, file: Placing, copy: string, options: CopyOptions): Promise<string> {
  const { digest } = await copyFile(port, file.from, copy, options);
  const sha256 = await sha256Of(port, file.from, options);
  if (file.sha256 !== undefined && file.sha256 !== sha256) throw isAnother(file.from);
  if (digest !== `sha256:${sha256}`) {
    throw new FirnError('failed', 'was read back otherwise than the file it is a copy of', {
      path: file.to,
      advice: 'Look at that disk, and whether something writes the original, which is as it was.',
    });
  }
  await port.setTimes(copy, Number(port.stat(file.from)?.mtimeNs) / 1e6);
  await port.sync(copy);
  return sha256;
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

function isTaken(path: string): FirnError {
  return new FirnError('conflict', 'came into being while a copy was made for its place, and stays', {
    path,
    advice: 'Look what writes it; the original is as it was.',
  });
}

/** Refuses to begin what cannot fit: FirnError (failed) that names the bytes. */
export function expectSpace(port: Port, directory: string, bytes: number): void {
  const space = port.space(nearestDirectory(port, directory));
  if (space === undefined || space.free >= bytes) return;
  throw new FirnError('failed', `${bytes} bytes are needed there, and ${space.free} are free`, {
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
