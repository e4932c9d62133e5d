/** Replacing a small file as a whole: at every moment its name shows the old content or the new one. */
import { dirname } from 'node:path';
import type { WritePort } from './port.js';
import { temporaryName } from './temporary.js';

/** Writes beside, syncs, renames, syncs the folder. On failure the temporary is gone and the old file as it was. */
export async function writeFileAtomic(port: WritePort, path: string, data: string | Uint8Array): Promise<void> {
  const temporary = temporaryName(path);
  const handle = await port.create(temporary);
  try {
    try {
      await handle.write(typeof data === 'string' ? Buffer.from(data, 'utf8') : data);
      await handle.sync();
    } finally {
      await handle.close();
    }
    await port.rename(temporary, path);
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined);
    throw error;
  }
  await port.syncDirectory(dirname(path));
}
