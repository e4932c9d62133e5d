/**
 * The cache of a project: what of it nothing needs any more. Stored outputs serve going back to an
 * earlier state, so what some record could still restore is needed, unless it was not used for longer than people say.
 * Nothing outside `cache/` is touched, and nothing in it that is not firn's.
 */
import { join } from 'node:path';
import { expectOwn, foreignIn, isUnfinished } from './cache-contents.js';
import { type OpenContext, openContext } from './engine/context.js';
import { openRecovered } from './engine/plan.js';
import { acquireBuildLock } from './engine/recover.js';
import type { StepRecord } from './engine/types.js';
import type { ReadPort } from './files/port.js';
import { removeTree, unlinkIfThere } from './files/remove.js';
import { TEMPORARY_PREFIX } from './files/temporary.js';
import { cacheDirectory, engineOptions, type Project } from './project.js';

const DAY_MS = 86_400_000;
/** Of processes that want the lock; the lock itself looks after them. */
const WANTS_LOCK = `${TEMPORARY_PREFIX}lock-`;

export interface Garbage {
  /** Absolute path, and why it is not needed. */
  objects: { path: string; bytes: number; why: string }[];
  /** Unfinished files and folders of killed programs. */
  leftovers: { path: string; bytes: number }[];
  /** Of steps that are gone, or that can restore nothing. */
  records: StepRecord[];
  /** Ids of digests that are remembered in vain. */
  digests: string[];
  foreign: string[];
}

export interface GarbageOptions {
  /** Stored outputs that were not used for so long go as well, in milliseconds. */
  olderThanMs?: number | undefined;
  signal: AbortSignal;
}

/** What `collectGarbage` would remove. Writes nothing. */
export async function findGarbage(project: Project, options: GarbageOptions): Promise<Garbage> {
  expectOwn(project);
  const context = openRecovered(engineOptions(project, { signal: options.signal }));
  try {
    return garbageIn(project, context, options);
  } finally {
    await context.workers.close();
  }
}

/** Removes it, while no build runs; what was removed. */
export async function collectGarbage(
  project: Project,
  options: GarbageOptions & { onWait: (holder: string) => void },
): Promise<Garbage> {
  const { port } = project;
  const { signal, onWait } = options;
  const cache = expectOwn(project);
  const lock = await acquireBuildLock(port, cache, { command: 'firn cache gc', onWait, signal });
  try {
    // What a dead build had decided lies outside of the cache: the next build completes it.
    const garbage = await findGarbage(project, options);
    const context = openContext(engineOptions(project, { signal }), true);
    try {
      // Records first: one without its objects restores nothing, objects without a record are only in the way.
      if (garbage.records.length > 0) await context.records.drop(garbage.records);
      if (garbage.digests.length > 0) await context.digests.forget(garbage.digests);
      for (const { path } of garbage.objects) {
        signal.throwIfAborted();
        await unlinkIfThere(port, path);
      }
      for (const { path } of garbage.leftovers) {
        if (port.stat(path)?.kind === 'directory') await removeTree(port, path);
        else await unlinkIfThere(port, path);
      }
    } finally {
      await context.workers.close();
      await context.digests.close();
      await context.records.close();
    }
    return garbage;
  } finally {
    await lock.release();
  }
}

