/** Releases for other programs: made, listed and verified as `firn release`, `releases` and `verify` do. */
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { FirnError } from '../errors.js';
import { disk } from '../files/disk.js';
import { CACHE_FOLDER, openProject, projectPlaces } from '../project.js';
import { readFields } from '../release/fields.js';
import { referenceMeant } from '../release/find.js';
import { listReleases } from '../release/list.js';
import { DEFAULT_NAME } from '../release/names.js';
import { defaultReference, takeRelease } from '../release/take.js';
import { whyBehind } from '../release/up-to-date.js';
import { directoryMeant, type VerifyReport, verifyDirectory } from '../verify.js';
import { Workers } from '../workers/pool.js';

/** How to make a release. */
export interface ReleaseOptions {
  /** A directory, or the target that makes it; the only reference, or `data/reference`, unless told. */
  reference?: string;
  /** What stands before the tag in names (`reference`). */
  name?: string;
  /** `2024-11-30`, where neither the tag nor the names of runs tell it. The environment is not looked at. */
  date?: string;
  /** Terms of FAIRe and MIxS for the crate. */
  fields?: { [term: string]: unknown };
  /** Also write it as one file beside it. */
  archive?: 'tar.gz' | 'zip';
  signal?: AbortSignal;
  /** How far a phase is; `unit` tells phases apart. */
  onProgress?: (done: number, total: number, unit: string) => void;
  /** Told once who works in the project and is waited for. */
  onWait?: (holder: string) => void;
}

/** A release that was made, or stood there already. */
export interface ReleaseResult {
  tag: string;
  name: string;
  date: string;
  /** Absolute. */
  directory: string;
  /** It stood there already, with this very content. */
  existed: boolean;
  rows: number;
  runs: number;
  dims: number;
  /** Model versions of its runs. */
  versions: string[];
  hasIndex: boolean;
  /** Of all its files. */
  bytes: number;
  archive: { path: string; bytes: number; sha256: string } | null;
  /** What a person should know: odd fields, a reference that a build would change. */
  warnings: string[];
}

/** A release as its head describes it; null where that cannot be read. */
export interface ReleaseInfo {
  tag: string;
  name: string;
  /** Absolute. */
  directory: string;
  date: string | null;
  rows: number | null;
  runs: number | null;
  dims: number | null;
  versions: string[];
  hasIndex: boolean;
  bytes: number;
  /** Names of files that are gone. */
  missing: string[];
  /** Why its metadata cannot be read, for people. */
  problem: string | null;
}

/** How to verify. */
export interface VerifyOptions {
  /** Make it again from the runs on disk, and compare. */
  rebuild?: boolean;
  signal?: AbortSignal;
  onProgress?: (done: number, total: number, unit: string) => void;
}

export async function listedReleases(directory: string): Promise<ReleaseInfo[]> {
  return listReleases(disk, await projectPlaces(directory));
}

export async function makeRelease(
  directory: string,
  tag: string,
  options: ReleaseOptions,
): Promise<ReleaseResult> {
  const { name = DEFAULT_NAME, date, archive, signal = new AbortController().signal } = options;
  const places = await projectPlaces(directory);
  const reference =
    options.reference === undefined
      ? defaultReference(places)
      : await referenceMeant(disk, places, options.reference);
  const { fields, warnings } = readFields(options.fields);
  const behind = await behindBy(directory, reference, signal);
  if (behind !== undefined)
    warnings.push(`a build would change this reference (${behind}); the release holds what stands there`);
  const { files: _files, ...release } = await takeRelease({
    ...places,
    port: disk,
    reference,
    name,
    tag,
    date,
    fields,
    archive,
    signal,
    onProgress: options.onProgress ?? (() => undefined),
    onWait: options.onWait ?? (() => undefined),
  });
  const packed = release.archive;
  return {
    ...release,
    archive: packed === undefined ? null : { path: packed.path, bytes: packed.bytes, sha256: packed.sha256 },
    warnings,
  };
}

/** Where the pipeline cannot be expanded now, nobody can tell. */
async function behindBy(
  directory: string,
  reference: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  try {
    return await whyBehind(await openProject({ directory }), reference, signal);
  } catch (error) {
    if (error instanceof FirnError) return undefined;
    throw error;
  }
}

export async function verify(directory: string, text: string, options: VerifyOptions): Promise<VerifyReport> {
  const places = await projectPlaces(directory, disk, { anywhere: true });
  const cache = join(places.root, CACHE_FOLDER);
  const meant = await directoryMeant(disk, places, text);
  const workers = new Workers();
  try {
    return await verifyDirectory({
      port: disk,
      directory: meant,
      runsDir: join(places.root, places.pipeline.runsDir),
      scratch: disk.stat(cache)?.kind === 'directory' ? cache : tmpdir(),
      rebuild: options.rebuild ?? false,
      workers,
      signal: options.signal ?? new AbortController().signal,
      onProgress: options.onProgress ?? (() => undefined),
    });
  } finally {
    await workers.close();
  }
}
