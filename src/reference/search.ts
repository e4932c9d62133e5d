/**
 * Nearest neighbours in a reference: from its index as far as that reaches, exactly for rows the index does not know yet.
 * Says which of the two answered. Knows nothing of how a query came to be a vector.
 */
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import { exactSearch, outside, type RowRange } from '../faiss/exact.js';
import { mergeNeighbours, type Neighbour } from '../faiss/nearest.js';
import { type OpenIndex, openIndex, type SearchOptions } from '../faiss/search.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { ReadPort } from '../files/port.js';
import { isLayoutOfFirst } from './layout.js';
import type { OpenReference } from './open.js';

export interface NeighbourRequest {
  /** One query of D values. */
  query: Float32Array;
  k: number;
  /** Rows that may not answer. */
  exclude?: RowRange[];
  nprobe?: number;
  signal?: AbortSignal;
}

export interface NeighbourAnswer {
  neighbours: Neighbour[];
  metric: 'l2' | 'ip';
  /** index: all from the index; exact: every row compared; both: the index, and the rows it lacks compared. */
  method: 'index' | 'exact' | 'both';
  /** What a person should know about how the answer came about. */
  note?: string;
}

/** The index beside a reference, and what it is good for. */
export interface ReferenceIndex {
  index: OpenIndex | undefined;
  metric: 'l2' | 'ip';
  /** The first so many rows are what the index answers for; 0 when it cannot be used. */
  usable: number;
  note?: string;
  /** Of an index that is behind or of other rows. */
  howToMend: string;
  close(): Promise<void>;
}

/** Opens the index of a reference, if there is one; only its header is read. `howToMend` ends the notes, see howToIndex. */
export async function openReferenceIndex(
  port: ReadPort,
  reference: OpenReference,
  howToMend = 'a target with the rule `index` mends that',
): Promise<ReferenceIndex> {
  const path = reference.files.index;
  if (path === undefined) {
    const note = `there is no index here: every row was compared; ${howToMend}`;
    return { index: undefined, metric: 'l2', usable: 0, note, howToMend, close: async () => undefined };
  }
  const trailer = await readTrailer(port, path);
  const index = await openIndex(port, path);
  return { index, ...stateOf(index, trailer, reference, howToMend), howToMend, close: () => index.close() };
}

/** How much of the reference the index answers for. */
function stateOf(
  { header }: OpenIndex,
  trailer: Trailer | undefined,
  { facts, embeddings }: OpenReference,
  howToMend: string,
): Pick<ReferenceIndex, 'metric' | 'usable' | 'note'> {
  // FAISS's other kinds are known by what firn noted when it had them made.
  const metric = header.kind !== 'other' ? header.metric : trailer?.metric === 'ip' ? 'ip' : 'l2';
  const rows = header.kind !== 'other' ? header.rows : Number(trailer?.rows ?? embeddings.rows);
  const unusable = (problem: string) => ({
    metric,
    usable: 0,
    note: `the index ${problem} and was not used, every row was compared; ${howToMend}`,
  });
  if (header.kind !== 'other' && header.dims !== embeddings.dims)
    return unusable(`has ${header.dims} dimensions`);
  if (!Number.isSafeInteger(rows) || rows < 0) return unusable('does not say how many rows it has');
  if (rows > embeddings.rows) return unusable('holds more rows than the reference');
  // Rows that another program joined have no digests to go by: the row count is all there is.
  if (facts === undefined) return { metric, usable: rows };
  if (trailer?.firn !== 1) return unusable('does not say of which rows it is');
  const same = trailer.embeddings === facts.embeddings || isLayoutOfFirst(facts.ranges, rows, trailer.layout);
  return same ? { metric, usable: rows } : unusable('is of other rows');
}

