/**
 * A question to a reference and its answer with names: from a run and row, or from a sequence that is embedded as the
 * runs of the reference were. Prints nothing.
 */
import { join } from 'node:path';
import { toFloat32 } from './arrays/convert.js';
import { readRow } from './arrays/open.js';
import { FirnError } from './errors.js';
import type { ReadPort } from './files/port.js';
import { readNames } from './runs/sequence-names.js';
import { type OpenReference, openReference, type RowOrigin } from './reference/open.js';
import { searchReference } from './reference/search.js';
import { runFile } from './runs/run-array.js';
import { readRunFacts, RUN_FACTS_FILE } from './runs/run-facts.js';
import { createEmbedder } from './sequences/embedder.js';

export type Query =
  | { run: string; seqIdx: number }
  /** Nucleotides; `name` is for people. */
  | { sequence: string; name?: string };

export interface SearchRequest {
  port: ReadPort;
  /** The directory of the reference, absolute. */
  reference: string;
  /** The folder of runs, absolute. */
  runsDir: string;
  query: Query;
  topK: number;
  excludeSameRun?: boolean;
  nprobe?: number;
  signal?: AbortSignal;
}

export interface Hit extends RowOrigin {
  rank: number;
  /** Squared L2 as FAISS reports it, or the inner product. */
  distance: number;
  /** Of the sequence, where the run has names. */
  name: string | null;
}

export interface SearchAnswer {
  query: { run: string | null; seq_idx: number | null; name: string | null };
  results: Hit[];
  metric: 'l2' | 'ip';
  method: 'index' | 'exact' | 'both';
  note?: string;
}

export async function search(request: SearchRequest): Promise<SearchAnswer> {
  const { port, query, topK, signal } = request;
  const reference = await openReference(port, request.reference);
  try {
    const vector = 'run' in query ? await vectorOfRow(request, reference, query) : vectorOfSequence(request, reference, query.sequence);
    const { dims } = reference.embeddings;
    if (vector.length !== dims) {
      throw new FirnError('usage', `the query has ${vector.length} dimensions, the reference ${dims}`, {
        path: request.reference,
        advice: 'Search a reference of the same model version.',
      });
    }
    const exclude = request.excludeSameRun && 'run' in query ? reference.rowsOf(query.run) : [];
    const answer = await searchReference(port, reference, {
      query: vector,
      k: topK,
      exclude,
      ...(request.nprobe === undefined ? {} : { nprobe: request.nprobe }),
      ...(signal === undefined ? {} : { signal }),
    });
    const origins = answer.neighbours.map(({ id }) => reference.originOf(id));
    const asked = 'run' in query ? [{ run: query.run, seqIdx: query.seqIdx }] : [];
    const names = await readNames(port, request.runsDir, [
      ...asked,
      ...origins.map((origin) => ({ run: `${origin.dataset}/${origin.run_id}`, seqIdx: origin.seq_idx })),
    ]);
    const results = answer.neighbours.map((neighbour, i): Hit => ({
      rank: i + 1,
      distance: neighbour.distance,
      ...origins[i],
      name: names[asked.length + i],
    }));
    const { metric, method, note } = answer;
    return {
      query: 'run' in query ? { run: query.run, seq_idx: query.seqIdx, name: names[0] } : { run: null, seq_idx: null, name: query.name ?? null },
      results,
      metric,
      method,
      ...(note === undefined ? {} : { note }),
    };
  } finally {
    await reference.close();
  }
}

/** From the reference itself where it has the run: one read there, while a compressed run has to be unpacked. */
async function vectorOfRow(
  { port, runsDir }: SearchRequest,
  reference: OpenReference,
  { run, seqIdx }: { run: string; seqIdx: number },
): Promise<Float32Array> {
  const pieces = reference.rowsOf(run);
  const piece = pieces.find(({ from, to, seqIdx: first }) => seqIdx >= first && seqIdx < first + to - from);
  if (piece !== undefined) {
    const { bytes, dtype } = await readRow(port, reference.files.embeddings, piece.from + seqIdx - piece.seqIdx);
    return toFloat32(bytes, dtype);
  }
  if (pieces.length > 0) {
    const rows = pieces.reduce((sum, { from, to }) => sum + to - from, 0);
    throw new FirnError('usage', `run ${run} has rows 0 to ${rows - 1}, asked for row ${seqIdx}`);
  }
  const path = runFile(port, join(runsDir, run));
  if (path === undefined) {
    throw new FirnError('missing', `there is no run ${run}, neither in the reference nor in ${runsDir}`, {
      advice: 'Write it as dataset/run.',
    });
  }
  const { bytes, dtype } = await readRow(port, path, seqIdx);
  return toFloat32(bytes, dtype);
}

/** The sequence embedded as the first run with known facts was; other models have to be run by their own program. */
function vectorOfSequence({ port, runsDir }: SearchRequest, reference: OpenReference, sequence: string): Float32Array {
  for (const range of reference.facts?.ranges ?? []) {
    const facts = readRunFacts(port, join(runsDir, range.dataset, range.run_id, RUN_FACTS_FILE));
    if (typeof facts?.embedder !== 'string') continue;
    const embedder = createEmbedder(facts.embedder, {
      k: Number(facts.k ?? 4),
      'reverse-complement': facts['reverse-complement'] === true,
    });
    const vector = embedder.embed(sequence);
    if (vector === undefined) throw new FirnError('usage', `the sequence is too short to embed: it needs ${embedder.needs}`);
    return vector;
  }
  throw new FirnError('usage', 'no run of this reference says how it was embedded', {
    path: reference.files.directory,
    advice: 'Embed the sequence with your model into a run of its own, and search with --run and --seq-idx.',
  });
}
