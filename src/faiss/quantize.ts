/**
 * Vectors and centroids as small whole numbers, for finding the nearest centroids of very many rows: their products are
 * exact whatever the processor and the order, and several times faster than those of floats. Pure; knows no index and no
 * file.
 *
 * A value x of dimension j becomes `code = round((x - centre[j]) / step)`, halves to even, kept within -128 to 127 and
 * stored with 128 added. Centroids are kept within -63 to 63, since some processors add two products of bytes in 16
 * bits. Steps are powers of two: multiplying by one rounds nothing.
 */
import type { Metric } from './format.js';
import { dot, halfNorms } from './vector-math.js';

/** Where the codes of rows lie. */
export interface Grid {
  /** One float32 a dimension. */
  centre: Float32Array;
  step: number;
}

/** Centroids ready for products with codes: the nearest to a row is the one of the largest `code . code * scale + bias`. */
export interface CodedCentroids {
  kind: 'codes';
  nlist: number;
  dims: number;
  /** dims * nlist, one row a dimension. */
  codes: Int8Array;
  step: number;
  bias: Float32Array;
}

/** Centroids ready for products with float rows about the centre: `(x - centre) . value + bias`. */
export interface FloatCentroids {
  kind: 'floats';
  nlist: number;
  dims: number;
  /** nlist * dims */
  values: Float32Array;
  bias: Float32Array;
}

/** What scores of rows are computed with: codes, or floats where codes are too coarse for the data. */
export type Scorer = CodedCentroids | FloatCentroids;

export function scorerOf(kind: Scorer['kind'], centroids: Float32Array, grid: Grid, metric: Metric): Scorer {
  return kind === 'codes' ? codeCentroids(centroids, grid, metric) : centreCentroids(centroids, grid, metric);
}

export const ZERO_CODE = 128;
const ROW_LIMITS = { low: -128, high: 127 };
const CENTROID_LIMITS = { low: -63, high: 63 };

/** Within these, products of two steps stay normal float32. */
const EXPONENTS = { low: -60, high: 48 };
/** Steps that are tried below the one that holds the largest value. */
const STEPS_TRIED = 12;
/** Values that a step is chosen by. */
const VALUES_LOOKED_AT = 1 << 20;
/** Adding and subtracting it rounds a small number to a whole one, halves to even. */
const ROUNDER = 1.5 * 2 ** 52;

/** The grid that suits a sample of rows (n * dims values): about their mean, with the step of the smallest error. */
export function fitGrid(sample: Float32Array, dims: number): Grid {
  const sums = new Float64Array(dims);
  for (let i = 0; i < sample.length; ) for (let j = 0; j < dims; j++, i++) sums[j] += sample[i];
  const rows = Math.max(1, sample.length / dims);
  const centre = Float32Array.from(sums, (sum) => sum / rows);
  return { centre, step: bestStep(sample, centre, ROW_LIMITS) };
}

/** The codes of rows (n * dims values), as the engines compute them. */
export function codesOf(rows: Float32Array, { centre, step }: Grid, into: Uint8Array): void {
  const dims = centre.length;
  const inverse = 1 / step;
  for (let i = 0; i < rows.length; ) {
    for (let j = 0; j < dims; j++, i++) {
      into[i] = code(Math.fround(rows[i] - centre[j]) * inverse, ROW_LIMITS) + ZERO_CODE;
    }
  }
}

function code(scaled: number, { low, high }: typeof ROW_LIMITS): number {
  const kept = scaled < low ? low : scaled > high ? high : scaled;
  return kept + ROUNDER - ROUNDER;
}

/**
 * For L2, `|x - c|^2 = |x|^2 - 2 (x . c - |c|^2 / 2)` about the centre; for the inner product `x . c` is that of the
 * centred x, and the centre's own.
 */
function codeCentroids(centroids: Float32Array, grid: Grid, metric: Metric): CodedCentroids {
  const dims = grid.centre.length;
  const nlist = centroids.length / dims;
  const origin = metric === 'l2' ? grid.centre : new Float32Array(dims);
  const step = bestStep(centroids, origin, CENTROID_LIMITS);
  const codes = new Int8Array(centroids.length);
  const bias = new Float32Array(nlist);
  for (let list = 0; list < nlist; list++) {
    let squares = 0;
    let inner = 0;
    for (let j = 0; j < dims; j++) {
      const value = centroids[list * dims + j];
      const coded = code((value - origin[j]) / step, CENTROID_LIMITS);
      codes[j * nlist + list] = coded;
      squares += coded * coded;
      inner += value * grid.centre[j];
    }
    bias[list] = metric === 'l2' ? (-squares * step * step) / 2 : inner;
  }
  return { kind: 'codes', nlist, dims, codes, step, bias };
}

function centreCentroids(centroids: Float32Array, { centre }: Grid, metric: Metric): FloatCentroids {
  const dims = centre.length;
  const nlist = centroids.length / dims;
  const values = metric === 'l2' ? centroids.map((value, i) => value - centre[i % dims]) : centroids;
  const bias =
    metric === 'l2'
      ? halfNorms(values, dims)
      : Float32Array.from({ length: nlist }, (_, list) => dot(values, list * dims, centre, 0, dims));
  return { kind: 'floats', nlist, dims, values, bias };
}

/** The power of two with which codes within the limits err least; of errors, not of squares, lest one value far out decide. */
function bestStep(values: Float32Array, origin: Float32Array, limits: typeof ROW_LIMITS): number {
  const dims = origin.length;
  const rows = values.length / dims;
  const every = Math.max(1, Math.ceil(values.length / VALUES_LOOKED_AT));
  let largest = 0;
  for (let row = 0; row < rows; row += every) {
    for (let j = 0; j < dims; j++) {
      largest = Math.max(largest, Math.abs(values[row * dims + j] - origin[j]));
    }
  }
  if (largest === 0) return 1;
  const widest = Math.ceil(Math.log2(largest / limits.high));
  let best = { step: 1, error: Infinity };
  for (let exponent = widest; exponent > widest - STEPS_TRIED; exponent--) {
    const step = 2 ** Math.min(EXPONENTS.high, Math.max(EXPONENTS.low, exponent));
    let error = 0;
    for (let row = 0; row < rows; row += every) {
      for (let j = 0; j < dims; j++) {
        const value = values[row * dims + j] - origin[j];
        error += Math.abs(value - code(value / step, limits) * step);
      }
    }
    // A smaller step cuts off more of the large values, and soon that is all it does.
    if (error >= best.error) break;
    best = { step, error };
  }
  return best.step;
}
