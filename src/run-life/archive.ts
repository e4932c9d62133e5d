/**
 * Archiving runs: all files of a run are copied to another place and proven there, a stub says where they went, and only
 * then do they go here. Killed at any point, the files are here or there or both, and the same command goes on.
 */
import { isAbsolute, join, relative, resolve } from 'node:path';
import { FirnError } from '../errors.js';
import { nearestDirectory } from '../files/make-directory.js';
import type { DiskSpace, Port } from '../files/port.js';
import { cacheDirectory, type Project } from '../project.js';
import { expectNames, filterOf } from '../runs/choose.js';
import { byName, discoverRuns } from '../runs/discover.js';
import { selectRuns } from '../runs/select.js';
import { loadRegistry } from '../runs/versions.js';
import { type ArchiveItem, type ArchiveRequest, type ArrayFacts, type Job, jobOf } from './archive-job.js';
import { archiveOne, finishOne } from './archive-one.js';
import { type Life, locked, look } from './open.js';

export interface ArchiveResult {
  /** Absolute. */
  to: string;
  items: ArchiveItem[];
  /** Of the disk that they go to. */
  space: DiskSpace | undefined;
  /** Then archiving frees nothing. */
  sameDisk: boolean;
}

/** What archiving would do. Writes nothing. FirnError (usage) for what cannot be asked for. */
export function planArchive(request: ArchiveRequest): Promise<ArchiveResult> {
  return look(request, async (life) => resultOf(life, request, await jobsOf(life, request)));
}

/** Archives; runs that fail are in the result, and the others go on. */
export function archiveRuns(request: ArchiveRequest): Promise<ArchiveResult> {
  return locked(request, 'firn runs archive', async (life) => {
    const jobs = await jobsOf(life, request);
    for (const job of jobs) {
      request.signal.throwIfAborted();
      if (job.item.error !== undefined || job.item.state === 'archived') continue;
      try {
        await (job.stub === undefined
          ? archiveOne(job, job.array as ArrayFacts, life)
          : finishOne(job, job.stub, life));
        job.item.done = true;
      } catch (error) {
        if (request.signal.aborted) throw error;
        job.item.error = error;
      }
    }
    return resultOf(life, request, jobs);
  });
}

function resultOf(
  { project: { port, root, pipeline } }: Life,
  request: ArchiveRequest,
  jobs: Job[],
): ArchiveResult {
  const to = resolve(request.to);
  const space = port.space(nearestDirectory(port, to));
  const here = port.space(nearestDirectory(port, join(root, pipeline.runsDir)));
  return {
    to,
    items: jobs.map(({ item }) => item),
    space,
    sameDisk: space?.device === here?.device,
  };
}

async function jobsOf(life: Life, request: ArchiveRequest): Promise<Job[]> {
  const { project } = life;
  const { port, root, pipeline } = project;
  if (request.patterns.length === 0 && request.olderThan === undefined) {
    throw new FirnError('usage', 'name the runs to archive, or give --older-than');
  }
  if (request.to === '') throw new FirnError('usage', '--to is empty', { advice: 'Name a folder.' });
  expectArchive(project, resolve(request.to));
  const { runs, archived } = discoverRuns(port, join(root, pipeline.runsDir));
  const all = [...runs, ...archived].sort(byName);
  expectNames(request.patterns, all, pipeline.runsDir);
  const nowMs = project.now();
  const selected = selectRuns(all, filterOf(request, all), { versionOf: () => undefined, nowMs });
  const registry = loadRegistry(port, join(root, pipeline.versionsFile));
  const jobs: Job[] = [];
  for (const run of selected) {
    request.signal.throwIfAborted();
    jobs.push(await jobOf(life, request, run, { registry, nowMs }));
  }
  return jobs;
}

/** A copy in the runs folder would be a run, and what is in `cache/` may be deleted at any time. */
function expectArchive(project: Project, to: string): void {
  const { port, root, pipeline } = project;
  if ((port.stat(to)?.kind ?? 'directory') !== 'directory')
    throw new FirnError('usage', 'is no folder', { path: to });
  const there = realPathOf(port, to);
  for (const folder of [join(root, pipeline.runsDir), cacheDirectory(project)]) {
    const path = relative(realPathOf(port, folder), there);
    if (path.startsWith('..') || isAbsolute(path)) continue;
    throw new FirnError('usage', `lies in ${relative(root, folder)}, and an archive belongs elsewhere`, {
      path: to,
      advice: 'Name a folder on another disk.',
    });
  }
}

/** Where a path leads, as far as it is there. */
function realPathOf(port: Port, path: string): string {
  const there = nearestDirectory(port, path);
  return join(port.realPath(there) ?? there, relative(there, path));
}
