/**
 * k-means much as FAISS trains an IVF index: a fixed number of Lloyd's iterations from randomly chosen rows, and a
 * cluster split in two wherever one stays empty. FAISS prefers to split the cluster of most rows; among sequences
 * that may be one sequence many times, which nothing can split, so here it is the one of the largest squared error.
 * Equal input and engine give equal bytes.
 * Knows no file and no index.
 */
import type { Metric } from './format.js';
import { dot, halfNorms, type MatrixEngine, squaredL2 } from './matrix.js';
import { Random } from './sample.js';

export const ITERATIONS = 10;
export const SEED = 1234;

/** How far the two halves of a split cluster are moved apart, relative to their values (as faiss/Clustering.cpp has it). */
const SPLIT = 1 / 1024;

export interface KmeansOptions {
  engine: MatrixEngine;
  /** After every iteration. */
  onIteration?: ((done: number) => void) | undefined;
  signal?: AbortSignal | undefined;
}

/**
 * The bias that turns the largest score `x . c + bias` into the nearest centroid: `-|c|^2 / 2` for L2, since
 * `|x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2)`; nothing for the inner product.
 */
export function assignmentBias(centroids: Float32Array, dims: number, metric: Metric): Float32Array {
  return metric === 'l2' ? halfNorms(centroids, dims) : new Float32Array(centroids.length / dims);
}

/**
 * @param sample n * dims values, n >= nlist
 * @returns nlist * dims values. For the inner product they have length 1, as FAISS makes them (spherical k-means):
 *   longer ones would draw every vector to themselves.
 */
export async function kmeans(
  sample: Float32Array,
  dims: number,
  nlist: number,
  metric: Metric,
  options: KmeansOptions,
): Promise<Float32Array> {
  const rows = sample.length / dims;
  const centroids = chooseRows(sample, dims, nlist);
  if (metric === 'ip') normalize(centroids, dims);
  const lists = new Int32Array(rows);
  for (let iteration = 0; iteration < ITERATIONS; iteration++) {
    options.signal?.throwIfAborted();
    await options.engine.nearest(sample, centroids, assignmentBias(centroids, dims, metric), dims, lists);
    splitIntoEmpty(moveToMeans(sample, lists, centroids, dims), centroids, dims);
    if (metric === 'ip') normalize(centroids, dims);
    options.onIteration?.(iteration + 1);
  }
  return centroids;
}

/** `count` different rows in random order (the first steps of a Fisher-Yates shuffle). */
function chooseRows(sample: Float32Array, dims: number, count: number): Float32Array {
  const rows = sample.length / dims;
  const order = Float64Array.from({ length: rows }, (_, row) => row);
  const random = new Random(SEED);
  const chosen = new Float32Array(count * dims);
  for (let i = 0; i < count; i++) {
    const j = i + random.below(rows - i);
    const row = order[j];
    order[j] = order[i];
    chosen.set(sample.subarray(row * dims, (row + 1) * dims), i * dims);
  }
  return chosen;
}

/** What is known of every cluster: its rows, and the sum of their squared distances to its centroid. */
interface Clusters {
  sizes: Float64Array;
  errors: Float64Array;
}

/** Puts every centroid that has rows at their mean. */
function moveToMeans(
  sample: Float32Array,
  lists: Int32Array,
  centroids: Float32Array,
  dims: number,
): Clusters {
  const nlist = centroids.length / dims;
  const sizes = new Float64Array(nlist);
  const errors = new Float64Array(nlist);
  const sums = new Float64Array(centroids.length);
  for (let row = 0; row < lists.length; row++) {
    const list = lists[row];
    sizes[list] += 1;
    const from = row * dims;
    const to = list * dims;
    for (let i = 0; i < dims; i++) sums[to + i] += sample[from + i];
  }
  for (let list = 0; list < nlist; list++) {
    if (sizes[list] === 0) continue;
    for (let i = list * dims; i < (list + 1) * dims; i++) centroids[i] = sums[i] / sizes[list];
  }
  for (let row = 0; row < lists.length; row++) {
    errors[lists[row]] += squaredL2(sample, row * dims, centroids, lists[row] * dims, dims);
  }
  return { sizes, errors };
}

/** Every empty cluster takes half of the one with the largest error; the two centroids are moved a little apart. */
function splitIntoEmpty({ sizes, errors }: Clusters, centroids: Float32Array, dims: number): void {
  for (const [empty, size] of sizes.entries()) {
    if (size > 0) continue;
    let widest = 0;
    for (let list = 1; list < sizes.length; list++) if (errors[list] > errors[widest]) widest = list;
    // Relative to the spread of the cluster as well, for a centroid may be zero.
    const spread = Math.sqrt(errors[widest] / Math.max(1, sizes[widest]) / dims);
    for (let i = 0; i < dims; i++) {
      const value = centroids[widest * dims + i];
      const step = (i % 2 === 0 ? SPLIT : -SPLIT) * (Math.abs(value) + spread);
      centroids[empty * dims + i] = value + step;
      centroids[widest * dims + i] = value - step;
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
