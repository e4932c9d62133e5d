/**
 * Nearest neighbours in a reference: from its index as far as that reaches, exactly for rows the index does not know yet.
 * Says which of the two answered. Knows nothing of how a query came to be a vector.
 */
import type { ReadPort } from '../files/port.js';
import { exactSearch, outside, type RowRange } from '../faiss/exact.js';
import type { Neighbour } from '../faiss/nearest.js';
import { readIndexHeader } from '../faiss/header.js';
import { openIndex } from '../faiss/search.js';
import { readTrailer } from '../faiss/trailer.js';
import { layoutDigest } from './layout.js';
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

interface IndexState {
  path: string;
  metric: 'l2' | 'ip';
  /** Rows that the index can answer for; 0 when it cannot be used. */
  usable: number;
  note?: string;
}

export async function searchReference(
  port: ReadPort,
  reference: OpenReference,
  request: NeighbourRequest,
): Promise<NeighbourAnswer> {
  const state = await indexState(port, reference);
  if (state === undefined) return exactAnswer(reference, request, 'l2', 'there is no index here: every row was compared');
  const { metric } = state;
  const index = await openIndex(port, state.path);
  try {
    if (state.usable === 0) return await exactAnswer(reference, request, metric, state.note);
    const { query, k, exclude = [], nprobe, signal } = request;
    const accept = exclude.length === 0 ? {} : { accept: outside(exclude) };
    const limits = nprobe === undefined ? {} : { nprobe };
    const [found] = await index.search(query, k, { ...accept, ...limits, signal });
    const { rows } = reference.embeddings;
    if (state.usable >= rows) return { neighbours: found, metric, method: 'index' };
    const [missing] = await exactSearch(reference.embeddings, query, k, metric, { from: state.usable, ...accept, signal });
    const note = `the index is behind by ${rows - state.usable} rows, which were compared one by one; \`firn build\` brings it up`;
    return { neighbours: mergeNeighbours(found, missing, k, metric), metric, method: 'both', note };
  } finally {
    await index.close();
  }
}

async function exactAnswer(
  reference: OpenReference,
  request: NeighbourRequest,
  metric: 'l2' | 'ip',
  note: string | undefined,
): Promise<NeighbourAnswer> {
  const { query, k, exclude = [], signal } = request;
  const accept = exclude.length === 0 ? {} : { accept: outside(exclude) };
  const [neighbours] = await exactSearch(reference.embeddings, query, k, metric, { ...accept, signal });
  return { neighbours, metric, method: 'exact', ...(note === undefined ? {} : { note }) };
}

/** How much of the reference the index beside it answers for. Undefined when there is none. */
async function indexState(port: ReadPort, reference: OpenReference): Promise<IndexState | undefined> {
  const path = reference.files.index;
  if (path === undefined) return undefined;
  const { facts, embeddings } = reference;
  const trailer = await readTrailer(port, path);
  const header = await readIndexHeader(port, path);
  // FAISS's other kinds are known by what firn noted when it had them made.
  const metric = header.kind !== 'other' ? header.metric : trailer?.metric === 'ip' ? 'ip' : 'l2';
  const rows = header.kind !== 'other' ? header.rows : Number(trailer?.rows ?? embeddings.rows);
  const unused = 'was not used; `firn build` makes it anew';
  if (rows > embeddings.rows) return { path, metric, usable: 0, note: `the index holds more rows than the reference and ${unused}` };
  // An index that another program wrote does not say of what: its row count is all there is to go by.
  if (trailer?.firn !== 1 || facts === undefined) return { path, metric, usable: rows };
  const same = trailer.embeddings === facts.embeddings || samePrefix(facts.ranges, rows, trailer.layout);
  return same ? { path, metric, usable: rows } : { path, metric, usable: 0, note: `the index is of other rows and ${unused}` };
}

/** Whether the first `rows` rows are, run by run, the ones that the index was built from. */
function samePrefix(ranges: readonly { count: number; digest: string }[], rows: number, layout: unknown): boolean {
  let sum = 0;
  for (let i = 0; i <= ranges.length; i++) {
    if (sum === rows && layoutDigest(ranges.slice(0, i)) === layout) return true;
    if (sum > rows) return false;
    sum += ranges[i]?.count ?? 0;
  }
  return false;
}

/** The k best of two answers over different rows; equal distances by smaller row. */
export function mergeNeighbours(a: readonly Neighbour[], b: readonly Neighbour[], k: number, metric: 'l2' | 'ip'): Neighbour[] {
  const sign = metric === 'l2' ? 1 : -1;
  return [...a, ...b].sort((x, y) => sign * (x.distance - y.distance) || x.id - y.id).slice(0, k);
}
