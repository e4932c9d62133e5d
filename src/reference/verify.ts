/**
 * Whether the files of a reference are whole and speak of the same rows: array against metadata, each run against its
 * digest, index against array. Reads every byte; changes nothing. Knows no release.
 */
import { createHash } from 'node:crypto';
import { setImmediate } from 'node:timers/promises';
import { openArray } from '../arrays/open.js';
import { type ArrayReader, BYTES_OF } from '../arrays/types.js';
import { fileDigest } from '../engine/store.js';
import { FirnError, messageOf } from '../errors.js';
import { parseIndexHeader } from '../faiss/header.js';
import { holdsRows } from '../faiss/row-sums.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { ReadPort } from '../files/port.js';
import type { Finding } from '../finding.js';
import type { Workers } from '../workers/pool.js';
import type { ReferenceFiles } from './files.js';
import { layoutDigest, runName, startsOf } from './layout.js';
import { listsSequences, metadataText, type ReferenceFacts, readMetadata } from './metadata.js';
import { holdsRange } from './prove-rows.js';
import { readRowSources } from './row-sources.js';

export interface VerifyRequest {
  port: ReadPort;
  files: ReferenceFiles;
  workers: Workers;
  signal: AbortSignal;
  onProgress: (done: number, total: number, unit: string) => void;
  /** `sha256:` of files by path, where they were just taken. */
  taken?: ReadonlyMap<string, string>;
}

export interface VerifiedReference {
  findings: Finding[];
  /** What could not be compared, or is no mistake. */
  notes: string[];
  /** Undefined where the metadata does not tell. */
  facts: ReferenceFacts | undefined;
}

/** What is wrong; a check that cannot be made is a finding as well. Only an abort is thrown. */
export async function verifyReference(request: VerifyRequest): Promise<VerifiedReference> {
  const { port, files } = request;
  const check = new Check(request);
  const facts = await check.attempt(files.metadata, () => readMetadata(port, files.metadata));
  const array = await check.attempt(files.embeddings, () => openArray(port, files.embeddings));
  try {
    if (array !== undefined && facts !== undefined) {
      await check.attempt(files.embeddings, () => checkArray(check, array, facts));
      await check.attempt(files.metadata, () => checkText(check, facts));
    } else if (array !== undefined && check.findings.length === 0) {
      check.notes.push(
        'its metadata is not firn’s: it holds no digests, so only the number of rows was compared',
      );
      await check.attempt(files.metadata, () => checkForeign(check, array));
    }
    if (files.index !== undefined && array !== undefined) {
      const index = files.index;
      await check.attempt(index, () => checkIndex(check, { path: index, array, facts }));
    }
  } finally {
    await array?.close();
  }
  return { findings: check.findings, notes: check.notes, facts };
}

class Check {
  readonly findings: Finding[] = [];
  readonly notes: string[] = [];

  constructor(readonly request: VerifyRequest) {}

  add(path: string, problem: string): void {
    const inside = `${this.request.files.directory}/`;
    this.findings.push({ path: path.startsWith(inside) ? path.slice(inside.length) : path, problem });
  }

  /** What the work gives; what it throws is a finding about `path`. */
  async attempt<T>(path: string, work: () => Promise<T>): Promise<T | undefined> {
    this.request.signal.throwIfAborted();
    try {
      return await work();
    } catch (error) {
      if (this.request.signal.aborted) throw error;
      const own = error instanceof FirnError;
      this.add(
        own ? (error.path ?? path) : path,
        own ? error.message : `cannot be read: ${messageOf(error)}`,
      );
      return undefined;
    }
  }

  digestOf(path: string): Promise<string> {
    const { port, workers, signal, taken } = this.request;
    const known = taken?.get(path);
    return known === undefined ? fileDigest(port, path, { workers, signal }) : Promise.resolve(known);
  }
}

async function checkArray(check: Check, array: ArrayReader, facts: ReferenceFacts): Promise<void> {
  const { path, rows, dims, dtype } = array;
  const said = startsOf(facts.ranges)[facts.ranges.length];
  if (rows !== said) check.add(path, `has ${rows} rows, and its metadata speaks of ${said}`);
  if (dims !== facts.dims)
    check.add(path, `has ${dims} dimensions, and its metadata speaks of ${facts.dims}`);
  if (dtype !== facts.dtype) check.add(path, `holds ${dtype}, and its metadata speaks of ${facts.dtype}`);
  if (facts.trainedRows !== undefined && facts.trainedRows > rows)
    check.add(path, `has fewer rows than its index is trained on (${facts.trainedRows})`);
  if ((await check.digestOf(path)) !== facts.embeddings)
    check.add(path, 'is not the array that its metadata names');
  if (rows !== said || dims !== facts.dims) return;
  const { signal, workers, onProgress } = check.request;
  const options = { signal, workers, onRow: (row: number) => onProgress(row, array.rows, 'rows') };
  let start = 0;
  for (const range of facts.ranges) {
    if (BYTES_OF[range.dtype] > BYTES_OF[dtype] || !(await holdsRange(array, range, start, options))) {
      check.add(
        path,
        `does not hold the values of ${runName(range)} in rows ${start} to ${start + range.count - 1}`,
      );
    }
    start += range.count;
  }
}

