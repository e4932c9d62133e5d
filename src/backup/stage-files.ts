/**
 * The part of a backup that reads the project, while no build may change it: which files belong into the backup, which of
 * them are not in it as they are now, and copies of those in the staging folder of the bag. Gives no final names.
 */
import { dirname, join } from 'node:path';
import { atOnce } from '../at-once.js';
import { Digests } from '../engine/digests.js';
import { FileClock } from '../engine/file-clock.js';
import { errnoOf, FirnError } from '../errors.js';
import { linkOnTheWay } from '../files/inside.js';
import type { Port } from '../files/port.js';
import { CACHE_FOLDER } from '../pipeline/project-path.js';
import { digestersOf } from '../project.js';
import { reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import type { BackupRequest, BackupResult } from './backup.js';
import { compare } from './compare.js';
import { type Backup, type Held, payloadPath } from './destination.js';
import type { Extra } from './notes.js';
import { gatherSources, type Source, type Sources } from './sources.js';
import { stageFile } from './stage-file.js';
import { dropStaged, STAGING, stagedPath } from './switch.js';

export interface Work extends BackupRequest {
  workers: Workers;
}

/** What one backup knows so far. */
export interface State {
  /** As it is. */
  backup: Backup | undefined;
  include: Extra[];
  sources: Sources;
  /** As they will be, by path in the project; those of the project only. */
  files: Map<string, Held>;
  /** By path in the project: what is to be copied, and is staged unless this is a dry run. */
  staged: Map<string, Staged>;
  /** References and releases that stay in the backup as they are. */
  left: Set<string>;
  result: BackupResult;
}

export interface Staged {
  bytes: number;
  /** Read back and equal already. */
  verified: boolean;
}

/** Files whose copies wait for the disk side by side. */
const COPIES = 4;

/** Fills in `sources`, `files` and `staged`. What cannot be copied is among the problems of the result. */
export async function stageFiles(work: Work, state: State): Promise<void> {
  const include = new Set(state.include);
  const graph = include.has('inputs') || include.has('outputs') ? await work.loadGraph?.() : undefined;
  state.sources = gatherSources({ ...work, include, ...(graph === undefined ? {} : { graph }) });
  for (const one of state.sources.unusable) leaveOut(state, one, one.reason);
  const cache = join(work.root, CACHE_FOLDER, 'digests.jsonl');
  const digests = new Digests(work.port, work.root, digestersOf(work.root), cache, {
    ...work,
    save: work.dryRun !== true,
    clock: new FileClock(work.port, dirname(cache), work.dryRun === true ? work.now : undefined),
  });
  try {
    await compareAndCopy({ ...work, digests }, state);
  } finally {
    await digests.close();
  }
}

/** With the remembered digests of the project. */
export interface Reading extends Work {
  digests: Digests;
}

async function compareAndCopy(work: Reading, state: State): Promise<void> {
  const toCopy = await compareAll(work, state);
  if (work.dryRun === true) return;
  for (const source of toCopy) expectFreeName(work, state, source.path);
  if (toCopy.length === 0) return dropStaged(work.port, work.directory);
  await dropOthers(work.port, work.directory, new Set(toCopy.map(({ path }) => path)));
  expectRoom(work, state);
  const total = [...state.staged.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    work.onProgress({ phase: 'copying', done, total });
  };
  await atOnce(COPIES, toCopy, async (source) => {
    const outcome = await stageFile(work, source, onBytes);
    if ('held' in outcome) {
      state.staged.set(source.path, { bytes: outcome.held.note.size, verified: outcome.verified });
      state.files.set(source.path, outcome.held);
    } else if (outcome.problem !== undefined) leaveOut(state, source, outcome.problem);
    else state.staged.delete(source.path);
  });
}

/** Nothing of the file's group gets into the backup now; what is there of it stays. */
function leaveOut(state: State, { path, group }: Pick<Source, 'path' | 'group'>, message: string): void {
  state.result.problems.push({ path, message });
  state.staged.delete(path);
  const held = state.backup?.files.get(path);
  if (held !== undefined) state.files.set(path, held);
  if (group !== undefined) state.left.add(group);
}

async function compareAll(work: Reading, state: State): Promise<Source[]> {
  const toCopy: Source[] = [];
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    work.onProgress({ phase: 'comparing', done, total: undefined });
  };
  await atOnce(work.workers.size, state.sources.files, async (source) => {
    work.signal.throwIfAborted();
    const held = state.backup?.files.get(source.path);
    try {
      const found = await compare({ ...work, onBytes }, source, held);
      if (found.action === 'keep') state.files.set(source.path, { ...found, there: true });
      if (found.action !== 'copy') return;
      toCopy.push(source);
      state.staged.set(source.path, { bytes: found.bytes, verified: false });
      if (found.damaged) state.result.repaired.push(source.path);
    } catch (error) {
      if (errnoOf(error) === undefined || work.signal.aborted) throw error;
      leaveOut(state, source, `cannot be read: ${reasonOf(error)}`);
    }
  });
  return toCopy.sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
}

