/** Copying one file to a new name, durable when it resolves, with digests of what was read. Knows no bag and no project. */
import type { FileStat, Port, ReadHandle, WriteHandle } from '../files/port.js';
import { type StreamHashes, streamHashes } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { giveBack, takeBlock } from '../workers/shared-blocks.js';

const BLOCK = 4 * 1024 * 1024;

export interface CopyOptions {
  /** As node:crypto names them. */
  algorithms: readonly string[];
  workers?: Workers | undefined;
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
}

export interface Copied {
  /** In hexadecimal, in the order of the algorithms. */
  digests: string[];
  /** Of the file that was read, before it was. */
  stat: FileStat;
}

/** The file to copy cannot be read; `cause` says why. What goes wrong with the copy is thrown as it is. */
export class UnreadableSource extends Error {}

/**
 * Undefined when the file changed while it was read. Blocks are shared with no other file: a copy on the same disk is one
 * of its own. What fails leaves nothing at `to`, which must not exist.
 */
export async function copyFile(
  port: Port,
  from: string,
  to: string,
  options: CopyOptions,
): Promise<Copied | undefined> {
  const source = await reading(() => port.open(from));
  try {
    const stat = await reading(() => source.stat());
    const hashes = streamHashes(stat.size, options.workers, options.algorithms);
    const target = await port.create(to);
    try {
      const bytes = await pour(source, target, hashes, options);
      await target.sync();
      await target.close();
      const after = await reading(() => source.stat());
      if (bytes === stat.size && isSame(stat, after)) return { digests: await hashes.digests(), stat };
    } catch (error) {
      await target.close().catch(() => undefined);
      await port.unlink(to).catch(() => undefined);
      throw error;
    }
    await port.unlink(to);
    return undefined;
  } finally {
    await source.close();
  }
}

async function reading<T>(read: () => Promise<T>): Promise<T> {
  try {
    return await read();
  } catch (cause) {
    throw new UnreadableSource('the file cannot be read', { cause });
  }
}

/** Whether both stats are of one file that nobody changed in between. */
export function isSame(a: FileStat, b: FileStat): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}

/** Waits for all of them, also when one has failed: until then they use the block, and the file that it goes to. */
async function bothOf(uses: readonly (void | Promise<void>)[]): Promise<void> {
  const failed = (await Promise.allSettled(uses)).find(({ status }) => status === 'rejected');
  if (failed?.status === 'rejected') throw failed.reason;
}

/** One block is read while the one before it is written and hashed; how many bytes there were. */
async function pour(
  source: ReadHandle,
  target: WriteHandle,
  hashes: StreamHashes,
  { signal, onBytes }: CopyOptions,
): Promise<number> {
  const blocks = [0, 1].map(() => takeBlock(Math.min(BLOCK, source.size + 1)));
  let passing: Promise<unknown> = Promise.resolve();
  try {
    for (let position = 0, turn = 0; ; turn = 1 - turn) {
      signal?.throwIfAborted();
      const block = blocks[turn];
      const read = await reading(() => source.read(block, position));
      await passing;
      const bytes = block.subarray(0, read);
      passing = bothOf([hashes.update(bytes), target.write(bytes)]);
      // A failure is thrown where it is waited for, after the next block is read.
      passing.catch(() => undefined);
      position += read;
      onBytes?.(read);
      if (read < block.byteLength) {
        await passing;
        return position;
      }
    }
  } finally {
    await passing.catch(() => undefined);
    for (const block of blocks) giveBack(block);
  }
}
