/** Names for files and folders that are not finished: hidden, beside the final name, unique. */
import { randomBytes } from 'node:crypto';
import { basename, dirname, join } from 'node:path';

/** Everything that begins with this is firn's own and unfinished; discovery passes it over. */
export const TEMPORARY_PREFIX = '.firn-';

const HALF_WRITTEN = 'tmp';

/** A name in the folder of `path` that nothing else uses. */
export function temporaryName(path: string, label = HALF_WRITTEN): string {
  // Not the pid: containers give the same one again, and a killed process leaves its files.
  return join(dirname(path), `${TEMPORARY_PREFIX}${label}-${randomBytes(6).toString('hex')}`);
}

/** Whether it has the name of a file that is being written to replace another one. */
export function isHalfWritten(path: string, label = HALF_WRITTEN): boolean {
  return basename(path).startsWith(`${TEMPORARY_PREFIX}${label}-`);
}

/** Whether it has the name of a folder in which a step prepares its outputs. */
export function isStaged(path: string): boolean {
  return /^\.firn-[0-9a-f]{12}-[0-9a-f]{12}$/.test(basename(path));
}

export function isTemporary(path: string): boolean {
  return basename(path).startsWith(TEMPORARY_PREFIX);
}
