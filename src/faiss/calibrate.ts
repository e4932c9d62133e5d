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

/**
 * @param query position of the query in `queries`
 * @param lists the lists of its true neighbours
 * @returns for each of them how many lists are nearer to the query: 0 is found with nprobe 1. Equally near lists
 *   count in the order of their numbers, as they do in a search.
 */
export function listRanks(
  queries: Float32Array,
  query: number,
  centroids: Float32Array,
  dims: number,
  metric: Metric,
  lists: number[],
): Int32Array {
  const nlist = centroids.length / dims;
  const keys = Float32Array.from({ length: nlist }, (_, list) =>
    metric === 'l2'
      ? squaredL2(queries, query * dims, centroids, list * dims, dims)
      : -dot(queries, query * dims, centroids, list * dims, dims),
  );
  return Int32Array.from(lists, (list) => {
    let nearer = 0;
    for (let other = 0; other < nlist; other++) {
      if (keys[other] < keys[list] || (keys[other] === keys[list] && other < list)) nearer += 1;
    }
    return nearer;
  });
}

export interface Recall {
  /** Mean over the queries of the fraction of true neighbours found. */
  mean: number;
  /** The mean is at least this with 95 % confidence (normal approximation over the queries). */
  assured: number;
}

/** The recall of looking into `nprobe` lists. */
export function recallOf(ranks: Int32Array[], nprobe: number): Recall {
  const asked = ranks.filter((of) => of.length > 0);
  if (asked.length === 0) return { mean: 1, assured: 1 };
  let sum = 0;
  let squares = 0;
  for (const of of asked) {
    const found = of.reduce((count, rank) => count + (rank < nprobe ? 1 : 0), 0) / of.length;
    sum += found;
    squares += found * found;
  }
  const mean = sum / asked.length;
  const variance = Math.max(0, squares / asked.length - mean * mean);
  return { mean, assured: mean - CONFIDENCE * Math.sqrt(variance / asked.length) };
}

/**
 * The smallest nprobe whose recall reaches the goal with 95 % confidence, so that other queries do not fall below
 * it by the luck of these. `nlist` always does.
 */
export function smallestNprobe(ranks: Int32Array[], goal: number, nlist: number): number {
  const steps = new Set<number>();
  for (const of of ranks) for (const rank of of) steps.add(rank + 1);
  // Recall changes only where an nprobe reaches another rank.
  const ascending = [1, ...[...steps].sort((a, b) => a - b)];
  return ascending.find((nprobe) => recallOf(ranks, nprobe).assured >= goal) ?? nlist;
}
