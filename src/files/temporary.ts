/** Names for files and folders that are not finished: hidden, beside the final name, unique in this process. */
import { basename, dirname, join } from 'node:path';

/** Everything that begins with this is firn's own and unfinished; discovery passes it over. */
export const TEMPORARY_PREFIX = '.firn-';

let count = 0;

/** A name in the folder of `path` that nothing else uses. */
export function temporaryName(path: string, label = 'tmp'): string {
  count += 1;
  return join(dirname(path), `${TEMPORARY_PREFIX}${label}-${process.pid}-${count}`);
}

export function isTemporary(path: string): boolean {
  return basename(path).startsWith(TEMPORARY_PREFIX);
}
