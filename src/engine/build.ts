/**
 * A whole build: every wanted step once, after those it waits for, some side by side. Knows no rule, no array and no
 * terminal.
 */
import { basename } from 'node:path';
import { FirnError, messageOf } from '../errors.js';
import { textOf } from '../system-errors.js';
import { type BuildOptions, journalIn, type OpenContext, openContext } from './context.js';
import { decide } from './decide.js';
import { type BuildSummary, freshOutcome, type StepOutcome } from './events.js';
import { type ExecuteContext, executeStep } from './execute.js';
import { sightOf } from './failures.js';
import { upstreamOf } from './graph.js';
import type { Lock } from './lock.js';
import { nothingToDo } from './nothing-to-do.js';
import { acquireBuildLock, recover, sweepStages, type Unfinished } from './recover.js';
import { skippedOutcome, whySkip } from './skip.js';
import type { Reason, Step } from './types.js';

/**
 * Builds; steps that fail are in the summary, not thrown. Waits for another build of the same project first, if there is
 * something to do.
 */
export async function runBuild(options: BuildOptions): Promise<BuildSummary> {
  const began = performance.now();
  const idle = await nothingToDo(options);
  if (idle !== undefined) return tell(options, idle, began);
  const lock = await acquireBuildLock(options.port, options.cacheDirectory, {
    command: options.command,
    onWait: (holder) => options.emit({ type: 'waiting', holder }),
    signal: options.signal,
  });
  try {
    return await buildLocked(options, lock);
  } finally {
    await lock.release();
  }
}

function tell(options: BuildOptions, outcomes: StepOutcome[], began: number): BuildSummary {
  const steps = outcomes.length;
  options.emit({ type: 'begin', steps });
  for (const [i, outcome] of outcomes.entries())
    options.emit({ type: 'finish', outcome, finished: i + 1, steps });
  const summary = summarise(outcomes, (performance.now() - began) / 1000);
  options.emit({ type: 'end', summary });
  return summary;
}

async function buildLocked(options: BuildOptions, lock: Lock): Promise<BuildSummary> {
  const began = performance.now();
  const { cacheDirectory } = options;
  const open = openContext(options, true);
  const journalDirectory = journalIn(cacheDirectory);
  const unfinished = await recover({ ...open, cacheDirectory, journalDirectory }, lock, options.graph.order);
  const wanted = new Set(options.steps.map((step) => step.id));
  for (const [step, error] of unfinished) {
    if (!wanted.has(step)) options.emit({ type: 'warning', step, message: messageOf(error) });
  }
  const context: ExecuteContext = {
    ...open,
    cacheDirectory,
    journalDirectory,
    digesters: options.digesters,
    signal: options.signal,
    emit: options.emit,
  };
  options.emit({ type: 'begin', steps: options.steps.length });
  try {
    const outcomes = await runSteps(options, context, unfinished);
    if (outcomes.some((outcome) => outcome.status === 'ran')) await trim(options, open);
    const summary = summarise(outcomes, (performance.now() - began) / 1000);
    options.emit({ type: 'end', summary });
    return summary;
  } finally {
    await open.workers.close();
    await open.digests.close();
    await open.records.close();
  }
}

/** What is built is built, whatever becomes of copies of it. */
async function trim({ cacheDirectory, emit }: BuildOptions, { store }: OpenContext): Promise<void> {
  try {
    await store.trim();
  } catch (error) {
    const message = `${basename(cacheDirectory)}/objects takes more than its limit: ${textOf(error)}`;
    emit({ type: 'warning', message });
  }
}

function summarise(outcomes: StepOutcome[], seconds: number): BuildSummary {
  const count = (status: StepOutcome['status']) =>
    outcomes.filter((outcome) => outcome.status === status).length;
  return {
    ran: count('ran'),
    fresh: count('fresh'),
    restored: count('restored'),
    failed: count('failed'),
    interrupted: count('interrupted'),
    skipped: count('skipped'),
    seconds,
    outcomes,
  };
}

