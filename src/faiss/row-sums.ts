/**
 * Whether an index holds the very rows of an array, in one pass over each: a digest of every row with its id is added up,
 * and the sum does not depend on the order in which lists hold the rows. Finds damage and mistakes; against somebody who
 * forges rows SHA-256 of the whole file is the proof. Knows no reference.
 */
import type { ArrayReader } from '../arrays/types.js';
import type { ReadHandle } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import { batchRows, eachBatch } from './batches.js';
import { floatBytes, ID_BYTES } from './format.js';
import type { FlatHeader, IvfHeader } from './header.js';
import { LANES, type RowBatch, sumRows } from './row-sum-jobs.js';
import { readAll, readIds } from './vectors.js';

const JOBS = new URL('./row-sum-jobs.js', import.meta.url);
/** Fewer bytes than this are summed up faster than a thread starts. */
const ELSEWHERE_FROM = 1024 * 1024;

export interface SumOptions {
  workers: Workers;
  signal?: AbortSignal | undefined;
  onRows?: (rows: number) => void;
}

/** Whether the vectors of an open index, by their ids, are the rows of the array. Dimensions have to be equal. */
export async function holdsRows(
  handle: ReadHandle,
  header: FlatHeader | IvfHeader,
  embeddings: ArrayReader,
  options: SumOptions,
): Promise<boolean> {
  if (header.rows !== embeddings.rows) return false;
  return (await sumOfIndex(handle, header, options)) === (await sumOfArray(embeddings, options));
}

/** As text, to be compared with another one. */
async function sumOfArray(embeddings: ArrayReader, options: SumOptions): Promise<string> {
  const { workers, signal, onRows } = options;
  const total = new Uint32Array(LANES);
  await eachBatch(embeddings, { signal, atOnce: 2 * workers.size }, async ({ start, rows, data }) => {
    add(total, await sum(workers, { data, rows, dims: embeddings.dims, first: start }));
    onRows?.(rows);
  });
  return total.join(' ');
}

/** The same of the vectors of an open index, with the ids they have there. */
async function sumOfIndex(
  handle: ReadHandle,
  header: FlatHeader | IvfHeader,
  options: SumOptions,
): Promise<string> {
  const { workers, signal, onRows } = options;
  const total = new Uint32Array(LANES);
  const running = new Set<Promise<void>>();
  let failed: { error: unknown } | undefined;
  // Used again: a thread keeps memory that it has seen until it tidies up.
  const free: Float32Array[] = [];
  const most = batchRows(header.dims);
  const memory = (): Float32Array =>
    free.pop() ?? new Float32Array(new SharedArrayBuffer(4 * header.dims * Math.min(most, header.rows)));
  try {
    for await (const batch of batchesOf(handle, header, memory)) {
      signal?.throwIfAborted();
      const done = sum(workers, batch)
        .then((part) => {
          add(total, part);
          onRows?.(batch.rows);
        })
        .catch((error: unknown) => {
          failed ??= { error };
        })
        .finally(() => {
          running.delete(done);
          free.push(new Float32Array(batch.data.buffer));
        });
      running.add(done);
      if (running.size >= 2 * workers.size) await Promise.race(running);
      if (failed !== undefined) break;
    }
  } finally {
    await Promise.all(running);
  }
  if (failed !== undefined) throw failed.error;
  return total.join(' ');
}

async function sum(workers: Workers, batch: RowBatch): Promise<number[]> {
  if (batch.data.byteLength < ELSEWHERE_FROM) return sumRows(batch);
  return workers.idlest().call<number[]>(JOBS, 'sumRows', batch);
}

function add(total: Uint32Array, part: readonly number[]): void {
  for (const [lane, value] of part.entries()) total[lane] += value;
}

/** Each in `memory` of its own, which a thread may read while the next is filled. */
async function* batchesOf(
  handle: ReadHandle,
  header: FlatHeader | IvfHeader,
  memory: () => Float32Array,
): AsyncGenerator<RowBatch> {
  const { dims, rows } = header;
  const most = batchRows(dims);
  if (header.kind === 'flat') {
    for (let first = 0; first < rows; first += most) {
      const count = Math.min(most, rows - first);
      const data = memory().subarray(0, dims * count);
      await readAll(handle, floatBytes(data), header.data + 4 * dims * first);
      yield { data, rows: count, dims, first };
    }
    return;
  }
  let left = rows;
  let batch: RowBatch | undefined;
  for (const [list, size] of header.sizes.entries()) {
    for (let done = 0; done < size; ) {
      batch ??= {
        data: memory().subarray(0, dims * Math.min(most, left)),
        ids: new Float64Array(Math.min(most, left)),
        rows: 0,
        dims,
        first: 0,
      };
      const { data, ids } = batch as Required<RowBatch>;
      const count = Math.min(size - done, ids.length - batch.rows);
      const codes = header.offsets[list];
      const into = data.subarray(dims * batch.rows, dims * (batch.rows + count));
      await readAll(handle, floatBytes(into), codes + 4 * dims * done);
      ids.set(await readIds(handle, codes + 4 * dims * size + ID_BYTES * done, count), batch.rows);
      batch.rows += count;
      done += count;
      left -= count;
      if (batch.rows < ids.length) continue;
      yield batch;
      batch = undefined;
    }
  }
  if (batch !== undefined) yield batch;
}
