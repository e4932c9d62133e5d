/**
 * Every kind of FAISS index that firn does not write itself (HNSW, PQ, SQ, ...), through the optional package
 * faiss-node. FAISS runs in a process of its own (factory-process.ts): a C++ exception that the package does not
 * catch aborts the process it is in, and FAISS keeps a whole index in memory. One thread builds, so that the same
 * rows give the same bytes (HNSW links depend on the order of insertion).
 * Knows no layout, except where an IVF index keeps its nprobe.
 */
import { createRequire } from 'node:module';
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import type { Port, WriteHandle } from '../files/port.js';
import { checkFinite, floatBatches, gatherRows } from './batches.js';
import { NEIGHBOURS, queryCount } from './calibrate.js';
import { countQueries, exactSearch } from './exact.js';
import {
  collect,
  collectInto,
  type FactoryAnswer,
  send,
  startWorker,
  type Worker,
} from './factory-process.js';
import { floatBytes, type Metric, NLIST_AT, NPROBE_AT } from './format.js';
import { SEED } from './kmeans.js';
import type { Accept, Neighbour } from './nearest.js';
import { writeNewFile } from './new-file.js';
import { queryRows, trainingSample } from './sample.js';
import { encodeTrailer, type Trailer } from './trailer.js';
import { sampleRows } from './training.js';

export interface FactoryRequest {
  port: Port;
  embeddings: ArrayReader;
  /** A name that is not taken. */
  out: string;
  /** Such as HNSW32, SQ8 or IVF256,PQ16: see FAISS's index_factory. */
  factory: string;
  metric: Metric;
  /** For an IVF kind: lists looked into, stored in the file (the square root of the number of lists). */
  nprobe?: number;
  trailer?: Trailer;
  onProgress?: (done: number, total: number, phase: string) => void;
  signal?: AbortSignal;
}

export interface FactoryReport {
  factory: string;
  rows: number;
  dims: number;
  metric: Metric;
  /** Of an IVF kind. */
  nprobe: number | undefined;
  /** Found of the true neighbours of rows, themselves left out. A goal cannot be set for these kinds. */
  recall: { measured: number; neighbours: number; queries: number };
  /** The package that built it. */
  engine: string;
  bytes: number;
}

/** The name and version of the installed faiss-node, for keys; cheap, for nothing is loaded. */
export function factoryVersion(): string {
  try {
    const { version } = createRequire(import.meta.url)('faiss-node/package.json') as { version: string };
    return `faiss-node ${version}`;
  } catch {
    return 'faiss-node, not installed';
  }
}

let faiss: Promise<FirnError | undefined> | undefined;

/** Why faiss-node cannot be loaded: asked once, of the process that would build, which loads it before its task. */
export function whyNoFaiss(): Promise<FirnError | undefined> {
  faiss ??= askForFaiss();
  return faiss;
}

async function askForFaiss(): Promise<FirnError | undefined> {
  const worker = startWorker({ task: 'search', path: '', k: 0, values: 0 });
  worker.stdin.end();
  try {
    await collect(worker, 'no index');
    return undefined;
  } catch (error) {
    // There is no such index: that it complains of it shows that it could be asked.
    return error instanceof FirnError && error.kind === 'missing' ? error : undefined;
  }
}

/**
 * Builds an index of every row, ids being row indices. Memory grows with the index: FAISS builds in memory.
 * @throws FirnError `missing` without faiss-node, `failed` with FAISS's own words when it refuses
 */
export async function buildWithFactory(request: FactoryRequest): Promise<FactoryReport> {
  const { port, embeddings, out, factory, metric, trailer = {}, signal } = request;
  const { rows, dims, path } = embeddings;
  try {
    return await writeNewFile(port, out, rows * (4 * dims + 8), async (handle) => {
      const built = await runBuild(request, handle);
      const recall = await measure(embeddings, out, metric, signal);
      const report = { factory, rows, dims, metric, nprobe: built.nprobe, recall, engine: factoryVersion() };
      const tail = encodeTrailer({ ...trailer, index: { kind: 'factory', ...report } });
      await handle.write(tail, built.end);
      return { ...report, bytes: built.end + tail.length };
    });
  } catch (error) {
    if (!(error instanceof FirnError) || error.path !== undefined) throw error;
    const advice = error.advice === undefined ? {} : { advice: error.advice };
    throw new FirnError(error.kind, `${factory} of ${path}: ${error.message}`, {
      path: out,
      ...advice,
      cause: error,
    });
  }
}

