/**
 * Making a release: the files of a reference copied and read back, described, checksummed, closed for writing and put in
 * their place in one rename. A release that stands is never written over. Whoever calls it holds the project's lock; knows
 * no pipeline and no terminal.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { openArray } from '../arrays/open.js';
import { copyFile } from '../copy-file.js';
import { fileDigest } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import { parseIndexHeader } from '../faiss/header.js';
import { holdsRows } from '../faiss/row-sums.js';
import type { Port } from '../files/port.js';
import { FIRN_VERSION } from '../firn-version.js';
import { metadataText, type ReferenceFacts, writeMetadata } from '../reference/metadata.js';
import { adviceFor, reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { crateOf } from './crate.js';
import { impliedDate, isDate } from './date.js';
import { type Description, type ReleasedFile, versionsIn } from './description.js';
import type { Fields } from './fields.js';
import { CRATE_FILE, olderNames, type ReleaseFiles, releaseFiles, SUMS_FILE } from './names.js';
import { ReleasePlace } from './place.js';
import { readSource, type Source } from './source.js';
import { expectSame } from './standing.js';
import { statementOf } from './statement.js';
import { formatSums } from './sums.js';

export interface ReleaseRequest {
  port: Port;
  /** The directory of the reference, absolute. */
  reference: string;
  /** The folder that is to hold the release, absolute. */
  folder: string;
  /** What stands before the tag in names. */
  name: string;
  tag: string;
  /** ISO 8601; taken from the tag or the names of the runs when nobody says it. */
  date?: string | undefined;
  fields?: Fields | undefined;
  /** Model versions that the registry knows: version -> model. */
  models: ReadonlyMap<string, string>;
  /** SHA-256 of pipeline.yaml, in hexadecimal. */
  pipeline?: string | undefined;
  /** What the files have to be (`sha256:`), where somebody digested them before; null for an index that must not be. */
  expected?: { embeddings: string; index: string | null };
  workers: Workers;
  signal: AbortSignal;
  /** bytes copied, and read back */
  onProgress: (done: number, total: number) => void;
}

export interface Release {
  /** Absolute. */
  directory: string;
  name: string;
  tag: string;
  date: string;
  files: ReleaseFiles;
  rows: number;
  runs: number;
  dims: number;
  versions: string[];
  hasIndex: boolean;
  bytes: number;
  /** It stood there already, with this very content. */
  existed: boolean;
}

/**
 * @throws FirnError `usage` for a tag or date that is none, `missing` without a reference, `conflict` when the tag stands
 *   for something else or the reference's files are of different states, `failed` when the disk refuses
 */
export async function makeRelease(request: ReleaseRequest): Promise<Release> {
  const { port, name, tag, folder } = request;
  const files = releaseFiles(name, tag);
  if (request.date !== undefined && !isDate(request.date)) {
    throw new FirnError('usage', `"${request.date}" is no date`, { advice: 'Write it as 2024-11-30.' });
  }
  const source = await readSource(port, request.reference);
  const place = new ReleasePlace(port, folder, files.directory);
  if (isTaken(port, folder, files.directory)) {
    const { date, bytes } = await expectSame(request, source, files);
    return summary(request, source, files, { date, bytes, existed: true });
  }
  const date = request.date ?? dateOf(tag, source.facts);
  try {
    await place.open();
    const bytes = await fill(request, { source, files, date, staging: place.staging });
    await place.place(
      names(files, source.index !== undefined),
      olderNames(files, source.index !== undefined),
    );
    return summary(request, source, files, { date, bytes, existed: false });
  } catch (error) {
    await place.discard().catch(() => undefined);
    throw forPeople(error, place, source);
  }
}

/** Also by a link that leads nowhere. */
function isTaken(port: Port, folder: string, name: string): boolean {
  return (
    port.stat(join(folder, name)) !== undefined || port.list(folder).some((entry) => entry.name === name)
  );
}

