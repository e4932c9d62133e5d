/**
 * A question to a reference and its answer with names: from a run and row, or from a sequence that is embedded as the
 * runs of the reference were. Prints nothing.
 */
import { join } from 'node:path';
import { toFloat32 } from './arrays/convert.js';
import { readRow } from './arrays/open.js';
import { FirnError } from './errors.js';
import type { ReadPort } from './files/port.js';
import { suggest } from './pipeline/nearest.js';
import { type OpenReference, openReference, type RowOrigin } from './reference/open.js';
import { type NeighbourAnswer, openReferenceIndex, searchReference } from './reference/search.js';
import { someOf } from './reference/warnings.js';
import { discoverRuns, NPY_FILE, NPZ_FILE } from './runs/discover.js';
import { RUN_FACTS_FILE, readRunFacts } from './runs/run-facts.js';
import { isRunName } from './runs/run-name.js';
import { readNames } from './runs/sequence-names.js';
import { cleanSequence } from './sequences/bases.js';
import { createEmbedder, type Embedder } from './sequences/embedder.js';

/** What is searched for: a row of a run, or a sequence. */
export type SearchQuery =
  | { run: string; seqIdx: number }
  /** Nucleotides; `name` is for people. */
  | { sequence: string; name?: string };

export interface SearchPlace {
  port: ReadPort;
  /** The directory of the reference, absolute. */
  reference: string;
  /** The folder of runs, absolute. */
  runsDir: string;
  /** What makes the index of the reference, see howToIndex. */
  howToIndex?: string;
}

export interface SearchOptions {
  topK: number;
  excludeSameRun?: boolean;
  nprobe?: number;
  signal?: AbortSignal;
}

/** A neighbour. */
export interface SearchHit extends RowOrigin {
  rank: number;
  /** Squared L2 as FAISS reports it, or the inner product. */
  distance: number;
  /** Of the sequence, where the run has names. */
  name: string | null;
}

/** The neighbours of a query, nearest first. */
export interface SearchAnswer {
  query: { run: string | null; seq_idx: number | null; name: string | null };
  results: SearchHit[];
  metric: 'l2' | 'ip';
  method: 'index' | 'exact' | 'both';
  /** What a person should know about how the answer came about. */
  notes: string[];
  /** Why there are no results: the sequence cannot be embedded. */
  problem?: string;
}

/** A reference that is asked once or many times. */
export interface Searcher {
  /** Throws FirnError: `usage` for a run or row that is not there, or a query of other dimensions. */
  search(query: SearchQuery): Promise<SearchAnswer>;
  close(): Promise<void>;
}

/** Throws FirnError when there is no reference or it cannot be read. */
export async function openSearch(place: SearchPlace, options: SearchOptions): Promise<Searcher> {
  const reference = await openReference(place.port, place.reference);
  try {
    const index = await openReferenceIndex(place.port, reference, place.howToIndex);
    let way: Way | undefined;
    return {
      async search(query) {
        if ('run' in query) return answer(await vectorOfRow(place, reference, query), query);
        way ??= wayOf(place, reference);
        const { embedder, note } = way;
        const vector = embedder.embed(cleanSequence(query.sequence));
        if (vector !== undefined) {
          const answered = await answer(vector, query);
          return note === undefined ? answered : { ...answered, notes: [...answered.notes, note] };
        }
        const who = query.name === undefined ? 'the sequence' : `the sequence ${query.name}`;
        const problem = `${who} is too short to embed: it needs ${embedder.needs}`;
        return { ...(await withNames(place, reference, query, NOTHING)), problem };
      },
      async close() {
        await index.close();
        await reference.close();
      },
    };

    async function answer(vector: Float32Array, query: SearchQuery): Promise<SearchAnswer> {
      const { dims } = reference.embeddings;
      if (vector.length !== dims) {
        throw new FirnError('usage', `the query has ${vector.length} dimensions, the reference ${dims}`, {
          path: place.reference,
          advice: 'Search a reference of the same model version.',
        });
      }
      if (!vector.every(Number.isFinite)) {
        throw new FirnError(
          'input',
          'the query holds values that are not finite, and nothing is near to it',
          {
            advice: 'Look at the run it is from.',
          },
        );
      }
      const { topK, excludeSameRun, nprobe, signal } = options;
      const found = await searchReference(reference, index, {
        query: vector,
        k: topK,
        exclude: excludeSameRun && 'run' in query ? reference.rowsOf(query.run) : [],
        ...(nprobe === undefined ? {} : { nprobe }),
        ...(signal === undefined ? {} : { signal }),
      });
      return withNames(place, reference, query, found);
    }
  } catch (error) {
    await reference.close();
    throw error;
  }
}

const NOTHING: NeighbourAnswer = { neighbours: [], metric: 'l2', method: 'exact' };

