/**
 * An array of any float type as float32 batches of a fixed number of rows. The batches depend on row numbers only,
 * never on the container's blocks, so that what is computed from them is the same however the array is stored.
 * Knows no index.
 */
import { toFloat32 } from '../arrays/convert.js';
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';

export interface Batch {
  /** Index of the batch's first row. */
  start: number;
  rows: number;
  /** rows * dims values, only valid until the next batch is asked for. */
  data: Float32Array;
}

export interface BatchOptions {
  from?: number;
  to?: number;
  signal?: AbortSignal | undefined;
}

/** Values in a batch: 2 Mi, 8 MiB. */
const BATCH_VALUES = 2 * 1024 * 1024;

/** Rows of a batch of `dims` dimensions. */
export function batchRows(dims: number): number {
  return Math.max(1, Math.min(16384, Math.floor(BATCH_VALUES / dims)));
}

/** The rows `from` (0) to `to` (all) in order. One buffer serves every batch. */
export async function* floatBatches(reader: ArrayReader, options: BatchOptions = {}): AsyncGenerator<Batch> {
  const { from = 0, to = reader.rows, signal } = options;
  const { dims, dtype } = reader;
  const size = batchRows(dims);
  const buffer = new Float32Array(Math.min(size, Math.max(0, to - from)) * dims);
  let start = from;
  let filled = 0;
  for await (const block of reader.blocks({ from, to, ...(signal === undefined ? {} : { signal }) })) {
    signal?.throwIfAborted();
    const values = toFloat32(block.bytes, dtype);
    for (let row = 0; row < block.rows; ) {
      const count = Math.min(size - filled, block.rows - row);
      buffer.set(values.subarray(row * dims, (row + count) * dims), filled * dims);
      row += count;
      filled += count;
      if (filled === size) {
        yield { start, rows: filled, data: buffer };
        start += filled;
        filled = 0;
      }
    }
  }
  if (filled > 0) yield { start, rows: filled, data: buffer.subarray(0, filled * dims) };
}

/**
 * Refuses values that no distance can be computed from: not finite, or too large for float32.
 * @throws FirnError of kind `input` naming the row
 */
export function checkFinite(batch: Batch, reader: ArrayReader): void {
  const { data, start } = batch;
  // Zero times anything finite is zero; one sum tells for the whole batch.
  let sum = 0;
  for (let i = 0; i < data.length; i++) sum += data[i] * 0;
  if (sum === 0) return;
  const row = start + Math.floor(data.findIndex((value) => !Number.isFinite(value)) / reader.dims);
  throw new FirnError('input', `row ${row} holds a value that is not a finite float32`, {
    path: reader.path,
    advice: 'Embed that sequence again, or remove its row.',
  });
}

/** The rows with these ascending indices, one after the other. Memory is what is asked for. */
export async function gatherRows(
  reader: ArrayReader,
  rows: Float64Array,
  signal?: AbortSignal,
): Promise<Float32Array> {
  const { dims } = reader;
  const gathered = new Float32Array(rows.length * dims);
  const to = rows.length === 0 ? 0 : rows[rows.length - 1] + 1;
  const collect = collector(rows, dims, gathered);
  for await (const batch of floatBatches(reader, { to, signal })) collect(batch);
  return gathered;
}

/** Copies the wanted rows out of batches that come in order. */
export function collector(rows: Float64Array, dims: number, into: Float32Array): (batch: Batch) => void {
  let next = 0;
  return ({ start, rows: count, data }) => {
    for (; next < rows.length && rows[next] < start + count; next++) {
      const at = (rows[next] - start) * dims;
      into.set(data.subarray(at, at + dims), next * dims);
    }
  };
}
