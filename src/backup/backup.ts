/**
 * Backing up a project: what changed is copied into a staging folder of the bag, read back and compared, and then given its
 * names together with new tag files (switch.ts). Until then the bag is the one of last time, and valid. Prints nothing.
 */
import { dirname, join, relative } from 'node:path';
import { atOnce } from '../at-once.js';
import type { StepGraph } from '../engine/graph.js';
import { holdProject } from '../engine/hold.js';
import { acquireLock } from '../engine/lock.js';
import { fileDigests } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port } from '../files/port.js';
import { CACHE_FOLDER } from '../pipeline/project-path.js';
import { releasesFolders } from '../release/find.js';
import { Workers } from '../workers/pool.js';
import { checkRetained } from './check-retained.js';
import { ALGORITHMS, BAG_LOCK, checkDestination, isBelow, payloadPath, readBackup } from './destination.js';
import { judgeGroups } from './judge-groups.js';
import type { Extra, Notes } from './notes.js';
import { isUpToDate, settle } from './settle.js';
import { gatherSources, type SourcesRequest } from './sources.js';
import { noRoom, roomNeeded, type State, stageFiles, type Work } from './stage-files.js';
import { completeSwitch, decideSwitch, dropStaged, isUnfinished, stagedPath } from './switch.js';
import { stageTagFiles } from './tag-files.js';
import { verifyBag } from './verify-bag.js';

export interface BackupRequest {
  port: Port;
  /** Of the project, absolute. */
  root: string;
  /** How the backup tells the project from others; its folder unless told. */
  project?: string;
  pipeline: SourcesRequest['pipeline'];
  /** The steps of the pipeline; asked for when `inputs` or `outputs` are backed up. */
  loadGraph?: () => Promise<StepGraph>;
  /** Of the bag, absolute. */
  directory: string;
  /** What is backed up besides the rest; undefined for what the bag holds already. */
  include?: readonly Extra[];
  /** Files that are no longer in the project leave the backup. */
  prune?: boolean;
  /** Every file is read, here and in the backup. */
  check?: boolean;
  /** The backup is of this project, though of another folder. */
  takeOver?: boolean;
  /** Says what would be done, and writes nothing. */
  dryRun?: boolean;
  now: () => number;
  signal: AbortSignal;
  onProgress: (progress: BackupProgress) => void;
  /** Told once who holds a lock that is waited for, and where that is. */
  onWait: (holder: string, lock: string) => void;
}

export interface BackupProgress {
  phase: 'comparing' | 'copying' | 'verifying';
  /** bytes; how many there are to compare is known only afterwards */
  done: number;
  total: number | undefined;
}

export interface BackupResult {
  /** Paths in the project, in order. */
  copied: string[];
  copiedBytes: number;
  unchanged: number;
  /** No longer in the project, and kept in the backup. */
  retained: string[];
  /** No longer in the project, and no longer in the backup. */
  pruned: string[];
  /** Copies that had been damaged or lost in the backup. */
  repaired: string[];
  /** What is not backed up as it should be, by path in the project or in the backup. */
  problems: { path: string; message: string }[];
  /** What people should know all the same. */
  remarks: { path: string; message: string }[];
  /** Links that were passed over. */
  links: string[];
  /** Of the whole payload. */
  files: number;
  bytes: number;
  include: Extra[];
  /** What was read back. */
  verified: { files: number; bytes: number; seconds: number };
  /** An earlier update that had been cut off was completed first. */
  completed: boolean;
}

/** @throws FirnError when nothing could be backed up; the backup is then the one of last time. */
export async function backupProject(request: BackupRequest): Promise<BackupResult> {
  const { port, directory, signal, onWait } = request;
  expectSources(request);
  const workers = new Workers();
  try {
    if (request.dryRun === true) return await update({ ...request, workers }, false);
    await makeDurableDirectory(port, directory);
    const path = join(directory, BAG_LOCK);
    const lock = await acquireLock(port, path, {
      command: 'firn backup',
      onWait: (holder) => onWait(holder, path),
      signal,
    });
    try {
      const completed = await completeSwitch(port, directory);
      return await update({ ...request, workers }, completed);
    } finally {
      await lock.release();
    }
  } finally {
    await workers.close();
  }
}

/** Before anything is made: is there something to back up, and may it go there? */
function expectSources(request: BackupRequest): void {
  const { port, root, directory, pipeline } = request;
  const { files, references } = gatherSources({ ...request, include: new Set(request.include) });
  const made = [...(pipeline.targets?.values() ?? [])].flatMap(({ rule, out }) =>
    rule.name === 'consolidate' ? out : out.map(fixedFolder),
  );
  const releases = releasesFolders({ root, pipeline }).map((folder) => relative(root, folder));
  const own = [CACHE_FOLDER, pipeline.runsDir, 'rules', ...references, ...releases, ...made].filter(
    (path) => path !== '.' && path !== '',
  );
  checkDestination(port, directory, root, own);
  if (files.length > 0) return;
  throw new FirnError('missing', 'there is nothing to back up here', {
    path: root,
    advice: 'Expected a pipeline.yaml or a reference. Name the folder of the project with -C DIR.',
  });
}