async function withNames(
  { port, runsDir }: SearchPlace,
  reference: OpenReference,
  query: SearchQuery,
  { neighbours, metric, method, note }: NeighbourAnswer,
): Promise<SearchAnswer> {
  const finite = neighbours.filter(({ distance }) => Number.isFinite(distance));
  const dropped = neighbours.length - finite.length;
  const notes = note === undefined ? [] : [note];
  // JSON has no infinity.
  if (dropped > 0)
    notes.push(
      `${dropped} ${dropped === 1 ? 'row' : 'rows'} at an infinite distance ${dropped === 1 ? 'is' : 'are'} left out`,
    );
  const origins = finite.map(({ id }) => reference.originOf(id));
  const asked = 'run' in query ? [query] : [];
  const names = await readNames(port, runsDir, [
    ...asked,
    ...origins.map((origin) => ({ run: `${origin.dataset}/${origin.run_id}`, seqIdx: origin.seq_idx })),
  ]);
  const results = finite.map(
    (neighbour, i): SearchHit => ({
      rank: i + 1,
      distance: neighbour.distance,
      ...origins[i],
      name: names[asked.length + i],
    }),
  );
  return {
    query:
      'run' in query
        ? { run: query.run, seq_idx: query.seqIdx, name: names[0] }
        : { run: null, seq_idx: null, name: query.name ?? null },
    results,
    metric,
    method,
    notes,
  };
}

/** From the reference itself where it has the run: one read there, while a compressed run has to be unpacked. */
async function vectorOfRow(
  { port, runsDir }: SearchPlace,
  reference: OpenReference,
  { run, seqIdx }: { run: string; seqIdx: number },
): Promise<Float32Array> {
  const pieces = reference.rowsOf(run);
  const piece = pieces.find(({ from, to, seqIdx: first }) => seqIdx >= first && seqIdx < first + to - from);
  if (piece !== undefined) {
    const { bytes, dtype } = await readRow(
      port,
      reference.files.embeddings,
      piece.from + seqIdx - piece.seqIdx,
    );
    return toFloat32(bytes, dtype);
  }
  if (pieces.length > 0) {
    const rows = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
    const has = rows === 0 ? 'has no rows' : `has rows 0 to ${rows - 1}`;
    throw new FirnError('usage', `run ${run} ${has}, asked for row ${seqIdx}`);
  }
  const { runs, archived } = discoverRuns(port, runsDir);
  const here = runs.find(({ name }) => name === run);
  if (here === undefined && archived.some(({ name }) => name === run)) {
    throw new FirnError('usage', `run ${run} is archived, and this reference does not hold its rows`, {
      path: reference.files.directory,
      advice: `Search a reference that does (\`firn runs list ${run}\`), or bring it back: firn runs restore ${run}`,
    });
  }
  if (here === undefined) {
    const known = new Set([...reference.runs(), ...runs.map(({ name }) => name)]);
    throw new FirnError('usage', `there is no run ${run}, neither in the reference nor in ${runsDir}`, {
      advice: isRunName(run) ? suggest(run, [...known]) : 'Write it as dataset/run.',
    });
  }
  const path = join(here.directory, here.npy === undefined ? NPZ_FILE : NPY_FILE);
  const { bytes, dtype } = await readRow(port, path, seqIdx);
  return toFloat32(bytes, dtype);
}

/** How sequences are embedded to be compared with the rows of a reference. */
interface Way {
  embedder: Embedder;
  /** The runs were not all embedded so. */
  note?: string;
}

/** As the first run was embedded that says how and has these dimensions; other models are programs of their own. */
function wayOf({ port, runsDir }: SearchPlace, reference: OpenReference): Way {
  const runs = reference.runs().flatMap((run) => {
    const facts = isRunName(run) ? readRunFacts(port, join(runsDir, run, RUN_FACTS_FILE)) : undefined;
    if (typeof facts?.embedder !== 'string') return [];
    const { embedder: name, k, 'reverse-complement': both } = facts;
    const parameters = { ...(typeof k === 'number' ? { k } : {}), 'reverse-complement': both === true };
    return [{ run, name, parameters, text: JSON.stringify([name, parameters]) }];
  });
  const tried = new Set<string>();
  for (const { run, name, parameters, text } of runs) {
    if (tried.has(text)) continue;
    tried.add(text);
    const embedder = knownEmbedder(name, parameters);
    if (embedder?.dims !== reference.embeddings.dims) continue;
    const others = runs.filter((other) => other.text !== text).map((other) => other.run);
    if (others.length === 0) return { embedder };
    const note = `the query was embedded as ${run} was, and other runs were not (${someOf(others)}): distances to their rows say nothing`;
    return { embedder, note };
  }
  throw new FirnError('usage', 'no run of this reference says how it was embedded', {
    path: reference.files.directory,
    advice: 'Embed the sequence with your model into a run of its own, and search with --run and --seq-idx.',
  });
}

/** Undefined for another program's, or parameters that it never had. */
function knownEmbedder(...way: Parameters<typeof createEmbedder>): Embedder | undefined {
  try {
    return createEmbedder(...way);
  } catch (error) {
    if (error instanceof FirnError) return undefined;
    throw error;
  }
}
