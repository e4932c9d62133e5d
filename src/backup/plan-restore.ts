/** What a restore would do: each file of a backup against the one in the project. Writes nothing. */
import { dirname, join } from 'node:path';
import { fileDigests } from '../engine/store.js';
import { FirnError } from '../errors.js';
import { linkOnTheWay } from '../files/inside.js';
import type { Port } from '../files/port.js';
import { checkProjectPath } from '../pipeline/project-path.js';
import type { Workers } from '../workers/pool.js';
import { isPlain, whyOutside } from './bag-paths.js';
import { ALGORITHMS, type Backup, type Held } from './destination.js';
import type { FileNote } from './notes.js';
import type { RestoreProgress } from './restore.js';

export interface RestoreItem {
  /** In the project. */
  path: string;
  state: 'missing' | 'same' | 'different';
  /** Of the file in the backup. */
  bytes: number;
  note: FileNote;
  digests: string[];
  /** Where it differs: whether the file in the project was changed later than the one in the backup. */
  isNewer?: boolean;
}

export interface RestorePlan {
  items: RestoreItem[];
  /** In the backup, no longer in the project when it was made, and not asked for. */
  retained: string[];
  /** Links that are not there, to a name in their own folder: path -> that name. */
  links: Map<string, string>;
}

export interface PlanRequest {
  port: Port;
  root: string;
  paths?: readonly string[];
  retained?: boolean;
  signal: AbortSignal;
  workers: Workers;
  onProgress: (progress: RestoreProgress) => void;
}

/** @throws FirnError for a path that the backup does not hold, or a place that is behind a link or taken by a folder */
export async function planRestore(request: PlanRequest, backup: Backup): Promise<RestorePlan> {
  const { port, root, onProgress } = request;
  const isNamed = namedBy(request, backup);
  const items: RestoreItem[] = [];
  const retained: string[] = [];
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    onProgress({ phase: 'comparing', done, total: undefined });
  };
  for (const [path, held] of backup.files) {
    expectPlain(path);
    const named = isNamed(path);
    if (named === false) continue;
    // Naming a file asks for it, whatever became of it in the project.
    if (held.note.retained !== undefined && named !== true && request.retained !== true) {
      retained.push(path);
      continue;
    }
    // Records are hints: those of the project as it is are better ones.
    if (held.note.kind === 'records' && port.stat(join(root, path)) !== undefined) continue;
    items.push(await lookAt(request, path, held, onBytes));
  }
  const links = new Map<string, string>();
  for (const [path, target] of backup.notes.links) {
    expectPlain(path);
    if (isNamed(path) !== false && isFree(port, root, path)) links.set(path, target);
  }
  return { items, retained, links };
}

/** Neither a file nor a link to anywhere. */
function isFree(port: Port, root: string, path: string): boolean {
  expectFolders(port, root, path);
  return linkOnTheWay(port, root, path) === undefined && port.stat(join(root, path)) === undefined;
}

/** true: by name; undefined: nothing was named, so everything is meant. */
function namedBy({ paths = [] }: PlanRequest, backup: Backup): (path: string) => boolean | undefined {
  const wanted = paths.map((path) =>
    checkProjectPath(
      path,
      (message, advice) => new FirnError('usage', message, advice === undefined ? {} : { advice }),
    ),
  );
  const covers = (name: string, path: string): boolean => path === name || path.startsWith(`${name}/`);
  for (const name of wanted) {
    if ([...backup.files.keys()].some((path) => covers(name, path))) continue;
    throw new FirnError('usage', 'is not in the backup', {
      path: name,
      advice: 'Name a file or folder as it was in the project; `firn restore DIR --dry-run` lists them.',
    });
  }
  return (path) => (wanted.length === 0 ? undefined : wanted.some((name) => covers(name, path)));
}

async function lookAt(
  request: PlanRequest,
  path: string,
  held: Held,
  onBytes: (bytes: number) => void,
): Promise<RestoreItem> {
  const { port, root, signal, workers } = request;
  const { note, digests } = held;
  const item = { path, bytes: note.size, note, digests };
  const link = linkOnTheWay(port, root, path);
  if (link !== undefined) {
    throw new FirnError('conflict', `is a link, and nothing is written through one`, {
      path: join(root, link),
      advice: 'Move it away, or restore into another folder with --to.',
    });
  }
  const stat = port.stat(join(root, path));
  if (stat === undefined) {
    expectFolders(port, root, path);
    return { ...item, state: 'missing' };
  }
  if (stat.kind !== 'file') {
    throw new FirnError('conflict', 'is in the way: the backup has a file of this name', {
      path: join(root, path),
      advice: 'Move it away, or restore into another folder with --to.',
    });
  }
  if (stat.size === note.size) {
    const [digest] = await fileDigests(port, join(root, path), [ALGORITHMS[0]], { signal, workers, onBytes });
    if (digest === digests[0]) return { ...item, state: 'same' };
  }
  const isNewer = Number(stat.mtimeNs / 1_000_000n) > note.modified;
  return { ...item, state: 'different', isNewer };
}

function expectFolders(port: Port, root: string, path: string): void {
  for (let folder = dirname(path); folder !== '.'; folder = dirname(folder)) {
    const stat = port.stat(join(root, folder));
    if (stat === undefined || stat.kind === 'directory') continue;
    throw new FirnError('conflict', `is a file, and the backup has a folder of this name`, {
      path: join(root, folder),
      advice: 'Move it away, or restore into another folder with --to.',
    });
  }
}

function expectPlain(path: string): void {
  if (isPlain(path) && whyOutside(path) === undefined) return;
  throw new FirnError('input', `the backup speaks of a file outside the project: ${JSON.stringify(path)}`, {
    advice: 'Nothing was written. Look who had this backup.',
  });
}
