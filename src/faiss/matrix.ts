/**
 * Matrix products, through onnxruntime-node where it can be loaded and in plain JavaScript elsewhere.
 * Knows no index and no file.
 */
import { existsSync, readdirSync } from 'node:fs';
import { createRequire } from 'node:module';
import { availableParallelism } from 'node:os';
import { dirname, join } from 'node:path';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import { nearestModel, productModel } from './onnx-model.js';

/** Who multiplies. Both operations take row-major float32: a (n x d), b (m x d), bias (m). */
export interface MatrixEngine {
  /** The program and version behind the numbers; rounding depends on it, so it belongs into keys. */
  readonly name: string;
  /** `into[i * m + j] = a_i . b_j + bias_j`; `into` has n * m places. */
  products(
    a: Float32Array,
    b: Float32Array,
    bias: Float32Array,
    d: number,
    into: Float32Array,
  ): Promise<void>;
  /** `into[i] = argmax_j (a_i . b_j + bias_j)`, the smallest such j; `into` has n places. */
  nearest(a: Float32Array, b: Float32Array, bias: Float32Array, d: number, into: Int32Array): Promise<void>;
  close(): Promise<void>;
}

const require = createRequire(import.meta.url);

/**
 * The name of the engine that `loadEngine` finds, for keys; cheap, for nothing is loaded. A package that stands
 * there whole but fails to load is the one case in which it is mistaken.
 */
export function engineName(): string {
  const root = runtimeDirectory();
  return root === undefined ? plainEngine.name : `onnxruntime-node ${runtimeVersion(root)}`;
}

/** Where onnxruntime-node is installed with a library for this machine. */
function runtimeDirectory(): string | undefined {
  try {
    const root = dirname(require.resolve('onnxruntime-node/package.json'));
    const library = join(process.platform, process.arch, 'onnxruntime_binding.node');
    const found = readdirSync(join(root, 'bin')).some((api) => existsSync(join(root, 'bin', api, library)));
    return found ? root : undefined;
  } catch {
    return undefined;
  }
}

function runtimeVersion(root: string): string {
  return (require(join(root, 'package.json')) as { version: string }).version;
}

type Runtime = Pick<typeof import('onnxruntime-node'), 'InferenceSession' | 'Tensor'>;

/** Scores held at once inside `nearest`: 4 Mi floats, 16 MiB, whatever the number of rows. */
const SCORES = 4 * 1024 * 1024;

/**
 * The engine of this machine. onnxruntime-node is loaded on the first call; where it is not installed or does not
 * run here, the answer is the plain engine: as correct, some fifty times slower.
 * @param threads for the products; the cores of this machine unless told
 */
export async function loadEngine(threads = availableParallelism()): Promise<MatrixEngine> {
  let runtime: Runtime;
  try {
    runtime = await import('onnxruntime-node');
  } catch {
    return plainEngine;
  }
  return runtimeEngine(runtime, threads);
}

async function runtimeEngine(runtime: Runtime, threads: number): Promise<MatrixEngine> {
  // Without the arena and the memory pattern, memory is given back after every product and stays flat.
  const options: InferenceSession.SessionOptions = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: false,
    enableMemPattern: false,
    logSeverityLevel: 3,
  };
  const product = await runtime.InferenceSession.create(productModel(), options);
  const nearest = await runtime.InferenceSession.create(nearestModel(), options);
  const matrix = (data: Float32Array, d: number): Tensor =>
    new runtime.Tensor('float32', data, [data.length / d, d]);
  return {
    name: engineName(),
    async products(a, b, bias, d, into) {
      const [n, m] = [a.length / d, b.length / d];
      if (n === 0 || m === 0) return;
      const out = new runtime.Tensor('float32', into.subarray(0, n * m), [n, m]);
      const feeds = { a: matrix(a, d), b: matrix(b, d), bias: new runtime.Tensor('float32', bias, [m]) };
      await product.run(feeds, { out });
    },
    async nearest(a, b, bias, d, into) {
      const [n, m] = [a.length / d, b.length / d];
      const step = rowsPerProduct(m);
      const feeds = { b: matrix(b, d), bias: new runtime.Tensor('float32', bias, [m]) };
      for (let from = 0; from < n; from += step) {
        const to = Math.min(n, from + step);
        const out = new runtime.Tensor('int32', into.subarray(from, to), [to - from]);
        await nearest.run({ ...feeds, a: matrix(a.subarray(from * d, to * d), d) }, { out });
      }
    },
    async close() {
      await product.release();
      await nearest.release();
    },
  };
}

/** Rows whose scores against m others are held at once. */
function rowsPerProduct(m: number): number {
  return Math.max(64, Math.floor(SCORES / m));
}

/** The engine that needs no package: sums in double precision, one product after the other. */
export const plainEngine: MatrixEngine = {
  name: 'javascript',
  async products(a, b, bias, d, into) {
    const [n, m] = [a.length / d, b.length / d];
    for (let i = 0; i < n; i++) {
      for (let j = 0; j < m; j++) into[i * m + j] = dot(a, i * d, b, j * d, d) + bias[j];
    }
  },
  async nearest(a, b, bias, d, into) {
    const [n, m] = [a.length / d, b.length / d];
    for (let i = 0; i < n; i++) {
      let best = -Infinity;
      let where = 0;
      for (let j = 0; j < m; j++) {
        const score = dot(a, i * d, b, j * d, d) + bias[j];
        if (score > best) {
          best = score;
          where = j;
        }
      }
      into[i] = where;
    }
  },
  async close() {},
};

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
