/**
 * The disk without waiting: every call is done at once, and nothing is synced, since the machine goes on. For walks of
 * thousands of runs, most of whose time the thread pool and the disk would take. Knows what disk.ts promises of each call.
 */
import {
  chmodSync,
  closeSync,
  constants,
  copyFileSync,
  fstatSync,
  mkdirSync,
  openSync,
  readSync,
  renameSync,
  rmdirSync,
  symlinkSync,
  unlinkSync,
  utimesSync,
  writeSync,
} from 'node:fs';
import { disk } from '../../src/files/disk.js';
import type { Port, ReadHandle, WriteHandle } from '../../src/files/port.js';

function reading(path: string): ReadHandle {
  const fd = openSync(path, 'r');
  return {
    path,
    size: fstatSync(fd).size,
    async read(into, position) {
      let filled = 0;
      while (filled < into.byteLength) {
        const bytes = readSync(fd, into, filled, into.byteLength - filled, position + filled);
        if (bytes === 0) break;
        filled += bytes;
      }
      return filled;
    },
    stat: async () => disk.stat(`/proc/self/fd/${fd}`) as NonNullable<ReturnType<Port['stat']>>,
    close: async () => closeSync(fd),
  };
}

function writing(path: string, flags: string | number): WriteHandle {
  const fd = openSync(path, flags);
  let end = fstatSync(fd).size;
  return {
    path,
    fd,
    async write(data, position) {
      const start = position ?? end;
      for (let written = 0; written < data.byteLength; )
        written += writeSync(fd, data, written, data.byteLength - written, start + written);
      if (position === undefined) end = start + data.byteLength;
    },
    sync: async () => undefined,
    close: async () => closeSync(fd),
  };
}

export const swiftDisk: Port = {
  ...disk,
  open: async (path) => reading(path),
  create: async (path) => writing(path, 'wx+'),
  append: async (path) => writing(path, constants.O_RDWR | constants.O_CREAT),
  makeDirectory: async (path) => void mkdirSync(path, { recursive: true }),
  rename: async (from, to) => renameSync(from, to),
  unlink: async (path) => unlinkSync(path),
  removeDirectory: async (path) => rmdirSync(path),
  sync: async (path) => closeSync(openSync(path, 'r')),
  syncDirectory: async (path) => closeSync(openSync(path, 'r')),
  copy: async (from, to, reflinkOnly = false) =>
    copyFileSync(from, to, constants.COPYFILE_EXCL | (reflinkOnly ? constants.COPYFILE_FICLONE_FORCE : 0)),
  setTimes: async (path, mtimeMs) => utimesSync(path, mtimeMs / 1000, mtimeMs / 1000),
  setMode: async (path, mode) => chmodSync(path, mode),
  link: async (target, path) => symlinkSync(target, path),
};
