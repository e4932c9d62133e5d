/** Under which paths a change is no sign of anything to do. Pure. */
import type { Step } from '../engine/types.js';
import { isTemporary } from '../files/temporary.js';
import { CACHE_FOLDER } from '../pipeline/project-path.js';
import type { Unsettled } from './settling.js';

/** Relative to the project: what steps write, and inputs that are looked at again soon anyway. What a step removes it reads. */
export function ignoredPaths(steps: readonly Step[], unsettled: readonly Unsettled[]): Set<string> {
  const paths = new Set<string>();
  for (const { outputs } of steps) for (const { path } of outputs) paths.add(path);
  for (const { path, until } of unsettled) if (until !== undefined) paths.add(path);
  return paths;
}

/** Whether `path`, relative to the project and with `/`, is one of `ignored`, stands in one, or is firn's in any project. */
export function isIgnored(path: string, ignored: ReadonlySet<string>): boolean {
  const names = path.split('/');
  return (
    names[0] === CACHE_FOLDER ||
    names.some(isTemporary) ||
    ignored.has(path) ||
    ignored.has(names.slice(0, -1).join('/'))
  );
}
