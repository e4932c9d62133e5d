/**
 * How many lists a search must look into. For a query, a neighbour is found exactly when its list is among the
 * nprobe whose centroids are nearest; so the ranks of the neighbours' lists tell the recall of every nprobe at once.
 * Knows no file.
 */
import type { Metric } from './format.js';
import { dot, squaredL2 } from './vector-math.js';

/** Neighbours looked for. */
export const NEIGHBOURS = 10;

/** Comparisons that a measurement may cost: as many as those of a row with a centroid in a collection of a million. */
const COMPARISONS = 256 * 1024 * 1024;
const FEWEST_QUERIES = 256;
const MOST_QUERIES = 1024;

/** Queries asked of so many rows: the more, the nearer nprobe comes to what is needed. */
export function queryCount(rows: number): number {
  return Math.max(FEWEST_QUERIES, Math.min(MOST_QUERIES, Math.floor(COMPARISONS / Math.max(1, rows))));
}

/** One-sided 95 % of the normal distribution. */
const CONFIDENCE = 1.645;

/** Where a query stands among the centroids. */
export interface QueryRanks {
  /** The list nearest to it. */
  nearest: number;
  /**
   * For each of its true neighbours how many lists are nearer to the query than the neighbour's: 0 is found with nprobe 1.
   * Equally near lists count in the order of their numbers, as they do in a search.
   */
  ranks: Int32Array;
}

/** @param query position of the query in `queries` @param lists the lists of its true neighbours */
export function listRanks(
  queries: Float32Array,
  query: number,
  centroids: Float32Array,
  dims: number,
  metric: Metric,
  lists: number[],
): QueryRanks {
  const nlist = centroids.length / dims;
  const keys = Float32Array.from({ length: nlist }, (_, list) =>
    metric === 'l2'
      ? squaredL2(queries, query * dims, centroids, list * dims, dims)
      : -dot(queries, query * dims, centroids, list * dims, dims),
  );
  let nearest = 0;
  for (let list = 1; list < nlist; list++) if (keys[list] < keys[nearest]) nearest = list;
  const ranks = Int32Array.from(lists, (list) => {
    let nearer = 0;
    for (let other = 0; other < nlist; other++) {
      if (keys[other] < keys[list] || (keys[other] === keys[list] && other < list)) nearer += 1;
    }
    return nearer;
  });
  return { nearest, ranks };
}

export interface Recall {
  /** Mean over the queries of the fraction of true neighbours found. */
  mean: number;
  /**
   * The mean is at least this with 95 % confidence (normal approximation). Queries that have the same nearest list are hit
   * or missed together and count as one observation: the variance is that of sums over lists.
   */
  assured: number;
}

/** The recall of looking into `nprobe` lists. */
export function recallOf(queries: readonly QueryRanks[], nprobe: number): Recall {
  const asked = queries.filter(({ ranks }) => ranks.length > 0);
  if (asked.length === 0) return { mean: 1, assured: 1 };
  const found = asked.map(
    ({ ranks }) => ranks.reduce((count, rank) => count + (rank < nprobe ? 1 : 0), 0) / ranks.length,
  );
  const mean = found.reduce((sum, value) => sum + value, 0) / asked.length;
  const deviations = new Map<number, number>();
  for (const [i, { nearest }] of asked.entries()) {
    deviations.set(nearest, (deviations.get(nearest) ?? 0) + found[i] - mean);
  }
  let squares = 0;
  for (const deviation of deviations.values()) squares += deviation * deviation;
  return { mean, assured: mean - (CONFIDENCE * Math.sqrt(squares)) / asked.length };
}

/**
 * The smallest nprobe whose recall reaches the goal with 95 % confidence, so that other queries do not fall below
 * it by the luck of these. `nlist` always does.
 */
export function smallestNprobe(queries: readonly QueryRanks[], goal: number, nlist: number): number {
  const steps = new Set<number>();
  for (const { ranks } of queries) for (const rank of ranks) steps.add(rank + 1);
  // Recall changes only where an nprobe reaches another rank.
  const ascending = [1, ...[...steps].sort((a, b) => a - b)];
  return ascending.find((nprobe) => recallOf(queries, nprobe).assured >= goal) ?? nlist;
}
