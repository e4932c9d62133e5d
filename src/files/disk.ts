/** The real disk behind the port, over node:fs. Knows nothing above a file. */
import * as fs from 'node:fs';
import * as fsp from 'node:fs/promises';
import { errnoOf, FirnError } from '../errors.js';
import type { DirectoryEntry, FileStat, Port, ReadHandle, WriteHandle } from './port.js';

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
  };
}

function isAbsent(error: unknown): boolean {
  const code = errnoOf(error);
  return code === 'ENOENT' || code === 'ENOTDIR';
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
      const { bytesRead } = await this.handle.read(into, filled, bytes, position + filled);
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
      written += await writeAt(this.handle.fd, data, written, bytes, start + written);
    }
    if (position === undefined) this.end = start + written;
    this.unsent += written;
    if (this.unsent >= WRITE_BACK_BYTES && this.sending === undefined) this.send();
  }

  private send(): void {
    this.unsent = 0;
    this.sending = this.handle
      .datasync()
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
    await this.handle.sync();
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
    let entries: fs.Dirent[];
    try {
      entries = fs.readdirSync(path, { withFileTypes: true });
    } catch (error) {
      if (isAbsent(error)) return [];
      throw error;
    }
    return entries
      .map(
        (entry): DirectoryEntry => ({
          name: entry.name,
          kind: entry.isSymbolicLink() ? 'link' : kindOf(entry),
        }),
      )
      .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  },

  readText(path, limit = TEXT_LIMIT) {
    let handle: number;
    try {
      handle = fs.openSync(path, 'r');
    } catch (error) {
      if (isAbsent(error)) return undefined;
      throw error;
    }
    try {
      const { size } = fs.fstatSync(handle);
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

  fileSystem(path) {
    // The numbers of other systems mean something else.
    if (process.platform !== 'linux') return undefined;
    try {
      return fs.statfsSync(path).type;
    } catch {
      return undefined;
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

  async create(path) {
    return new DiskWriteHandle(path, await fsp.open(path, 'wx+'), 0);
  },

  async append(path) {
    // Not O_APPEND: positions are given, and only one process holds the project's lock.
    const handle = await fsp.open(path, fs.constants.O_RDWR | fs.constants.O_CREAT);
    return new DiskWriteHandle(path, handle, (await handle.stat()).size);
  },

  async makeDirectory(path) {
    await fsp.mkdir(path, { recursive: true });
  },

  rename: (from, to) => fsp.rename(from, to),
  unlink: (path) => fsp.unlink(path),
  removeDirectory: (path) => fsp.rmdir(path),

  async sync(path) {
    // Windows syncs only what is open for writing.
    const handle = await fsp.open(path, process.platform === 'win32' ? 'r+' : 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },

  async syncDirectory(path) {
    // Windows cannot open a directory; there the rename itself is what the file system promises.
    if (process.platform === 'win32') return;
    const handle = await fsp.open(path, 'r');
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  },

  async copy(from, to, reflinkOnly = false) {
    const { COPYFILE_EXCL, COPYFILE_FICLONE, COPYFILE_FICLONE_FORCE } = fs.constants;
    await fsp.copyFile(from, to, COPYFILE_EXCL | (reflinkOnly ? COPYFILE_FICLONE_FORCE : COPYFILE_FICLONE));
  },

  async setTimes(path, mtimeMs) {
    await fsp.utimes(path, mtimeMs / 1000, mtimeMs / 1000);
  },
};
