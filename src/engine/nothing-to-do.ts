/**
 * A build that has nothing to do, found out without the lock. It asks what every build asks (`decide`), and says so only
 * if all steps are fresh by digests that are remembered (or are to be left alone), nobody holds or wants the lock, and a killed
 * build left nothing behind. In any other case, also when something is wrong, it has no answer: the build takes the lock and decides anew.
 * Writes nothing but, once, the hint that spares the next one most of the looking.
 */

import { isHalfWritten } from '../files/temporary.js';
import { type BuildOptions, freshIn, journalIn, lockIn, openContext, recordsIn } from './context.js';
import { decide } from './decide.js';
import { freshOutcome, type StepOutcome } from './events.js';
import { FileClock } from './file-clock.js';
import { recallFresh, rememberFresh, watched } from './fresh-trace.js';
import { isLockWanted } from './lock.js';
import { UNSWEPT } from './recover.js';
import { skippedOutcome, whySkip } from './skip.js';

/** The outcomes of such a build; undefined when there is, or may be, something to do. */
export async function nothingToDo(options: BuildOptions): Promise<StepOutcome[] | undefined> {
  const before = tracesOfBuilds(options);
  if (before === undefined || options.force.size > 0) return undefined;
  try {
    const outcomes = recalled(options) ?? (await decided(options, () => tracesOfBuilds(options) === before));
    // A build that began in the meantime may have changed what was looked at before.
    return tracesOfBuilds(options) === before ? outcomes : undefined;
  } catch {
    return undefined;
  }
}

/** Whether a trace may speak for these steps: that of a part would take the place of that of the whole. */
function isWhole({ steps, graph }: BuildOptions): boolean {
  return steps.length === graph.order.length;
}

function recalled(options: BuildOptions): StepOutcome[] | undefined {
  const { glance, cacheDirectory, root, steps } = options;
  if (!isWhole(options)) return undefined;
  const stats = recallFresh(glance, freshIn(cacheDirectory), root, steps);
  return stats && steps.map((step) => freshOutcome(step, { stats: stats[step.id] }, 0));
}

async function decided(
  options: BuildOptions,
  isUndisturbed: () => boolean,
): Promise<StepOutcome[] | undefined> {
  const clock = new FileClock(options.port, options.cacheDirectory);
  // Only where it could be remembered; a part of the steps is looked at without writing anything.
  const began = isWhole(options) ? await clock.after(0n) : 0n;
  const { port, paths } = watched(options.glance);
  const context = openContext({ ...options, port, clock }, false, true);
  try {
    const found = new Map<string, StepOutcome>();
    for (const step of options.steps) {
      options.signal.throwIfAborted();
      const began = performance.now();
      const cause = whySkip(step, found, options);
      const decision = cause === undefined ? await decide(step, context) : undefined;
      if (decision?.action === 'fresh') {
        found.set(step.id, freshOutcome(step, decision.record, (performance.now() - began) / 1000));
        continue;
      }
      const spared = cause ?? options.failures?.recurring(step, decision?.key ?? '', options);
      if (spared === undefined) return undefined;
      found.set(step.id, skippedOutcome(step, spared));
    }
    const outcomes = [...found.values()];
    const seen = outcomes.every(({ status }) => status === 'fresh') ? paths() : undefined;
    if (seen !== undefined && isWhole(options) && isUndisturbed()) {
      const { root, steps } = options;
      const stats = Object.fromEntries(outcomes.flatMap(({ id, stats }) => (stats ? [[id, stats]] : [])));
      const file = freshIn(options.cacheDirectory);
      await rememberFresh(options.glance, file, { root, steps, paths: seen, began, clock, stats });
    }
    return outcomes;
  } finally {
    await context.workers.close();
  }
}

/** What shows that a build has ended since; undefined while one runs, waits, or has left something to be completed. */
function tracesOfBuilds({ port, cacheDirectory }: BuildOptions): string | undefined {
  const names = port.list(cacheDirectory).map(({ name }) => name);
  if (
    isLockWanted(lockIn(cacheDirectory), names) ||
    names.includes(UNSWEPT) ||
    names.some((name) => isHalfWritten(name))
  )
    return undefined;
  if (port.list(journalIn(cacheDirectory)).length > 0) return undefined;
  const records = port.stat(recordsIn(cacheDirectory));
  return records && [records.size, records.mtimeNs, records.ctimeNs, records.ino].join(' ');
}
