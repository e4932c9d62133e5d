/**
 * Which outputs may be removed because a build makes them again. What only firn still holds is spared: rows of runs that
 * are gone, a compressed copy whose original is gone, and files that are not as firn wrote them.
 */
import { dirname, join } from 'node:path';
import { journalIn, type OpenContext, openContext } from './engine/context.js';
import { outputDigest } from './engine/decide.js';
import type { Digests } from './engine/digests.js';
import { openRecovered } from './engine/plan.js';
import { acquireBuildLock, recover } from './engine/recover.js';
import type { RecordedOutput, StepRecord } from './engine/types.js';
import { cacheDirectory, engineOptions, type Project } from './project.js';
import { METADATA_FILE } from './reference/files.js';
import { runName } from './reference/layout.js';
import { readMetadata } from './reference/metadata.js';
import { NPY_FILE, NPZ_FILE } from './runs/discover.js';
import { runFile } from './runs/run-array.js';

export interface CleanItem {
  step: string;
  path: string;
  bytes: number;
  /** Why it stays; undefined when it may go. */
  spared: string | undefined;
}

export interface CleanOptions {
  signal: AbortSignal;
  /** Told once who holds the lock. */
  onWait: (holder: string) => void;
}

interface FoundItem extends CleanItem {
  output: RecordedOutput;
}

function told({ step, path, bytes, spared }: FoundItem): CleanItem {
  return { step, path, bytes, spared };
}

/** What cleaning the targets would remove. Writes nothing. */
export async function planClean(
  project: Project,
  targets: ReadonlySet<string>,
  signal: AbortSignal,
): Promise<CleanItem[]> {
  const open = openRecovered(engineOptions(project, { signal }));
  try {
    return (await listItems(project, targets, open, signal)).map(told);
  } finally {
    await open.workers.close();
  }
}

async function listItems(
  project: Project,
  targets: ReadonlySet<string>,
  { port, root, records, digests }: OpenContext,
  signal: AbortSignal,
): Promise<FoundItem[]> {
  const items: FoundItem[] = [];
  for (const step of project.graph.order) {
    signal.throwIfAborted();
    const record = records.of(step.id);
    if (!targets.has(step.target) || record === undefined) continue;
    const sparedStep = step.rule.immutable
      ? 'a release is kept until you remove it yourself'
      : await whyStepStays({ ...project, port }, record, digests);
    // What a step wrote elsewhere before its `out` changed is not made again by it.
    const current = new Set(step.outputs.map((output) => output.path));
    for (const output of record.outputs) {
      if (!current.has(output.path)) continue;
      const bytes = port.stat(join(root, output.path))?.size;
      if (bytes === undefined) continue;
      const spared = sparedStep ?? (await whyOutputStays(output, digests, signal));
      items.push({ step: step.id, path: output.path, bytes, spared, output });
    }
  }
  return items;
}

async function whyOutputStays(
  output: RecordedOutput,
  digests: Digests,
  signal: AbortSignal,
): Promise<string | undefined> {
  const found = await outputDigest(output, digests).catch(() => undefined);
  signal.throwIfAborted();
  return found?.digest === output.digest ? undefined : 'it is not as firn wrote it';
}

async function whyStepStays(
  project: Project,
  record: StepRecord,
  digests: Digests,
): Promise<string | undefined> {
  const { port, root } = project;
  for (const output of record.outputs) {
    const path = join(root, output.path);
    if (path.endsWith(`/${METADATA_FILE}`)) {
      const only = await onlyHere(project, path, digests);
      if (only === undefined) return 'its metadata cannot be read';
      if (only.length > 0) return `it holds the only copy of ${only.join(', ')}`;
    }
    if (path.endsWith(`/${NPZ_FILE}`) && port.stat(join(dirname(path), NPY_FILE)) === undefined) {
      return 'the original is gone and this copy is the run';
    }
    // What is beside the run would not be made again without its array.
    if (output.kind === 'run' && port.stat(path) === undefined && runFile(port, dirname(path)) !== undefined)
      return 'it belongs to a run whose compressed copy is the run by now';
  }
  return undefined;
}

/** The runs of a reference that are nowhere else here, whether a build has noticed yet or not; undefined when it cannot say. */
async function onlyHere(
  { port, root, pipeline }: Project,
  metadata: string,
  digests: Digests,
): Promise<string[] | undefined> {
  if (port.stat(metadata) === undefined) return [];
  const facts = await readMetadata(port, metadata).catch(() => undefined);
  if (facts === undefined) return undefined;
  const only: string[] = [];
  for (const range of facts.ranges) {
    const path = `${pipeline.runsDir}/${runName(range)}`;
    // The digest of an archived run is known, and its array is elsewhere.
    const away = range.retained || runFile(port, join(root, path)) === undefined;
    const there = away ? undefined : await digests.get({ kind: 'run', path }).catch(() => undefined);
    if (there === undefined) only.push(runName(range));
  }
  return only;
}

/** Removes what may go and nothing is told to build in the meantime; what was removed and what was spared. */
export async function clean(
  project: Project,
  targets: ReadonlySet<string>,
  { signal, onWait }: CleanOptions,
): Promise<CleanItem[]> {
  const { port, root } = project;
  const lock = await acquireBuildLock(port, cacheDirectory(project), {
    command: 'firn clean',
    onWait,
    signal,
  });
  try {
    const open = openContext(engineOptions(project, { signal }), false);
    const cache = cacheDirectory(project);
    const place = { ...open, cacheDirectory: cache, journalDirectory: journalIn(cache) };
    const unfinished = await recover(place, lock, project.graph.order);
    const removed: string[] = [];
    const folders = new Set<string>();
    let items: FoundItem[];
    try {
      items = await listItems(project, targets, open, signal);
      for (const item of items) {
        signal.throwIfAborted();
        if (unfinished.has(item.step)) item.spared = 'a build of it was cut off and cannot be completed yet';
        // Looking at all of them takes a while, in which somebody may have written to this one.
        item.spared ??= await whyOutputStays(item.output, open.digests, signal);
        if (item.spared !== undefined) continue;
        const path = join(root, item.path);
        await port.unlink(path);
        removed.push(item.path);
        folders.add(dirname(path));
      }
    } finally {
      await open.workers.close();
      await open.records.forget(removed);
      await open.records.close();
    }
    for (const folder of folders) {
      if (folder === root || port.list(folder).length > 0) {
        await port.syncDirectory(folder);
        continue;
      }
      await port.removeDirectory(folder);
      await port.syncDirectory(dirname(folder));
    }
    return items.map(told);
  } finally {
    await lock.release();
  }
}