/** `reports/{dataset}/{run}.html` -> `reports` */
function fixedFolder(out: string): string {
  return dirname(out.slice(0, `${out}{`.indexOf('{') + 1));
}

async function update(work: Work, completed: boolean): Promise<BackupResult> {
  const { port, root, directory } = work;
  const backup = await readBackup(port, directory, work.signal);
  if (backup !== undefined) expectSameProject(work, backup.notes.project);
  const include = [...(work.include ?? backup?.notes.include ?? [])];
  const state: State = {
    backup,
    include,
    sources: {
      files: [],
      references: [],
      releases: [],
      folders: new Map(),
      links: new Map(),
      otherLinks: [],
      unusable: [],
    },
    files: new Map(),
    staged: new Map(),
    left: new Set(),
    result: emptyResult(include, completed),
  };
  try {
    const cacheDirectory = join(root, CACHE_FOLDER);
    const held = {
      ...work,
      cacheDirectory,
      command: 'firn backup',
      onWait: (holder: string) => work.onWait(holder, join(cacheDirectory, 'lock')),
    };
    // Builds wait only while the project is read.
    if (work.dryRun === true) await stageFiles(work, state);
    else await holdProject(held, () => stageFiles(work, state));
    if (work.dryRun !== true) await judgeGroups(work, state);
    await checkRetained(work, state);
    const notes = settle(work, state);
    if (work.dryRun !== true && !isUpToDate(state, notes)) {
      await verifyStaged(work, state);
      await publish(work, state, notes);
    }
    if (work.dryRun !== true) await checkOutcome(work, state);
    return state.result;
  } catch (error) {
    throw await explained(work, state, error);
  }
}

function expectSameProject({ root, directory, takeOver = false, ...work }: Work, project: string): void {
  if (project === (work.project ?? root) || takeOver) return;
  throw new FirnError('conflict', `is the backup of another folder, ${project}`, {
    path: directory,
    advice:
      'If that is this project, which was moved or restored, say so with --take-over. Else name another folder.',
  });
}

function emptyResult(include: Extra[], completed: boolean): BackupResult {
  return {
    copied: [],
    copiedBytes: 0,
    unchanged: 0,
    retained: [],
    pruned: [],
    repaired: [],
    problems: [],
    remarks: [],
    links: [],
    files: 0,
    bytes: 0,
    include,
    verified: { files: 0, bytes: 0, seconds: 0 },
    completed,
  };
}

/** Reads back what was written. */
async function verifyStaged(work: Work, { staged, files, result }: State): Promise<void> {
  const { port, directory, signal, workers, onProgress } = work;
  const began = performance.now();
  const waiting = [...staged].filter(([, { verified }]) => !verified);
  const total = waiting.reduce((sum, [, { bytes }]) => sum + bytes, 0);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    onProgress({ phase: 'verifying', done, total });
  };
  await atOnce(workers.size, waiting, async ([path]) => {
    const copy = stagedPath(directory, payloadPath(path));
    const digests = await fileDigests(port, copy, ALGORITHMS, { signal, workers, onBytes });
    if (digests.join() === files.get(path)?.digests.join()) return;
    await port.unlink(copy);
    throw new FirnError('failed', 'was read back and is not what was written', {
      path: join(directory, payloadPath(path)),
      advice:
        'Nothing in the backup was changed. Look at that disk, its cable and its memory; do not trust it.',
    });
  });
  result.verified = {
    files: staged.size,
    bytes: result.copiedBytes,
    seconds: (performance.now() - began) / 1000,
  };
}

async function publish({ port, directory, now }: Work, state: State, notes: Notes): Promise<void> {
  const { backup, files, staged, result } = state;
  const tags = await stageTagFiles(port, directory, { notes, files, info: backup?.info ?? [], now: now() });
  await decideSwitch(port, directory, {
    renames: [...staged.keys()].map(payloadPath),
    removes: result.pruned.map(payloadPath),
    tags,
  });
}

/** What is wrong with the bag as it is now: copies that are lost and left the project, files that firn did not write. */
async function checkOutcome({ port, directory, signal }: Work, { result }: State): Promise<void> {
  const { findings } = await verifyBag(port, directory, { checksums: 'tags', signal });
  for (const { severity, code, path, message } of findings) {
    // The sizes do not add up where a file is too many or missing, which is told by itself.
    if (severity === 'error' && code !== 'oxum')
      result.problems.push({ path: join(directory, path), message: `in the backup: ${message}` });
  }
}

/** A full disk is told with what was needed, and what was staged makes room again; else it waits for the next backup. */
async function explained({ port, directory }: Work, state: State, error: unknown): Promise<unknown> {
  const errnos = [error, (error as { cause?: unknown } | undefined)?.cause].map(errnoOf);
  // The project's own disk may be full, too: its lock is written there.
  const { path } = (error ?? {}) as { path?: unknown };
  if (typeof path === 'string' && !isBelow(path, directory)) return error;
  // What was decided is completed next time, and needs all that is staged.
  if ((!errnos.includes('ENOSPC') && !errnos.includes('EDQUOT')) || isUnfinished(port, directory))
    return error;
  await dropStaged(port, directory).catch(() => undefined);
  return noRoom(directory, roomNeeded(state), port.space(directory)?.free ?? 0);
}
