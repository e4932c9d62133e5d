/**
 * Building an IVF,Flat index larger than memory. Pass 1 finds the list of every row; then the place of every byte
 * is known, and pass 2 writes each row where it belongs, while the same rows answer the queries that recall is
 * measured with. Memory: the training sample, one window of rows, and the list of each row (2 or 4 bytes).
 * Knows no pipeline.
 */
import { createHash } from 'node:crypto';
import type { ArrayReader } from '../arrays/types.js';
import type { ReadPort, WriteHandle } from '../files/port.js';
import { checkFinite, collector, floatBatches, gatherRows } from './batches.js';
import { listRanks, NEIGHBOURS, QUERIES, recallOf, smallestNprobe } from './calibrate.js';
import { rowsOf } from './exact.js';
import { floatBytes, type IvfLayout, ivfHead, ivfLayout, type Metric } from './format.js';
import { readIndexHeader } from './header.js';
import { assignmentBias, ITERATIONS, kmeans, SEED } from './kmeans.js';
import { ListWriter } from './list-writer.js';
import { loadEngine, type MatrixEngine } from './matrix.js';
import { NearestRows, type Neighbour } from './nearest.js';
import { queryRows, trainingSample } from './sample.js';
import { readTrailer, type Trailer } from './trailer.js';
import { imbalanceOf, sampleRows } from './training.js';
import { readFloats } from './vectors.js';

export interface IvfRequest {
  port: ReadPort;
  embeddings: ArrayReader;
  out: WriteHandle;
  metric: Metric;
  recall: number;
  nlist: number;
  /** Undefined: the smallest that reaches the recall. */
  nprobe: number | undefined;
  trainedRows: number;
  /** An earlier index whose centroids serve again when they would come out the same. */
  prior: string | undefined;
  onProgress: (done: number, total: number, phase: string) => void;
  signal: AbortSignal | undefined;
}

export interface IvfResult {
  /** Bytes of the index; the trailer belongs behind them. */
  end: number;
  /** What the trailer says about training and recall. */
  facts: IvfFacts;
  reusedCentroids: boolean;
}

export interface IvfFacts {
  nlist: number;
  nprobe: number;
  recall: { goal: number; measured: number; neighbours: number; queries: number };
  imbalance: number;
  trainedImbalance: number;
  training: TrainingFacts;
}

/** Everything the centroids follow from, and their digest. */
interface TrainingFacts {
  rows: number;
  sampleRows: number;
  sample: string;
  iterations: number;
  seed: number;
  engine: string;
  centroids: string;
}

/** Builds the index into `out`, everything but the trailer. */
export async function buildIvf(request: IvfRequest): Promise<IvfResult> {
  const engine = await loadEngine();
  try {
    const trained = await train(request, engine);
    const assigned = await assign(request, trained.centroids, engine);
    const { embeddings, metric, out } = request;
    const layout = ivfLayout(embeddings.dims, metric, assigned.sizes);
    const truth = await place(request, layout, assigned, engine);
    const { nprobe, measured } = calibrate(request, trained.centroids, assigned, truth);
    // The header comes last: a file that was cut short by a crash is no index.
    await out.write(ivfHead(layout, nprobe, trained.centroids), 0);
    return {
      end: layout.end,
      reusedCentroids: trained.reused,
      facts: {
        nlist: layout.nlist,
        nprobe,
        recall: {
          goal: request.recall,
          measured,
          neighbours: NEIGHBOURS,
          queries: assigned.queryRows.length,
        },
        imbalance: imbalanceOf(assigned.sizes),
        trainedImbalance: imbalanceOf(assigned.trainedSizes),
        training: trained.facts,
      },
    };
  } finally {
    await engine.close();
  }
}

interface Trained {
  centroids: Float32Array;
  facts: TrainingFacts;
  reused: boolean;
}

async function train(request: IvfRequest, engine: MatrixEngine): Promise<Trained> {
  const { embeddings, trainedRows, nlist, metric, signal, onProgress } = request;
  const { dims } = embeddings;
  const rows = trainingSample(trainedRows, sampleRows(nlist, dims), SEED);
  onProgress(0, ITERATIONS, 'train');
  const sample = await gatherRows(embeddings, rows, signal);
  const wanted = {
    rows: trainedRows,
    sampleRows: rows.length,
    sample: sha256(sample),
    iterations: ITERATIONS,
    seed: SEED,
    engine: engine.name,
  };
  const before = await priorCentroids(request, wanted);
  if (before !== undefined) {
    return { centroids: before, facts: { ...wanted, centroids: sha256(before) }, reused: true };
  }
  const onIteration = (done: number): void => onProgress(done, ITERATIONS, 'train');
  const centroids = await kmeans(sample, dims, nlist, metric, { engine, onIteration, signal });
  return { centroids, facts: { ...wanted, centroids: sha256(centroids) }, reused: false };
}

