/**
 * The centroids of an IVF index: from a sample of its first rows, or taken over from an earlier index when training would
 * only repeat what made them. Knows no list.
 */
import { createHash } from 'node:crypto';
import type { ArrayReader } from '../arrays/types.js';
import type { ReadPort } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import type { Trial } from './assign-jobs.js';
import { type Quantizer, quantizerOf, type Scoring } from './assignment.js';
import { gatherRows } from './batches.js';
import { queryCount } from './calibrate.js';
import { floatBytes, type Metric } from './format.js';
import { readIndexHeader } from './header.js';
import { EARLY_ONE_IN, firstCentroids, ITERATIONS, kmeans, SEED } from './kmeans.js';
import { codesOf, fitGrid, type Grid } from './quantize.js';
import { queryRows, trainingSample } from './sample.js';
import { readTrailer, type Trailer } from './trailer.js';
import { readFloats } from './vectors.js';

/** Rows of the sample that codes are tried on. */
const ROWS_TRIED = 512;

const ASSIGN = new URL('./assign-jobs.js', import.meta.url);

export interface TrainRequest {
  port: ReadPort;
  embeddings: ArrayReader;
  metric: Metric;
  nlist: number;
  /** The centroids are a function of the first so many rows. */
  trainedRows: number;
  /** Of the training sample. */
  sampleRows: number;
  /** An earlier index whose centroids serve again when they would come out the same. */
  prior: string | undefined;
  workers: Workers;
  onProgress: (done: number, total: number, phase: string) => void;
  signal: AbortSignal | undefined;
}

/** Raise when the same rows would get other centroids or other lists. */
export const ALGORITHM = 2;

/** Everything the centroids follow from, and their digest: what the trailer of an index says of its training. */
export interface TrainingFacts {
  algorithm: number;
  rows: number;
  sampleRows: number;
  /** Digest of the sample. */
  sample: string;
  iterations: number;
  seed: number;
  /** The grid of codes: base64 of the centre's float32, and the step. */
  centre: string;
  step: number;
  /** What rows are compared with centroids by: see assignment.ts. */
  scoring: Scoring;
  centroids: string;
}

/** Centroids, and what recall is measured with. */
export interface Trained {
  quantizer: Quantizer;
  facts: TrainingFacts;
  reused: boolean;
  /** Rows that recall is measured with, none of them trained on where that is possible, and their vectors. */
  queryRows: Float64Array;
  queries: Float32Array;
  /** Of the sample, which is no longer needed. */
  freeMemory: Float32Array;
}

export async function train(request: TrainRequest): Promise<Trained> {
  const { embeddings, trainedRows, nlist, metric, workers, signal, onProgress } = request;
  const { dims } = embeddings;
  const rows = trainingSample(trainedRows, request.sampleRows, SEED);
  const asked = queryRows(trainedRows, trainedRows, queryCount(trainedRows));
  onProgress(0, ITERATIONS, 'train');
  // Shared, since it becomes windows for threads to fill.
  const sample = new Float32Array(new SharedArrayBuffer(4 * rows.length * dims));
  const queries = new Float32Array(asked.length * dims);
  await gatherRows(
    embeddings,
    [
      { rows, into: sample },
      { rows: asked, into: queries },
    ],
    signal,
  );
  const grid = fitGrid(sample, dims);
  const codes = sharedCodes(sample, grid);
  const made = {
    algorithm: ALGORITHM,
    rows: trainedRows,
    sampleRows: rows.length,
    // Of the values: where floats are trained on, different ones may have the same codes.
    sample: digestOf(sample),
    iterations: ITERATIONS,
    seed: SEED,
    centre: floatBytes(grid.centre).toString('base64'),
    step: grid.step,
  };
  const tried = spread(sample, dims, ROWS_TRIED);
  const scoringOf = (centroids: Float32Array): Promise<Scoring> => {
    const trial: Trial = { place: { centroids, grid, metric }, rows: tried };
    return workers.idlest().call<Scoring>(ASSIGN, 'tryScoring', trial);
  };
  const learn = async (): Promise<Float32Array> => {
    const onIteration = (done: number): void => onProgress(done, ITERATIONS, 'train');
    const first = firstCentroids(sample, dims, nlist, metric);
    // Codes that cannot tell centroids apart cannot teach them either.
    const rows = (await scoringOf(first)).by === 'codes' ? codes : sample;
    return kmeans({ rows, grid, first, metric, workers, onIteration, signal });
  };
  const before = await priorCentroids(request, made);
  const centroids = before ?? (await learn());
  const scoring = await scoringOf(centroids);
  return {
    quantizer: quantizerOf({ centroids, grid, metric }, scoring),
    facts: { ...made, scoring, centroids: digestOf(centroids) },
    reused: before !== undefined,
    queryRows: asked,
    queries,
    freeMemory: sample,
  };
}