function names(files: ReleaseFiles, hasIndex: boolean): string[] {
  const { embeddings, index, metadata, statement } = files;
  return [embeddings, ...(hasIndex ? [index] : []), metadata, CRATE_FILE, statement, SUMS_FILE];
}

function dateOf(tag: string, facts: ReferenceFacts): string {
  const date = impliedDate(
    tag,
    facts.ranges.map(({ run_id }) => run_id),
  );
  if (date !== undefined) return date;
  throw new FirnError(
    'usage',
    `nothing tells the date of the release ${tag}: neither the tag nor the name of a run`,
    {
      advice: 'Say it: `--date 2024-11-30` (in pipeline.yaml `date: 2024-11-30`), or set SOURCE_DATE_EPOCH.',
    },
  );
}

interface Filling {
  source: Source;
  files: ReleaseFiles;
  date: string;
  staging: string;
}

/** Writes every file of the release, synced and read back; how many bytes they have. */
async function fill(request: ReleaseRequest, { source, files, date, staging }: Filling): Promise<number> {
  const { port, name, tag, expected } = request;
  const facts: ReferenceFacts = { ...source.facts, release: { name, tag, date } };
  const progress = progressOf(request, source);
  const copy = async (from: string, to: string, digest: string): Promise<ReleasedFile> => {
    const { workers, signal } = request;
    const copied = await copyFile(port, from, join(staging, to), { workers, signal, onBytes: progress });
    if (copied.digest !== digest) throw changed(from);
    return { name: to, bytes: copied.bytes, sha256: hex(copied.digest), was: baseOf(from) };
  };
  if (expected !== undefined) {
    const hasIndex = source.index !== undefined;
    if (expected.embeddings !== facts.embeddings || (expected.index !== null) !== hasIndex)
      throw changed(source.files.embeddings);
  }
  const embeddings = await copy(source.files.embeddings, files.embeddings, facts.embeddings);
  const index =
    source.index === undefined || source.files.index === undefined
      ? undefined
      : await copy(
          source.files.index,
          files.index,
          expected?.index ?? (await digestOf(request, source.files.index)),
        );
  if (index !== undefined)
    await expectIndexOf(request, join(staging, index.name), join(staging, embeddings.name));
  const described = { facts, sequences: source.sequences };
  const metadata = {
    ...(await writeDescribedMetadata(request, join(staging, files.metadata), described)),
    name: files.metadata,
    was: baseOf(source.files.metadata),
  };
  const release: Description = {
    name,
    tag,
    date,
    facts,
    index: source.index,
    data: { embeddings, metadata, index },
    models: modelsOf(request, facts),
    fields: request.fields ?? {},
    pipeline: request.pipeline,
    firnVersion: FIRN_VERSION,
  };
  const write = async (to: string, text: string): Promise<ReleasedFile> =>
    writeProven(port, join(staging, to), to, text);
  const data = [embeddings, ...(index === undefined ? [] : [index]), metadata];
  const crate = await write(CRATE_FILE, jsonText(crateOf(release)));
  const statement = await write(files.statement, jsonText(statementOf(release, [...data, crate])));
  const all = [...data, crate, statement];
  const sums = await write(SUMS_FILE, formatSums(all));
  request.signal.throwIfAborted();
  return [...all, sums].reduce((sum, file) => sum + file.bytes, 0);
}

/** No digest is recorded of an index but in the cache: its vectors are compared with the rows they are said to be. */
async function expectIndexOf(
  { port, workers, signal }: ReleaseRequest,
  path: string,
  array: string,
): Promise<void> {
  const embeddings = await openArray(port, array);
  try {
    const handle = await port.open(path);
    try {
      const header = await parseIndexHeader(handle);
      if (header.kind === 'other') return;
      const fits = header.dims === embeddings.dims;
      if (fits && (await holdsRows(handle, header, embeddings, { workers, signal }))) return;
      throw new FirnError('conflict', 'holds other vectors than the rows of the array', {
        path,
        advice:
          'Nothing was released. Remove the index beside the reference and build it anew: `firn build`.',
      });
    } finally {
      await handle.close();
    }
  } finally {
    await embeddings.close();
  }
}

