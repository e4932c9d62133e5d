/**
 * Putting back what a backup holds. The whole bag is checked first; then what is missing is copied beside its place, read
 * back and compared, and only when all of it is there do files get their names. A file that differs is replaced only when
 * asked, and kept under another name. Prints nothing.
 */
import { join } from 'node:path';
import { holdProject } from '../engine/hold.js';
import { acquireLock, describeHolder, readLock } from '../engine/lock.js';
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { CACHE_FOLDER } from '../pipeline/project-path.js';
import { Workers } from '../workers/pool.js';
import type { BagFinding } from './bag.js';
import { BAG_LOCK, type Backup, isBelow, readBackup, realPlace } from './destination.js';
import { planRestore, type RestoreItem } from './plan-restore.js';
import { putBack } from './put-back.js';
import { completeSwitch, isUnfinished } from './switch.js';
import { verifyBag } from './verify-bag.js';

export interface RestoreRequest {
  port: Port;
  /** Of the bag, absolute. */
  directory: string;
  /** Of the project, absolute; made when missing. */
  root: string;
  /** Files and folders of the project to put back; everything when empty. */
  paths?: readonly string[];
  /** Also what was no longer in the project when it was last backed up. */
  retained?: boolean;
  /** Replaces files that differ; each is kept under another name. */
  force?: boolean;
  /** Says what would be done, and writes nothing. */
  dryRun?: boolean;
  signal: AbortSignal;
  onProgress: (progress: RestoreProgress) => void;
  /** Told once who holds a lock that is waited for, and where that is. */
  onWait: (holder: string, lock: string) => void;
}

export interface RestoreProgress {
  phase: 'checking' | 'comparing' | 'copying' | 'verifying';
  /** bytes; how many there are to compare is known only afterwards */
  done: number;
  total: number | undefined;
}

export interface RestoreResult {
  /** Paths in the project, in order. */
  restored: string[];
  restoredBytes: number;
  /** There already, with the same bytes. */
  same: string[];
  /** There, and different; replaced when `force`, else nothing was written at all. */
  different: RestoreItem[];
  /** Where what was replaced is kept: path -> path. */
  kept: Map<string, string>;
  /** In the backup, and no longer in the project when it was made; left there unless asked for. */
  retained: string[];
  /** What was checked of the backup. */
  checked: { files: number; bytes: number; seconds: number };
  /** An update of the backup that had been cut off was completed first. */
  completed: boolean;
}

/** @throws FirnError when the backup is not whole, or files differ and `force` was not given: then nothing was written */
export async function restoreProject(request: RestoreRequest): Promise<RestoreResult> {
  const { port, directory, signal, onWait } = request;
  if (port.stat(directory)?.kind !== 'directory') {
    throw new FirnError('usage', 'there is no such folder', {
      path: directory,
      advice: 'Name a backup that `firn backup` made.',
    });
  }
  if (isBelow(realPlace(port, request.root), realPlace(port, directory))) {
    throw new FirnError('usage', 'is inside the backup', {
      path: request.root,
      advice: 'Restore into another folder.',
    });
  }
  const completed = await completeUpdate(request);
  const holder = readLock(port, join(directory, BAG_LOCK));
  if (holder !== undefined && !holder.gone) {
    throw new FirnError('conflict', `${describeHolder(holder.holder)} is writing to this backup`, {
      path: directory,
      advice: `Wait for it. If it no longer runs, remove ${join(directory, BAG_LOCK)}.`,
    });
  }
  const workers = new Workers();
  try {
    const checked = await checkBag(request, workers);
    const backup = await readBackup(port, directory, signal);
    if (backup === undefined) throw new FirnError('usage', 'is no backup of firn', { path: directory });
    const work = { ...request, workers };
    const cacheDirectory = join(request.root, CACHE_FOLDER);
    const restored =
      request.dryRun === true
        ? await restoreFiles(work, backup)
        : await holdProject(
            {
              ...request,
              cacheDirectory,
              command: 'firn restore',
              onWait: (name) => onWait(name, join(cacheDirectory, 'lock')),
            },
            () => restoreFiles(work, backup),
          );
    return { ...restored, checked, completed };
  } finally {
    await workers.close();
  }
}

/** An update that was cut off has happened; without its last renames the bag is not whole. */
async function completeUpdate({ port, directory, dryRun, signal, onWait }: RestoreRequest): Promise<boolean> {
  if (!isUnfinished(port, directory) || dryRun === true) return false;
  const path = join(directory, BAG_LOCK);
  const lock = await acquireLock(port, path, {
    command: 'firn restore',
    onWait: (holder) => onWait(holder, path),
    signal,
  });
  try {
    return await completeSwitch(port, directory);
  } finally {
    await lock.release();
  }
}

/**
 * Every byte, by one algorithm: damage that one does not show, none does. Files that are put back are compared by the
 * other one, too, while they are copied.
 */
async function checkBag(request: RestoreRequest, workers: Workers): Promise<RestoreResult['checked']> {
  const { port, directory, signal, onProgress } = request;
  const began = performance.now();
  const onBytes = (done: number, total: number): void => onProgress({ phase: 'checking', done, total });
  const { findings, files, bytes } = await verifyBag(port, directory, {
    checksums: 'one',
    signal,
    workers,
    onProgress: onBytes,
  });
  const errors = findings.filter(({ severity }) => severity === 'error');
  if (errors.length > 0) throw notWhole(directory, errors);
  return { files, bytes, seconds: (performance.now() - began) / 1000 };
}

const SHOWN = 10;

function notWhole(directory: string, errors: readonly BagFinding[]): FirnError {
  const lines = errors
    .slice(0, SHOWN)
    .map(({ path, message }) => `\n    ${path === '' ? '' : `${path} `}${message}`);
  const more = errors.length > SHOWN ? `\n    and ${errors.length - SHOWN} more` : '';
  return new FirnError(
    'failed',
    `the backup is not whole, and nothing was written:${lines.join('')}${more}`,
    {
      path: directory,
      advice:
        '`firn verify` lists everything. Files under data/ that it does not name are good, and can be copied by hand.',
    },
  );
}

interface Work extends RestoreRequest {
  workers: Workers;
}

async function restoreFiles(
  work: Work,
  backup: Backup,
): Promise<Omit<RestoreResult, 'checked' | 'completed'>> {
  const plan = await planRestore(work, backup);
  const of = (state: RestoreItem['state']): RestoreItem[] =>
    plan.items.filter((item) => item.state === state);
  const different = of('different');
  const missing = of('missing');
  const result = {
    restored: [...missing, ...(work.force === true ? different : [])].map(({ path }) => path).sort(),
    restoredBytes: 0,
    same: of('same').map(({ path }) => path),
    different,
    kept: new Map<string, string>(),
    retained: plan.retained,
  };
  const toWrite = new Set(result.restored);
  const items = plan.items.filter(({ path }) => toWrite.has(path));
  result.restoredBytes = items.reduce((sum, { bytes }) => sum + bytes, 0);
  if (work.dryRun === true) return result;
  if (different.length > 0 && work.force !== true) return { ...result, restored: [], restoredBytes: 0 };
  result.kept = await putBack(work, { items, folders: backup.notes.folders, links: plan.links });
  return result;
}
