/**
 * Building an IVF,Flat index larger than memory. Pass 1 finds the list of every row; then the place of every byte is
 * known, and pass 2 writes each row where it belongs, while the same rows are compared with the queries that recall is
 * measured by. Memory: the training sample and its codes, some batches of 8 MiB for each thread, the centroids, and the list
 * of each row (2 or 4 bytes); the sample's is used again for two windows of rows. Knows no pipeline.
 */
import type { WriteHandle } from '../files/port.js';
import type { Assignment } from './assign-jobs.js';
import type { Quantizer } from './assignment.js';
import { eachBatch, notFinite } from './batches.js';
import { listRanks, NEIGHBOURS, recallOf, smallestNprobe } from './calibrate.js';
import { type IvfLayout, ivfHead, ivfLayout } from './format.js';
import { type Trained, type TrainingFacts, type TrainRequest, train } from './ivf-train.js';
import { ListWriter, type ListWriterOptions } from './list-writer.js';
import type { Neighbour } from './nearest.js';
import { ParallelNearest } from './parallel-nearest.js';
import { imbalanceOf } from './training.js';

export interface IvfRequest extends TrainRequest {
  out: WriteHandle;
  recall: number;
  /** Undefined: the smallest that reaches the recall. */
  nprobe: number | undefined;
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
  /** Measured on the rows trained on; the goal is null when nprobe was told. */
  recall: { goal: number | null; measured: number; neighbours: number; queries: number };
  imbalance: number;
  trainedImbalance: number;
  training: TrainingFacts;
}

/** Builds the index into `out`, everything but the trailer. */
export async function buildIvf(request: IvfRequest): Promise<IvfResult> {
  const { embeddings, metric, nlist, out, trainedRows } = request;
  const { rows, dims } = embeddings;
  const trained = await train(request);
  const truth = new ParallelNearest({
    queries: trained.queries,
    dims,
    k: Math.min(NEIGHBOURS, rows),
    metric,
    except: trained.queryRows,
  });
  const lists = sharedLists(rows, nlist);
  const { quantizer } = trained;
  await assign({ ...request, quantizer, lists, from: 0 });
  const sizes = sizesOf(lists, nlist, 0, rows);
  const layout = ivfLayout(dims, metric, sizes);
  await place(request, layout, lists, { truth, memory: trained.freeMemory });
  const { nprobe, measured } = calibrate(request, trained, lists, await truth.results());
  // The header comes last: a file that was cut short by a crash is no index.
  await out.write(ivfHead(layout, nprobe, quantizer.centroids), 0);
  return {
    end: layout.end,
    reusedCentroids: trained.reused,
    facts: {
      nlist,
      nprobe,
      recall: {
        goal: request.nprobe === undefined ? request.recall : null,
        measured,
        neighbours: NEIGHBOURS,
        queries: trained.queryRows.length,
      },
      imbalance: imbalanceOf(sizes),
      trainedImbalance: imbalanceOf(sizesOf(lists, nlist, 0, trainedRows)),
      training: trained.facts,
    },
  };
}

/** Places for the list of every row that all threads can write to. */
export function sharedLists(rows: number, nlist: number): Uint16Array | Int32Array {
  return nlist <= 0x10000
    ? new Uint16Array(new SharedArrayBuffer(2 * rows))
    : new Int32Array(new SharedArrayBuffer(4 * rows));
}

export interface AssignRequest extends Pick<IvfRequest, 'embeddings' | 'workers' | 'onProgress' | 'signal'> {
  quantizer: Quantizer;
  /** One a row, from row 0. */
  lists: Uint16Array | Int32Array;
  /** The first row whose list is wanted. */
  from: number;
}

const ASSIGN = new URL('./assign-jobs.js', import.meta.url);

/** Finds the list of every row. */
export async function assign(request: AssignRequest): Promise<void> {
  const { embeddings, quantizer, lists, from, workers, signal } = request;
  const { rows, dims } = embeddings;
  let done = from;
  await eachBatch(embeddings, { from, signal, atOnce: 2 * workers.size }, async (batch) => {
    const { start, data } = batch;
    const end = start + batch.rows;
    const assignment: Assignment = { data, quantizer, lists: lists.subarray(start, end) };
    const bad = await workers.idlest().call<number>(ASSIGN, 'assignRows', assignment);
    if (bad >= 0) throw notFinite(start + Math.floor(bad / dims), embeddings);
    done += batch.rows;
    request.onProgress(done, rows, 'assign');
  });
  signal?.throwIfAborted();
}

/** How many of the rows `from` up to `to` each list holds. */
export function sizesOf(
  lists: Uint16Array | Int32Array,
  nlist: number,
  from: number,
  to: number,
): Float64Array {
  const sizes = new Float64Array(nlist);
  for (let row = from; row < to; row++) sizes[lists[row]] += 1;
  return sizes;
}

export interface PlaceOptions extends ListWriterOptions {
  /** Hears of the rows trained on. */
  truth?: ParallelNearest;
}

/** Writes every row from `firstRow` into its list. */
export async function place(
  request: Pick<IvfRequest, 'embeddings' | 'out' | 'trainedRows' | 'workers' | 'signal' | 'onProgress'>,
  layout: IvfLayout,
  lists: Uint16Array | Int32Array,
  { truth, ...options }: PlaceOptions = {},
): Promise<void> {
  const { embeddings, out, trainedRows, workers, signal, onProgress } = request;
  const { rows, dims } = embeddings;
  const from = options.firstRow ?? 0;
  if (from === rows) return;
  const writer = new ListWriter(out, layout, lists, workers, options);
  await eachBatch(embeddings, { from, signal, atOnce: 2 * workers.size }, async (batch) => {
    const { start, data } = batch;
    const written = writer.add(batch);
    const known = Math.min(start + batch.rows, trainedRows) - start;
    const compared =
      truth === undefined || known <= 0
        ? undefined
        : truth.add(workers.idlest(), { start, rows: known, data: data.subarray(0, known * dims) });
    // Both have to end, also where one fails: the batch is filled again afterwards.
    const ends = await Promise.allSettled([written, compared]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    onProgress(start + batch.rows, rows, 'write');
  });
  signal?.throwIfAborted();
  await writer.finish(signal);
}

function calibrate(
  { metric, embeddings, recall, nprobe, nlist }: IvfRequest,
  { quantizer, queries }: Trained,
  lists: Uint16Array | Int32Array,
  truth: Neighbour[][],
): { nprobe: number; measured: number } {
  const ranks = truth.map((neighbours, query) => {
    const where = neighbours.map(({ id }) => lists[id]);
    return listRanks(queries, query, quantizer.centroids, embeddings.dims, metric, where);
  });
  const chosen = nprobe ?? smallestNprobe(ranks, recall, nlist);
  return { nprobe: chosen, measured: recallOf(ranks, chosen).mean };
}
