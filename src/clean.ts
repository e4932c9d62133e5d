/**
 * Which outputs may be removed because a build makes them again. What only firn still holds is spared: rows of runs that
 * are gone, a compressed copy whose original is gone, and files that are not as firn wrote them.
 */
import { dirname, join } from 'node:path';
import { Digests } from './engine/digests.js';
import { outputDigest } from './engine/decide.js';
import { acquireLock } from './engine/lock.js';
import { Records } from './engine/records.js';
import type { StepRecord } from './engine/types.js';
import { cacheDirectory, type Project } from './project.js';
import { METADATA_FILE } from './reference/files.js';
import { runName } from './reference/layout.js';
import { readMetadata } from './reference/metadata.js';
import { NPY_FILE, NPZ_FILE } from './runs/discover.js';

export interface CleanItem {
  step: string;
  path: string;
  bytes: number;
  /** Why it stays; undefined when it may go. */
  spared: string | undefined;
}

/** What cleaning the targets would remove. Writes nothing. */
export async function planClean(project: Project, targets: ReadonlySet<string>): Promise<CleanItem[]> {
  const { port, root, now } = project;
  const cache = cacheDirectory(project);
  const records = new Records(port, join(cache, 'records.jsonl'));
  const digests = new Digests(port, root, project.digesters, join(cache, 'digests.jsonl'), { save: false, now });
  const items: CleanItem[] = [];
  for (const step of project.graph.order) {
    const record = records.of(step.id);
    if (!targets.has(step.target) || record === undefined) continue;
    const sparedStep = await whyStepStays(project, record);
    for (const output of record.outputs) {
      const bytes = port.stat(join(root, output.path))?.size;
      if (bytes === undefined) continue;
      const found = await outputDigest(output, digests).catch(() => undefined);
      const spared = sparedStep ?? (found?.digest === output.digest ? undefined : 'it is not as firn wrote it');
      items.push({ step: step.id, path: output.path, bytes, spared });
    }
  }
  return items;
}

async function whyStepStays(project: Project, record: StepRecord): Promise<string | undefined> {
  const { port, root } = project;
  for (const output of record.outputs) {
    const path = join(root, output.path);
    if (path.endsWith(`/${METADATA_FILE}`)) {
      const facts = await readMetadata(port, path).catch(() => undefined);
      const retained = facts?.ranges.filter((range) => range.retained) ?? [];
      if (retained.length > 0) return `it holds the only copy of ${retained.map(runName).join(', ')}`;
    }
    if (path.endsWith(`/${NPZ_FILE}`) && port.stat(join(dirname(path), NPY_FILE)) === undefined) {
      return 'the original is gone and this copy is the run';
    }
  }
  return undefined;
}

/** Removes what the plan lets go. Bytes freed. */
export async function clean(project: Project, items: readonly CleanItem[], signal: AbortSignal): Promise<number> {
  const cache = cacheDirectory(project);
  const lock = await acquireLock(project.port, join(cache, 'lock'), { command: 'firn clean', onWait: () => undefined, signal });
  try {
    let freed = 0;
    const folders = new Set<string>();
    for (const item of items) {
      signal.throwIfAborted();
      if (item.spared !== undefined) continue;
      const path = join(project.root, item.path);
      await project.port.unlink(path);
      folders.add(dirname(path));
      freed += item.bytes;
    }
    for (const folder of folders) {
      if (project.port.list(folder).length === 0) await project.port.removeDirectory(folder);
      else await project.port.syncDirectory(folder);
    }
    return freed;
  } finally {
    await lock.release();
  }
}
