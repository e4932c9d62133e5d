/** Products and distances of single vectors, in double precision. Pure; knows nothing else. */

/**
 * The inner product of d values of a and of b, from the given positions, summed in double precision. Four sums run
 * side by side, since one would wait for each addition.
 */
export function dot(a: Float32Array, fromA: number, b: Float32Array, fromB: number, d: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 3 < d; i += 4) {
    s0 += a[fromA + i] * b[fromB + i];
    s1 += a[fromA + i + 1] * b[fromB + i + 1];
    s2 += a[fromA + i + 2] * b[fromB + i + 2];
    s3 += a[fromA + i + 3] * b[fromB + i + 3];
  }
  for (; i < d; i++) s0 += a[fromA + i] * b[fromB + i];
  return s0 + s1 + (s2 + s3);
}

/** The squared Euclidean distance of the same, summed in the same way; exactly 0 for equal vectors. */
export function squaredL2(a: Float32Array, fromA: number, b: Float32Array, fromB: number, d: number): number {
  let s0 = 0;
  let s1 = 0;
  let s2 = 0;
  let s3 = 0;
  let i = 0;
  for (; i + 3 < d; i += 4) {
    const d0 = a[fromA + i] - b[fromB + i];
    const d1 = a[fromA + i + 1] - b[fromB + i + 1];
    const d2 = a[fromA + i + 2] - b[fromB + i + 2];
    const d3 = a[fromA + i + 3] - b[fromB + i + 3];
    s0 += d0 * d0;
    s1 += d1 * d1;
    s2 += d2 * d2;
    s3 += d3 * d3;
  }
  for (; i < d; i++) {
    const difference = a[fromA + i] - b[fromB + i];
    s0 += difference * difference;
  }
  return s0 + s1 + (s2 + s3);
}

/** `-|b_j|^2 / 2` for every row of b: the bias with which the largest score is the smallest L2 distance. */
export function halfNorms(b: Float32Array, d: number): Float32Array {
  return Float32Array.from({ length: b.length / d }, (_, j) => -dot(b, j * d, b, j * d, d) / 2);
}