/** The codes of the sample: every fourth row first, then the ones behind those, and so on, as `kmeans` wants them. */
function sharedCodes(sample: Float32Array, grid: Grid): Uint8Array {
  const dims = grid.centre.length;
  const codes = new Uint8Array(new SharedArrayBuffer(sample.length));
  let done = 0;
  for (let lane = 0; lane < EARLY_ONE_IN; lane++) {
    for (let at = lane * dims; at < sample.length; at += EARLY_ONE_IN * dims) {
      codesOf(sample.subarray(at, at + dims), grid, codes.subarray(done, done + dims));
      done += dims;
    }
  }
  return codes;
}

/** Some rows of a sample, evenly spread over it. */
function spread(sample: Float32Array, dims: number, wanted: number): Float32Array {
  const rows = sample.length / dims;
  const count = Math.min(rows, wanted);
  const chosen = new Float32Array(count * dims);
  for (let i = 0; i < count; i++) {
    const row = Math.floor((i * rows) / count);
    chosen.set(sample.subarray(row * dims, (row + 1) * dims), i * dims);
  }
  return chosen;
}

function digestOf(values: Float32Array): string {
  return createHash('sha256').update(floatBytes(values)).digest('hex');
}

/** The grid that training facts tell of; undefined when they do not. */
export function gridOf({ centre, step }: Partial<TrainingFacts>, dims: number): Grid | undefined {
  if (typeof centre !== 'string' || typeof step !== 'number' || !(step > 0)) return undefined;
  const bytes = Buffer.from(centre, 'base64');
  if (bytes.length !== 4 * dims) return undefined;
  return { centre: new Float32Array(new Uint8Array(bytes).buffer), step };
}

/** The centroids of the earlier index, if training now would give the same and they are as they were written. */
async function priorCentroids(
  { port, prior, embeddings, metric, nlist }: TrainRequest,
  wanted: Omit<TrainingFacts, 'scoring' | 'centroids'>,
): Promise<Float32Array | undefined> {
  if (prior === undefined) return undefined;
  const facts = (await readTrailer(port, prior))?.index as Trailer | undefined;
  const training = facts?.training as Trailer | undefined;
  if (training === undefined || facts?.metric !== metric || facts.dims !== embeddings.dims) return undefined;
  if (facts.nlist !== nlist) return undefined;
  if (Object.entries(wanted).some(([name, value]) => training[name] !== value)) return undefined;
  return readCentroids(port, prior, training as unknown as TrainingFacts);
}

/** The centroids that stand in the index at `path`, when they have the digest that its training facts say. */
export async function readCentroids(
  port: ReadPort,
  path: string,
  facts: Partial<TrainingFacts>,
): Promise<Float32Array | undefined> {
  const header = await readIndexHeader(port, path).catch(() => undefined);
  if (header?.kind !== 'ivf') return undefined;
  const handle = await port.open(path);
  try {
    const centroids = await readFloats(handle, header.centroids, header.nlist * header.dims);
    return digestOf(centroids) === facts.centroids ? centroids : undefined;
  } finally {
    await handle.close();
  }
}
