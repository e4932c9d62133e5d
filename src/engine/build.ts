/**
 * A whole build: every wanted step once, after those it waits for, some side by side. `planBuild` says what it would do
 * and writes nothing. Knows no rule, no array and no terminal.
 */
import { join } from 'node:path';
import { errnoOf, FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { recoverCommits } from './commit.js';
import { type DecideContext, decide } from './decide.js';
import { Digests } from './digests.js';
import type { BuildSummary, Listener, StepOutcome } from './events.js';
import { type ExecuteContext, executeStep } from './execute.js';
import type { StepGraph } from './graph.js';
import { acquireLock } from './lock.js';
import { Records } from './records.js';
import { removeLeftovers } from './stage.js';
import { Store } from './store.js';
import type { Digester, Reason, Step } from './types.js';

export interface BuildOptions {
  port: Port;
  /** Absolute. */
  root: string;
  /** Absolute; the project's `cache`. */
  cacheDirectory: string;
  /** bytes of stored outputs */
  cacheLimit: number;
  digesters: ReadonlyMap<string, Digester>;
  graph: StepGraph;
  /** The steps to look at, in graph order. */
  steps: readonly Step[];
  /** Steps of these targets run whatever their records say. */
  force: ReadonlySet<string>;
  jobs: number;
  keepGoing: boolean;
  signal: AbortSignal;
  emit: Listener;
  now: () => number;
}

export interface PlannedStep {
  id: string;
  target: string;
  /** `maybe`: a step before it runs, and early cutoff may spare it. `blocked`: it would fail. */
  action: 'fresh' | 'run' | 'restore' | 'maybe' | 'blocked';
  reasons: Reason[];
  error?: unknown;
}

/** What a build would do, without doing or remembering anything. */
export async function planBuild(options: BuildOptions): Promise<PlannedStep[]> {
  const context = openContext(options, false);
  const planned = new Map<string, PlannedStep>();
  for (const step of options.steps) {
    options.signal.throwIfAborted();
    const base = { id: step.id, target: step.target };
    const before = upstreamOf(step, options.graph).flatMap((id) => planned.get(id) ?? []);
    const failing = before.find((other) => other.action === 'blocked');
    const running = before.filter((other) => other.action !== 'fresh');
    if (failing !== undefined) {
      planned.set(step.id, { ...base, action: 'blocked', reasons: [hangsOn(failing.id, 'fails')] });
    } else if (running.length > 0) {
      planned.set(step.id, { ...base, ...behind(running, whySurely(step, options, context.records)) });
    } else {
      planned.set(step.id, await planStep(step, { ...context, force: options.force.has(step.target) }));
    }
  }
  return [...planned.values()];
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
    return { ...base, action: decision.action === 'restore' ? 'restore' : 'run', reasons: decision.reasons };
  } catch (error) {
    // What the system refuses (a file that may not be read) is this step's failure and no other's.
    const expected = error instanceof FirnError ? error.kind !== 'interrupted' : errnoOf(error) !== undefined;
    if (!expected || context.digests.aborted) throw error;
    return { ...base, action: 'blocked', reasons: [], error };
  }
}

function hangsOn(id: string, what: string): Reason {
  return { code: 'upstream', text: `${id} ${what} first` };
}

function upstreamOf(step: Step, graph: StepGraph): string[] {
  return graph.upstream.get(step.id) ?? [];
}

interface OpenContext {
  port: Port;
  root: string;
  digests: Digests;
  records: Records;
  store: Store;
  force: boolean;
}

function openContext(options: BuildOptions, save: boolean): OpenContext {
  const { port, root, cacheDirectory, now } = options;
  const records = new Records(port, join(cacheDirectory, 'records.jsonl'));
  return {
    port,
    root,
    force: false,
    records,
    store: new Store(port, join(cacheDirectory, 'objects'), options.cacheLimit, now),
    digests: new Digests(port, root, options.digesters, join(cacheDirectory, 'digests.jsonl'), {
      save,
      now,
      signal: options.signal,
      onBytes: (path, bytes) => options.emit({ type: 'hashing', path, bytes }),
      recordedBytes: (path) => records.bytesOf(path),
    }),
  };
}

