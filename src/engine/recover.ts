/**
 * What a killed build left behind: commits that were decided are completed, everything else that it had begun is
 * dropped. Also how the disk looks once that is done, for a plan that may change nothing. Knows no rule.
 */
import { basename, dirname, join } from 'node:path';
import type { DirectoryEntry, Port } from '../files/port.js';
import { removeHalfWritten, removeTree, unlinkIfThere } from '../files/remove.js';
import { isTemporary } from '../files/temporary.js';
import { type CommitPlace, finishCommit, type PendingCommit, pendingCommits } from './commit.js';
import { lockIn } from './context.js';
import { acquireLock, type Lock, type LockOptions, removeLock } from './lock.js';
import { removeLeftovers } from './stage.js';
import type { Store } from './store.js';
import type { Step } from './types.js';

/** By step: why its commit could not be completed. Such a step fails until that is mended; others are not its concern. */
export type Unfinished = ReadonlyMap<string, unknown>;

export interface RecoverPlace extends CommitPlace {
  /** Absolute. */
  cacheDirectory: string;
  store: Store;
}

/** In `cache/`: the lock of a dead build was taken away, or one could not clean up; what it left is still to be looked for. */
export const UNSWEPT = 'unswept';

/** For whoever has just got the lock. A dead build may have left something beside the outputs of the pipeline's `steps`. */
export async function recover(
  place: RecoverPlace,
  lock: Pick<Lock, 'tookOver'>,
  steps: readonly Step[],
): Promise<Unfinished> {
  const { port, cacheDirectory } = place;
  const unfinished = await completeCommits(place);
  // Hints are written without the lock as well; one that goes away under its writer is written another time.
  await removeHalfWritten(port, cacheDirectory);
  const mark = join(cacheDirectory, UNSWEPT);
  if (lock.tookOver || port.stat(mark) !== undefined) {
    await sweepStages(place, steps);
    await place.store.removeLeftovers();
    await unlinkIfThere(port, mark);
  }
  return unfinished;
}

/**
 * Removes the staging folders beside the outputs of `steps`, before any step of this build has one. Programs may outlive
 * the build that started them, and make theirs again when the lock has long been taken over or released.
 */
export async function sweepStages(
  { port, root, journalDirectory }: Pick<RecoverPlace, 'port' | 'root' | 'journalDirectory'>,
  steps: readonly Step[],
): Promise<void> {
  const pending = pendingCommits(port, journalDirectory);
  const needed = new Set(pending.flatMap(({ moves }) => moves.map(({ from }) => join(root, dirname(from)))));
  await removeLeftovers(port, root, steps, needed);
}

/** For whatever changes what builds make. Waits until nobody else does. */
export function acquireBuildLock(
  port: Port,
  cacheDirectory: string,
  options: Omit<LockOptions, 'mark'>,
): Promise<Lock> {
  return acquireLock(port, lockIn(cacheDirectory), { ...options, mark: join(cacheDirectory, UNSWEPT) });
}

/** For `firn unlock`: takes the lock of a build away that is gone, or held to be when it is `force`d. */
export function unlock(port: Port, cacheDirectory: string, force: boolean): Promise<void> {
  return removeLock(port, lockIn(cacheDirectory), force, join(cacheDirectory, UNSWEPT));
}

/** The next build looks for what a dead one left. */
export async function markUnswept(port: Port, cacheDirectory: string): Promise<void> {
  const path = join(cacheDirectory, UNSWEPT);
  if (port.stat(path) === undefined) await (await port.create(path)).close();
}

/** Completes what was decided. Journals that cannot be read were never decided, and go. */
export async function completeCommits(place: CommitPlace): Promise<Unfinished> {
  const { port, root, journalDirectory } = place;
  const unfinished = new Map<string, unknown>();
  const pending = new Map(pendingCommits(port, journalDirectory).map((commit) => [commit.path, commit]));
  for (const { name } of port.list(journalDirectory)) {
    const path = join(journalDirectory, name);
    const commit = pending.get(path);
    try {
      if (commit !== undefined) await finishCommit(place, commit);
    } catch (error) {
      unfinished.set((commit as PendingCommit).record.step, error);
      continue;
    }
    for (const folder of new Set(commit?.moves.map((move) => dirname(move.from)))) {
      if (isTemporary(basename(folder))) await removeTree(port, join(root, folder));
    }
    await unlinkIfThere(port, path);
  }
  return unfinished;
}

/** The disk as it will be when these commits are complete: reading only, nothing is moved. */
export function afterCommits(port: Port, root: string, pending: readonly PendingCommit[]): Port {
  const stagedAt = new Map<string, string>();
  for (const { from, to } of pending.flatMap(({ moves }) => moves)) {
    const staged = join(root, from);
    if (port.stat(staged) !== undefined) stagedAt.set(join(root, to), staged);
  }
  if (stagedAt.size === 0) return port;
  const at = (path: string): string => stagedAt.get(path) ?? path;
  const view: Partial<Port> = {
    stat: (path) => port.stat(at(path)),
    realPath: (path) => port.realPath(at(path)),
    readText: (path, limit) => port.readText(at(path), limit),
    open: (path) => port.open(at(path)),
    list(path) {
      const entries = new Map(port.list(path).map((entry) => [entry.name, entry]));
      for (const to of stagedAt.keys()) {
        const name = basename(to);
        if (dirname(to) === path) entries.set(name, { name, kind: 'file' } satisfies DirectoryEntry);
      }
      return [...entries.values()].sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
    },
  };
  return Object.assign(Object.create(port) as Port, view);
}
