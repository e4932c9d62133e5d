/** A project whose runs are about to be moved: no build reads them meanwhile. Knows no command. */
import { journalIn, type OpenContext, openContext } from '../engine/context.js';
import { openRecovered } from '../engine/plan.js';
import { acquireBuildLock, recover } from '../engine/recover.js';
import { disk } from '../files/disk.js';
import type { Port } from '../files/port.js';
import { cacheDirectory, engineOptions, openProject, type Project } from '../project.js';
import { type ProjectReference, readReferences } from './references.js';
import { type StepsOfRun, stepsOfRuns } from './steps.js';

export interface LifeOptions {
  /** The folder of pipeline.yaml. */
  directory: string;
  port?: Port;
  signal: AbortSignal;
  now?: () => number;
  /** Told once who holds the lock. */
  onWait?: (holder: string) => void;
  /** `done` of `total` bytes of what is done to a run. */
  onProgress?: (run: string, doing: string, done: number, total: number) => void;
}

/** What commands that move runs are given. */
export interface Life {
  project: Project;
  open: OpenContext;
  options: LifeOptions;
  references: readonly ProjectReference[];
  /** What steps have to do with a run, by its name. */
  stepsOf: (name: string) => StepsOfRun;
}

async function lifeOf(project: Project, open: OpenContext, options: LifeOptions): Promise<Life> {
  const { root, pipeline, graph } = project;
  const references = await readReferences(open.port, root, pipeline);
  return { project, open, options, references, stepsOf: stepsOfRuns(graph, pipeline.runsDir) };
}

/** To look only: nothing is written, and what a killed build had decided counts as done. */
export async function look<T>(options: LifeOptions, work: (life: Life) => Promise<T>): Promise<T> {
  const project = await openProject(options);
  const open = openRecovered(engineOptions(project, { signal: options.signal }));
  try {
    return await work(await lifeOf(project, open, options));
  } finally {
    await open.workers.close();
  }
}

/** With the lock, and over the disk as it is once a killed build is completed. */
export async function locked<T>(
  options: LifeOptions,
  command: string,
  work: (life: Life) => Promise<T>,
): Promise<T> {
  const { port = disk, signal, onWait = () => undefined } = options;
  // What is wrong with the request shows before anybody waits.
  const before = await openProject(options);
  const cache = cacheDirectory(before);
  const lock = await acquireBuildLock(port, cache, { command, onWait, signal });
  try {
    const first = openContext(engineOptions(before, { signal }), false);
    const place = { ...first, cacheDirectory: cache, journalDirectory: journalIn(cache) };
    try {
      await recover(place, lock, before.graph.order);
    } finally {
      await first.records.close();
      await first.workers.close();
    }
    const project = await openProject(options);
    const open = openContext(engineOptions(project, { signal }), false);
    try {
      return await work(await lifeOf(project, open, options));
    } finally {
      await open.workers.close();
    }
  } finally {
    await lock.release();
  }
}

/** With the lock alone, for what has to work while no target can be expanded. */
export async function lockedFolder<T>(
  options: LifeOptions,
  cache: string,
  command: string,
  work: () => Promise<T>,
): Promise<T> {
  const { port = disk, signal, onWait = () => undefined } = options;
  const lock = await acquireBuildLock(port, cache, { command, onWait, signal });
  try {
    return await work();
  } finally {
    await lock.release();
  }
}
