/** What a reference holds and how its index stands, for people and programs. Reads headers and metadata, no vector. */
import { errnoOf, FirnError, messageOf } from '../errors.js';
import { readTrailer } from '../faiss/trailer.js';
import type { ReadPort } from '../files/port.js';
import { runName } from './layout.js';
import { type OpenReference, openReference } from './open.js';
import { openReferenceIndex, type ReferenceIndex } from './search.js';

/** The rows of one run in a reference. */
export interface ReferenceRun {
  /** `dataset/run` */
  name: string;
  dataset: string;
  run: string;
  /** Its first row in the reference. */
  start: number;
  rows: number;
  /** Of the model, when the reference knows it. */
  version: string | null;
  /** The run itself is gone: these rows are its only copy here. */
  retained: boolean;
}

/** The index beside a reference. */
export interface IndexState {
  path: string;
  bytes: number;
  /**
   * current: it answers for all rows; behind: for the first `rows` of them, the others are compared one by one;
   * unusable: it is of other rows, or damaged, and every row is compared.
   */
  state: 'current' | 'behind' | 'unusable';
  /** Flat, IVF,Flat, or another kind of FAISS's; null when it cannot be read. */
  kind: 'flat' | 'ivf' | 'other' | null;
  /** Rows that it answers for. */
  rows: number;
  metric: 'l2' | 'ip';
  /** Lists, and how many a search looks into; null where there are none. */
  nlist: number | null;
  nprobe: number | null;
  /** The part of the true neighbours that was found when it was built; null where that was not measured. */
  recall: number | null;
  /** Why it is not current, for people. */
  note: string | null;
}

/** What a reference holds. */
export interface ReferenceContents {
  /** Absolute. */
  directory: string;
  rows: number;
  dims: number;
  /** As the values are stored: float16, float32 or float64. */
  dtype: 'f2' | 'f4' | 'f8';
  /** bytes of array, metadata and index */
  bytes: number;
  /** In code-unit order. */
  datasets: string[];
  /** In the order of their rows. */
  runs: ReferenceRun[];
  /** False for a reference that another program wrote, and nobody adopted. */
  writtenByFirn: boolean;
  /** Null when there is none. */
  index: IndexState | null;
}

/** @throws FirnError missing when there is no reference in the directory, or one that cannot be read */
export async function referenceContents(port: ReadPort, directory: string): Promise<ReferenceContents> {
  const reference = await openReference(port, directory);
  try {
    const { files, facts, embeddings } = reference;
    const runs = runsOf(reference);
    const index = files.index === undefined ? null : await indexState(port, reference, files.index);
    const bytes = [files.embeddings, files.metadata].map((path) => port.stat(path)?.size ?? 0);
    return {
      directory,
      rows: embeddings.rows,
      dims: embeddings.dims,
      dtype: embeddings.dtype,
      bytes: bytes.reduce((sum, size) => sum + size, index?.bytes ?? 0),
      datasets: [...new Set(runs.map((run) => run.dataset))].sort(),
      runs,
      writtenByFirn: facts !== undefined,
      index,
    };
  } finally {
    await reference.close();
  }
}

function runsOf({ sources, facts }: OpenReference): ReferenceRun[] {
  const known = new Map(facts?.ranges.map((range) => [runName(range), range]) ?? []);
  const runs = new Map<string, ReferenceRun>();
  for (const { dataset, run_id, start, count } of sources) {
    const name = runName({ dataset, run_id });
    const before = runs.get(name);
    if (before !== undefined) {
      before.rows += count;
      continue;
    }
    const { version = null, retained = false } = known.get(name) ?? {};
    runs.set(name, { name, dataset, run: run_id, start, rows: count, version, retained });
  }
  return [...runs.values()];
}

async function indexState(port: ReadPort, reference: OpenReference, path: string): Promise<IndexState> {
  const base = { path, bytes: port.stat(path)?.size ?? 0 };
  let opened: ReferenceIndex;
  try {
    opened = await openReferenceIndex(port, reference);
  } catch (error) {
    if (!(error instanceof FirnError) && errnoOf(error) === undefined) throw error;
    const nothing = { kind: null, rows: 0, metric: 'l2', nlist: null, nprobe: null, recall: null } as const;
    return { ...base, state: 'unusable', ...nothing, note: messageOf(error) };
  }
  try {
    const { usable, metric, note } = opened;
    const { rows } = reference.embeddings;
    const header = opened.index?.header;
    const behind = `it lacks ${rows - usable} rows`;
    return {
      ...base,
      state: usable === rows ? 'current' : usable > 0 ? 'behind' : 'unusable',
      kind: header?.kind ?? null,
      rows: usable,
      metric,
      nlist: header?.kind === 'ivf' ? header.nlist : null,
      nprobe: header?.kind === 'ivf' ? header.nprobe : null,
      recall: recallIn(await readTrailer(port, path)),
      note: note ?? (usable > 0 && usable < rows ? behind : null),
    };
  } finally {
    await opened.close();
  }
}

function recallIn(trailer: { [name: string]: unknown } | undefined): number | null {
  const index = trailer?.index as { recall?: { measured?: unknown } } | undefined;
  const measured = index?.recall?.measured;
  return typeof measured === 'number' ? measured : null;
}
