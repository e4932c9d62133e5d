/**
 * The file-system port: everything firn reads or changes on disk goes through these two interfaces, so that a
 * test can fail or kill any operation and a plan can be made over a disk that does not exist.
 * Knows no project, no array and no step. Paths are absolute, or relative to the working directory.
 */

export interface FileStat {
  kind: 'file' | 'directory' | 'other';
  /** bytes */
  size: number;
  /** nanoseconds since 1970 */
  mtimeNs: bigint;
  ctimeNs: bigint;
  ino: bigint;
  /** Permission bits, such as 0o644; a port that stands in for the disk may not know them. */
  mode?: number;
  /** The file system it is on; such a port may not know it either. */
  dev?: bigint;
}

export interface DirectoryEntry {
  /** A name that is not UTF-8 shows U+FFFD for what it lost: it cannot be opened, and may look like another's. */
  name: string;
  kind: 'file' | 'directory' | 'link' | 'other';
  notUtf8?: true;
}

/** A file system, as statfs(2) tells of it. */
export interface DiskSpace {
  /** The same for all paths on it. */
  device: bigint;
  /** Which kind it is: the magic number of statfs(2). */
  type: number;
  /** bytes in all, and those that this user may still fill */
  total: number;
  free: number;
  /** Files it can hold, and how many more; both 0 where there is no fixed number. */
  files: number;
  filesFree: number;
}

export interface ReadHandle {
  readonly path: string;
  /** bytes, when opened */
  readonly size: number;
  /** The open file, where other threads of this process may read it too; a port that stands in for the disk has none. */
  readonly fd?: number;
  /** Fills `into` from `position`; fewer bytes come back only at the end of the file. */
  read(into: Uint8Array, position: number): Promise<number>;
  /** The stat of the open file, whatever its name points at by now. */
  stat(): Promise<FileStat>;
  close(): Promise<void>;
}

export interface WriteHandle {
  readonly path: string;
  /** The open file, where other threads of this process may read back what was written. */
  readonly fd?: number;
  /** Writes all of `data`, at `position` or after the last sequential write. */
  write(data: Uint8Array, position?: number): Promise<void>;
  /** fsync. Never repeated on the same handle after it failed. */
  sync(): Promise<void>;
  close(): Promise<void>;
}

/** Reading. The calls that planning makes thousands of times are synchronous: they are cheaper so. */
export interface ReadPort {
  /** Follows links; undefined when nothing is there. */
  stat(path: string): FileStat | undefined;
  /** The entries by name in code-unit order; empty when there is no such directory. */
  list(path: string): DirectoryEntry[];
  /**
   * UTF-8, with U+FFFD for what is none. Undefined when there is no such file; FirnError when it has more than `limit`
   * bytes (64 MiB unless told) or is no file, such as a pipe, which would be waited for.
   */
  readText(path: string, limit?: number): string | undefined;
  /** Where a path leads when every link in it is followed; undefined when nothing is there. */
  realPath(path: string): string | undefined;
  /** What a symbolic link says; undefined when there is none. */
  readLink(path: string): string | undefined;
  open(path: string): Promise<ReadHandle>;
  /** The file system that holds `path`; undefined when nothing is there. */
  space(path: string): DiskSpace | undefined;
  /** The errno with which the system would refuse this user; undefined when it would not. */
  refusal(path: string, use: 'read' | 'write' | 'execute'): string | undefined;
}

export interface WritePort {
  /** A new file, open for writing; EEXIST when the name is taken. */
  create(path: string): Promise<WriteHandle>;
  /** An existing file, open for appending; made when missing. */
  append(path: string): Promise<WriteHandle>;
  /** With its parents; fine when it is there. */
  makeDirectory(path: string): Promise<void>;
  rename(from: string, to: string): Promise<void>;
  unlink(path: string): Promise<void>;
  /** An empty directory. */
  removeDirectory(path: string): Promise<void>;
  /** A directory with all it holds, also what has names that are not UTF-8. */
  removeAll(path: string): Promise<void>;
  /** fsync of a file, which need not be writable: a program may have written it read-only. */
  sync(path: string): Promise<void>;
  /** fsync of a directory, so that names made or removed in it survive a power cut. */
  syncDirectory(path: string): Promise<void>;
  /** A copy that shares blocks where the file system can; `reflinkOnly` fails (ENOTSUP and kin) elsewhere. */
  copy(from: string, to: string, reflinkOnly?: boolean): Promise<void>;
  setTimes(path: string, mtimeMs: number): Promise<void>;
  /** The stat of a file that is made in this directory and goes again: which time its file system has. */
  probe(directory: string): Promise<FileStat>;
  /** Permission bits of a file or directory. They hold nobody back who is root. */
  setMode(path: string, mode: number): Promise<void>;
  /** A second name for a file; EEXIST when it is taken, EPERM and kin where the file system has none. */
  hardLink(path: string, to: string): Promise<void>;
  /** A symbolic link at `path` that says `target`; EEXIST when the name is taken. */
  link(target: string, path: string): Promise<void>;
}

export interface Port extends ReadPort, WritePort {}
