/**
 * Whether a file of the project is in the backup as it is now. A copy counts as good while its size and mtime are those it
 * was written with. Of the original the digest decides, which is remembered as everywhere in firn (engine/digests.ts); in all
 * other cases bytes are read. Knows no bag but for paths in it.
 */
import { join } from 'node:path';
import type { Digests } from '../engine/digests.js';
import { fileDigests } from '../engine/store.js';
import { errnoOf } from '../errors.js';
import type { FileStat, Port } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import { ALGORITHMS, type Held, payloadPath } from './destination.js';
import type { FileNote } from './notes.js';
import type { Source } from './sources.js';

export interface CompareRequest {
  port: Port;
  /** Of the project, absolute. */
  root: string;
  /** Of the bag. */
  directory: string;
  /** Of the project's files. */
  digests: Digests;
  /** Nothing is believed by its stat. */
  check?: boolean;
  signal: AbortSignal;
  workers: Workers;
  onBytes: (bytes: number) => void;
}

export type Comparison =
  /** Its copy stays; the note as it is now. */
  | { action: 'keep'; note: FileNote; digests: string[] }
  /** `damaged`: the copy is not what was written. */
  | { action: 'copy'; bytes: number; damaged: boolean }
  | { action: 'gone' };

export async function compare(
  request: CompareRequest,
  source: Source,
  held: Held | undefined,
): Promise<Comparison> {
  const { port, root } = request;
  const stat = port.stat(join(root, source.path));
  if (stat === undefined) return { action: 'gone' };
  if (held === undefined) return { action: 'copy', bytes: stat.size, damaged: false };
  const written = await goodSince(request, source.path, held);
  if (written === undefined) return { action: 'copy', bytes: stat.size, damaged: true };
  const { note, digests } = held;
  const isSame = stat.size === note.size && (await originalDigest(request, source.path)) === digests[0];
  if (!isSame) return { action: 'copy', bytes: stat.size, damaged: false };
  return { action: 'keep', note: noteOf(source, stat, written), digests };
}

/** In hexadecimal; undefined when it is gone. */
async function originalDigest(request: CompareRequest, path: string): Promise<string | undefined> {
  const { port, root, digests, check } = request;
  if (check === true) return (await fileDigests(port, join(root, path), [ALGORITHMS[0]], request))[0];
  return (await digests.get({ kind: 'file', path }))?.digest.replace(/^sha256:/, '');
}

/** The mtime under which the copy is good, in ns since 1970; undefined when it is not, or cannot be read. */
export async function goodSince(
  request: Omit<CompareRequest, 'root' | 'digests'>,
  path: string,
  { note, digests, there }: Held,
): Promise<string | undefined> {
  const { port, directory, check, signal } = request;
  const copy = join(directory, payloadPath(path));
  if (!there) return undefined;
  const written = String(port.stat(copy)?.mtimeNs);
  if (check !== true && written === note.written) return written;
  // Also where the whole backup was copied to another disk without its dates.
  try {
    const found = await fileDigests(port, copy, ALGORITHMS, request);
    return found.every((digest, i) => digest === digests[i]) ? written : undefined;
  } catch (error) {
    if (errnoOf(error) === undefined || signal.aborted) throw error;
    return undefined;
  }
}

/** What is noted of a file. `written`: mtime of its copy, in ns since 1970. */
export function noteOf(source: Source, stat: FileStat, written: string): FileNote {
  return {
    kind: source.kind,
    size: stat.size,
    modified: Number(stat.mtimeNs / 1_000_000n),
    mode: stat.mode ?? 0o644,
    written,
  };
}