/** The whole text follows from what firn reads of it: totals, first rows, the list of sequences. */
async function checkText(check: Check, facts: ReferenceFacts): Promise<void> {
  const { port, files, signal } = check.request;
  const sequences = await listsSequences(port, files.metadata);
  const hash = createHash('sha256');
  for (const text of metadataText(facts, { sequences, signal })) {
    hash.update(text);
    // A text of many rows would keep the program from answering.
    await setImmediate();
  }
  if ((await check.digestOf(files.metadata)) === `sha256:${hash.digest('hex')}`) return;
  check.notes.push(
    'its metadata was written anew by another program; its list of sequences was compared by value',
  );
  const ranges = facts.ranges.filter(({ count }) => count > 0);
  const sources = await readRowSources(port, files.metadata).catch((error: unknown) => {
    if (error instanceof FirnError && error.message === 'lists no rows') return undefined;
    throw error;
  });
  if (sources === undefined) return;
  const same =
    sources.length === ranges.length &&
    sources.every(
      (source, i) =>
        source.seqIdx === 0 && source.count === ranges[i].count && runName(source) === runName(ranges[i]),
    );
  if (!same) check.add(files.metadata, 'lists sequences that are not those of its runs');
}

async function checkForeign(check: Check, array: ArrayReader): Promise<void> {
  const { port, files } = check.request;
  const rows = (await readRowSources(port, files.metadata)).reduce((sum, { count }) => sum + count, 0);
  if (rows !== array.rows)
    check.add(files.metadata, `speaks of ${rows} rows, and ${array.path} has ${array.rows}`);
}

interface IndexCheck {
  path: string;
  array: ArrayReader;
  facts: ReferenceFacts | undefined;
}

async function checkIndex(check: Check, { path, array, facts }: IndexCheck): Promise<void> {
  const { port, workers, signal, onProgress } = check.request;
  const trailer = await readTrailer(port, path);
  const handle = await port.open(path);
  try {
    // Throws when lists and counts do not add up.
    const header = await parseIndexHeader(handle);
    if (trailer?.firn !== 1)
      check.add(path, 'does not say of which rows it is: firn did not write it, or its end is gone');
    else checkTrailer(check, path, trailer, array, facts);
    if (header.kind === 'other') {
      check.notes.push(
        `the vectors of the index were not compared: it is ${header.what}, which only FAISS reads`,
      );
      return;
    }
    const { rows, dims } = header;
    if (rows !== array.rows) check.add(path, `holds ${rows} vectors, and the array has ${array.rows} rows`);
    if (dims !== array.dims) check.add(path, `has ${dims} dimensions, and the array ${array.dims}`);
    if (rows !== array.rows || dims !== array.dims) return;
    let done = 0;
    const onRows = (count: number): void => {
      done += count;
      onProgress(done, 2 * rows, 'vectors');
    };
    if (!(await holdsRows(handle, header, array, { workers, signal, onRows })))
      check.add(path, 'holds other vectors than the rows of the array');
  } finally {
    await handle.close();
  }
}

function checkTrailer(
  check: Check,
  path: string,
  trailer: Trailer,
  array: ArrayReader,
  facts: ReferenceFacts | undefined,
): void {
  if (trailer.rows !== array.rows)
    check.add(path, `says it is of ${trailer.rows} rows, and the array has ${array.rows}`);
  if (facts === undefined) return;
  if (trailer.embeddings !== facts.embeddings) check.add(path, 'says it was made from another array');
  if (trailer.layout !== null && trailer.layout !== layoutDigest(facts.ranges))
    check.add(path, 'says it is of other runs');
  const index = trailer.index as { training?: { rows?: number } } | undefined;
  const trained = index?.training?.rows;
  if (trained !== undefined && trained !== (facts.trainedRows ?? array.rows))
    check.add(
      path,
      `was trained on ${trained} rows, and its metadata says ${facts.trainedRows ?? array.rows}`,
    );
}
