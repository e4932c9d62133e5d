/**
 * A reference directory, opened for questions: which run a row came from, and where a run's rows are. Reads the ranges of
 * firn's own metadata, or the row list of another program's. Knows no index.
 */
import { openArray } from '../arrays/open.js';
import type { ArrayReader } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { findReference, type ReferenceFiles } from './files.js';
import { rangeAt, startsOf } from './layout.js';
import { type ReferenceFacts, readMetadata } from './metadata.js';
import { type RowSource, readRowSources } from './row-sources.js';

/** Where a row came from. */
export interface RowOrigin {
  dataset: string;
  run_id: string;
  seq_idx: number;
  source_file: string;
}

export interface OpenReference {
  files: ReferenceFiles;
  /** Undefined when another program wrote the metadata. */
  facts: ReferenceFacts | undefined;
  embeddings: ArrayReader;
  /** Which rows came from where, in the order of rows; a run may have several pieces. */
  sources: readonly RowSource[];
  originOf(row: number): RowOrigin;
  /** Names (`dataset/run`) in the order of their first rows. */
  runs(): string[];
  /** The rows `from`..`to` that hold a run, in pieces when it does not stand together. */
  rowsOf(run: string): { from: number; to: number; seqIdx: number }[];
  close(): Promise<void>;
}

/** Throws FirnError when there is no reference, or its array and metadata do not belong together. */
export async function openReference(port: ReadPort, directory: string): Promise<OpenReference> {
  const files = findReference(port, directory);
  const facts = await readMetadata(port, files.metadata);
  const sources = facts === undefined ? await readRowSources(port, files.metadata) : sourcesOf(facts);
  const embeddings = await openArray(port, files.embeddings);
  const starts = startsOf(sources);
  const rows = starts[sources.length];
  if (rows !== embeddings.rows) {
    await embeddings.close();
    throw new FirnError(
      'conflict',
      `speaks of ${rows} rows, but ${files.embeddings} has ${embeddings.rows}`,
      {
        path: files.metadata,
        advice: 'The two files are of different states. Build the reference again, or restore both together.',
      },
    );
  }
  return {
    files,
    facts,
    embeddings,
    sources,
    originOf(row) {
      const i = rangeAt(starts, row);
      if (i === undefined) throw new FirnError('usage', `there is no row ${row}`, { path: files.embeddings });
      const { dataset, run_id, start, seqIdx, source_file } = sources[i];
      return { dataset, run_id, seq_idx: row - start + seqIdx, source_file };
    },
    runs: () => [...new Set(sources.map(nameOfSource))],
    rowsOf(run) {
      return sources
        .filter((source) => nameOfSource(source) === run)
        .map(({ start, count, seqIdx }) => ({ from: start, to: start + count, seqIdx }));
    },
    close: () => embeddings.close(),
  };
}

function nameOfSource({ dataset, run_id }: RowSource): string {
  return `${dataset}/${run_id}`;
}

function sourcesOf(facts: ReferenceFacts): RowSource[] {
  const starts = startsOf(facts.ranges);
  return facts.ranges.map((range, i) => ({
    dataset: range.dataset,
    run_id: range.run_id,
    start: starts[i],
    count: range.count,
    seqIdx: 0,
    source_file: `${range.dataset}/${range.run_id}/embeddings.npy`,
  }));
}
