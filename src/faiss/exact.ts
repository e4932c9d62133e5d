/**
 * Exact search: every row of an array against every query, streaming. Knows no index; it is what an index is
 * measured against, and what answers for rows an index does not have yet.
 */
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import { type Batch, floatBatches } from './batches.js';
import type { Metric } from './format.js';
import { loadEngine, type MatrixEngine, plainEngine } from './matrix.js';
import { type Accept, NearestRows, type Neighbour, type Rows } from './nearest.js';

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
  /** Who multiplies; found when needed unless told. */
  engine?: MatrixEngine;
  signal?: AbortSignal | undefined;
}

/** Multiplications from which loading onnxruntime (a quarter of a second) pays off. */
const ENGINE_FROM = 1e9;

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
  const { from = 0, to = reader.rows, accept, signal } = options;
  const { dims } = reader;
  const count = countQueries(queries, dims, k, reader.path);
  const rows = Math.max(0, to - from);
  const engine = options.engine ?? (await engineFor(count * rows * dims));
  try {
    const nearest = new NearestRows(queries, dims, Math.min(k, rows), metric, engine, accept);
    if (count > 0 && rows > 0) {
      for await (const batch of floatBatches(reader, { from, to, signal })) await nearest.add(rowsOf(batch));
    }
    return nearest.results();
  } finally {
    if (options.engine === undefined) await engine.close();
  }
}
