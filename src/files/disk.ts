/** The real disk behind the port, over node:fs. Knows nothing above a file. */
import { isUtf8 } from 'node:buffer';
import * as fs from 'node:fs';
import * as fsp from 'node:fs/promises';
import { dirname, join } from 'node:path';
import { errnoOf, FirnError, named } from '../errors.js';
import type { DirectoryEntry, FileStat, Port, ReadHandle, WriteHandle } from './port.js';
import { temporaryName } from './temporary.js';

const TEXT_LIMIT = 64 * 1024 * 1024;

function kindOf(entry: { isFile(): boolean; isDirectory(): boolean }): FileStat['kind'] {
  return entry.isFile() ? 'file' : entry.isDirectory() ? 'directory' : 'other';
}

function toStat(stat: fs.BigIntStats): FileStat {
  return {
    kind: kindOf(stat),
    size: Number(stat.size),
    mtimeNs: stat.mtimeNs,
    ctimeNs: stat.ctimeNs,
    ino: stat.ino,
    mode: Number(stat.mode) & 0o7777,
    dev: stat.dev,
  };
}

function isAbsent(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
}

/** What Node shows for bytes that are not UTF-8. */
const LOST = '\ufffd';

function toEntry(entry: fs.Dirent): DirectoryEntry {
  return { name: entry.name, kind: entry.isSymbolicLink() ? 'link' : kindOf(entry) };
}

function entriesByBytes(path: string): DirectoryEntry[] {
  return fs.readdirSync(path, { withFileTypes: true, encoding: 'buffer' }).map((entry) => {
    const bytes = entry.name as unknown as Buffer;
    const kind = entry.isSymbolicLink() ? 'link' : kindOf(entry);
    return { name: bytes.toString('utf8'), kind, ...(isUtf8(bytes) ? {} : { notUtf8: true }) };
  });
}

/** Node refuses to read or write 2 GiB in one call. */
const CALL_BYTES = 1024 * 1024 * 1024;

class DiskReadHandle implements ReadHandle {
  constructor(
    readonly path: string,
    readonly size: number,
    private readonly handle: fsp.FileHandle,
  ) {}

  get fd(): number {
    return this.handle.fd;
  }

  async read(into: Uint8Array, position: number): Promise<number> {
    let filled = 0;
    while (filled < into.byteLength) {
      const bytes = Math.min(CALL_BYTES, into.byteLength - filled);
      const { bytesRead } = await named(this.path, () =>
        this.handle.read(into, filled, bytes, position + filled),
      );
      if (bytesRead === 0) break;
      filled += bytesRead;
    }
    return filled;
  }

  async stat(): Promise<FileStat> {
    return toStat(await this.handle.stat({ bigint: true }));
  }

  close(): Promise<void> {
    return this.handle.close();
  }
}

/** A FileHandle does the same in three times the time, which tells where a file is written in small pieces. */
function writeAt(
  fd: number,
  data: Uint8Array,
  offset: number,
  bytes: number,
  position: number,
): Promise<number> {
  return new Promise((resolve, reject) => {
    fs.write(fd, data, offset, bytes, position, (error, written) => {
      if (error === null) resolve(written);
      else reject(error);
    });
  });
}

/** Bytes after which what was written so far is sent to the disk, which then works while the rest is made. */
const WRITE_BACK_BYTES = 64 * 1024 * 1024;

class DiskWriteHandle implements WriteHandle {
  private unsent = 0;
  private sending: Promise<void> | undefined;
  private failure: { error: unknown } | undefined;
  /** Where the furthest byte of a write came to stand. */
  private furthest = 0;

  constructor(
    readonly path: string,
    private readonly handle: fsp.FileHandle,
    private end: number,
  ) {}

  get fd(): number {
    return this.handle.fd;
  }

  async write(data: Uint8Array, position?: number): Promise<void> {
    // What was sent to the disk and lost is lost, however well this write ends.
    if (this.failure !== undefined) throw this.failure.error;
    const start = position ?? this.end;
    let written = 0;
    while (written < data.byteLength) {
      const bytes = Math.min(CALL_BYTES, data.byteLength - written);
      const from = written;
      written += await named(this.path, () => writeAt(this.handle.fd, data, from, bytes, start + from));
    }
    if (position === undefined) this.end = start + written;
    this.furthest = Math.max(this.furthest, start + written);
    this.unsent += written;
    if (this.unsent >= WRITE_BACK_BYTES && this.sending === undefined) this.send();
  }

  private send(): void {
    this.unsent = 0;
    this.sending = named(this.path, () => this.handle.datasync())
      .catch((error: unknown) => {
        this.failure = { error };
      })
      .finally(() => {
        this.sending = undefined;
      });
  }

  async sync(): Promise<void> {
    await this.sending;
    // A second fsync would say that all is well: the kernel tells of lost pages once.
    if (this.failure !== undefined) throw this.failure.error;
    await named(this.path, () => this.handle.sync());
    const { size } = await this.handle.stat();
    if (size >= this.furthest) return;
    throw new FirnError('failed', `has ${size} bytes on disk, and ${this.furthest} were written`, {
      path: this.path,
      advice:
        'Something else cut it, or this disk or mount loses what it takes. Look at it before you go on.',
    });
  }

  async close(): Promise<void> {
    await this.sending;
    await this.handle.close();
  }
}

