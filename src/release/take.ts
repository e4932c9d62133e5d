/**
 * Taking a release in a project: under its lock, so that no build changes the reference meanwhile, and after whatever a
 * killed build had decided is complete. Prints nothing.
 */
import { dirname, join, relative, sep } from 'node:path';
import { journalIn, recordsIn } from '../engine/context.js';
import { Records } from '../engine/records.js';
import { acquireBuildLock, completeCommits } from '../engine/recover.js';
import { fileDigest } from '../engine/store.js';
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import type { Pipeline } from '../pipeline/load.js';
import { CACHE_FOLDER, PIPELINE_FILE } from '../pipeline/project-path.js';
import { DEFAULT_REFERENCE } from '../reference/files.js';
import { listVersions, loadRegistry } from '../runs/versions.js';
import { Workers } from '../workers/pool.js';
import { type Archive, type ArchiveKind, writeArchive } from './archive.js';
import type { Fields } from './fields.js';
import { type ReleasePlaces, releasesFolderOf } from './find.js';
import { makeRelease, type Release } from './make.js';
import { sweepReleases } from './place.js';

export interface TakeRequest {
  port: Port;
  /** Absolute. */
  root: string;
  pipeline: ReleasePlaces['pipeline'] & Pick<Pipeline, 'versionsFile'>;
  /** The directory of the reference, absolute. */
  reference: string;
  name: string;
  tag: string;
  date?: string | undefined;
  fields?: Fields | undefined;
  archive?: ArchiveKind | undefined;
  signal: AbortSignal;
  /** `unit` tells the phases apart. */
  onProgress: (done: number, total: number, unit: string) => void;
  /** Told once who holds the lock. */
  onWait: (holder: string) => void;
}

export interface Taken extends Release {
  archive: Archive | undefined;
}

/** @throws FirnError as `makeRelease` and `writeArchive` do */
export async function takeRelease(request: TakeRequest): Promise<Taken> {
  const { port, root, pipeline, reference, signal, onWait, onProgress } = request;
  const cache = join(root, CACHE_FOLDER);
  const lock = await acquireBuildLock(port, cache, { command: 'firn release', onWait, signal });
  const workers = new Workers();
  try {
    const records = new Records(port, recordsIn(cache));
    await completeCommits({ port, root, journalDirectory: journalIn(cache), records });
    await records.close();
    const folder = releasesFolderOf(reference, request);
    expectNoLink(port, root, folder);
    await sweepReleases(port, folder);
    const release = await makeRelease({
      ...request,
      folder,
      models: modelsIn(port, join(root, pipeline.versionsFile)),
      pipeline: await pipelineDigest(port, root),
      workers,
      onProgress: (done, total) => onProgress(done, total, 'bytes'),
    });
    const archive =
      request.archive === undefined
        ? undefined
        : await writeArchive({
            port,
            directory: release.directory,
            stem: release.files.directory,
            kind: request.archive,
            date: release.date,
            workers,
            signal,
            onProgress: (done, total) => onProgress(done, total, 'bytes packed'),
          });
    return { ...release, archive };
  } finally {
    await workers.close();
    await lock.release();
  }
}

/** Below a link in the project, a folder that nobody named would be changed. */
function expectNoLink(port: Port, root: string, folder: string): void {
  if (!folder.startsWith(root + sep)) return;
  let there = folder;
  while (there !== root && port.stat(there) === undefined) there = dirname(there);
  const real = port.realPath(root);
  const leads = port.realPath(there);
  if (real === undefined || leads === undefined || leads === join(real, relative(root, there))) return;
  throw new FirnError('conflict', `leads to ${leads}, through a link`, {
    path: folder,
    advice: 'Nothing is written through links. Name another folder: `releases` in pipeline.yaml.',
  });
}

/** version -> model, as the registry at `path` says. */
export function modelsIn(port: Port, path: string): Map<string, string> {
  return new Map(listVersions(loadRegistry(port, path)).map(({ version, model }) => [version, model]));
}

/** SHA-256 of pipeline.yaml, in hexadecimal; undefined without one. */
export async function pipelineDigest(port: Port, root: string): Promise<string | undefined> {
  const path = join(root, PIPELINE_FILE);
  if (port.stat(path)?.kind !== 'file') return undefined;
  return (await fileDigest(port, path)).replace('sha256:', '');
}

/**
 * The reference that is meant when nobody names one: the only one that a target makes, or `data/reference`.
 * @throws FirnError `usage` when there are several others
 */
export function defaultReference({ root, pipeline }: ReleasePlaces): string {
  const targets = [...(pipeline.targets?.values() ?? [])].filter(({ rule }) => rule.name === 'consolidate');
  const outs = targets.flatMap(({ out }) => out);
  if (outs.length === 0 || outs.includes(DEFAULT_REFERENCE)) return join(root, DEFAULT_REFERENCE);
  if (outs.length === 1) return join(root, outs[0]);
  throw new FirnError('usage', `there are ${outs.length} references`, {
    path: PIPELINE_FILE,
    advice: `Name one: --reference ${targets.map(({ name }) => name).join(' or --reference ')}.`,
  });
}
