/**
 * Every value of a run: its digest, rows that are not finite, and whether the compressed copy beside it is one. Each file
 * is read once. Knows no reference.
 */
import { ArrayHasher } from '../arrays/digest.js';
import { firstNonFinite } from '../arrays/finite.js';
import { openArray } from '../arrays/open.js';
import { type ArrayShape, type RowBlock, rowBytes } from '../arrays/types.js';
import { fileDigest } from '../engine/store.js';
import type { ReadPort } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import { type ArrayLook, type RunLook, truthOf } from './run-looks.js';

export interface RunContent {
  /** Of the truth; undefined when it cannot be read to its end. */
  digest: string | undefined;
  error?: unknown;
  /** How many rows hold NaN or infinity, and the first of them. */
  notFinite: { rows: number; first: number } | undefined;
  /**
   * Of an npz beside an npy. outdated: firn's, of values that the run had earlier. differs: nobody's, and not equal.
   * wrong: its note names these values, and it holds others.
   */
  copy?: 'equal' | 'rounded' | 'outdated' | 'differs' | 'wrong';
  copyError?: unknown;
}

export interface ContentOptions {
  port: ReadPort;
  workers: Workers;
  signal: AbortSignal;
  onBytes: (bytes: number) => void;
  /** Digest of the bytes that a step last wrote as this file (absolute). */
  recordedBytes: (path: string) => string | undefined;
}

export async function readContent(look: RunLook, options: ContentOptions): Promise<RunContent> {
  const truth = truthOf(look);
  let content: RunContent;
  try {
    content = await readArray(truth, options);
  } catch (error) {
    options.signal.throwIfAborted();
    content = { digest: undefined, notFinite: undefined, error };
  }
  const { npz, note } = look;
  if (npz === undefined || npz === truth || npz.shape === undefined) return content;
  try {
    const copy = (await readArray(npz, options)).digest;
    if (copy === content.digest) content.copy = 'equal';
    else if (note !== undefined && note.source === content.digest)
      content.copy = note.precision === 'lossless' ? 'wrong' : 'rounded';
    else {
      const { port, workers, signal } = options;
      const recorded = options.recordedBytes(npz.path);
      const isOurs =
        recorded !== undefined && (await fileDigest(port, npz.path, { workers, signal })) === recorded;
      content.copy = isOurs ? 'outdated' : 'differs';
    }
  } catch (error) {
    options.signal.throwIfAborted();
    content.copyError = error;
  }
  return content;
}

async function readArray(
  { path, stat }: ArrayLook,
  { port, workers, signal, onBytes }: ContentOptions,
): Promise<RunContent> {
  const reader = await openArray(port, path);
  try {
    const hasher = new ArrayHasher(reader, workers);
    let notFinite: RunContent['notFinite'];
    let told = 0;
    for await (const block of reader.blocks({ signal })) {
      const hashing = hasher.update(block.bytes);
      const rows = rowsNotFinite(block, reader);
      if (rows.length > 0)
        notFinite = { rows: (notFinite?.rows ?? 0) + rows.length, first: notFinite?.first ?? rows[0] };
      await hashing;
      // In bytes of the file, which may be a compressed one.
      const done = Math.floor((stat.size * (block.start + block.rows)) / reader.rows);
      onBytes(done - told);
      told = done;
    }
    onBytes(stat.size - told);
    return { digest: await hasher.digest(), notFinite };
  } finally {
    await reader.close();
  }
}

/** Row numbers, ascending, of the rows in a block that hold NaN or infinity. */
function rowsNotFinite({ start, rows, bytes }: RowBlock, shape: ArrayShape): number[] {
  if (firstNonFinite(bytes, shape.dtype) === -1) return [];
  const row = rowBytes(shape);
  return Array.from({ length: rows }, (_, i) => i)
    .filter((i) => firstNonFinite(bytes.subarray(i * row, (i + 1) * row), shape.dtype) !== -1)
    .map((i) => start + i);
}