async function runBuild(request: FactoryRequest, out: WriteHandle) {
  const { embeddings, factory, metric, signal, onProgress } = request;
  const { rows, dims } = embeddings;
  const lists = Number(/IVF(\d+)/.exec(factory)?.[1] ?? 1);
  const sample = trainingSample(rows, sampleRows(lists, dims), SEED);
  const code = metric === 'ip' ? 0 : 1;
  const task = { task: 'build', factory, dims, metric: code, trainRows: sample.length, rows } as const;
  const worker = startWorker(task, signal);
  try {
    const feed = async (): Promise<void> => {
      const trained = new Float32Array(sample.length * dims);
      await gatherRows(embeddings, [{ rows: sample, into: trained }], signal);
      await send(worker, floatBytes(trained));
      for await (const batch of floatBatches(embeddings, { signal })) {
        if (worker.stdin.destroyed) return;
        checkFinite(batch, embeddings);
        // A copy: the pipe may still hold it when the next batch is read.
        await send(worker, Buffer.from(floatBytes(batch.data)));
        onProgress?.(batch.start + batch.rows, rows, 'add');
      }
      worker.stdin.end();
    };
    const [index] = await Promise.all([collectInto(worker, out, factory), feedOrKill(worker, feed)]);
    const isIvf = index.head.subarray(0, 2).toString('latin1') === 'Iw';
    if (!isIvf) return { end: index.end, nprobe: undefined };
    const nlist = Number(index.head.readBigUInt64LE(NLIST_AT));
    const nprobe = Math.min(nlist, request.nprobe ?? Math.max(1, Math.round(Math.sqrt(nlist))));
    const stored = Buffer.alloc(8);
    stored.writeBigUInt64LE(BigInt(nprobe));
    await out.write(stored, NPROBE_AT);
    return { end: index.end, nprobe };
  } catch (error) {
    // A worker that was killed because the build was told to stop is not a failure of FAISS.
    signal?.throwIfAborted();
    throw error;
  } finally {
    worker.kill('SIGKILL');
  }
}

async function feedOrKill(worker: Worker, feed: () => Promise<void>): Promise<void> {
  try {
    await feed();
  } catch (error) {
    worker.kill('SIGKILL');
    throw error;
  }
}

/** Recall of the finished index on rows that were not trained on. */
async function measure(
  embeddings: ArrayReader,
  path: string,
  metric: Metric,
  signal: AbortSignal | undefined,
) {
  const asked = queryRows(embeddings.rows, embeddings.rows, queryCount(embeddings.rows));
  const queries = new Float32Array(asked.length * embeddings.dims);
  await gatherRows(embeddings, [{ rows: asked, into: queries }], signal);
  const accept: Accept = (id, query) => id !== asked[query];
  const truth = await exactSearch(embeddings, queries, NEIGHBOURS, metric, { except: asked, signal });
  const found = await searchWithFactory(path, queries, NEIGHBOURS, { accept, signal });
  let sum = 0;
  let total = 0;
  for (const [query, neighbours] of truth.entries()) {
    const ids = new Set(found[query].map(({ id }) => id));
    sum += neighbours.filter(({ id }) => ids.has(id)).length;
    total += neighbours.length;
  }
  return { measured: total === 0 ? 1 : sum / total, neighbours: NEIGHBOURS, queries: truth.length };
}

/**
 * The k nearest vectors of an index that only FAISS reads, in FAISS's order.
 * @throws FirnError `missing` without faiss-node, `failed` with FAISS's own words when it cannot read the index
 */
export async function searchWithFactory(
  path: string,
  queries: Float32Array,
  k: number,
  options: { nprobe?: number; accept?: Accept; signal?: AbortSignal | undefined } = {},
): Promise<Neighbour[][]> {
  if (options.nprobe !== undefined) {
    throw new FirnError('usage', 'nprobe of this kind of index is fixed when it is built', { path });
  }
  const { accept = () => true, signal } = options;
  // Rows that are not accepted take places: ask for more until there are enough, or all were asked for.
  for (let wanted = k; ; wanted *= 4) {
    const found = await askFaiss(path, queries, wanted, signal);
    const kept = found.neighbours.map((all, query) => all.filter(({ id }) => accept(id, query)).slice(0, k));
    if (wanted >= found.rows || kept.every((neighbours) => neighbours.length === k)) return kept;
  }
}

async function askFaiss(path: string, queries: Float32Array, k: number, signal: AbortSignal | undefined) {
  const worker = startWorker({ task: 'search', path, k, values: queries.length }, signal);
  const feed = async (): Promise<void> => {
    await send(worker, floatBytes(queries));
    worker.stdin.end();
  };
  const [answer] = await Promise.all([collect(worker, 'this index'), feed()]).catch((error: unknown) => {
    signal?.throwIfAborted();
    throw unreadable(error, path);
  });
  const { rows, dims, each, distances, labels } = JSON.parse(answer.toString()) as FactoryAnswer;
  const count = countQueries(queries, dims, k, path);
  const neighbours = Array.from({ length: count }, (_, query) => {
    const of: Neighbour[] = [];
    for (let i = query * each; i < (query + 1) * each; i++) {
      if (labels[i] >= 0) of.push({ id: labels[i], distance: distances[i] });
    }
    return of;
  });
  return { rows, neighbours };
}

/** Of what stopped FAISS while it read an index; anything else as it is. */
function unreadable(error: unknown, path: string): unknown {
  if (!(error instanceof FirnError) || error.kind !== 'failed') return error;
  return new FirnError('failed', error.message, { path, advice: 'Build the index again.', cause: error });
}
