/**
 * Writes files of a backup into a project: all of them first beside their places, read back and compared; then names are
 * given, and what stood there is kept under another one. A crash in between leaves files that are old or new as a whole,
 * and restoring again completes it. Knows which files only from its caller.
 */
import { basename, dirname, extname, join } from 'node:path';
import { atOnce } from '../at-once.js';
import { fileDigest, fileDigests } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { removeHalfWritten } from '../files/remove.js';
import { temporaryName } from '../files/temporary.js';
import { reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { copyFile, UnreadableSource } from './copy.js';
import { ALGORITHMS, payloadPath } from './destination.js';
import type { RestoreItem } from './plan-restore.js';
import type { RestoreProgress } from './restore.js';

export interface PutBackRequest {
  port: Port;
  /** Of the bag. */
  directory: string;
  /** Of the project. */
  root: string;
  signal: AbortSignal;
  workers: Workers;
  onProgress: (progress: RestoreProgress) => void;
}

export interface PutBackContent {
  items: readonly RestoreItem[];
  /** Folders that may not be written to: path -> permissions. */
  folders: ReadonlyMap<string, number>;
  /** Links to a name in their own folder. */
  links: ReadonlyMap<string, string>;
}

const LABEL = 'restore';
const WRITABLE = 0o200;
const PERMISSIONS = 0o777;
const COPIES = 4;

/** Where files that were replaced are kept: path -> path. */
export async function putBack(
  request: PutBackRequest,
  content: PutBackContent,
): Promise<Map<string, string>> {
  const { port, root } = request;
  const { items } = content;
  expectRoom(request, items);
  await port.makeDirectory(root);
  const opened = new Map<string, number>();
  const staged = new Map<string, string>();
  const kept = new Map<string, string>();
  let named = 0;
  const links = [...content.links];
  try {
    for (const path of [...items.map((item) => item.path), ...links.map(([link]) => link)])
      await openFolder(port, root, dirname(path), opened);
    // What a killed restore left: whoever restores holds the project's lock.
    for (const folder of foldersOf(items)) await removeHalfWritten(port, join(root, folder), LABEL);
    await stage(request, items, staged);
    for (const { path } of items) {
      const final = join(root, path);
      if (port.stat(final) !== undefined)
        kept.set(path, await keep(request, path, besideClosed(path, content.folders)));
      await port.rename(staged.get(path) as string, final);
      staged.delete(path);
      named += 1;
    }
    for (const [path, target] of links) await linkWherePossible(port, target, join(root, path));
  } catch (error) {
    for (const path of staged.values()) await port.unlink(path).catch(() => undefined);
    throw explained(error, request, { items, named });
  } finally {
    await closeFolders(request, content, opened);
  }
  for (const folder of withParents(foldersOf([...items, ...links.map(([path]) => ({ path }))])))
    await port.syncDirectory(join(root, folder));
  return kept;
}

function foldersOf(items: readonly { path: string }[]): Set<string> {
  return new Set(items.map(({ path }) => dirname(path)));
}

/** Folders that were made on the way have to last, too. */
function withParents(folders: ReadonlySet<string>): Set<string> {
  const all = new Set<string>(['.']);
  for (const folder of folders) for (let at = folder; at !== '.'; at = dirname(at)) all.add(at);
  return all;
}

function expectRoom({ port, root }: PutBackRequest, items: readonly RestoreItem[]): void {
  let above = root;
  while (port.stat(above) === undefined && above !== dirname(above)) above = dirname(above);
  const available = port.space(above)?.free;
  const needed = items.reduce((sum, { bytes }) => sum + bytes, 0);
  if (available !== undefined && needed > available) throw noRoom(root, needed, available);
}

/** What stands after a failure; `named`: files that have their names. */
function standing(named: number): string {
  if (named === 0) return 'Nothing was restored.';
  return `${named} files are restored, the others are as they were: the same command goes on from here.`;
}

function noRoom(root: string, needed: number, available: number, named = 0): FirnError {
  return new FirnError(
    'failed',
    `the disk is full: ${needed} bytes are to be restored, and there is room for ${available}`,
    {
      path: root,
      advice: `${standing(named)} Make room, or restore into a folder on another disk with --to.`,
    },
  );
}

/** Makes the folder, or makes it writable for now: a release that lost a file may be added to by nobody. */
async function openFolder(
  port: Port,
  root: string,
  folder: string,
  opened: Map<string, number>,
): Promise<void> {
  if (folder === '.' || opened.has(folder)) return;
  await openFolder(port, root, dirname(folder), opened);
  const stat = port.stat(join(root, folder));
  const mode = stat?.mode ?? WRITABLE;
  if (stat === undefined) await port.makeDirectory(join(root, folder));
  else if ((mode & WRITABLE) === 0) await port.setMode(join(root, folder), mode | WRITABLE);
  opened.set(folder, mode);
}

async function closeFolders(
  { port, root }: PutBackRequest,
  { folders }: PutBackContent,
  opened: ReadonlyMap<string, number>,
): Promise<void> {
  for (const [folder, before] of opened) {
    const mode = (before & WRITABLE) === 0 ? before : folders.get(folder);
    if (mode !== undefined) await port.setMode(join(root, folder), mode).catch(() => undefined);
  }
}

/** Copies beside their places, compared by both algorithms with what the manifests say, and by one when read back. */
async function stage(
  request: PutBackRequest,
  items: readonly RestoreItem[],
  staged: Map<string, string>,
): Promise<void> {
  const { port, directory, root, signal, workers, onProgress } = request;
  const total = items.reduce((sum, { bytes }) => sum + bytes, 0);
  const counter = (phase: RestoreProgress['phase']): ((bytes: number) => void) => {
    let done = 0;
    return (bytes) => {
      done += bytes;
      onProgress({ phase, done, total });
    };
  };
  const onBytes = counter('copying');
  await atOnce(COPIES, items, async ({ path, note, digests }) => {
    const copy = temporaryName(join(root, path), LABEL);
    const from = join(directory, payloadPath(path));
    const copied = await copyFile(port, from, copy, { algorithms: ALGORITHMS, workers, signal, onBytes });
    if (copied === undefined) throw changed(from);
    staged.set(path, copy);
    if (copied.digests.join() !== digests.join()) throw changed(from);
    await port.setTimes(copy, note.modified);
    // Whoever wrote the notes lends nobody another user's rights.
    await port.setMode(copy, note.mode & PERMISSIONS).catch(ignoreUnsupported);
  });
  const onRead = counter('verifying');
  await atOnce(workers.size, items, async ({ path, digests }) => {
    const [digest] = await fileDigests(port, staged.get(path) as string, [ALGORITHMS[0]], {
      signal,
      workers,
      onBytes: onRead,
    });
    if (digest === digests[0]) return;
    throw new FirnError('failed', 'was read back and is not what was written', {
      path: join(root, path),
      advice: 'Nothing was changed. Look at that disk, its cable and its memory; do not trust it.',
    });
  });
}

function changed(path: string): FirnError {
  return new FirnError('failed', 'changed since it was checked', {
    path,
    advice: 'Nothing was restored. Something else writes to this backup, or its disk is failing.',
  });
}

/** Where a file is kept: beside it, or beside the folder that nothing may be added to, such as a release. */
function besideClosed(path: string, folders: ReadonlyMap<string, number>): string {
  let folder = dirname(path);
  while (folders.has(folder)) folder = dirname(folder);
  return join(folder, basename(path));
}

/** Gives what is there a second name made from `like`, so that at no moment it has none; that name. */
async function keep(request: PutBackRequest, path: string, like: string): Promise<string> {
  const { port, root } = request;
  const original = join(root, path);
  const end = extname(like);
  const stem = like.slice(0, like.length - end.length);
  for (let number = 1; ; number++) {
    const name = `${stem}.before-restore${number === 1 ? '' : `-${number}`}${end}`;
    const place = join(root, name);
    if (port.stat(place) !== undefined || port.readLink(place) !== undefined) {
      // A restore that was cut off kept it already.
      if (await isEqual(request, original, place)) return name;
      continue;
    }
    try {
      await port.hardLink(original, place);
    } catch (error) {
      if (!UNSUPPORTED.has(errnoOf(error) ?? '')) throw error;
      await copyDurably(port, original, place);
    }
    return name;
  }
}

function ignoreUnsupported(error: unknown): void {
  if (!UNSUPPORTED.has(errnoOf(error) ?? '')) throw error;
}

/** Links are for other programs; what they lead to is restored in any case. */
async function linkWherePossible(port: Port, target: string, path: string): Promise<void> {
  await port.link(target, path).catch(ignoreUnsupported);
}

/** What file systems say that have neither permissions nor links. */
const UNSUPPORTED = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

async function isEqual({ port, signal, workers }: PutBackRequest, a: string, b: string): Promise<boolean> {
  const [first, second] = [port.stat(a), port.stat(b)];
  if (second?.kind !== 'file' || first?.size !== second.size) return false;
  if (first.ino === second.ino && first.dev === second.dev) return true;
  const digests = [];
  for (const path of [a, b]) digests.push(await fileDigest(port, path, { signal, workers }));
  return digests[0] === digests[1];
}

async function copyDurably(port: Port, from: string, to: string): Promise<void> {
  const temporary = temporaryName(to, LABEL);
  try {
    await port.copy(from, temporary);
    await port.sync(temporary);
    await port.rename(temporary, to);
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined);
    throw error;
  }
}

function explained(
  error: unknown,
  { port, root }: PutBackRequest,
  { items, named }: { items: readonly RestoreItem[]; named: number },
): unknown {
  if (error instanceof UnreadableSource) {
    return new FirnError('failed', `a file of the backup cannot be read: ${reasonOf(error.cause)}`, {
      advice: `${standing(named)} Look at the disk of the backup.`,
      cause: error.cause,
    });
  }
  if (errnoOf(error) !== 'ENOSPC' && errnoOf(error) !== 'EDQUOT') return error;
  return noRoom(
    root,
    items.reduce((sum, { bytes }) => sum + bytes, 0),
    port.space(root)?.free ?? 0,
    named,
  );
}