function progressOf({ port, onProgress }: ReleaseRequest, { files }: Source): (bytes: number) => void {
  const sizes = [files.embeddings, ...(files.index === undefined ? [] : [files.index])].map(
    (path) => port.stat(path)?.size ?? 0,
  );
  // Each is copied and read back.
  const total = 2 * sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress(Math.min(done, total), total);
  };
}

export function digestOf(
  { port, workers, signal }: Pick<ReleaseRequest, 'port' | 'workers' | 'signal'>,
  path: string,
): Promise<string> {
  return fileDigest(port, path, { workers, signal });
}

/** The registry may know versions that no run here has. */
function modelsOf({ models }: ReleaseRequest, facts: ReferenceFacts): Map<string, string> {
  return new Map(
    versionsIn(facts).flatMap((version) => {
      const model = models.get(version);
      return model === undefined ? [] : [[version, model] as const];
    }),
  );
}

async function writeDescribedMetadata(
  { port, workers, signal }: ReleaseRequest,
  path: string,
  { facts, sequences }: { facts: ReferenceFacts; sequences: boolean },
): Promise<{ bytes: number; sha256: string }> {
  await writeMetadata(port, path, facts, { sequences, signal });
  const hash = createHash('sha256');
  for (const text of metadataText(facts, { sequences, signal })) hash.update(text);
  const sha256 = hash.digest('hex');
  if (hex(await fileDigest(port, path, { workers, signal })) !== sha256) throw notAsWritten(path);
  return { bytes: port.stat(path)?.size ?? 0, sha256 };
}

async function writeProven(port: Port, path: string, name: string, text: string): Promise<ReleasedFile> {
  const bytes = Buffer.from(text, 'utf8');
  const handle = await port.create(path);
  try {
    await handle.write(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (hex(await fileDigest(port, path)) !== sha256) throw notAsWritten(path);
  return { name, bytes: bytes.length, sha256 };
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function hex(digest: string): string {
  return digest.replace(/^sha256:/, '');
}

function baseOf(path: string): string {
  return path.slice(path.lastIndexOf('/') + 1);
}

export function changed(path: string): FirnError {
  return new FirnError('conflict', 'is not what its metadata says, or changed while it was copied', {
    path,
    advice: 'Nothing was released. `firn build` brings the reference to one state.',
  });
}

function notAsWritten(path: string): FirnError {
  return new FirnError('failed', 'reads back other than it was written', {
    path,
    advice: 'Look at the disk.',
  });
}

/** What the system refuses, with the bytes it takes and the name that the release was to get. */
function forPeople(error: unknown, place: ReleasePlace, { files }: Source): unknown {
  if (error instanceof FirnError && error.path?.startsWith(place.staging)) {
    const { kind, message, advice, cause } = error;
    const path = place.final + error.path.slice(place.staging.length);
    return new FirnError(kind, message, { path, ...(advice === undefined ? {} : { advice }), cause });
  }
  const errno = errnoOf(error);
  if (errno === undefined || error instanceof FirnError) return error;
  const full = errno === 'ENOSPC' || errno === 'EDQUOT';
  const advice = full
    ? `Make room: it takes as much as ${files.directory}, once more.`
    : (adviceFor(error) ?? 'Nothing was released; try again.');
  return new FirnError('failed', `could not be made: ${reasonOf(error)}`, {
    path: place.final,
    advice,
    cause: error,
  });
}

function summary(
  { folder, name, tag }: ReleaseRequest,
  { facts, rows, index }: Source,
  files: ReleaseFiles,
  { date, bytes, existed }: { date: string; bytes: number; existed: boolean },
): Release {
  return {
    directory: join(folder, files.directory),
    name,
    tag,
    date,
    files,
    rows,
    runs: facts.ranges.length,
    dims: facts.dims,
    versions: versionsIn(facts),
    hasIndex: index !== undefined,
    bytes,
    existed,
  };
}
