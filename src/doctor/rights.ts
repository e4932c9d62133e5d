/** What the system refuses to show, in runs and anywhere else that a check looked. Knows no run. */

import { command } from '../shell-word.js';
import { adviceFor, reasonOf } from '../system-errors.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

/** For the end, when every check has looked. */
export const rightsChecks: Group = {
  name: 'rights',
  checks: { rights: refusedFolders },
  whenLimited: true,
  summary: () => undefined,
};

export function* refusedFolders(context: DoctorContext): Iterable<Finding> {
  for (const [path, error] of context.refusedHere()) {
    const shown = context.shown(path);
    if (context.includes(shown) && !context.told.has(shown)) yield notReadable(context, path, error);
  }
}

export function notReadable(context: DoctorContext, path: string, error: unknown): Finding {
  const shown = context.shown(path);
  context.told.add(shown);
  return finding(
    'unreadable',
    shown,
    `cannot be read: ${reasonOf(error)}`,
    `${command('chmod', '-R', 'u+rX', '--', shown)} where it is yours. ${adviceFor(error) ?? ''}`.trim(),
  );
}
