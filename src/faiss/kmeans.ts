/**
 * k-means much as FAISS trains an IVF index: a fixed number of Lloyd's iterations from randomly chosen rows, and a
 * cluster split in two wherever one stays empty. FAISS prefers to split the cluster of most rows; among sequences
 * that may be one sequence many times, which nothing can split, so here it is the one of the largest squared error.
 * Rows come as codes on a grid (quantize.ts) whose sums are whole numbers, or as floats where codes are too coarse, added up
 * in a fixed order: equal input gives equal bytes with any number of threads. Knows no file and no index.
 */
import type { Thread, Workers } from '../workers/pool.js';
import type { Metric } from './format.js';
import { type Grid, type Scorer, scorerOf, ZERO_CODE } from './quantize.js';
import { Random } from './sample.js';
import { dot } from './vector-math.js';

export const ITERATIONS = 10;
export const SEED = 1234;

/** The first iterations, which move centroids far, see one row in so many, as long as every list has some of them. */
const EARLY_ITERATIONS = 6;
export const EARLY_ONE_IN = 4;
const EARLY_ROWS_PER_LIST = 8;

/**
 * How far the two halves of a split cluster are moved apart: as faiss/Clustering.cpp has it, but relative to where the
 * centroid is about the mean of all rows, since rows far from the origin would be left behind; and as far as float32 can
 * tell them apart.
 */
const SPLIT = 1 / 1024;
const APART = 2 ** -22;

/** Of rows that are floats, whose sums depend on who adds up what. */
const FLOAT_SHARES = 8;

const JOBS = new URL('./kmeans-jobs.js', import.meta.url);

/** Coded on a grid, or as they are. */
type Rows = Uint8Array | Float32Array;

export interface KmeansRequest {
  /**
   * n * dims codes or values, n >= nlist, in memory that threads can share. Of codes the first quarter of the rows has to be
   * like the whole: it is what early iterations see.
   */
  rows: Rows;
  grid: Grid;
  /** Where the centroids begin: see `firstCentroids`. */
  first: Float32Array;
  metric: Metric;
  workers: Workers;
  /** After every iteration. */
  onIteration?: (done: number) => void;
  signal?: AbortSignal | undefined;
}

/** One thread's share of an iteration: rows `from` up to, not including, `to`. */
export interface Share {
  rows: Rows;
  from: number;
  to: number;
  grid: Grid;
  scorer: Scorer;
  /** The list of every row, shared by all. */
  lists: Int32Array;
}

/** Of a share's rows: how many each cluster has, and the sums of their codes or values. */
export interface ShareSums {
  sizes: Float64Array;
  sums: Float64Array;
}

/**
 * @returns nlist * dims values. For the inner product they have length 1, as FAISS makes them (spherical k-means):
 *   longer ones would draw every vector to themselves.
 */
export async function kmeans(request: KmeansRequest): Promise<Float32Array> {
  const { rows, grid, metric, workers, signal } = request;
  const coded = rows instanceof Uint8Array;
  const dims = grid.centre.length;
  const centroids = request.first.slice();
  const nlist = centroids.length / dims;
  const all = new Int32Array(new SharedArrayBuffer((4 * rows.length) / dims));
  const few = all.subarray(0, Math.floor(all.length / EARLY_ONE_IN));
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    signal?.throwIfAborted();
    const early = coded && iteration < EARLY_ITERATIONS && few.length >= EARLY_ROWS_PER_LIST * nlist;
    const lists = early ? few : all;
    const scorer = scorerOf(coded ? 'codes' : 'floats', centroids, grid, metric);
    const count = coded ? workers.size : FLOAT_SHARES;
    const shares = Array.from({ length: count }, (_, i) => {
      const [from, to] = [i, i + 1].map((part) => Math.floor((part * lists.length) / count));
      return assignShare(workers.idlest(), { rows, from, to, grid, scorer, lists });
    });
    const clusters = addUp(await Promise.all(shares));
    moveToMeans(clusters, coded ? grid : undefined, centroids, dims);
    if (clusters.sizes.includes(0)) {
      splitIntoEmpty(clusters.sizes, squaredErrors(rows, grid, lists, centroids), centroids, grid.centre);
    }
    if (metric === 'ip') normalize(centroids, dims);
    request.onIteration?.(iteration + 1);
  }
  return centroids;
}