/** A disk may take two names for one, and what left the project may be in the way. */
function expectFreeName(
  { port, directory, prune = false }: Work,
  { backup, files }: State,
  path: string,
): void {
  const link = linkOnTheWay(port, directory, payloadPath(path));
  if (link !== undefined) {
    throw new FirnError('conflict', 'is a link, and a backup has none', {
      path: join(directory, link),
      advice: 'Somebody changed this backup: `firn verify` says more. Back up into another folder.',
    });
  }
  for (let at = payloadPath(path); at !== '.'; at = dirname(at)) {
    const stat = port.stat(join(directory, at));
    const isOwn = at === payloadPath(path) ? backup?.files.has(path) : stat?.kind === 'directory';
    if (stat === undefined || isOwn) continue;
    const leaving = [...(backup?.files.keys() ?? [])].filter((other) => !files.has(other));
    const inTheWay = leaving.find(
      (other) => payloadPath(other) === at || payloadPath(other).startsWith(`${at}/`),
    );
    if (inTheWay !== undefined && prune) continue;
    throw new FirnError('conflict', `is in the way of ${JSON.stringify(path)}`, {
      path: join(directory, at),
      advice:
        inTheWay === undefined
          ? 'firn did not put it there, or this disk takes two names for one: move it away, or rename the file.'
          : 'It left the project: `firn backup --prune` drops it.',
    });
  }
}

function expectRoom({ port, directory }: Work, state: State): void {
  const free = port.space(directory)?.free;
  if (free === undefined) return;
  const left = [...state.staged].reduce((sum, [path, { bytes }]) => {
    const there = port.stat(stagedPath(directory, payloadPath(path)));
    return sum + (there?.size === bytes ? roomFor(bytes) : 0);
  }, 0);
  if (roomNeeded(state) - left > free) throw noRoom(directory, roomNeeded(state), free);
}

const BLOCK = 4096;
/** bytes of a file's lines in all tag files */
const LINES = 600;
/** All of them are written anew. */
const TAG_FILES = 8;

function roomFor(bytes: number): number {
  return Math.ceil(bytes / BLOCK) * BLOCK;
}

/** About how many bytes of the disk an update takes before it gives up any. */
export function roomNeeded({ staged, sources }: State): number {
  const copies = [...staged.values()].reduce((sum, { bytes }) => sum + roomFor(bytes), 0);
  return copies + TAG_FILES * BLOCK + sources.files.length * LINES;
}

/** Both in bytes. */
export function noRoom(directory: string, needed: number, free: number): FirnError {
  return new FirnError(
    'failed',
    `the disk is full: about ${needed} bytes are needed beside what is there, and ${free} are free`,
    {
      path: directory,
      advice:
        'Nothing in the backup was changed: it is the one of last time. Make room, or use another disk.',
    },
  );
}

/** Copies that an earlier backup left, of files that are not to be copied now. */
async function dropOthers(port: Port, directory: string, wanted: ReadonlySet<string>): Promise<void> {
  const drop = async (folder: string): Promise<void> => {
    for (const { name, kind } of port.list(stagedPath(directory, payloadPath(folder)))) {
      const path = folder === '' ? name : `${folder}/${name}`;
      const at = stagedPath(directory, payloadPath(path));
      if (kind !== 'directory') {
        // A copy is a file: a link that somebody put there would be given its name.
        if (kind !== 'file' || !wanted.has(path)) await port.unlink(at);
      } else {
        await drop(path);
        if (port.list(at).length === 0) await port.removeDirectory(at);
      }
    }
  };
  // A link instead of the folder is found by name.
  if (linkOnTheWay(port, directory, STAGING) !== undefined) await dropStaged(port, directory);
  await drop('');
}
