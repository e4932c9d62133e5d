/** What the releases of a project hold, from their heads: no array is read. */
import { join } from 'node:path';
import { errnoOf, messageOf } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { startsOf } from '../reference/layout.js';
import { readMetadata } from '../reference/metadata.js';
import { reasonOf } from '../system-errors.js';
import { missingFiles } from './check-files.js';
import { versionsIn } from './description.js';
import { type FoundRelease, findReleases, type ReleasePlaces, stemIn } from './find.js';
import { filesIn } from './names.js';

export interface ListedRelease extends FoundRelease {
  /** What its metadata says; null when that cannot be read. */
  date: string | null;
  rows: number | null;
  runs: number | null;
  dims: number | null;
  /** Model versions of its runs. */
  versions: string[];
  hasIndex: boolean;
  /** Of all its files. */
  bytes: number;
  /** Files that SHA256SUMS names and that are gone. Whether the others are as they were only `verify` tells. */
  missing: string[];
  /** Why its metadata cannot be read. */
  problem: string | null;
}

/** By date, and then by name; those without a date come first. */
export async function listReleases(port: ReadPort, places: ReleasePlaces): Promise<ListedRelease[]> {
  const listed: ListedRelease[] = [];
  for (const found of await findReleases(port, places)) listed.push(await describe(port, found));
  const order = (release: ListedRelease): string => `${release.date ?? ''}\0${release.directory}`;
  return listed.sort((a, b) => (order(a) < order(b) ? -1 : order(a) > order(b) ? 1 : 0));
}

const UNKNOWN = { date: null, rows: null, runs: null, dims: null, versions: [] };

async function describe(port: ReadPort, found: FoundRelease): Promise<ListedRelease> {
  try {
    return await lookInto(port, found);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    const problem = `cannot be read: ${reasonOf(error)}`;
    return { ...found, ...UNKNOWN, hasIndex: false, bytes: 0, missing: [], problem };
  }
}

async function lookInto(port: ReadPort, found: FoundRelease): Promise<ListedRelease> {
  const { directory } = found;
  const stem = stemIn(port, directory);
  const files = filesIn(stem);
  const entries = port.list(directory).filter(({ kind }) => kind === 'file');
  const bytes = entries.reduce((sum, { name }) => sum + (port.stat(join(directory, name))?.size ?? 0), 0);
  const common = {
    ...found,
    hasIndex: entries.some(({ name }) => name === files.index),
    bytes,
    missing: missingFiles(port, directory, stem),
  };
  try {
    const facts = await readMetadata(port, join(directory, files.metadata));
    if (facts === undefined) return { ...common, ...UNKNOWN, problem: null };
    return {
      ...common,
      date: facts.release?.date ?? null,
      rows: startsOf(facts.ranges)[facts.ranges.length],
      runs: facts.ranges.length,
      dims: facts.dims,
      versions: versionsIn(facts),
      problem: null,
    };
  } catch (error) {
    return { ...common, ...UNKNOWN, problem: messageOf(error) };
  }
}
