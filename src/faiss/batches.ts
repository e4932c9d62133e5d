/**
 * An array of any float type as float32 batches of a fixed number of rows. The batches depend on row numbers only,
 * never on the container's blocks, so that what is computed from them is the same however the array is stored.
 * Knows no index.
 */
import { toFloat32 } from '../arrays/convert.js';
import { firstNonFinite } from '../arrays/finite.js';
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';

export interface Batch {
  /** Index of the batch's first row. */
  start: number;
  rows: number;
  /** rows * dims values; in the one buffer that serves all, only valid until the next batch is asked for. */
  data: Float32Array;
}

export interface BatchOptions {
  from?: number;
  to?: number;
  signal?: AbortSignal | undefined;
  /** Memory for the next batch; one buffer serves them all unless told. */
  buffer?: (values: number) => Promise<Float32Array>;
}

/** Values in a batch: 2 Mi, 8 MiB. */
const BATCH_VALUES = 2 * 1024 * 1024;

/** Rows of a batch of `dims` dimensions. */
export function batchRows(dims: number): number {
  return Math.max(1, Math.min(16384, Math.floor(BATCH_VALUES / dims)));
}

/** The rows `from` (0) to `to` (all) in order. */
export async function* floatBatches(reader: ArrayReader, options: BatchOptions = {}): AsyncGenerator<Batch> {
  const { from = 0, to = reader.rows, signal } = options;
  const { dims, dtype } = reader;
  const size = Math.min(batchRows(dims), Math.max(0, to - from));
  const own = options.buffer === undefined ? new Float32Array(size * dims) : new Float32Array(0);
  const next = async (): Promise<Float32Array> => (await options.buffer?.(size * dims)) ?? own;
  let buffer: Float32Array | undefined;
  let start = from;
  let filled = 0;
  for await (const block of reader.blocks({ from, to, ...(signal === undefined ? {} : { signal }) })) {
    signal?.throwIfAborted();
    const values = toFloat32(block.bytes, dtype);
    for (let row = 0; row < block.rows; ) {
      buffer ??= await next();
      const count = Math.min(size - filled, block.rows - row);
      buffer.set(values.subarray(row * dims, (row + count) * dims), filled * dims);
      row += count;
      filled += count;
      if (filled === size) {
        yield { start, rows: filled, data: buffer };
        buffer = undefined;
        start += filled;
        filled = 0;
      }
    }
  }
  if (buffer !== undefined) yield { start, rows: filled, data: buffer.subarray(0, filled * dims) };
}

/**
 * Hands the rows to `work` in batches of shared memory, `atOnce` of them at a time, begun in order. When one fails, the
 * others are waited for and its error is thrown.
 */
export async function eachBatch(
  reader: ArrayReader,
  options: Omit<BatchOptions, 'buffer'> & { atOnce: number },
  work: (batch: Batch) => Promise<void>,
): Promise<void> {
  const free: Float32Array[] = [];
  const running = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  const buffer = async (values: number): Promise<Float32Array> => {
    if (running.size >= options.atOnce) await Promise.race(running);
    if (failed !== undefined) throw failed.error;
    return free.pop() ?? new Float32Array(new SharedArrayBuffer(4 * values));
  };
  try {
    for await (const batch of floatBatches(reader, { ...options, buffer })) {
      const whole = new Float32Array(batch.data.buffer);
      const done = work(batch)
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => {
          running.delete(done);
          free.push(whole);
        });
      running.add(done);
    }
  } finally {
    await Promise.all(running);
  }
  if (failed !== undefined) throw failed.error;
}

/** The first value that is not finite; -1 when all are. */
export function firstNotFinite(values: Float32Array): number {
  return firstNonFinite(new Uint8Array(values.buffer, values.byteOffset, values.byteLength), 'f4');
}

/** For values that no distance can be computed from: not finite, or too large for float32. */
export function notFinite(row: number, reader: ArrayReader): FirnError {
  return new FirnError('input', `row ${row} holds a value that is not a finite float32`, {
    path: reader.path,
    advice: 'Embed that sequence again, or remove its row.',
  });
}

/** @throws FirnError of kind `input` naming the row */
export function checkFinite(batch: Batch, reader: ArrayReader): void {
  const at = firstNotFinite(batch.data);
  if (at >= 0) throw notFinite(batch.start + Math.floor(at / reader.dims), reader);
}

/** Rows wanted by ascending index, and memory for them: rows.length * dims values. */
export interface Wanted {
  rows: Float64Array;
  into: Float32Array;
}

/**
 * Copies rows out of the array, for several purposes in one pass.
 * @throws FirnError of kind `input` naming a row that is wanted and not finite
 */
export async function gatherRows(reader: ArrayReader, wanted: Wanted[], signal?: AbortSignal): Promise<void> {
  const { dims } = reader;
  const collect = wanted.map(({ rows, into }) => collector(rows, dims, into));
  const to = wanted.reduce((end, { rows }) => Math.max(end, (rows.at(-1) ?? -1) + 1), 0);
  for await (const block of reader.blocks({ to, ...(signal === undefined ? {} : { signal }) })) {
    const { start, rows, bytes } = block;
    const batch = { start, rows, data: toFloat32(bytes, reader.dtype) };
    for (const take of collect) take(batch);
  }
  for (const { rows, into } of wanted) {
    const bad = firstNotFinite(into);
    if (bad >= 0) throw notFinite(rows[Math.floor(bad / dims)], reader);
  }
}

/** Copies the wanted rows out of batches that come in order. */
function collector(rows: Float64Array, dims: number, into: Float32Array): (batch: Batch) => void {
  let next = 0;
  return ({ start, rows: count, data }) => {
    for (; next < rows.length && rows[next] < start + count; next++) {
      const at = (rows[next] - start) * dims;
      into.set(data.subarray(at, at + dims), next * dims);
    }
  };
}