function sha256(values: Float32Array): string {
  return createHash('sha256').update(floatBytes(values)).digest('hex');
}

/** The centroids of the earlier index, if training now would give the same and they are as they were written. */
async function priorCentroids(
  { port, prior, embeddings, metric, nlist }: IvfRequest,
  wanted: Omit<TrainingFacts, 'centroids'>,
): Promise<Float32Array | undefined> {
  if (prior === undefined) return undefined;
  const facts = (await readTrailer(port, prior))?.index as Trailer | undefined;
  const training = facts?.training as Trailer | undefined;
  if (training === undefined || facts?.metric !== metric || facts.dims !== embeddings.dims) return undefined;
  if (facts.nlist !== nlist) return undefined;
  if (Object.entries(wanted).some(([name, value]) => training[name] !== value)) return undefined;
  const header = await readIndexHeader(port, prior).catch(() => undefined);
  if (header?.kind !== 'ivf' || header.nlist !== nlist || header.dims !== embeddings.dims) return undefined;
  const handle = await port.open(prior);
  try {
    const centroids = await readFloats(handle, header.centroids, nlist * header.dims);
    return sha256(centroids) === training.centroids ? centroids : undefined;
  } finally {
    await handle.close();
  }
}

interface Assigned {
  /** The list of every row. */
  lists: Uint16Array | Int32Array;
  /** Rows of every list, of all rows and of those trained on. */
  sizes: Float64Array;
  trainedSizes: Float64Array;
  /** The rows that recall is measured with, and their vectors. */
  queryRows: Float64Array;
  queries: Float32Array;
}

async function assign(request: IvfRequest, centroids: Float32Array, engine: MatrixEngine): Promise<Assigned> {
  const { embeddings, metric, nlist, trainedRows, signal, onProgress } = request;
  const { rows, dims } = embeddings;
  const bias = assignmentBias(centroids, dims, metric);
  const lists = nlist <= 0x10000 ? new Uint16Array(rows) : new Int32Array(rows);
  const sizes = new Float64Array(nlist);
  const trainedSizes = new Float64Array(nlist);
  const wanted = queryRows(rows, trainedRows, QUERIES);
  const queries = new Float32Array(wanted.length * dims);
  const collectQueries = collector(wanted, dims, queries);
  const nearest = new Int32Array(Math.min(rows, 16384));
  for await (const batch of floatBatches(embeddings, { signal })) {
    checkFinite(batch, embeddings);
    collectQueries(batch);
    await engine.nearest(batch.data, centroids, bias, dims, nearest);
    for (let i = 0; i < batch.rows; i++) {
      const list = nearest[i];
      lists[batch.start + i] = list;
      sizes[list] += 1;
      if (batch.start + i < trainedRows) trainedSizes[list] += 1;
    }
    onProgress(batch.start + batch.rows, rows, 'assign');
  }
  return { lists, sizes, trainedSizes, queryRows: wanted, queries };
}

/** Writes every row into its list; the true neighbours of the queries, themselves left out. */
async function place(
  request: IvfRequest,
  layout: IvfLayout,
  assigned: Assigned,
  engine: MatrixEngine,
): Promise<Neighbour[][]> {
  const { embeddings, metric, out, signal, onProgress } = request;
  const { rows, dims } = embeddings;
  const k = Math.min(NEIGHBOURS, rows);
  const notItself = (id: number, query: number): boolean => id !== assigned.queryRows[query];
  const truth = new NearestRows(assigned.queries, dims, k, metric, engine, notItself);
  const writer = new ListWriter(out, layout, assigned.lists);
  for await (const batch of floatBatches(embeddings, { signal })) {
    await truth.add(rowsOf(batch));
    await writer.add(batch);
    onProgress(batch.start + batch.rows, rows, 'write');
  }
  return truth.results();
}

function calibrate(
  { metric, embeddings, recall, nprobe, nlist }: IvfRequest,
  centroids: Float32Array,
  { queries, lists }: Assigned,
  truth: Neighbour[][],
): { nprobe: number; measured: number } {
  const ranks = truth.map((neighbours, query) => {
    const where = neighbours.map(({ id }) => lists[id]);
    return listRanks(queries, query, centroids, embeddings.dims, metric, where);
  });
  const chosen = nprobe ?? smallestNprobe(ranks, recall, nlist);
  return { nprobe: chosen, measured: recallOf(ranks, chosen).mean };
}
