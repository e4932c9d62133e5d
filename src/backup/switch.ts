/**
 * Giving the new files of a bag their names. They wait in a folder of the bag, whole and on disk, until all are there; then
 * a journal is written, and once that is on disk the update has happened: whoever comes next completes what a crash cut
 * off. On the way the payload manifests are away, so that every program sees a bag that is incomplete. Knows no project.
 */
import { dirname, join } from 'node:path';
import { FirnError } from '../errors.js';
import { linkOnTheWay } from '../files/inside.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port, ReadPort } from '../files/port.js';
import { removeTree } from '../files/remove.js';
import { TEMPORARY_PREFIX } from '../files/temporary.js';
import { writeFileAtomic } from '../files/write-file.js';
import { reasonOf } from '../system-errors.js';
import { PAYLOAD_FOLDER } from './bag-info.js';
import { isPlain, whyOutside } from './bag-paths.js';
import { manifestName } from './manifest.js';

/** In the base folder of a bag that is being written. */
export const STAGING = `${TEMPORARY_PREFIX}backup`;
const JOURNAL = join(STAGING, 'switch.json');

export interface Switch {
  /** Payload paths (`data/...`) whose new files are staged. */
  renames: string[];
  /** Payload paths that go. */
  removes: string[];
  /** Tag files whose new text is staged, in the order in which they get their names; payload manifests last. */
  tags: string[];
}

/** Where the new file of a path of the bag waits. */
export function stagedPath(dir: string, path: string): string {
  return join(dir, STAGING, path.startsWith(`${PAYLOAD_FOLDER}/`) ? path : join('tags', path));
}

/** Whether an update was decided and is not complete. */
export function isUnfinished(port: ReadPort, dir: string): boolean {
  return port.stat(join(dir, JOURNAL)) !== undefined;
}

/** From here on the update has happened. */
export async function decideSwitch(port: Port, dir: string, change: Switch): Promise<void> {
  // A journal that outlives a power cut speaks of files that have to outlive it, too.
  await syncTree(port, join(dir, STAGING));
  await port.syncDirectory(dir);
  await writeFileAtomic(port, join(dir, JOURNAL), `${JSON.stringify(change, null, 1)}\n`);
  await completeSwitch(port, dir);
}

async function syncTree(port: Port, folder: string): Promise<void> {
  for (const { name, kind } of port.list(folder)) {
    if (kind === 'directory') await syncTree(port, join(folder, name));
  }
  await port.syncDirectory(folder);
}

/** Completes an update that was decided; whether there was one. */
export async function completeSwitch(port: Port, dir: string): Promise<boolean> {
  expectOwnStaging(port, dir);
  const change = readJournal(port, dir);
  if (change === undefined) return false;
  await hideManifests(port, dir, change);
  const touched = new Set<string>();
  for (const path of change.removes) {
    if (port.stat(join(dir, path)) !== undefined) await port.unlink(join(dir, path));
    touched.add(dirname(path));
  }
  // A file may come where a folder was.
  await removeEmptyFolders(port, dir, change.removes, touched);
  for (const path of change.renames) await giveName(port, dir, path, touched);
  for (const folder of touched)
    if (port.stat(join(dir, folder)) !== undefined) await port.syncDirectory(join(dir, folder));
  for (const file of change.tags) {
    if (port.stat(stagedPath(dir, file)) !== undefined)
      await port.rename(stagedPath(dir, file), join(dir, file));
  }
  await port.syncDirectory(dir);
  await port.unlink(join(dir, JOURNAL));
  await removeTree(port, join(dir, STAGING));
  return true;
}

/** Drops what is staged and was never decided. */
export async function dropStaged(port: Port, dir: string): Promise<void> {
  expectOwnStaging(port, dir);
  if (port.stat(join(dir, STAGING)) !== undefined) await removeTree(port, join(dir, STAGING));
}

