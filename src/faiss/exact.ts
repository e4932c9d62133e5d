/**
 * Exact search: every row of an array against every query, streaming. Knows no index; it is what an index is
 * measured against, and what answers for rows an index does not have yet.
 */
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import { Workers } from '../workers/pool.js';
import { type Batch, eachBatch, floatBatches } from './batches.js';
import type { Metric } from './format.js';
import { loadEngine, type MatrixEngine, plainEngine } from './matrix.js';
import { type Accept, NearestRows, type Neighbour, type Rows } from './nearest.js';
import type { Asked } from './nearest-jobs.js';
import { ParallelNearest } from './parallel-nearest.js';

/** Rows `from` up to, not including, `to`. */
export interface RowRange {
  from: number;
  to: number;
}

/** Accepts every id outside these ranges. */
export function outside(ranges: RowRange[]): (id: number) => boolean {
  return (id) => !ranges.some(({ from, to }) => id >= from && id < to);
}

export interface ExactOptions {
  /** Rows searched: from (0) up to, not including, to (all). */
  from?: number;
  to?: number;
  accept?: Accept;
  /** For each query the row that may not answer it. */
  except?: Float64Array;
  /** Threads for large searches without `accept`; some of its own unless told. */
  workers?: Workers;
  signal?: AbortSignal | undefined;
}

/** Multiplications from which loading onnxruntime pays off, and from which starting threads does. */
const ENGINE_FROM = 1e9;
const THREADS_FROM = 1e10;

/** The engine for so many multiplications. */
export function engineFor(multiplications: number): Promise<MatrixEngine> {
  return multiplications < ENGINE_FROM ? Promise.resolve(plainEngine) : loadEngine();
}

/** The rows of a batch, whose ids are their indices. */
export function rowsOf(batch: Batch): Rows {
  return { data: batch.data, count: batch.rows, id: (row) => batch.start + row };
}

/** Refuses queries that do not fit the vectors they are compared with; the number of queries. */
export function countQueries(queries: Float32Array, dims: number, k: number, path: string): number {
  if (!Number.isInteger(k) || k < 1)
    throw new FirnError('usage', `cannot look for ${k} neighbours`, { path });
  if (queries.length % dims !== 0) {
    throw new FirnError('usage', `${queries.length} values are not queries of ${dims} dimensions`, {
      path,
      advice: 'Embed the queries with the same model as the collection.',
    });
  }
  return queries.length / dims;
}

/**
 * The k nearest rows to each query, nearest first, equal distances by smaller row; ids are row indices.
 * @param queries n * dims values
 * @param k at least 1; fewer come back when fewer rows are there or accepted
 */
export async function exactSearch(
  reader: ArrayReader,
  queries: Float32Array,
  k: number,
  metric: Metric,
  options: ExactOptions = {},
): Promise<Neighbour[][]> {
  const { from = 0, to = reader.rows, accept, except, signal } = options;
  const { dims } = reader;
  const count = countQueries(queries, dims, k, reader.path);
  const rows = Math.max(0, to - from);
  if (count === 0 || rows === 0) return Array.from({ length: count }, () => []);
  const asked = { queries, dims, k: Math.min(k, rows), metric, except };
  const work = count * rows * dims;
  if (work >= THREADS_FROM && accept === undefined) return searchInThreads(reader, asked, options);
  const engine = await engineFor(work);
  try {
    const others: Accept | undefined = except === undefined ? accept : (id, query) => id !== except[query];
    const nearest = new NearestRows(queries, dims, asked.k, metric, engine, others);
    for await (const batch of floatBatches(reader, { from, to, signal })) await nearest.add(rowsOf(batch));
    return nearest.results();
  } finally {
    await engine.close();
  }
}

async function searchInThreads(
  reader: ArrayReader,
  asked: Omit<Asked, 'search'>,
  { from = 0, to = reader.rows, signal, ...options }: ExactOptions,
): Promise<Neighbour[][]> {
  const workers = options.workers ?? new Workers();
  try {
    const nearest = new ParallelNearest(asked);
    const atOnce = 2 * workers.size;
    await eachBatch(reader, { from, to, signal, atOnce }, (batch) => nearest.add(workers.idlest(), batch));
    return await nearest.results();
  } finally {
    if (options.workers === undefined) await workers.close();
  }
}
