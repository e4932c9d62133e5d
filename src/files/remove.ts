/** Taking things away. Knows nothing of what they are. */
import { join } from 'node:path';
import { errnoOf } from '../errors.js';
import type { Port } from './port.js';
import { isHalfWritten } from './temporary.js';

/** Fine when it is gone already. */
export async function unlinkIfThere(port: Pick<Port, 'unlink'>, path: string): Promise<void> {
  try {
    await port.unlink(path);
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

/** Removes a folder with all it holds; links are unlinked, never followed. */
export async function removeTree(port: Port, path: string): Promise<void> {
  for (const entry of port.list(path)) {
    // By its name it cannot be reached; a program of the user may leave such files.
    if (entry.notUtf8) return port.removeAll(path);
    const inner = join(path, entry.name);
    if (entry.kind === 'directory') await removeTree(port, inner);
    else await port.unlink(inner);
  }
  if (port.stat(path) !== undefined) await port.removeDirectory(path);
}

/** Removes the half-written files that killed processes left in a folder, where nobody else writes any of this label now. */
export async function removeHalfWritten(port: Port, folder: string, label?: string): Promise<void> {
  for (const { name, kind } of port.list(folder)) {
    if (kind === 'file' && isHalfWritten(name, label)) await unlinkIfThere(port, join(folder, name));
  }
}