/** Starts steps as they become ready, at most `jobs` at once. */
async function runSteps(
  options: BuildOptions,
  context: ExecuteContext,
  unfinished: Unfinished,
): Promise<StepOutcome[]> {
  const outcomes = new Map<string, StepOutcome>();
  const wanted = new Map(options.steps.map((step) => [step.id, step]));
  const waiting = new Map<string, number>();
  for (const step of options.steps) {
    waiting.set(step.id, upstreamOf(options.graph, step).filter((id) => wanted.has(id)).length);
  }
  const ready = options.steps.filter((step) => waiting.get(step.id) === 0);
  const sweep = sweepOnce(options, context);
  const running = new Set<Promise<void>>();
  let stopped = false;

  const settle = (outcome: StepOutcome) => {
    outcomes.set(outcome.id, outcome);
    options.emit({ type: 'finish', outcome, finished: outcomes.size, steps: options.steps.length });
    if (outcome.status === 'failed' && !options.keepGoing) stopped = true;
    for (const id of options.graph.downstream.get(outcome.id) ?? []) {
      const step = wanted.get(id);
      const left = (waiting.get(id) ?? 0) - 1;
      waiting.set(id, left);
      if (left === 0 && step !== undefined) ready.push(step);
    }
  };

  for (let next = 0; next < ready.length || running.size > 0; ) {
    while (next < ready.length && running.size < options.jobs) {
      const step = ready[next++];
      const cause = whySkip(step, outcomes, options, stopped);
      if (cause !== undefined) {
        settle(skippedOutcome(step, cause));
        continue;
      }
      const work = runStep(step, options, { ...context, sweep }, unfinished).then((outcome) => {
        running.delete(work);
        settle(outcome);
      });
      running.add(work);
    }
    if (running.size > 0) await Promise.race(running);
  }
  return options.steps.flatMap((step) => outcomes.get(step.id) ?? []);
}

/** For the first step that does something; a build that finds all fresh looks into no folder. */
function sweepOnce(options: BuildOptions, context: ExecuteContext): () => Promise<void> {
  let swept: Promise<void> | undefined;
  return () => {
    swept ??= sweepStages(context, options.graph.order).catch((error: unknown) =>
      options.emit({ type: 'warning', message: `temporary files are left: ${messageOf(error)}` }),
    );
    return swept;
  };
}

async function runStep(
  step: Step,
  options: BuildOptions,
  context: ExecuteContext & { sweep: () => Promise<void> },
  unfinished: Unfinished,
): Promise<StepOutcome> {
  const began = performance.now();
  const base = { id: step.id, target: step.target };
  const seconds = () => (performance.now() - began) / 1000;
  const forced = { ...context, force: options.force.has(step.target) };
  const { failures } = options;
  const before = failures && sightOf(step, options);
  let reasons: Reason[] = [];
  let key: string | undefined;
  try {
    if (unfinished.has(step.id)) throw unfinished.get(step.id);
    const decision = await decide(step, forced);
    if (decision.action === 'fresh') {
      failures?.forget(step);
      return freshOutcome(step, decision.record, seconds());
    }
    key = decision.key;
    const recurring = failures?.recurring(step, key, options);
    if (recurring !== undefined) return skippedOutcome(step, recurring);
    reasons = decision.reasons;
    await context.sweep();
    options.emit({ type: 'start', step: step.id, reasons, restore: decision.action === 'restore' });
    const { status, stats } = await executeStep(step, decision, forced);
    failures?.forget(step);
    return { ...base, status, reasons, seconds: seconds(), ...(stats === undefined ? {} : { stats }) };
  } catch (error) {
    // Some of what is interrupted throws an error of its own.
    const failed = error instanceof FirnError && error.kind !== 'interrupted';
    const status = options.signal.aborted && !failed ? 'interrupted' : 'failed';
    if (status === 'failed' && before !== undefined) failures?.note(step, { before, key, error }, options);
    return { ...base, status, reasons, error, seconds: seconds() };
  }
}