function garbageIn(
  project: Project,
  { records, digests, store, port, root }: OpenContext,
  { olderThanMs, signal }: GarbageOptions,
): Garbage {
  signal.throwIfAborted();
  const cache = cacheDirectory(project);
  const steps = new Map(project.graph.order.map((step) => [step.id, step]));
  const isThere = (path: string): boolean => port.stat(join(root, path)) !== undefined;
  // The steps that made archived runs are not in the pipeline until these come back.
  const away = new Set(
    project.archived.map(({ dataset, run }) => `${project.pipeline.runsDir}/${dataset}/${run}`),
  );
  const isAway = ({ path }: { path: string }): boolean => away.has(path.slice(0, path.lastIndexOf('/')));
  const stored = store.objects();
  const removed = new Map<string, string>();
  const oldest = olderThanMs === undefined ? undefined : BigInt(project.now() - olderThanMs) * 1_000_000n;
  const latest = records.all();
  // Of an output that is not there as it was recorded, the stored copy may be the only one.
  const only = new Set(
    latest.flatMap((record) =>
      record.outputs
        .filter(
          (output) =>
            digests.recall(output.kind === 'file' ? output : runOf(output.path))?.digest !== output.digest,
        )
        .map((output) => output.stored ?? output.digest),
    ),
  );
  for (const { digest, used } of stored) {
    if (oldest !== undefined && used < oldest && !only.has(digest)) removed.set(digest, 'not used for long');
  }
  const has = new Set(stored.map(({ digest }) => digest).filter((digest) => !removed.has(digest)));
  const dropped: StepRecord[] = [];
  const needed = new Set<string>();
  for (const [id, history] of records.histories()) {
    const step = steps.get(id);
    for (const [i, record] of history.entries()) {
      const isLatest = i === history.length - 1;
      // A file that a step of a former pipeline wrote is firn's by this record only.
      const proves = records.isWriter(record) && record.outputs.some(({ path }) => isThere(path));
      const restores =
        step !== undefined &&
        step.rule.stored !== false &&
        record.outputs.every((output) => has.has(output.stored ?? output.digest));
      const isKept = isLatest && (step !== undefined || holdsRetained(record) || record.outputs.some(isAway));
      if (!isKept && !proves && !restores) dropped.push(record);
      else for (const output of record.outputs) needed.add(output.stored ?? output.digest);
    }
  }
  for (const { digest } of stored)
    if (!removed.has(digest) && !needed.has(digest)) removed.set(digest, 'no record needs it');
  let bytes = 0;
  for (const { digest, size } of stored) if (!removed.has(digest)) bytes += size;
  for (const { digest, size } of [...stored].sort((a, b) =>
    a.used < b.used ? -1 : a.used > b.used ? 1 : 0,
  )) {
    if (bytes <= project.pipeline.cacheLimit) break;
    if (removed.has(digest) || only.has(digest)) continue;
    removed.set(digest, 'beyond the limit');
    bytes -= size;
  }
  return {
    objects: stored
      .filter(({ digest }) => removed.has(digest))
      .map(({ digest, path, size }) => ({ path, bytes: size, why: removed.get(digest) as string })),
    leftovers: leftoversIn(project, cache, store.leftovers()),
    records: dropped,
    digests: digests.stale(),
    foreign: foreignIn(port, cache),
  };
}

/** Of a reference with rows of runs that are gone: where its files are lost as well, the stored copy is all there is. */
function holdsRetained({ state }: StepRecord): boolean {
  const ranges = (state as { ranges?: { retained?: boolean }[] } | null | undefined)?.ranges;
  return Array.isArray(ranges) && ranges.some((range) => range?.retained === true);
}

/** As the digest of a run is asked for: by its folder. */
function runOf(path: string): { kind: string; path: string } {
  return { kind: 'run', path: path.slice(0, path.lastIndexOf('/')) };
}

/**
 * Half copies of objects go at once: they are only made under the lock. What else is unfinished may be another program's
 * that needs no lock, so it goes when nothing in it has changed for a day.
 */
function leftoversIn(
  { port, now }: Project,
  cache: string,
  copies: readonly { path: string; size: number }[],
): Garbage['leftovers'] {
  const before = BigInt(now() - DAY_MS) * 1_000_000n;
  const found = copies.map(({ path, size }) => ({ path, bytes: size }));
  for (const entry of port.list(cache)) {
    const { name } = entry;
    if (!isUnfinished(entry) || name.startsWith(WANTS_LOCK)) continue;
    const path = join(cache, name);
    const { bytes, changed } = weigh(port, path);
    if (changed < before) found.push({ path, bytes });
  }
  return found;
}

/** Bytes of a file or of all below a folder, and when anything of it last changed. */
function weigh(port: ReadPort, path: string): { bytes: number; changed: bigint } {
  const stat = port.stat(path);
  let bytes = stat?.kind === 'file' ? stat.size : 0;
  let changed = stat?.mtimeNs ?? 0n;
  for (const { name, kind } of stat?.kind === 'directory' ? port.list(path) : []) {
    if (kind === 'link') continue;
    const inner = weigh(port, join(path, name));
    bytes += inner.bytes;
    if (inner.changed > changed) changed = inner.changed;
  }
  return { bytes, changed };
}
