/**
 * What a build would do, without doing it. It asks what the build asks (`decide`), over the disk as it will
 * be once what a killed build had decided is complete. Knows no rule.
 */
import { errnoOf, FirnError } from '../errors.js';
import { pendingCommits, whyUnfinished } from './commit.js';
import { type BuildOptions, journalIn, type OpenContext, type OpenOptions, openContext } from './context.js';
import { type DecideContext, decide } from './decide.js';
import { upstreamOf } from './graph.js';
import type { Records } from './records.js';
import { afterCommits } from './recover.js';
import type { Reason, Step } from './types.js';

/** What a build would do about a step. */
export interface PlannedStep {
  /** `target` or `target:dataset/run`. */
  id: string;
  target: string;
  /** `maybe`: a step before it runs, and early cutoff may spare it. `blocked`: it would fail. */
  action: 'fresh' | 'run' | 'restore' | 'maybe' | 'blocked';
  reasons: Reason[];
  /** What the step would warn of. */
  warnings?: string[];
  /** Why it would fail. */
  error?: unknown;
}

/** What a build would do, without doing or remembering anything. */
export async function planBuild(options: BuildOptions): Promise<PlannedStep[]> {
  const context = openRecovered({ ...options, port: options.glance });
  try {
    return await planSteps(options, context);
  } finally {
    await context.workers.close();
  }
}

async function planSteps(options: BuildOptions, context: OpenContext): Promise<PlannedStep[]> {
  const planned = new Map<string, PlannedStep>();
  const unfinished = unfinishedIn(options);
  for (const step of options.steps) {
    options.signal.throwIfAborted();
    const base = { id: step.id, target: step.target };
    const before = upstreamOf(options.graph, step).flatMap((id) => planned.get(id) ?? []);
    const failing = before.find((other) => other.action === 'blocked');
    const running = before.filter((other) => other.action !== 'fresh');
    const unfinishedBy = unfinished.get(step.id);
    if (unfinishedBy !== undefined) {
      planned.set(step.id, { ...base, ...blockedBy(unfinishedBy) });
    } else if (failing !== undefined) {
      planned.set(step.id, { ...base, action: 'blocked', reasons: [hangsOn(failing.id, 'fails')] });
    } else if (running.length > 0) {
      const error = await step.rule.obstacle?.(step);
      const waits = behind(running, whySurely(step, options, context.records));
      planned.set(step.id, { ...base, ...(error === undefined ? waits : blockedBy(error)) });
    } else {
      planned.set(step.id, await planStep(step, { ...context, force: options.force.has(step.target) }));
    }
  }
  return [...planned.values()];
}

/** By step: why what a killed build had decided cannot be completed. */
function unfinishedIn({ port, root, cacheDirectory }: BuildOptions): Map<string, FirnError> {
  return new Map(
    pendingCommits(port, journalIn(cacheDirectory)).flatMap((pending) => {
      const why = whyUnfinished({ port, root }, pending);
      return why === undefined ? [] : [[pending.record.step, why] as const];
    }),
  );
}

/**
 * Records and disk as they will be once what a killed build had decided is complete. `recallOnly`: nothing is hashed, see
 * Digests.
 */
export function openRecovered(options: OpenOptions, recallOnly = false): OpenContext {
  const { port, root, cacheDirectory } = options;
  const pending = pendingCommits(port, journalIn(cacheDirectory));
  const context = openContext({ ...options, port: afterCommits(port, root, pending) }, false, recallOnly);
  for (const { record } of pending) context.records.assume(record);
  return context;
}

/** A step behind one that runs may be spared by early cutoff, unless something else makes it run. */
function behind(
  running: readonly PlannedStep[],
  surely: Reason | undefined,
): Pick<PlannedStep, 'action' | 'reasons'> {
  const waits = running.map((other) => hangsOn(other.id, other.action === 'maybe' ? 'may run' : 'runs'));
  return surely === undefined
    ? { action: 'maybe', reasons: waits }
    : { action: 'run', reasons: [surely, ...waits] };
}

function whySurely(step: Step, options: BuildOptions, records: Records): Reason | undefined {
  if (options.force.has(step.target)) return { code: 'forced', text: 'forced' };
  return records.of(step.id) === undefined ? { code: 'new', text: 'never built' } : undefined;
}

async function planStep(step: Step, context: DecideContext): Promise<PlannedStep> {
  const base = { id: step.id, target: step.target };
  try {
    const decision = await decide(step, context);
    if (decision.action === 'fresh') return { ...base, action: 'fresh', reasons: [] };
    const action = decision.action === 'restore' ? 'restore' : 'run';
    const warnings = decision.action === 'cleanup' ? [] : (decision.memory?.warnings ?? []);
    return { ...base, action, reasons: decision.reasons, warnings };
  } catch (error) {
    // What the system refuses (a file that may not be read) is this step's failure and no other's.
    const expected = error instanceof FirnError ? error.kind !== 'interrupted' : errnoOf(error) !== undefined;
    if (!expected || context.digests.aborted) throw error;
    return { ...base, ...blockedBy(error) };
  }
}

function blockedBy(error: unknown): Pick<PlannedStep, 'action' | 'reasons' | 'error'> {
  return { action: 'blocked', reasons: [], error };
}

function hangsOn(id: string, what: string): Reason {
  return { code: 'upstream', text: `${id} ${what} first` };
}
