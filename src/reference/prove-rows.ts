/** Proof that the array of a reference holds the rows of a run now: they are read, and hashed as the run's own are. */
import { convertBytes } from '../arrays/convert-bytes.js';
import { ArrayHasher } from '../arrays/digest.js';
import type { ArrayReader, Dtype } from '../arrays/types.js';
import type { Workers } from '../workers/pool.js';
import type { Range } from './layout.js';

/** Whether rows `start`.. of `embeddings` are those that the range names. Reads them, in blocks. */
export async function holdsRange(
  embeddings: ArrayReader,
  range: Range,
  start: number,
  options: { signal: AbortSignal; workers?: Workers; onBytes?: (bytes: number) => void },
): Promise<boolean> {
  const { signal, workers, onBytes } = options;
  if (start + range.count > embeddings.rows) return false;
  const { dims } = embeddings;
  const hasher = new ArrayHasher({ dtype: range.dtype, rows: range.count, dims }, workers);
  for await (const block of embeddings.blocks({ from: start, to: start + range.count, signal })) {
    const values = convertBytes(block.bytes, embeddings.dtype, range.dtype);
    if (!isWidened(values, range.dtype, block.bytes, embeddings.dtype)) return false;
    await hasher.update(values);
    onBytes?.(block.bytes.length);
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
