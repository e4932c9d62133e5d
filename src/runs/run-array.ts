/**
 * The array of a run, whichever container holds it. With both, embeddings.npy is the truth and embeddings.npz has to be
 * a copy: one that firn made says so in its comment, any other must hold the same values. Where the run was archived, its
 * stub says what the array is. Knows no reference.
 */
import { join } from 'node:path';
import { arrayDigest } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import type { ArrayReader } from '../arrays/types.js';
import { readNpzComment } from '../arrays/zip-directory.js';
import { fileDigest } from '../engine/store.js';
import type { Digest, Digester, DigestOptions } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { shellWord } from '../shell-word.js';
import { readStub, STUB_FILE } from './archived.js';
import { NPY_FILE, NPZ_FILE } from './discover.js';

/** What firn writes into the comment of an npz file it makes. */
export interface CopyNote {
  firn: 1;
  /** Content digest of the array that was compressed. */
  source: string;
  precision: string;
}

export function formatCopyNote(source: string, precision: string): string {
  return JSON.stringify({ firn: 1, source, precision } satisfies CopyNote);
}

/** The note of an npz file that firn made; undefined for any other file, also one that cannot be read. */
export async function readCopyNote(port: ReadPort, path: string): Promise<CopyNote | undefined> {
  try {
    const note = JSON.parse(await readNpzComment(port, path)) as CopyNote | null;
    return note?.firn === 1 && typeof note.source === 'string' ? note : undefined;
  } catch {
    return undefined;
  }
}

/** The file that holds the truth of a run; undefined when the directory holds no array. */
export function runFile(port: ReadPort, directory: string): string | undefined {
  for (const name of [NPY_FILE, NPZ_FILE]) {
    const path = join(directory, name);
    if (port.stat(path)?.kind === 'file') return path;
  }
  return undefined;
}

/** Opens the run's array; FirnError (missing) when it has none. */
export async function openRun(port: ReadPort, directory: string): Promise<ArrayReader> {
  const path = runFile(port, directory);
  if (path === undefined) {
    const stub = readStub(port, directory);
    if (stub !== undefined) {
      throw new FirnError('missing', `is archived: its array is in ${stub.archived}`, {
        path: directory,
        advice: `Bring it back: firn runs restore ${shellWord(stub.run)}`,
      });
    }
    throw new FirnError('missing', 'holds neither embeddings.npy nor embeddings.npz', {
      path: directory,
      advice: 'Look at the analysis that should have written it.',
    });
  }
  try {
    return await openArray(port, path);
  } catch (error) {
    // Another step may just have replaced the original by its copy.
    if (runFile(port, directory) === path) throw error;
    return openRun(port, directory);
  }
}

/** Digests runs by content; paths are relative to `root`. */
export function runDigester(root: string): Digester {
  return {
    files: (path) => [`${path}/${NPY_FILE}`, `${path}/${NPZ_FILE}`],
    standIn: (path) => `${path}/${STUB_FILE}`,
    digest: (path, options) =>
      digestRun(join(root, path), options.recordedBytes?.(`${path}/${NPZ_FILE}`), options),
  };
}

async function digestRun(
  directory: string,
  recordedCopy: string | undefined,
  options: DigestOptions,
): Promise<Digest | undefined> {
  const { port } = options;
  const truth = runFile(port, directory);
  if (truth === undefined) return digestInStub(port, directory);
  const digest = await digestOf(await openRun(port, directory), options);
  const copy = join(directory, NPZ_FILE);
  if (truth === copy || port.stat(copy)?.kind !== 'file') return digest;
  if (await isDerived(copy, digest.digest, recordedCopy, options)) return digest;
  if ((await digestOf(await openArray(port, copy), options)).digest !== digest.digest) {
    throw new FirnError(
      'conflict',
      `differs from ${copy}, and nothing says that firn made that file from it`,
      {
        path: truth,
        advice: 'One run cannot be two arrays: remove or rename the file that is wrong.',
      },
    );
  }
  return digest;
}

/** What an archived run is: it has not changed by being elsewhere. */
function digestInStub(port: ReadPort, directory: string): Digest | undefined {
  const stub = readStub(port, directory);
  if (stub === undefined) return undefined;
  const { digest, rows, dims, dtype } = stub;
  return { digest, facts: { rows, dims, dtype } };
}

/**
 * Whether an npz is a copy that firn made of this run: it says it is one of these very values, or its bytes are what a
 * step last wrote there (of earlier values, then), or a step wrote it and it cannot be read any more. Anything else that
 * differs could be somebody's newer run.
 */
async function isDerived(
  copy: string,
  source: string,
  recorded: string | undefined,
  options: DigestOptions,
): Promise<boolean> {
  const { port, signal, workers } = options;
  if ((await readCopyNote(port, copy))?.source === source) return true;
  if (recorded === undefined) return false;
  if ((await fileDigest(port, copy, { signal, workers })) === recorded) return true;
  try {
    await digestOf(await openArray(port, copy), options);
    return false;
  } catch (error) {
    if (error instanceof FirnError && error.kind === 'input') return true;
    throw error;
  }
}

/** Closes the reader. */
async function digestOf(reader: ArrayReader, options: DigestOptions): Promise<Digest> {
  try {
    const digest = await arrayDigest(reader, options);
    return { digest, facts: { rows: reader.rows, dims: reader.dims, dtype: reader.dtype } };
  } finally {
    await reader.close();
  }
}