export async function searchReference(
  { embeddings }: OpenReference,
  { index, metric, usable, note, howToMend }: ReferenceIndex,
  request: NeighbourRequest,
): Promise<NeighbourAnswer> {
  const { query, k, exclude = [], nprobe, signal } = request;
  const accept = exclude.length === 0 ? {} : { accept: outside(exclude) };
  const exactly = async (why: string | undefined): Promise<NeighbourAnswer> => {
    const [neighbours] = await exactSearch(embeddings, query, k, metric, { ...accept, signal });
    return { neighbours, metric, method: 'exact', ...(why === undefined ? {} : { note: why }) };
  };
  if (index === undefined || usable === 0) return exactly(note);
  const wanted = Math.min(k, usable - countBelow(exclude, usable));
  let found: Neighbour[];
  try {
    found = await askIndex(index, query, k, wanted, {
      ...accept,
      ...(nprobe === undefined ? {} : { nprobe }),
      signal,
    });
  } catch (error) {
    const unread = index.header.kind === 'other' && error instanceof FirnError && error.kind === 'missing';
    if (!unread) throw error;
    return exactly(`the index was not used, every row was compared: ${error.message}`);
  }
  const approximate = index.header.kind === 'other';
  // Also of an index that says it fits: a build that was killed may have replaced the array and not yet the metadata.
  if (!(await areRows(found, embeddings, query, metric, approximate))) {
    return exactly(`the index is of other rows and was not used, every row was compared; ${howToMend}`);
  }
  if (approximate && found.length < wanted) {
    return exactly(`the index finds only ${found.length} of ${wanted} rows: every row was compared`);
  }
  const behind = embeddings.rows - usable;
  if (behind === 0) return { neighbours: found, metric, method: 'index' };
  const [missing] = await exactSearch(embeddings, query, k, metric, { from: usable, ...accept, signal });
  return {
    neighbours: mergeNeighbours([found, missing], k, metric),
    metric,
    method: 'both',
    note: `the index is behind by ${behind} rows, which were compared one by one; ${howToMend}`,
  };
}

/** By how much the lists looked into become more. */
const MORE_LISTS = 4;

/**
 * The nearest of the lists that the index looks into, and where these hold fewer than `wanted` rows that may answer, of
 * more lists: rows that are left out may fill every list near the query. As many lists as were asked for are looked into.
 */
async function askIndex(
  { header, search }: OpenIndex,
  query: Float32Array,
  k: number,
  wanted: number,
  options: SearchOptions,
): Promise<Neighbour[]> {
  let [found] = await search(query, k, options);
  if (header.kind !== 'ivf' || options.nprobe !== undefined) return found;
  for (let nprobe = header.nprobe; found.length < wanted && nprobe < header.nlist; ) {
    nprobe = Math.min(header.nlist, MORE_LISTS * nprobe);
    [found] = await search(query, k, { ...options, nprobe });
  }
  return found;
}

/** How many of these rows are among the first `rows`; no row is in two ranges. */
function countBelow(ranges: RowRange[], rows: number): number {
  return ranges.reduce((sum, { from, to }) => sum + Math.max(0, Math.min(to, rows) - from), 0);
}

/** Neighbours compared with the rows they are said to be. */
const COMPARED = 32;

/** Whether the array holds, at the rows found, vectors of those very distances; `approximate` ones are not compared. */
async function areRows(
  found: readonly Neighbour[],
  embeddings: ArrayReader,
  query: Float32Array,
  metric: 'l2' | 'ip',
  approximate: boolean,
): Promise<boolean> {
  if (found.some(({ id }) => id < 0 || id >= embeddings.rows)) return false;
  // A row that stands in two lists would take the place of another.
  if (new Set(found.map(({ id }) => id)).size < found.length) return false;
  if (approximate) return true;
  for (const { id, distance } of found.slice(0, COMPARED)) {
    const [[row]] = await exactSearch(embeddings, query, 1, metric, { from: id, to: id + 1 });
    if (row?.distance !== distance) return false;
  }
  return true;
}
