/**
 * Searching a FAISS file in place: the header, the centroids and the lists that a query asks for are read, nothing
 * else. Kinds of index that firn does not read go to faiss-node. Knows no reference and no run: ids come back as the
 * index holds them.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { countQueries, engineFor } from './exact.js';
import { searchWithFactory } from './factory.js';
import { ID_BYTES } from './format.js';
import { type FlatHeader, type IndexHeader, type IvfHeader, parseIndexHeader } from './header.js';
import { type Accept, NearestRows, type Neighbour } from './nearest.js';
import { readFloats, readIds } from './vectors.js';

export interface SearchOptions {
  /** Lists looked into (IVF only); what the file says unless told. */
  nprobe?: number;
  accept?: Accept;
  signal?: AbortSignal | undefined;
}

export interface OpenIndex {
  readonly header: IndexHeader;
  /**
   * The k nearest vectors to each query (n * dims values), nearest first, equal distances by smaller id. Fewer
   * come back when the index, or the lists looked into, hold fewer that are accepted.
   */
  search(queries: Float32Array, k: number, options?: SearchOptions): Promise<Neighbour[][]>;
  close(): Promise<void>;
}

/** Bytes of vectors read at once. */
const CHUNK_BYTES = 8 * 1024 * 1024;

/**
 * Opens the index at `path`; only its header is read.
 * @throws FirnError `missing` when there is none, `input` when it is not a usable FAISS index
 */
export async function openIndex(port: ReadPort, path: string): Promise<OpenIndex> {
  if (port.stat(path)?.kind !== 'file') {
    throw new FirnError('missing', 'there is no such index', { path, advice: 'Build it first.' });
  }
  const handle = await port.open(path);
  try {
    return opened(handle, await parseIndexHeader(handle));
  } catch (error) {
    await handle.close();
    throw error;
  }
}

function opened(handle: ReadHandle, header: IndexHeader): OpenIndex {
  let centroids: Promise<Float32Array> | undefined;
  return {
    header,
    async search(queries, k, options = {}) {
      if (header.kind === 'other') return searchWithFactory(handle.path, queries, k, options);
      const count = countQueries(queries, header.dims, k, handle.path);
      if (count === 0 || header.rows === 0) return Array.from({ length: count }, () => []);
      if (header.kind === 'flat') return searchFlat(handle, header, queries, k, options);
      centroids ??= readFloats(handle, header.centroids, header.nlist * header.dims);
      return searchIvf(handle, header, await centroids, queries, k, options);
    },
    close: () => handle.close(),
  };
}

async function searchFlat(
  handle: ReadHandle,
  header: FlatHeader,
  queries: Float32Array,
  k: number,
  options: SearchOptions,
): Promise<Neighbour[][]> {
  const { dims, rows, metric } = header;
  const engine = await engineFor(queries.length * rows);
  try {
    const nearest = new NearestRows(queries, dims, Math.min(k, rows), metric, engine, options.accept);
    const step = rowsPerChunk(dims);
    for (let start = 0; start < rows; start += step) {
      options.signal?.throwIfAborted();
      const count = Math.min(step, rows - start);
      const data = await readFloats(handle, header.data + 4 * dims * start, count * dims);
      await nearest.add({ data, count, id: (row) => start + row });
    }
    return nearest.results();
  } finally {
    await engine.close();
  }
}

async function searchIvf(
  handle: ReadHandle,
  header: IvfHeader,
  centroids: Float32Array,
  queries: Float32Array,
  k: number,
  options: SearchOptions,
): Promise<Neighbour[][]> {
  const { dims, rows, metric, nlist, sizes } = header;
  const { nprobe = header.nprobe, accept, signal } = options;
  if (!Number.isInteger(nprobe) || nprobe < 1) {
    throw new FirnError('usage', `cannot look into ${nprobe} lists`, { path: handle.path });
  }
  const asking = await queriesOfLists(centroids, queries, header, Math.min(nprobe, nlist));
  let work = 0;
  for (const [list, asked] of asking) work += asked.length * sizes[list] * dims;
  const engine = await engineFor(work);
  try {
    const nearest = new NearestRows(queries, dims, Math.min(k, rows), metric, engine, accept);
    for (const [list, asked] of asking) {
      signal?.throwIfAborted();
      await searchList(handle, header, list, Int32Array.from(asked), nearest);
    }
    return nearest.results();
  } finally {
    await engine.close();
  }
}

/** For every list that somebody asks for, in the order of the file, the numbers of the queries that do. */
async function queriesOfLists(
  centroids: Float32Array,
  queries: Float32Array,
  header: IvfHeader,
  nprobe: number,
): Promise<Map<number, number[]>> {
  const { dims, nlist, quantizer, sizes } = header;
  const engine = await engineFor(queries.length * nlist);
  const asking = new Map<number, number[]>();
  try {
    const closest = new NearestRows(queries, dims, nprobe, quantizer, engine);
    await closest.add({ data: centroids, count: nlist, id: (list) => list });
    for (const [query, lists] of closest.results().entries()) {
      for (const { id: list } of lists) {
        if (sizes[list] === 0) continue;
        const asked = asking.get(list);
        if (asked === undefined) asking.set(list, [query]);
        else asked.push(query);
      }
    }
  } finally {
    await engine.close();
  }
  return new Map([...asking].sort(([a], [b]) => a - b));
}

async function searchList(
  handle: ReadHandle,
  header: IvfHeader,
  list: number,
  asked: Int32Array,
  nearest: NearestRows,
): Promise<void> {
  const { dims } = header;
  const size = header.sizes[list];
  const codes = header.offsets[list];
  const step = rowsPerChunk(dims);
  for (let start = 0; start < size; start += step) {
    const count = Math.min(step, size - start);
    const data = await readFloats(handle, codes + 4 * dims * start, count * dims);
    const ids = await readIds(handle, codes + 4 * dims * size + ID_BYTES * start, count);
    await nearest.add({ data, count, id: (row) => ids[row] }, asked);
  }
}

function rowsPerChunk(dims: number): number {
  return Math.max(1, Math.floor(CHUNK_BYTES / (4 * dims)));
}
