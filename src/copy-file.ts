/**
 * A copy of a large file: shared blocks where the file system has them, and otherwise block by block, so that it can be
 * stopped and says how far it is. The copy is read back. Knows nothing of what is in the file.
 */
import { OutputFile } from './arrays/output-file.js';
import { fileDigest } from './engine/store.js';
import { errnoOf } from './errors.js';
import type { Port } from './files/port.js';
import type { Workers } from './workers/pool.js';

const BLOCK = 4 * 1024 * 1024;
/** What file systems say that cannot share blocks, or not between these two places. */
const CANNOT_SHARE = new Set(['ENOTSUP', 'EOPNOTSUPP', 'EXDEV', 'EINVAL', 'ENOTTY', 'ENOSYS', 'EPERM']);

export interface CopyOptions {
  workers?: Workers | undefined;
  signal?: AbortSignal | undefined;
  /** Hears of bytes copied and of bytes read back: twice the file's in all. */
  onBytes?: (bytes: number) => void;
}

/**
 * Copies `from` to the new file `to`, syncs it and gives the digest (`sha256:`) of what is in `to`, read back. What is
 * left of it after a failure is the caller's to remove.
 */
export async function copyFile(
  port: Port,
  from: string,
  to: string,
  options: CopyOptions = {},
): Promise<{ bytes: number; digest: string }> {
  const { onBytes } = options;
  if (await shareBlocks(port, from, to)) {
    onBytes?.(port.stat(to)?.size ?? 0);
    await port.sync(to);
  } else {
    await copyBlocks(port, from, to, options);
  }
  const digest = await fileDigest(port, to, options);
  return { bytes: port.stat(to)?.size ?? 0, digest };
}

async function shareBlocks(port: Port, from: string, to: string): Promise<boolean> {
  try {
    await port.copy(from, to, true);
    return true;
  } catch (error) {
    if (!CANNOT_SHARE.has(errnoOf(error) ?? '')) throw error;
    if (port.stat(to) !== undefined) await port.unlink(to);
    return false;
  }
}

async function copyBlocks(port: Port, from: string, to: string, options: CopyOptions): Promise<void> {
  const source = await port.open(from);
  try {
    const file = await OutputFile.create(port, to);
    try {
      const block = new Uint8Array(Math.min(BLOCK, source.size + 1));
      for (let position = 0; ; ) {
        options.signal?.throwIfAborted();
        const read = await source.read(block, position);
        if (read === 0) break;
        await file.write(block.subarray(0, read));
        position += read;
        options.onBytes?.(read);
      }
      await file.finish();
    } catch (error) {
      await file.abort();
      throw error;
    }
  } finally {
    await source.close();
  }
}
