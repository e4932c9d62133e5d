/**
 * A release that stands under its name already: whether it is the one that is asked for. The same arrays, rows, date and
 * fields are the same release; that another firn would describe them in other words does not make it another.
 */
import { join } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { startsOf } from '../reference/layout.js';
import { type ReferenceFacts, readMetadata } from '../reference/metadata.js';
import { checkFiles } from './check-files.js';
import type { Fields } from './fields.js';
import { changed, digestOf } from './fill.js';
import type { ReleaseRequest } from './make.js';
import { filesIn, type ReleaseFiles } from './names.js';
import { asReleased, type Source } from './source.js';
import { readStatement, type Statement } from './statement.js';

/** A statement about a release of 10,000 runs has 3 MB. */
const STATEMENT_LIMIT = 256 * 1024 * 1024;

export interface Standing {
  statement: Statement;
  facts: ReferenceFacts;
}

export interface Wanted {
  /** Undefined: whatever it is. */
  date: string | undefined;
  fields: Fields | undefined;
  /** As released. */
  facts: ReferenceFacts;
  /** `sha256:` of the index; undefined without one. */
  index: string | undefined;
}

/** Undefined when what is there cannot be read as a release of that name. */
export async function readStanding(
  port: ReadPort,
  directory: string,
  stem: string,
): Promise<Standing | undefined> {
  const { statement, metadata } = filesIn(stem);
  try {
    const text = port.readText(join(directory, statement), STATEMENT_LIMIT);
    const read = text === undefined ? undefined : readStatement(text);
    const facts = await readMetadata(port, join(directory, metadata));
    return read === undefined || facts?.release === undefined
      ? undefined
      : { statement: read, facts: asReleased(facts) };
  } catch {
    return undefined;
  }
}

/** In what a standing release differs from the one that is asked for, for people; empty when it is that one. */
export function differences({ statement, facts }: Standing, wanted: Wanted, stem: string): string[] {
  const found: string[] = [];
  const now = wanted.facts;
  const given = statement.predicate.buildDefinition.externalParameters;
  if (facts.embeddings !== now.embeddings) found.push(`rows (${sizeOf(facts)}, now ${sizeOf(now)})`);
  else if (textOf(facts) !== textOf(now)) found.push('what is known of the runs (names, versions)');
  const { index } = filesIn(stem);
  const indexed = statement.subject.find(({ name }) => name === index)?.digest.sha256;
  if (indexed !== wanted.index?.replace(/^sha256:/, '')) found.push('index');
  if (wanted.date !== undefined && wanted.date !== given.date)
    found.push(`date (${given.date}, now ${wanted.date})`);
  if (wanted.fields !== undefined && fieldsText(wanted.fields) !== fieldsText(given.fields))
    found.push('fields');
  return found;
}

function sizeOf({ ranges }: ReferenceFacts): string {
  return `${startsOf(ranges)[ranges.length]} of ${ranges.length} runs`;
}

function textOf({ ranges, dims, dtype, trainedRows }: ReferenceFacts): string {
  const rows = ranges.map(({ dataset, run_id, count, digest, dtype: of, version }) => [
    dataset,
    run_id,
    count,
    digest,
    of,
    version,
  ]);
  return JSON.stringify([rows, dims, dtype, trainedRows ?? null]);
}

function fieldsText(fields: Fields | undefined): string {
  const entries = Object.entries(fields ?? {});
  return JSON.stringify(entries.sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0)));
}

/**
 * Expects that the release which stands under this name is the one asked for, and whole: every file of both is read.
 * @throws FirnError `conflict` when it is another one, damaged, or none at all
 */
export async function expectSame(
  request: ReleaseRequest,
  source: Source,
  files: ReleaseFiles,
): Promise<{ date: string; bytes: number }> {
  const { port, folder, tag, workers, signal, onProgress } = request;
  const directory = join(folder, files.directory);
  const standing = await readStanding(port, directory, files.directory);
  if (standing === undefined) throw unreadable(directory);
  const index = source.files.index === undefined ? undefined : await digestOf(request, source.files.index);
  const embeddings = await digestOf(request, source.files.embeddings);
  if (embeddings !== source.facts.embeddings) throw changed(source.files.embeddings);
  const wanted = { date: request.date, fields: request.fields, facts: source.facts, index };
  const others = differences(standing, wanted, files.directory);
  if (others.length > 0) throw otherContent(directory, tag, others);
  let done = 0;
  const total = [files.embeddings, files.index, files.metadata]
    .map((name) => port.stat(join(directory, name))?.size ?? 0)
    .reduce((sum, size) => sum + size, 0);
  const onBytes = (bytes: number): void => {
    done += bytes;
    onProgress(Math.min(done, total), total);
  };
  const checked = await checkFiles(port, directory, files.directory, { workers, signal, onBytes });
  const [damage] = checked.findings;
  if (damage !== undefined) {
    throw new FirnError('conflict', `is there already, and is damaged: ${damage.path} ${damage.problem}`, {
      path: directory,
      advice: '`firn verify` tells all of it. Move it away, and release it again.',
    });
  }
  // It may have got its name just before the power went.
  await port.syncDirectory(folder);
  const { date } = standing.statement.predicate.buildDefinition.externalParameters;
  return { date, bytes: checked.bytes };
}

export function unreadable(directory: string): FirnError {
  return new FirnError('conflict', 'is there already, and cannot be read as a release', {
    path: directory,
    advice: 'Move it away, or choose another tag.',
  });
}

/** For a tag that stands for something else. */
export function otherContent(directory: string, tag: string, others: readonly string[]): FirnError {
  return new FirnError(
    'conflict',
    `is there already with another content; what differs: ${others.join('; ')}`,
    {
      path: directory,
      advice: `A release never changes. Choose a new tag instead of ${tag}.`,
    },
  );
}
