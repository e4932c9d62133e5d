/**
 * Matrix products, through onnxruntime-node where it can be loaded and in plain JavaScript elsewhere.
 * Knows no index and no file.
 */
import { availableParallelism } from 'node:os';
import type { InferenceSession, Tensor } from 'onnxruntime-node';
import type { Metric } from './format.js';
import { type Model, productModel, scoreModel } from './onnx-model.js';
import {
  type CodedCentroids,
  codesOf,
  type FloatCentroids,
  type Grid,
  type Scorer,
  ZERO_CODE,
} from './quantize.js';
import { dot } from './vector-math.js';

/** Who multiplies. Arrays are row-major. */
export interface MatrixEngine {
  readonly name: string;
  /**
   * Scores of rows b (m x d) for queries a (n x d): `a_i . b_j - |b_j|^2 / 2`, or `a_i . b_j` for the inner product, in
   * float32. Neither may be shared memory.
   */
  products(a: Float32Array, b: Float32Array, d: number, metric: Metric, into: Products): Promise<void>;
  /**
   * The centroids of the largest scores of every row (float32, or coded on the grid), largest first, the smaller number
   * first of equal ones. By codes every engine gives the same; by floats, up to rounding.
   */
  candidates(rows: Float32Array | Uint8Array, grid: Grid, scorer: Scorer, into: Candidates): Promise<void>;
  close(): Promise<void>;
}

/** What `products` fills; there may be more places than scores. */
export interface Products {
  /** n * m */
  scores: Float32Array;
  /** n: the largest score of each query. */
  most: Float32Array;
  /** m: `|b_j|^2 / 2`, whatever the metric. */
  halves: Float32Array;
}

/** For every row `each` centroids and their scores; both arrays have rows * each places. */
export interface Candidates {
  /** At most the number of centroids. */
  each: number;
  lists: Int32Array;
  scores: Float32Array;
}

export function candidatesFor(rows: number, each: number): Candidates {
  return { each, lists: new Int32Array(rows * each), scores: new Float32Array(rows * each) };
}

type Runtime = Pick<typeof import('onnxruntime-node'), 'InferenceSession' | 'Tensor'>;

/** Scores held at once inside `candidates`: what stays in the cache of a core. */
const SCORES = 512 * 1024;

