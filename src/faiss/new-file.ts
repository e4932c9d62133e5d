/** Writing a file that is complete and synced, or not there. Knows nothing of what is in it. */
import { errnoOf, FirnError } from '../errors.js';
import type { Port, WriteHandle } from '../files/port.js';

/**
 * Creates `path`, which must not exist, lets `write` fill it and syncs it; when anything fails the file is removed.
 * @param whileSyncing what can be done with the file once all is written
 * @param bytes roughly what the file takes, for the message when the disk is full
 * @throws FirnError `failed` when the disk is full; otherwise what `write` or the disk throws
 */
export async function writeNewFile<T>(
  port: Port,
  path: string,
  bytes: number,
  write: (handle: WriteHandle) => Promise<T>,
  whileSyncing: () => Promise<unknown> = async () => {},
): Promise<T> {
  const handle = await port.create(path);
  let complete = false;
  try {
    const result = await write(handle);
    const ends = await Promise.allSettled([handle.sync(), whileSyncing()]);
    for (const end of ends) if (end.status === 'rejected') throw end.reason;
    complete = true;
    return result;
  } catch (error) {
    if (errnoOf(error) !== 'ENOSPC') throw error;
    throw new FirnError('failed', `the disk is full; the index takes about ${bytes} bytes`, {
      path,
      advice: 'Make room on that disk and build again.',
      cause: error,
    });
  } finally {
    // What was synced is safe whatever close says; what was not is removed.
    await handle.close().catch(() => {});
    if (!complete) await port.unlink(path).catch(() => {});
  }
}
