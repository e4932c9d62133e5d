/** Folders that a power cut does not take away again. */
import { dirname } from 'node:path';
import type { Port } from './port.js';

/** The folder itself, or the nearest one above it that is there. */
export function nearestDirectory(port: Port, path: string): string {
  let at = path;
  while (port.stat(at) === undefined && dirname(at) !== at) at = dirname(at);
  return at;
}

/** With its parents; fine when it is there. The name of each new folder is synced, so that what is put into it stays. */
export async function makeDurableDirectory(port: Port, path: string): Promise<void> {
  const missing: string[] = [];
  for (let above = path; port.stat(above) === undefined; above = dirname(above)) missing.push(above);
  if (missing.length === 0) return;
  await port.makeDirectory(path);
  for (const made of missing) await port.syncDirectory(dirname(made));
}
