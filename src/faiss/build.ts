/**
 * Building the index of an array of embeddings: Flat up to 10,000 rows, IVF,Flat above. The same embeddings,
 * trained rows and parameters give the same bytes. Knows no pipeline and no reference: what the index belongs to
 * comes in as facts for its trailer.
 */
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import type { Port, WriteHandle } from '../files/port.js';
import { Workers } from '../workers/pool.js';
import { checkFinite, floatBatches } from './batches.js';
import { FLAT_DATA, flatHead, floatBytes, type Metric } from './format.js';
import { appendIvf } from './ivf-append.js';
import { buildIvf, type IvfFacts, type IvfRequest } from './ivf-build.js';
import { writeNewFile } from './new-file.js';
import { eligibleRows } from './sample.js';
import { encodeTrailer, type Trailer } from './trailer.js';
import { FLAT_ROWS, pickLists, ROWS_PER_LIST, sampleRows, type Training } from './training.js';

export interface BuildRequest {
  port: Port;
  embeddings: ArrayReader;
  /** A name that is not taken. */
  out: string;
  metric: Metric;
  /** The fraction of the 10 true neighbours that a search should find (0.95). */
  recall?: number;
  /** Lists; chosen from the rows trained on unless told. Telling it makes even a small index IVF. */
  nlist?: number;
  /** Lists a search looks into; measured unless told. */
  nprobe?: number;
  /** The centroids are made from the first so many rows (all). See `pickTrainedRows`. */
  trainedRows?: number;
  /** Rows of the training sample for each list (39), as far as there are any. */
  trainingRowsPerList?: number;
  /** An earlier index: when training would repeat what made its centroids, they are taken over. */
  prior?: string;
  /** The earlier index is whole, and of the first rows of these embeddings: its lists may be taken over as well. */
  priorHoldsFirstRows?: boolean;
  /** Threads; some of its own unless told. */
  workers?: Workers;
  /** Facts for the trailer, such as the digest of the embeddings; `index` is firn's own. */
  trailer?: Trailer;
  onProgress?: (done: number, total: number, phase: string) => void;
  /** What can be done with the file while it is synced, such as taking its digest. */
  whileSyncing?: () => Promise<unknown>;
  signal?: AbortSignal;
}

/** What the trailer says under `index`, and how it came about. */
export interface BuildReport {
  kind: 'flat' | 'ivf';
  rows: number;
  dims: number;
  metric: Metric;
  /** Bytes of the file. */
  bytes: number;
  reusedCentroids: boolean;
  /** Of an IVF index. */
  ivf: IvfFacts | undefined;
}

/**
 * Writes a FAISS index of every row, ids being row indices, and syncs it; on any failure nothing is left at `out`.
 * @throws FirnError `usage` for parameters that do not fit, `input` for values that are not finite, `failed` when
 *   the disk is full
 */
export async function buildIndex(request: BuildRequest): Promise<BuildReport> {
  const { port, embeddings, out, metric, trailer = {} } = request;
  const nlist = listsFor(request);
  const bytesNeeded = embeddings.rows * (4 * embeddings.dims + 8) + 4 * (nlist ?? 0) * embeddings.dims;
  const write = async (handle: WriteHandle): Promise<BuildReport> => {
    const built =
      nlist === undefined ? await buildFlat(request, handle) : await buildLists(request, handle, nlist);
    const { rows, dims } = embeddings;
    const kind = nlist === undefined ? 'flat' : 'ivf';
    const tail = encodeTrailer({ ...trailer, index: { kind, rows, dims, metric, ...built.facts } });
    await handle.write(tail, built.end);
    const { reusedCentroids, facts: ivf } = built;
    return { kind, rows, dims, metric, bytes: built.end + tail.length, reusedCentroids, ivf };
  };
  return writeNewFile(port, out, bytesNeeded, write, request.whileSyncing);
}

interface Built {
  end: number;
  reusedCentroids: boolean;
  facts: IvfFacts | undefined;
}

/** The number of lists, or undefined for a Flat index; refuses parameters that do not fit the rows. */
function listsFor({ embeddings, recall = 0.95, nlist, nprobe, trainedRows, trailer }: BuildRequest) {
  const { rows, dims, path } = embeddings;
  const refuse = (message: string): FirnError => new FirnError('usage', message, { path });
  if (!(recall > 0 && recall <= 1)) throw refuse(`recall is ${recall}, expected above 0 and up to 1`);
  if (trainedRows !== undefined && !isCount(trainedRows, rows)) {
    throw refuse(`cannot train an index on ${trainedRows} of ${rows} rows`);
  }
  if (trailer !== undefined && 'index' in trailer) throw refuse('the fact `index` of a trailer is reserved');
  if (nlist === undefined && rows <= FLAT_ROWS) return undefined;
  const eligible = eligibleRows(trainedRows ?? rows);
  const lists = nlist ?? pickLists(trainedRows ?? rows, eligible, dims);
  if (!isCount(lists, eligible)) throw refuse(`${eligible} rows cannot train ${nlist} lists`);
  if (nprobe !== undefined && !isCount(nprobe, lists)) {
    throw refuse(`nprobe is ${nprobe}, but there are ${lists} lists`);
  }
  return lists;
}

function isCount(value: number, most: number): boolean {
  return Number.isInteger(value) && value >= 1 && value <= most;
}

async function buildFlat({ embeddings, metric, signal, onProgress }: BuildRequest, out: WriteHandle) {
  const { rows, dims } = embeddings;
  let end = FLAT_DATA;
  for await (const batch of floatBatches(embeddings, { signal })) {
    checkFinite(batch, embeddings);
    const bytes = floatBytes(batch.data);
    await out.write(bytes, end);
    end += bytes.length;
    onProgress?.(batch.start + batch.rows, rows, 'write');
  }
  await out.write(flatHead(dims, rows, metric), 0);
  return { end, reusedCentroids: false, facts: undefined } satisfies Built;
}

async function buildLists(request: BuildRequest, out: WriteHandle, nlist: number): Promise<Built> {
  const { port, embeddings, metric, recall = 0.95, nprobe, prior, signal } = request;
  const {
    trainedRows = embeddings.rows,
    onProgress = () => {},
    trainingRowsPerList = ROWS_PER_LIST,
  } = request;
  const workers = request.workers ?? new Workers();
  const wanted = sampleRows(nlist, embeddings.dims, trainingRowsPerList);
  const ivf: IvfRequest = {
    port,
    embeddings,
    out,
    metric,
    recall,
    nlist,
    nprobe,
    trainedRows,
    sampleRows: Math.min(wanted, eligibleRows(trainedRows)),
    prior,
    workers,
    onProgress,
    signal,
  };
  try {
    const appended =
      prior !== undefined && request.priorHoldsFirstRows ? await appendIvf(ivf, prior) : undefined;
    return appended ?? (await buildIvf(ivf));
  } finally {
    if (request.workers === undefined) await workers.close();
  }
}

/** What a trailer says about training, for `pickTrainedRows`; undefined when it says nothing, or of a Flat index. */
export function trainingOf(trailer: Trailer | undefined): Training | undefined {
  const index = trailer?.index as (Partial<IvfFacts> & { rows?: number }) | undefined;
  const { rows, imbalance, trainedImbalance, training } = index ?? {};
  const numbers = [rows, imbalance, trainedImbalance, training?.rows];
  if (!numbers.every((value) => typeof value === 'number')) return undefined;
  return {
    trainedRows: training!.rows,
    rows: rows!,
    imbalance: imbalance!,
    trainedImbalance: trainedImbalance!,
  };
}
