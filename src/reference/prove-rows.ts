/** Whether an array holds the rows of a run now: they are read, and hashed as the run's own are. */
import { convertBytes } from '../arrays/convert-bytes.js';
import { ArrayHasher } from '../arrays/digest.js';
import type { ArrayReader, Dtype } from '../arrays/types.js';
import type { Workers } from '../workers/pool.js';
import type { Range } from './layout.js';

export interface ProofOptions {
  signal: AbortSignal;
  workers: Workers;
  /** Hears how many rows of the array are behind. */
  onRow?: ((row: number) => void) | undefined;
}

/** Whether rows `start`.. of `embeddings` are those that the range names. Reads them, in blocks. */
export async function holdsRange(
  embeddings: ArrayReader,
  range: Range,
  start: number,
  { signal, workers, onRow }: ProofOptions,
): Promise<boolean> {
  const { dims, dtype } = embeddings;
  if (start + range.count > embeddings.rows) return false;
  const hasher = new ArrayHasher({ dtype: range.dtype, rows: range.count, dims }, workers);
  for await (const block of embeddings.blocks({ from: start, to: start + range.count, signal })) {
    const values = convertBytes(block.bytes, dtype, range.dtype);
    if (!isWidened(values, range.dtype, block.bytes, dtype)) return false;
    await hasher.update(values);
    onRow?.(block.start + block.rows);
  }
  return (await hasher.digest()) === range.digest;
}

/**
 * Whether `bytes` are `values` in a wider dtype. Where the array is wider than the run was, a change too small for the
 * run's dtype would leave its digest as it was.
 */
export function isWidened(values: Uint8Array, dtype: Dtype, bytes: Uint8Array, wider: Dtype): boolean {
  return dtype === wider || Buffer.compare(convertBytes(values, dtype, wider), bytes) === 0;
}
