/** Giving a finished file its final name where that must be free. Knows nothing of what is in it. */
import { errnoOf } from '../errors.js';
import type { Port } from './port.js';

/** What file systems say that have no hard links. */
const NO_HARD_LINKS = new Set(['EPERM', 'ENOTSUP', 'EOPNOTSUPP', 'ENOSYS', 'EMLINK']);

/**
 * Renames `from` to `to` in the same folder, and replaces nothing: EEXIST when something has that name. A rename would take
 * the place of what came a moment ago. Where there are no hard links, it is looked at right before.
 */
export async function takeName(port: Port, from: string, to: string): Promise<void> {
  try {
    await port.hardLink(from, to);
  } catch (error) {
    if (!NO_HARD_LINKS.has(errnoOf(error) ?? '')) throw error;
    if (port.stat(to) !== undefined || port.readLink(to) !== undefined)
      throw Object.assign(new Error(`EEXIST: ${to}`), { code: 'EEXIST', path: to });
    await port.rename(from, to);
    return;
  }
  await port.unlink(from);
}
