/** Copying a file block by block, so that it can be stopped and hashed on the way. Knows nothing of what the file holds. */
import { streamHash } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { giveBack, takeBlock } from '../workers/shared-blocks.js';
import type { Port, ReadHandle, WriteHandle } from './port.js';

const BLOCK = 2 * 1024 * 1024;

export interface CopyOptions {
  signal: AbortSignal;
  workers?: Workers | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
}

/**
 * Copies the bytes of `from` and its mtime to the new file `to`, and syncs it; SHA-256 of what was read, in hexadecimal.
 * After a failure there is nothing at `to`.
 */
export async function copyFile(port: Port, from: string, to: string, options: CopyOptions): Promise<string> {
  const source = await port.open(from);
  try {
    const target = await port.create(to);
    try {
      const sha256 = await copyBlocks(source, target, options);
      await port.setTimes(to, Number((await source.stat()).mtimeNs) / 1e6);
      await target.sync();
      await target.close();
      return sha256;
    } catch (error) {
      await target.close().catch(() => undefined);
      await port.unlink(to).catch(() => undefined);
      throw error;
    }
  } finally {
    await source.close();
  }
}

/** One block is read while the one before it is written and hashed. */
async function copyBlocks(source: ReadHandle, target: WriteHandle, options: CopyOptions): Promise<string> {
  const hash = streamHash(source.size, options.workers);
  const blocks = [0, 1].map(() => takeBlock(Math.min(BLOCK, source.size + 1)));
  let passing: Promise<unknown> = Promise.resolve();
  try {
    for (let position = 0, turn = 0; ; turn = 1 - turn) {
      options.signal.throwIfAborted();
      const block = blocks[turn];
      const read = await source.read(block, position);
      await passing;
      const bytes = block.subarray(0, read);
      passing = Promise.all([hash.update(bytes), target.write(bytes)]);
      // A failure is thrown where it is waited for, after the next block is read.
      passing.catch(() => undefined);
      position += read;
      options.onBytes?.(read);
      if (read < block.byteLength) break;
    }
    await passing;
    return await hash.digest();
  } finally {
    await passing.catch(() => undefined);
    for (const block of blocks) giveBack(block);
  }
}