/**
 * The engine of this machine. onnxruntime-node is loaded on the first call; where it is not installed or does not
 * run here, the answer is the plain engine: as correct, some fifty times slower.
 * @param threads for one product; the cores of this machine unless told
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

function runtimeEngine(runtime: Runtime, threads: number): MatrixEngine {
  // Products of a few sizes, one after the other: an arena keeps their memory, where malloc scatters it over hundreds of MiB.
  const options: InferenceSession.SessionOptions = {
    intraOpNumThreads: threads,
    interOpNumThreads: 1,
    enableCpuMemArena: true,
    enableMemPattern: false,
    logSeverityLevel: 3,
  };
  const sessions = new Map<string, Promise<InferenceSession>>();
  const session = ({ name, bytes }: Model): Promise<InferenceSession> => {
    const made = sessions.get(name) ?? runtime.InferenceSession.create(bytes(), options);
    sessions.set(name, made);
    return made;
  };
  const { Tensor } = runtime;
  const scalar = (value: number): Tensor => new Tensor('float32', Float32Array.of(value), []);
  const scorerFeeds = (scorer: Scorer): Record<string, Tensor> => {
    const { dims, nlist } = scorer;
    // Copies, since the runtime takes no shared memory.
    const bias = new Tensor('float32', scorer.bias.slice(), [nlist]);
    if (scorer.kind === 'floats') {
      return { bias, centroids: new Tensor('float32', scorer.values.slice(), [nlist, dims]) };
    }
    const centroids = new Tensor('int8', scorer.codes.slice(), [dims, nlist]);
    return { bias, centroids, centroidStep: scalar(scorer.step) };
  };
  return {
    name: 'onnxruntime',
    async products(a, b, d, metric, into) {
      const [n, m] = [a.length / d, b.length / d];
      if (n === 0 || m === 0) return;
      const feeds = {
        a: new Tensor('float32', a, [n, d]),
        b: new Tensor('float32', b, [m, d]),
        half: scalar(0.5),
      };
      await (await session(productModel(metric))).run(feeds, {
        scores: new Tensor('float32', into.scores.subarray(0, n * m), [n, m]),
        most: new Tensor('float32', into.most.subarray(0, n), [n]),
        halves: new Tensor('float32', into.halves.subarray(0, m), [m]),
      });
    },
    async candidates(rows, grid, scorer, { each, lists, scores }) {
      const { dims, nlist, kind } = scorer;
      const coded = rows instanceof Uint8Array;
      const running = await session(scoreModel(coded ? 'codes' : 'rows', kind));
      const feeds: Record<string, Tensor> = {
        ...scorerFeeds(scorer),
        each: new Tensor('int64', BigInt64Array.of(BigInt(each)), [1]),
        centre: new Tensor('float32', grid.centre, [dims]),
        step: scalar(grid.step),
        zero: new Tensor('uint8', Uint8Array.of(ZERO_CODE), []),
      };
      for (const name of Object.keys(feeds)) if (!running.inputNames.includes(name)) delete feeds[name];
      const count = rows.length / dims;
      const step = Math.min(count, Math.max(16, Math.floor(SCORES / Math.max(nlist, dims))));
      // Copied, since the runtime takes no shared memory.
      const piece = coded ? new Uint8Array(step * dims) : new Float32Array(step * dims);
      for (let from = 0; from < count; from += step) {
        const to = Math.min(count, from + step);
        piece.set(rows.subarray(from * dims, to * dims));
        const part = piece.subarray(0, (to - from) * dims);
        const input = new Tensor(coded ? 'uint8' : 'float32', part, [to - from, dims]);
        const found = await running.run({ ...feeds, rows: input });
        scores.set(found.scores.data as Float32Array, from * each);
        const ids = found.lists.data as BigInt64Array;
        const words = new Int32Array(ids.buffer, ids.byteOffset, 2 * ids.length);
        for (let i = 0; i < ids.length; i++) lists[from * each + i] = words[2 * i];
      }
    },
    async close() {
      for (const one of sessions.values()) await (await one).release();
    },
  };
}

/** The engine that needs no package, one product after the other; those of floats in double precision. */
export const plainEngine: MatrixEngine = {
  name: 'javascript',
  async products(a, b, d, metric, { scores, most, halves }) {
    const [n, m] = [a.length / d, b.length / d];
    for (let j = 0; j < m; j++) halves[j] = dot(b, j * d, b, j * d, d) / 2;
    for (let i = 0; i < n; i++) {
      most[i] = -Infinity;
      for (let j = 0; j < m; j++) {
        const score = dot(a, i * d, b, j * d, d) - (metric === 'l2' ? halves[j] : 0);
        scores[i * m + j] = score;
        if (score > most[i]) most[i] = score;
      }
    }
  },
  async candidates(rows, grid, scorer, { each, lists, scores }) {
    const { nlist, dims } = scorer;
    const all = new Float32Array(nlist);
    const score = scorer.kind === 'codes' ? codeScores(rows, grid, scorer) : floatScores(rows, grid, scorer);
    for (let row = 0; row < rows.length / dims; row++) {
      score(row, all);
      for (let place = 0; place < each; place++) {
        let best = -1;
        for (let list = 0; list < nlist; list++) if (best < 0 || all[list] > all[best]) best = list;
        lists[row * each + place] = best;
        scores[row * each + place] = all[best];
        all[best] = -Infinity;
      }
    }
  },
  async close() {},
};

function codeScores(rows: Float32Array | Uint8Array, grid: Grid, scorer: CodedCentroids) {
  const { nlist, dims, codes: centroids, step, bias } = scorer;
  const codes = rows instanceof Uint8Array ? rows : new Uint8Array(rows.length);
  if (!(rows instanceof Uint8Array)) codesOf(rows, grid, codes);
  const scale = grid.step * step;
  const sums = new Int32Array(nlist);
  return (row: number, into: Float32Array): void => {
    sums.fill(0);
    for (let j = 0; j < dims; j++) {
      const value = codes[row * dims + j] - ZERO_CODE;
      const from = j * nlist;
      for (let list = 0; list < nlist; list++) sums[list] += value * centroids[from + list];
    }
    // Rounded where a processor rounds: the whole number, and once after scale and bias.
    for (let list = 0; list < nlist; list++) into[list] = Math.fround(sums[list]) * scale + bias[list];
  };
}

function floatScores(rows: Float32Array | Uint8Array, { centre, step }: Grid, scorer: FloatCentroids) {
  const { nlist, dims, values, bias } = scorer;
  const centred = new Float32Array(dims);
  const [scale, origin] =
    rows instanceof Uint8Array ? [step, new Float32Array(dims).fill(ZERO_CODE)] : [1, centre];
  return (row: number, into: Float32Array): void => {
    for (let j = 0; j < dims; j++) centred[j] = (rows[row * dims + j] - origin[j]) * scale;
    for (let list = 0; list < nlist; list++)
      into[list] = dot(centred, 0, values, list * dims, dims) + bias[list];
  };
}
