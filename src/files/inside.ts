/** Whether a path stays in its folder: links on the way could lead elsewhere, and nothing is written through one. */
import { dirname, join } from 'node:path';
import type { ReadPort } from './port.js';

/** The part of `path`, below `base`, that is a link or lies behind one; undefined when there is none. */
export function linkOnTheWay(port: ReadPort, base: string, path: string): string | undefined {
  const real = port.realPath(base);
  if (real === undefined) return undefined;
  for (let at = path; at !== '.'; at = dirname(at)) {
    const found = port.realPath(join(base, at));
    if (found !== undefined) return found === join(real, at) ? undefined : at;
    // A link to nothing has no real path, and what is written to it would be made behind it.
    const listed = port.list(join(base, dirname(at))).find((entry) => join(dirname(at), entry.name) === at);
    if (listed?.kind === 'link') return at;
  }
  return undefined;
}

/** Whether a path, relative to a folder, stays inside that folder by its letters. Pure: knows no link and no disk. */
export function isInside(path: string): boolean {
  return (
    path !== '' &&
    !path.startsWith('/') &&
    !path.includes('\0') &&
    path.split('/').every((part) => part !== '' && part !== '..')
  );
}
