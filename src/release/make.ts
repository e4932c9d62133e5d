/**
 * Making a release: filled beside its place, closed for writing and put there in one rename. A release that stands is never
 * written over. Whoever calls it holds the project's lock; knows no pipeline and no terminal.
 */
import { join } from 'node:path';
import { errnoOf, FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import type { ReferenceFacts } from '../reference/metadata.js';
import { adviceFor, reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { impliedDate, isDate } from './date.js';
import { versionsIn } from './description.js';
import type { Fields } from './fields.js';
import { fillRelease } from './fill.js';
import { CRATE_FILE, olderNames, type ReleaseFiles, releaseFiles, SUMS_FILE } from './names.js';
import { ReleasePlace, underFinalName } from './place.js';
import { readSource, type Source } from './source.js';
import { expectSame } from './standing.js';

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
    const bytes = await fillRelease(request, { source, files, date, staging: place.staging });
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

/** What the system refuses, with the bytes it takes and the name that the release was to get. */
function forPeople(error: unknown, place: ReleasePlace, { files }: Source): unknown {
  if (error instanceof FirnError) return underFinalName(error, place.staging, place.final);
  const errno = errnoOf(error);
  if (errno === undefined) return error;
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
