/**
 * Stored outputs, by the digest of their bytes, so that going back to an earlier state is a copy and not a computation.
 * Bounded, the longest unused leave first. A stored file is only believed after its digest was checked.
 */
import { basename, dirname, join } from 'node:path';
import { errnoOf } from '../errors.js';
import type { Port, ReadHandle } from '../files/port.js';
import { isTemporary, temporaryName } from '../files/temporary.js';
import { hashFromFile, type StreamHashes, streamHashes } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { giveBack, takeBlock } from '../workers/shared-blocks.js';
import { isDigest } from './record-shape.js';

/** Files beyond this size are stored only where the file system shares their blocks. */
const COPY_LIMIT = 64 * 1024 * 1024;
const BLOCK = 2 * 1024 * 1024;
/** By how much of its limit the store may grow before a build of many steps trims it on the way. */
const OVERSHOOT = 0.1;

export interface StoredFile {
  /** Absolute. */
  path: string;
  /** bytes */
  size: number;
  /** When it was stored or last restored, in ns since 1970. */
  used: bigint;
}

export class Store {
  /** bytes stored since the last trim */
  private added = 0;

  constructor(
    private readonly port: Port,
    private readonly directory: string,
    /** bytes in all */
    private readonly limit: number,
    private readonly now: () => number,
  ) {}

  private pathOf(digest: string): string {
    // What comes from a file of `cache/` must not lead anywhere else.
    if (!isDigest(digest)) throw new Error(`${digest} is no digest of a stored file`);
    const hex = digest.slice('sha256:'.length);
    return join(this.directory, hex.slice(0, 2), hex);
  }

  /** Whether a file of this digest seems to be there; `restore` is what proves it. */
  has(digest: string): boolean {
    return isDigest(digest) && this.port.stat(this.pathOf(digest))?.kind === 'file';
  }

  /** Stores a copy of a file whose digest is known. A store that cannot take it (too big, full disk) is no failure. */
  async keep(file: string, digest: string): Promise<void> {
    const stat = this.port.stat(file);
    if (stat === undefined || stat.size > this.limit) return;
    const target = this.pathOf(digest);
    const temporary = temporaryName(target);
    try {
      if (this.has(digest)) return await this.port.setTimes(target, this.now());
      await this.port.makeDirectory(dirname(target));
      await this.port.copy(file, temporary, stat.size > COPY_LIMIT);
      await this.port.rename(temporary, target);
    } catch {
      await this.port.unlink(temporary).catch(() => undefined);
      return;
    }
    this.added += stat.size;
    // The build tells of it at its end.
    if (this.added > this.limit * OVERSHOOT) await this.trim().catch(() => undefined);
  }

  /** Copies a stored file to `to`; false when it is not there, cannot be read or is no longer what it was. */
  async restore(digest: string, to: string, options: DigestOptions = {}): Promise<boolean> {
    const source = this.pathOf(digest);
    if (!this.has(digest)) return false;
    try {
      await this.port.copy(source, to);
      if ((await fileDigest(this.port, to, options)) === digest) {
        await this.port.setTimes(source, this.now());
        return true;
      }
      await this.port.unlink(source);
    } catch {
      // Whatever is wrong with the store, the work can be done instead.
      options.signal?.throwIfAborted();
    }
    await this.port.unlink(to).catch(() => undefined);
    return false;
  }

  /** Removes the half copies of a killed build. */
  async removeLeftovers(): Promise<void> {
    for (const { path } of this.leftovers()) await this.port.unlink(path);
  }

  /** Half copies: only a killed build leaves any. Absolute paths. */
  leftovers(): StoredFile[] {
    return this.files().filter(({ path }) => isTemporary(path));
  }

  /** Every stored output. */
  objects(): (StoredFile & { digest: string })[] {
    return this.files().flatMap((file) => {
      const digest = `sha256:${basename(file.path)}`;
      return isDigest(digest) && this.pathOf(digest) === file.path ? [{ ...file, digest }] : [];
    });
  }

  /** What stands in its folders; another program's are not looked into, nor are links. */
  private files(): StoredFile[] {
    const files: StoredFile[] = [];
    for (const folder of this.port.list(this.directory)) {
      if (folder.kind !== 'directory' || !/^[0-9a-f]{2}$/.test(folder.name)) continue;
      for (const { name, kind } of this.port.list(join(this.directory, folder.name))) {
        const path = join(this.directory, folder.name, name);
        const stat = kind === 'file' ? this.port.stat(path) : undefined;
        if (stat !== undefined) files.push({ path, size: stat.size, used: stat.mtimeNs });
      }
    }
    return files;
  }

  /** Removes the longest unused files until the store is within its limit. Bytes freed. */
  async trim(limit = this.limit): Promise<number> {
    this.added = 0;
    const files = this.objects();
    let total = files.reduce((sum, file) => sum + file.size, 0);
    let freed = 0;
    files.sort((a, b) => (a.used < b.used ? -1 : a.used > b.used ? 1 : 0));
    for (const file of files) {
      if (total <= limit) break;
      total -= file.size;
      // Another step's trim may have been there first.
      await this.port.unlink(file.path).then(() => {
        freed += file.size;
      }, ignoreAbsent);
    }
    return freed;
  }
}

function ignoreAbsent(error: unknown): void {
  if (errnoOf(error) !== 'ENOENT') throw error;
}

export interface DigestOptions {
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
  workers?: Workers | undefined;
}

/** `sha256:<hex>` of a file's bytes. One block is read while the one before it is hashed. */
export async function fileDigest(
  port: Pick<Port, 'open'>,
  path: string,
  options: DigestOptions = {},
): Promise<string> {
  return `sha256:${(await fileDigests(port, path, ['sha256'], options))[0]}`;
}

/** Digests of a file's bytes in hexadecimal, one an algorithm (as node:crypto names them), from one reading. */
export async function fileDigests(
  port: Pick<Port, 'open'>,
  path: string,
  algorithms: readonly string[],
  options: DigestOptions = {},
): Promise<string[]> {
  const handle = await port.open(path);
  try {
    const hash = streamHashes(handle.size, options.workers, algorithms);
    const whole = { position: 0, bytes: Number.MAX_SAFE_INTEGER };
    if ((await hashFromFile(hash, handle, whole, options)) === undefined) {
      await hashBlocks(hash, handle, options);
    }
    return await hash.digests();
  } finally {
    await handle.close();
  }
}

async function hashBlocks(
  hash: Pick<StreamHashes, 'update'>,
  handle: ReadHandle,
  options: DigestOptions,
): Promise<void> {
  const blocks = [0, 1].map(() => takeBlock(Math.min(BLOCK, handle.size + 1)));
  let hashing: Promise<void> | undefined;
  try {
    for (let position = 0, turn = 0; ; turn = 1 - turn) {
      options.signal?.throwIfAborted();
      const block = blocks[turn];
      const read = await handle.read(block, position);
      await hashing;
      hashing = Promise.resolve(hash.update(block.subarray(0, read)));
      // A failure is thrown where it is waited for, after the next block is read.
      hashing.catch(() => undefined);
      position += read;
      options.onBytes?.(read);
      if (read < block.byteLength) break;
    }
    await hashing;
  } finally {
    await hashing?.catch(() => undefined);
    for (const block of blocks) giveBack(block);
  }
}