/** Builds; steps that fail are in the summary, not thrown. Waits for another build of the same project first. */
export async function runBuild(options: BuildOptions): Promise<BuildSummary> {
  const lock = await acquireLock(options.port, join(options.cacheDirectory, 'lock'), {
    command: 'firn build',
    onWait: (holder) => options.emit({ type: 'waiting', holder }),
    signal: options.signal,
  });
  try {
    return await buildLocked(options, lock.tookOver);
  } finally {
    await lock.release();
  }
}

async function buildLocked(options: BuildOptions, afterKill: boolean): Promise<BuildSummary> {
  const began = performance.now();
  const open = openContext(options, true);
  const journalDirectory = join(options.cacheDirectory, 'journal');
  await recoverCommits({ ...open, journalDirectory });
  if (afterKill) {
    await removeLeftovers(options.port, options.root, options.graph.order);
    await open.store.removeLeftovers();
  }
  const context: ExecuteContext = {
    ...open,
    journalDirectory,
    digesters: options.digesters,
    signal: options.signal,
    emit: options.emit,
  };
  options.emit({ type: 'begin', steps: options.steps.length });
  try {
    const outcomes = await runSteps(options, context);
    if (outcomes.some((outcome) => outcome.status === 'ran')) await open.store.trim();
    const summary = summarise(outcomes, (performance.now() - began) / 1000);
    options.emit({ type: 'end', summary });
    return summary;
  } finally {
    await open.digests.close();
    await open.records.close();
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
    skipped: count('skipped'),
    seconds,
    outcomes,
  };
}

/** Starts steps as they become ready, at most `jobs` at once. */
async function runSteps(options: BuildOptions, context: ExecuteContext): Promise<StepOutcome[]> {
  const outcomes = new Map<string, StepOutcome>();
  const wanted = new Map(options.steps.map((step) => [step.id, step]));
  const waiting = new Map<string, number>();
  for (const step of options.steps) {
    waiting.set(step.id, upstreamOf(step, options.graph).filter((id) => wanted.has(id)).length);
  }
  const ready = options.steps.filter((step) => waiting.get(step.id) === 0);
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
        settle({ id: step.id, target: step.target, status: 'skipped', reasons: [cause], seconds: 0 });
        continue;
      }
      const work = runStep(step, options, context).then((outcome) => {
        running.delete(work);
        settle(outcome);
      });
      running.add(work);
    }
    if (running.size > 0) await Promise.race(running);
  }
  return options.steps.flatMap((step) => outcomes.get(step.id) ?? []);
}

function whySkip(
  step: Step,
  outcomes: ReadonlyMap<string, StepOutcome>,
  options: BuildOptions,
  stopped: boolean,
): Reason | undefined {
  for (const id of upstreamOf(step, options.graph)) {
    const status = outcomes.get(id)?.status;
    if (status === 'failed') return { code: 'upstream', text: `${id} failed` };
    if (status === 'skipped') return { code: 'upstream', text: `${id} was skipped` };
  }
  if (options.signal.aborted) return { code: 'upstream', text: 'the build was interrupted' };
  return stopped ? { code: 'upstream', text: 'the build stopped at a failure' } : undefined;
}

async function runStep(step: Step, options: BuildOptions, context: ExecuteContext): Promise<StepOutcome> {
  const began = performance.now();
  const base = { id: step.id, target: step.target };
  const seconds = () => (performance.now() - began) / 1000;
  const forced = { ...context, force: options.force.has(step.target) };
  let reasons: Reason[] = [];
  try {
    const decision = await decide(step, forced);
    if (decision.action === 'fresh') {
      const stats = decision.record.stats;
      return {
        ...base,
        status: 'fresh',
        reasons: [],
        seconds: seconds(),
        ...(stats === undefined ? {} : { stats }),
      };
    }
    reasons = decision.reasons;
    options.emit({ type: 'start', step: step.id, reasons, restore: decision.action === 'restore' });
    const { status, stats } = await executeStep(step, decision, forced);
    return { ...base, status, reasons, seconds: seconds(), ...(stats === undefined ? {} : { stats }) };
  } catch (error) {
    return { ...base, status: 'failed', reasons, error, seconds: seconds() };
  }
}