function assignShare(thread: Thread, share: Share): Promise<ShareSums> {
  return thread.call<ShareSums>(JOBS, 'assignShare', share);
}

function addUp([first, ...others]: ShareSums[]): ShareSums {
  for (const { sizes, sums } of others) {
    for (let i = 0; i < sizes.length; i++) first.sizes[i] += sizes[i];
    for (let i = 0; i < sums.length; i++) first.sums[i] += sums[i];
  }
  return first;
}

/** `count` different rows in random order (the first steps of a Fisher-Yates shuffle). */
export function firstCentroids(
  rows: Float32Array,
  dims: number,
  count: number,
  metric: Metric,
): Float32Array {
  const length = rows.length / dims;
  const order = Float64Array.from({ length }, (_, row) => row);
  const random = new Random(SEED);
  const chosen = new Float32Array(count * dims);
  for (let i = 0; i < count; i++) {
    const j = i + random.below(length - i);
    const row = order[j];
    order[j] = order[i];
    chosen.set(rows.subarray(row * dims, (row + 1) * dims), i * dims);
  }
  if (metric === 'ip') normalize(chosen, dims);
  return chosen;
}

/** The value at a position of the rows, in that dimension. */
function valuesOf(rows: Rows, { centre, step }: Grid): (at: number, dimension: number) => number {
  if (rows instanceof Float32Array) return (at) => rows[at];
  return (at, dimension) => centre[dimension] + (rows[at] - ZERO_CODE) * step;
}

/** Puts every centroid that has rows at their mean. `grid`: of codes. */
function moveToMeans(
  { sizes, sums }: ShareSums,
  grid: Grid | undefined,
  centroids: Float32Array,
  dims: number,
): void {
  for (const [list, size] of sizes.entries()) {
    if (size === 0) continue;
    for (let i = 0; i < dims; i++) {
      const mean = sums[list * dims + i] / size;
      centroids[list * dims + i] =
        grid === undefined ? mean : grid.centre[i] + (mean - ZERO_CODE) * grid.step;
    }
  }
}

/** For every cluster the sum of the squared distances of its rows to its centroid. */
function squaredErrors(rows: Rows, grid: Grid, lists: Int32Array, centroids: Float32Array): Float64Array {
  const dims = grid.centre.length;
  const valueAt = valuesOf(rows, grid);
  const errors = new Float64Array(centroids.length / dims);
  for (const [row, list] of lists.entries()) {
    let error = 0;
    for (let i = 0; i < dims; i++) {
      const off = valueAt(row * dims + i, i) - centroids[list * dims + i];
      error += off * off;
    }
    errors[list] += error;
  }
  return errors;
}

/** Every empty cluster takes half of the one with the largest error; the two centroids are moved a little apart. */
function splitIntoEmpty(
  sizes: Float64Array,
  errors: Float64Array,
  centroids: Float32Array,
  centre: Float32Array,
): void {
  const dims = centre.length;
  for (const [empty, size] of sizes.entries()) {
    if (size > 0) continue;
    let widest = 0;
    for (let list = 1; list < sizes.length; list++) if (errors[list] > errors[widest]) widest = list;
    // Relative to the spread of the cluster as well, for a centroid may be the mean.
    const spread = Math.sqrt(errors[widest] / Math.max(1, sizes[widest]) / dims);
    for (let i = 0; i < dims; i++) {
      const value = centroids[widest * dims + i];
      const step = SPLIT * (Math.abs(value - centre[i]) + spread) + APART * Math.abs(value);
      const signed = i % 2 === 0 ? step : -step;
      centroids[empty * dims + i] = value + signed;
      centroids[widest * dims + i] = value - signed;
    }
    sizes[empty] = sizes[widest] /= 2;
    errors[empty] = errors[widest] /= 2;
  }
}

/** Scales every vector to length 1; a vector of zeros stays. */
function normalize(vectors: Float32Array, dims: number): void {
  for (let from = 0; from < vectors.length; from += dims) {
    const length = Math.sqrt(dot(vectors, from, vectors, from, dims));
    if (length === 0) continue;
    for (let i = from; i < from + dims; i++) vectors[i] = vectors[i] / length;
  }
}
