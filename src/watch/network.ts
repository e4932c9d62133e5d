/** Folders in which other machines change files without this one being told. */

import { networkName } from '../files/network-file-systems.js';
import type { ReadPort } from '../files/port.js';

/** The first of these folders (absolute) that is on a network file system. */
export function findRemote(
  port: ReadPort,
  folders: Iterable<string>,
): { folder: string; name: string } | undefined {
  // The numbers of other systems mean something else.
  if (process.platform !== 'linux') return undefined;
  for (const folder of folders) {
    const type = port.space(folder)?.type;
    const name = type === undefined ? undefined : networkName(type);
    if (name !== undefined) return { folder, name };
  }
  return undefined;
}