/** The disk of this machine. */
export const disk: Port = {
  stat(path) {
    try {
      const stat = fs.statSync(path, { bigint: true, throwIfNoEntry: false });
      return stat === undefined ? undefined : toStat(stat);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  },

  list(path) {
    let entries: DirectoryEntry[];
    try {
      entries = fs.readdirSync(path, { withFileTypes: true }).map(toEntry);
      // Rare, so that it is looked at again: two names that are not UTF-8 may show as one, or as that of another file.
      if (entries.some(({ name }) => name.includes(LOST))) entries = entriesByBytes(path);
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
    return entries.sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  },

  readText(path, limit = TEXT_LIMIT) {
    let handle: number;
    try {
      // Opening a pipe would wait for its writer.
      handle = fs.openSync(path, fs.constants.O_RDONLY | (fs.constants.O_NONBLOCK ?? 0));
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
    try {
      const stat = fs.fstatSync(handle);
      const { size } = stat;
      if (!stat.isFile()) {
        throw new FirnError('input', stat.isDirectory() ? 'is a folder, expected a file' : 'is no file', {
          path,
          advice: 'Move it away, or put the file in its place.',
        });
      }
      if (size > limit) {
        throw new FirnError('input', `is ${size} bytes, more than the ${limit} that are read as text here`, {
          path,
        });
      }
      return fs.readFileSync(handle, 'utf8');
    } finally {
      fs.closeSync(handle);
    }
  },

  realPath(path) {
    try {
      return fs.realpathSync.native(path);
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  },

  async open(path) {
    const handle = await fsp.open(path, 'r');
    try {
      const { size } = await handle.stat();
      return new DiskReadHandle(path, size, handle);
    } catch (error) {
      await handle.close();
      throw error;
    }
  },

  space(path) {
    try {
      const { type, bsize, blocks, bavail, files, ffree } = fs.statfsSync(path);
      const device = fs.statSync(path, { bigint: true }).dev;
      return { device, type, total: blocks * bsize, free: bavail * bsize, files, filesFree: ffree };
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
  },

  refusal(path, use) {
    const { R_OK, W_OK, X_OK } = fs.constants;
    try {
      fs.accessSync(path, { read: R_OK, write: W_OK, execute: X_OK }[use]);
      return undefined;
    } catch (error) {
      return errnoOf(error);
    }
  },

  readLink(path) {
    try {
      return fs.readlinkSync(path);
    } catch (error) {
      if (isAbsent(error) || errnoOf(error) === 'EINVAL') return undefined;
      throw error;
    }
  },

  async create(path) {
    return new DiskWriteHandle(path, await fsp.open(path, 'wx+'), 0);
  },

  async append(path) {
    // Not O_APPEND: positions are given, and only one process holds the project's lock.
    const handle = await fsp.open(path, fs.constants.O_RDWR | fs.constants.O_CREAT);
    return new DiskWriteHandle(path, handle, (await handle.stat()).size);
  },

  async makeDirectory(path) {
    // Not `recursive`: then Node says of a full disk that there is no such folder.
    try {
      await fsp.mkdir(path);
    } catch (error) {
      const code = errnoOf(error);
      if (code === 'EEXIST' && disk.stat(path)?.kind === 'directory') return;
      if (code === 'EEXIST' && disk.readLink(path) !== undefined) {
        throw new FirnError('failed', 'is a link that leads nowhere, expected a folder', {
          path,
          advice: 'Make the folder that it leads to, or remove the link.',
          cause: error,
        });
      }
      if (code !== 'ENOENT' || dirname(path) === path) throw error;
      const parent = dirname(path);
      await disk.makeDirectory(parent);
      // Some file systems (/proc, maps of autofs) say that there is no such folder where none can be made.
      await fsp.mkdir(path).catch((again: unknown) => {
        const refused = errnoOf(again) === 'ENOENT' && disk.stat(parent)?.kind === 'directory';
        if (refused) throw again;
        return disk.makeDirectory(path);
      });
    }
  },

  rename: (from, to) => fsp.rename(from, to),
  unlink: (path) => fsp.unlink(path),
  removeDirectory: (path) => fsp.rmdir(path),
  removeAll: (path) => fsp.rm(path, { recursive: true, force: true }),

  async sync(path) {
    // Windows syncs only what is open for writing.
    const handle = await fsp.open(path, process.platform === 'win32' ? 'r+' : 'r');
    try {
      await named(path, () => handle.sync());
    } finally {
      await handle.close();
    }
  },

  async syncDirectory(path) {
    // Windows cannot open a directory; there the rename itself is what the file system promises.
    if (process.platform === 'win32') return;
    const handle = await fsp.open(path, 'r');
    try {
      await named(path, () => handle.sync());
    } finally {
      await handle.close();
    }
  },

  async copy(from, to, reflinkOnly = false) {
    const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = fs.constants;
    await fsp.copyFile(from, to, COPYFILE_EXCL | (reflinkOnly ? COPYFILE_FICLONE_FORCE : COPYFILE_FICLONE));
  },

  async probe(directory) {
    const path = temporaryName(join(directory, 'clock'));
    const handle = await fsp.open(path, 'wx');
    try {
      return toStat(await handle.stat({ bigint: true }));
    } finally {
      await handle.close();
      await fsp.unlink(path);
    }
  },

  async setTimes(path, mtimeMs) {
    await fsp.utimes(path, mtimeMs / 1000, mtimeMs / 1000);
  },

  setMode: (path, mode) => fsp.chmod(path, mode),
  hardLink: (path, to) => fsp.link(path, to),
  link: (target, path) => fsp.symlink(target, path),
};
