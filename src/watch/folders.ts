/**
 * Signs of changes in folders, through chokidar. They are hints: some are missed, some are of nothing, and who gets one
 * looks for himself. Each folder has a watcher of its own, files have none: so a folder that was put in another's place is
 * watched anew, and it is known from when on a folder is watched. Knows no project.
 */
import { basename, dirname, resolve } from 'node:path';
import type { FSWatcher } from 'chokidar';
import { errnoOf } from '../errors.js';

export interface FolderWatch {
  /** Exactly these folders (absolute) from now on. One that is gone by now is passed over. */
  follow(folders: Iterable<string>): void;
  close(): Promise<void>;
}

export interface FolderListener {
  /** Something happened under this path. */
  onHint(path: string): void;
  /** All folders asked for are watched, new ones among them: what happened in these before was not seen. */
  onReady(folders: number): void;
  /** The system allows no more, so changes will be missed. */
  onLimit(error: unknown): void;
}

/** Beginnings at a time: chokidar reads each folder, with the stat of every file in it. */
const AT_ONCE = 32;
const LIMITS = new Set(['ENOSPC', 'EMFILE', 'ENFILE']);

interface Watched {
  watcher: FSWatcher;
  /** Ends the waiting for it to begin. */
  end(): void;
}

export function watchFolders(listener: FolderListener): FolderWatch {
  const watched = new Map<string, Watched>();
  const wanted = new Set<string>();
  const waiting = new Set<string>();
  const starting = new Set<string>();
  /** What came, went or was moved: the watchers of folders there, and below, may be of others that are elsewhere by now. */
  const moved = new Set<string>();
  /** Not there, or not to be watched: not tried again before something happens to them. */
  const failed = new Set<string>();
  let closed = false;

  const drop = async (folder: string): Promise<void> => {
    const one = watched.get(folder);
    watched.delete(folder);
    if (one === undefined) return;
    one.end();
    const closing = one.watcher.close();
    // It lets go of all listeners, and an error that comes later would end the program.
    one.watcher.on('error', () => undefined);
    await closing;
  };

  /** Settles when the folder is watched, or will not be. */
  const start = async (folder: string): Promise<void> => {
    const { watch } = await import('chokidar');
    if (closed || !wanted.has(folder)) return;
    const shown = folder.replaceAll('\\', '/');
    await new Promise<void>((end) => {
      // The folder alone: what is in it is told by its own watcher. As `cwd`, since chokidar takes `\` in paths for `/`.
      const ignored = (path: string): boolean => path !== shown;
      const watcher = watch('.', { cwd: folder, ignored, atomic: false });
      watched.set(folder, { watcher, end });
      let isThere = false;
      watcher.on('addDir', () => {
        isThere = true;
      });
      const fail = (): void => {
        failed.add(folder);
        void drop(folder);
      };
      watcher.on('ready', () => {
        if (isThere) end();
        else fail();
      });
      watcher.on('error', (error) => {
        fail();
        if (LIMITS.has(errnoOf(error) ?? '')) listener.onLimit(error);
      });
      watcher.on('raw', (event, name) => {
        const path = typeof name === 'string' ? resolve(folder, name) : folder;
        if (event === 'rename') moved.add(path);
        // So the folder itself shows that it was moved or removed.
        if (name === basename(folder)) moved.add(folder);
        listener.onHint(path);
      });
    });
  };

  const startMore = (): void => {
    for (const folder of waiting) {
      if (starting.size >= AT_ONCE) return;
      waiting.delete(folder);
      starting.add(folder);
      void start(folder)
        .catch(() => undefined)
        .finally(() => {
          starting.delete(folder);
          startMore();
          if (!closed && starting.size === 0) listener.onReady(watched.size);
        });
    }
  };

  return {
    follow(folders) {
      if (closed) return;
      wanted.clear();
      waiting.clear();
      for (const folder of folders) wanted.add(folder);
      for (const folder of watched.keys())
        if (!wanted.has(folder) || isBelow(folder, moved)) void drop(folder);
      for (const folder of failed) if (!wanted.has(folder) || isBelow(folder, moved)) failed.delete(folder);
      moved.clear();
      for (const folder of wanted)
        if (!watched.has(folder) && !starting.has(folder) && !failed.has(folder)) waiting.add(folder);
      startMore();
    },
    async close() {
      closed = true;
      waiting.clear();
      await Promise.all([...watched.keys()].map(drop));
    },
  };
}

/** Whether a folder is one of these, or in one of them. */
function isBelow(folder: string, others: ReadonlySet<string>): boolean {
  if (others.size === 0) return false;
  for (let at = folder; ; at = dirname(at)) {
    if (others.has(at)) return true;
    if (at === dirname(at)) return false;
  }
}
