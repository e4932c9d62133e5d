/**
 * The reference that a release is made of: what its metadata says, and whether array, metadata and index speak of the same
 * rows. Reads heads only; digests are taken of the copies.
 */
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import { readIndexHeader } from '../faiss/header.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { ReadPort } from '../files/port.js';
import { findReference, type ReferenceFiles } from '../reference/files.js';
import { startsOf } from '../reference/layout.js';
import { listsSequences, type ReferenceFacts, readMetadata } from '../reference/metadata.js';

export interface Source {
  files: ReferenceFiles;
  /** As a release has them: where the runs are now is no matter of it, so none is marked as retained. */
  facts: ReferenceFacts;
  rows: number;
  /** Whether the metadata lists every row. */
  sequences: boolean;
  /** What firn noted behind the index; undefined when there is no index. */
  index: Trailer | undefined;
}

/** @throws FirnError when there is no reference, another program wrote it, or its files are of different states */
export async function readSource(port: ReadPort, directory: string): Promise<Source> {
  const files = findReference(port, directory);
  const facts = await readMetadata(port, files.metadata);
  if (facts === undefined) {
    throw new FirnError('usage', 'was not written by firn, and does not say what its rows are', {
      path: files.metadata,
      advice: 'Take the reference over with `firn adopt` first.',
    });
  }
  if (facts.release !== undefined) {
    throw new FirnError('usage', `is the release ${facts.release.tag} already`, { path: directory });
  }
  const rows = startsOf(facts.ranges)[facts.ranges.length];
  const array = await openArray(port, files.embeddings);
  await array.close();
  if (array.rows !== rows || array.dims !== facts.dims || array.dtype !== facts.dtype) {
    throw ofTwoStates(
      files.embeddings,
      `is ${array.rows} x ${array.dims} ${array.dtype}, its metadata says ${rows} x ${facts.dims} ${facts.dtype}`,
    );
  }
  const index = files.index === undefined ? undefined : await readIndex(port, files.index, facts, rows);
  const sequences = await listsSequences(port, files.metadata);
  return { files, facts: asReleased(facts), rows, sequences, index };
}

/** The facts of a reference as those of a release of it. */
export function asReleased({ release: _release, ...facts }: ReferenceFacts): ReferenceFacts {
  return { ...facts, ranges: facts.ranges.map((range) => ({ ...range, retained: false })) };
}

async function readIndex(
  port: ReadPort,
  path: string,
  facts: ReferenceFacts,
  rows: number,
): Promise<Trailer> {
  const header = await readIndexHeader(port, path);
  const trailer = await readTrailer(port, path);
  if (trailer?.firn !== 1) {
    throw new FirnError('conflict', 'was not written by firn, and does not say of which rows it is', {
      path,
      advice: 'Move it away, and build an index: `firn build`.',
    });
  }
  const indexed = header.kind === 'other' ? trailer.rows : header.rows;
  if (trailer.embeddings !== facts.embeddings || indexed !== rows) {
    throw ofTwoStates(path, `is of ${indexed} other rows than the reference beside it has`);
  }
  return trailer;
}

function ofTwoStates(path: string, problem: string): FirnError {
  return new FirnError('conflict', problem, { path, advice: 'Bring both to one state: `firn build`.' });
}
