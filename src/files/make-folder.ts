/** Folders that are there after a power cut. */
import { dirname } from 'node:path';
import type { Port } from './port.js';

/** Makes the folder with its parents, and syncs every folder that got a new name in it. */
export async function makeFolder(port: Port, path: string): Promise<void> {
  const named: string[] = [];
  for (let at = path; port.stat(at) === undefined && dirname(at) !== at; at = dirname(at))
    named.push(dirname(at));
  if (named.length === 0) return;
  await port.makeDirectory(path);
  for (const folder of named) await port.syncDirectory(folder);
}

/** The folder itself, or the nearest one above it that is there. */
export function nearestFolder(port: Port, path: string): string {
  let at = path;
  while (port.stat(at) === undefined && dirname(at) !== at) at = dirname(at);
  return at;
}
