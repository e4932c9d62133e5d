/** The disk without some of what is on it: a run that is still being written is not there yet. Knows nothing above a file. */
import { basename, dirname, sep } from 'node:path';
import type { Port } from '../files/port.js';

/** `paths` are absolute; what is below them is hidden as well. Writing goes on as ever. */
export function hiding(port: Port, paths: Iterable<string>): Port {
  const hidden = new Set(paths);
  if (hidden.size === 0) return port;
  const namesIn = new Map<string, Set<string>>();
  for (const path of hidden) {
    const folder = dirname(path);
    namesIn.set(folder, (namesIn.get(folder) ?? new Set()).add(basename(path)));
  }
  const isHidden = (path: string): boolean => {
    for (let end = path.length; end > 0; end = path.lastIndexOf(sep, end - 1)) {
      if (hidden.has(path.slice(0, end))) return true;
    }
    return false;
  };
  const view: Partial<Port> = {
    stat: (path) => (isHidden(path) ? undefined : port.stat(path)),
    realPath: (path) => (isHidden(path) ? undefined : port.realPath(path)),
    readText: (path, limit) => (isHidden(path) ? undefined : port.readText(path, limit)),
    list(path) {
      if (isHidden(path)) return [];
      const names = namesIn.get(path);
      const entries = port.list(path);
      return names === undefined ? entries : entries.filter(({ name }) => !names.has(name));
    },
  };
  return Object.assign(Object.create(port) as Port, view);
}
