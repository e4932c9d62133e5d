/**
 * A disk of which a part may not be readable: what the system refuses is noted and taken for absent, so that one folder
 * without rights does not hide all others. Knows no run.
 */
import { errnoOf } from '../errors.js';
import type { Port } from '../files/port.js';

export interface ForgivingPort {
  port: Port;
  /** What the system refused, by path, as it comes. */
  refused: ReadonlyMap<string, unknown>;
}

export function forgiving(disk: Port): ForgivingPort {
  const refused = new Map<string, unknown>();
  const attempt = <T>(path: string, look: () => T, instead: T): T => {
    try {
      return look();
    } catch (error) {
      if (errnoOf(error) === undefined) throw error;
      refused.set(path, error);
      return instead;
    }
  };
  const view: Partial<Port> = {
    stat: (path) => attempt(path, () => disk.stat(path), undefined),
    list: (path) => attempt(path, () => disk.list(path), []),
    realPath: (path) => attempt(path, () => disk.realPath(path), undefined),
  };
  return { port: Object.assign(Object.create(disk) as Port, view), refused };
}
