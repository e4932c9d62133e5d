/** Replacing a small file as a whole: at every moment its name shows the old content or the new one. */
import { dirname } from 'node:path';
import { errnoOf, FirnError } from '../errors.js';
import { adviceFor, reasonOf } from '../system-errors.js';
import type { ReadPort, WriteHandle, WritePort } from './port.js';
import { temporaryName } from './temporary.js';

/**
 * Writes beside, syncs, renames, syncs the folder. Who might read and write the old file still may. On failure the temporary
 * is gone and the old file as it was; only when the last sync fails is the new content there, though a power cut may undo it.
 * Two writers at once both succeed, and one content wins. FirnError (failed) names `path` and the bytes it needs. Who is
 * killed leaves the temporary; it has `label` in its name, so that whoever may write there next can tell whose it is.
 */
export async function writeFileAtomic(
  port: WritePort & Pick<ReadPort, 'stat'>,
  path: string,
  data: string | Uint8Array,
  label?: string,
): Promise<void> {
  const bytes = typeof data === 'string' ? Buffer.from(data, 'utf8') : data;
  try {
    const handle = await port.create(temporaryName(path, label));
    try {
      await writeDurably(handle, bytes);
      await keepMode(port, path, handle.path);
      await port.rename(handle.path, path);
    } catch (error) {
      await port.unlink(handle.path).catch(() => undefined);
      throw error;
    }
    await port.syncDirectory(dirname(path));
  } catch (error) {
    const errno = errnoOf(error);
    if (errno === undefined) throw error;
    const full = errno === 'ENOSPC' || errno === 'EDQUOT';
    const advice = full
      ? `Make room: it needs ${bytes.byteLength} bytes beside the old file.`
      : adviceFor(error);
    throw new FirnError('failed', `could not be written: ${reasonOf(error)}`, {
      path,
      ...(advice === undefined ? {} : { advice }),
      cause: error,
    });
  }
}

/** A group shares registries: what one of them writes the others may write again. */
async function keepMode(
  port: WritePort & Pick<ReadPort, 'stat'>,
  path: string,
  replacement: string,
): Promise<void> {
  const mode = port.stat(path)?.mode;
  if (mode !== undefined && mode !== port.stat(replacement)?.mode) await port.setMode(replacement, mode);
}

async function writeDurably(handle: WriteHandle, bytes: Uint8Array): Promise<void> {
  try {
    await handle.write(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
}