/** A bag from elsewhere could have a link here, and what is removed and renamed would be behind it. */
function expectOwnStaging(port: ReadPort, dir: string): void {
  if (linkOnTheWay(port, dir, STAGING) === undefined) return;
  throw new FirnError('conflict', 'is a link, and firn makes a folder of this name', {
    path: join(dir, STAGING),
    advice: 'Nothing was changed. Remove the link if you know where it leads.',
  });
}

async function hideManifests(port: Port, dir: string, { tags }: Switch): Promise<void> {
  for (const file of tags) {
    const isOld = manifestName(file)?.tag === false && port.stat(stagedPath(dir, file)) !== undefined;
    if (isOld && port.stat(join(dir, file)) !== undefined) await port.unlink(join(dir, file));
  }
  await port.syncDirectory(dir);
}

async function giveName(port: Port, dir: string, path: string, touched: Set<string>): Promise<void> {
  const staged = stagedPath(dir, path);
  const final = join(dir, path);
  touched.add(dirname(path));
  // Named already when a crash came between two.
  if (port.stat(staged) === undefined) {
    if (port.stat(final) !== undefined) return;
    throw new FirnError('failed', 'is gone, and the update that wrote it is not complete', {
      path: final,
      advice: `Remove ${join(dir, JOURNAL)}, and run \`firn backup\` again.`,
    });
  }
  try {
    await makeDurableDirectory(port, dirname(final));
    await port.rename(staged, final);
  } catch (error) {
    throw new FirnError('failed', `this name could not be given: ${reasonOf(error)}`, {
      path: final,
      advice:
        'All new files are in the backup, and the next `firn backup` goes on from here: mend what is in the way.',
      cause: error,
    });
  }
}

async function removeEmptyFolders(
  port: Port,
  dir: string,
  removed: readonly string[],
  touched: Set<string>,
): Promise<void> {
  for (const path of removed) {
    for (let folder = dirname(path); folder !== PAYLOAD_FOLDER && folder !== '.'; folder = dirname(folder)) {
      // Where a file came in its place it stays.
      const there = port.stat(join(dir, folder))?.kind === 'directory';
      if (there && port.list(join(dir, folder)).length > 0) break;
      if (there) await port.removeDirectory(join(dir, folder));
      touched.add(dirname(folder));
    }
  }
}

/** A journal is data of whoever had the bag: names that lead out of it are refused before anything is done. */
function readJournal(port: ReadPort, dir: string): Switch | undefined {
  const text = port.readText(join(dir, JOURNAL), 512 * 1024 * 1024);
  if (text === undefined) return undefined;
  const change = parse(text);
  const payload = [...(change?.renames ?? []), ...(change?.removes ?? [])];
  const isSound =
    change !== undefined &&
    payload.every((path) => path.startsWith(`${PAYLOAD_FOLDER}/`)) &&
    change.tags.every((file) => !/[/\\]/.test(file)) &&
    [...payload, ...change.tags].every((path) => isPlain(path) && whyOutside(path) === undefined);
  const link = isSound
    ? payload.map((path) => linkOnTheWay(port, dir, path)).find((at) => at !== undefined)
    : undefined;
  if (!isSound || link !== undefined) {
    throw new FirnError(
      'conflict',
      link === undefined ? 'is not what firn writes' : `would write through ${link}, which is a link`,
      {
        path: join(dir, JOURNAL),
        advice:
          'Nothing was changed. Look who had this backup, and remove the file if it is not to be trusted.',
      },
    );
  }
  return change;
}

function parse(text: string): Switch | undefined {
  const isNames = (value: unknown): value is string[] =>
    Array.isArray(value) && value.every((name) => typeof name === 'string');
  try {
    const value = JSON.parse(text) as Partial<Switch> | null;
    if (value === null || !isNames(value.renames) || !isNames(value.removes) || !isNames(value.tags))
      return undefined;
    return { renames: value.renames, removes: value.removes, tags: value.tags };
  } catch {
    return undefined;
  }
}
