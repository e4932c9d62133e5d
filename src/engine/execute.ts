/**
 * Doing one step: stage, run or restore, check, commit, and only then remove what the step may remove.
 * Every way a step can end well passes through `finishStep`. Knows no other step.
 */
import { dirname, join } from 'node:path';
import { FirnError, messageOf } from '../errors.js';
import type { FileStat, Port } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import { commit, isUnfinished } from './commit.js';
import type { Decision } from './decide.js';
import { outputDigest } from './decide.js';
import type { Digests } from './digests.js';
import type { Listener } from './events.js';
import { compareUnproven, keptOutputs, stagedOutputs, stagedStats } from './made-outputs.js';
import { buildManifest, keyOf } from './manifest.js';
import type { Records } from './records.js';
import { markUnswept } from './recover.js';
import { Stage } from './stage.js';
import { inDoubt, stampsOf, touchedInputs } from './steady-inputs.js';
import { fileDigest, type Store } from './store.js';
import {
  type Digester,
  type Json,
  nameOf,
  type Output,
  type RunContext,
  type RunResult,
  type Step,
  type StepRecord,
} from './types.js';

export interface ExecuteContext {
  port: Port;
  root: string;
  cacheDirectory: string;
  journalDirectory: string;
  digesters: ReadonlyMap<string, Digester>;
  digests: Digests;
  records: Records;
  store: Store;
  force: boolean;
  signal: AbortSignal;
  emit: Listener;
  workers: Workers;
}

type Work = Exclude<Decision, { action: 'fresh' }>;

export interface Executed {
  status: 'ran' | 'restored';
  stats: { [name: string]: Json } | undefined;
}

/** Throws what went wrong; then every final name is as it was. */
export async function executeStep(step: Step, decision: Work, context: ExecuteContext): Promise<Executed> {
  const stage = new Stage(context.port, context.root, step);
  const run = runContext(step, decision, stage, context);
  if (decision.action === 'cleanup') {
    await removeReplaced(step, run, context);
    return { status: 'ran', stats: decision.record.stats };
  }
  for (const message of decision.memory?.warnings ?? []) run.warn(message);
  const began = performance.now();
  const stamps = stampsOf(step, context.digests);
  try {
    if (!step.rule.immutable) await stage.open();
    const restored = decision.action === 'restore' && (await restore(step, decision.record, stage, context));
    let result: RunResult = {};
    if (restored) {
      if (decision.record.stats !== undefined) result = { stats: decision.record.stats };
    } else {
      result = await step.rule.run(step, run);
    }
    context.signal.throwIfAborted();
    if (step.rule.immutable && !result.keep) throw new Error(`${step.rule.name} did not place its outputs`);
    // Before they are hashed.
    const staged = result.keep ? new Map<string, FileStat>() : stagedStats(step, stage, context);
    const outputs = result.keep
      ? await keptOutputs(step, context)
      : await stagedOutputs(step, stage, run, context);
    await compareUnproven(decision.unproven, outputs, context);
    const before = decision.digests;
    const touched = await touchedInputs(step, { digests: context.digests, before, stamps });
    // What is restored was made earlier, and what was proven is what was digested.
    const isDoubtful = touched.length > 0 && !restored;
    if (isDoubtful)
      run.warn(
        `${touched.map(nameOf).join(', ')} was written to while ${step.id} read it: the next build does it again`,
      );
    const manifest = isDoubtful
      ? buildManifest(step, inDoubt(before, touched), decision.memory)
      : decision.manifest;
    const record: StepRecord = {
      step: step.id,
      key: isDoubtful ? keyOf(manifest) : decision.key,
      manifest,
      outputs,
      ...(decision.memory === undefined ? {} : { state: decision.memory.state }),
      ...(result.stats === undefined ? {} : { stats: result.stats }),
      seconds: round((performance.now() - began) / 1000),
    };
    await finishStep(record, result.keep ? undefined : { stage, staged, step }, context);
    if (step.removes !== undefined) {
      // First: once its input is gone the step may be none any more, and then nobody would look for its folder.
      await stage.close();
      await removeReplaced(step, run, context);
    }
    return { status: restored ? 'restored' : 'ran', stats: result.stats };
  } finally {
    if (!step.rule.immutable && !isUnfinished(context, step.id)) {
      await stage.close().catch(async (error: unknown) => {
        // Neither a failure nor the cause of one: the step is done, or its own error says why not. The next build sees to it.
        await markUnswept(context.port, context.cacheDirectory).catch(() => undefined);
        context.emit({
          type: 'warning',
          step: step.id,
          message: `temporary files are left: ${messageOf(error)}`,
        });
      });
    }
  }
}

function round(seconds: number): number {
  return Math.round(seconds * 1000) / 1000;
}

function runContext(step: Step, decision: Work, stage: Stage, context: ExecuteContext): RunContext {
  const taken = new Map<string, Promise<string>>();
  return {
    port: context.port,
    root: context.root,
    resolve: (path) => join(context.root, path),
    stage: (output) => join(context.root, stage.pathOf(output)),
    stagedDigest: (output, computed) => {
      const path = join(context.root, stage.pathOf(output));
      const { port, signal, workers } = context;
      const digest =
        taken.get(path) ??
        (computed === undefined ? fileDigest(port, path, { signal, workers }) : Promise.resolve(computed));
      taken.set(path, digest);
      return digest;
    },
    force: context.force,
    isAsRecorded: (output) => isAsRecorded(output, context),
    workers: context.workers,
    stored: async (digest) => {
      const path = join(context.root, stage.scratchPath());
      return (await context.store.restore(digest, path, context)) ? path : undefined;
    },
    digests: decision.digests,
    state: decision.memory?.state,
    signal: context.signal,
    progress: (done, total, unit) => context.emit({ type: 'progress', step: step.id, done, total, unit }),
    warn: (message) => context.emit({ type: 'warning', step: step.id, message }),
    log: (line) => context.emit({ type: 'log', step: step.id, line }),
  };
}

async function isAsRecorded(output: Output, context: ExecuteContext): Promise<boolean> {
  const record = context.records.forOutput(output.path);
  const recorded = record?.outputs.find((other) => other.path === output.path);
  if (recorded === undefined) return false;
  return (await outputDigest(output, context.digests))?.digest === recorded.digest;
}

async function restore(
  step: Step,
  record: StepRecord,
  stage: Stage,
  context: ExecuteContext,
): Promise<boolean> {
  for (const output of step.outputs) {
    const recorded = record.outputs.find((other) => other.path === output.path);
    if (recorded === undefined) return false;
    const staged = join(context.root, stage.pathOf(output));
    if (!(await context.store.restore(recorded.stored ?? recorded.digest, staged, context))) {
      for (const done of step.outputs) {
        const path = join(context.root, stage.pathOf(done));
        if (context.port.stat(path) !== undefined) await context.port.unlink(path);
      }
      return false;
    }
  }
  return true;
}

/** The one place where a step becomes done: final names, record, remembered digests, stored copies. */
async function finishStep(
  record: StepRecord,
  made: { step: Step; stage: Stage; staged: ReadonlyMap<string, FileStat> } | undefined,
  context: ExecuteContext,
): Promise<void> {
  await commit(context, made?.stage.moves ?? [], record);
  if (made === undefined) return;
  const { step, staged } = made;
  for (const output of record.outputs) {
    if (output.kind === 'file')
      await context.digests.adopt(output, { digest: output.digest }, staged.get(output.path));
    if (step.rule.stored !== false)
      await context.store.keep(join(context.root, output.path), output.stored ?? output.digest);
  }
}

async function removeReplaced(step: Step, run: RunContext, context: ExecuteContext): Promise<void> {
  for (const path of step.removes ?? []) {
    const absolute = join(context.root, path);
    if (context.port.stat(absolute) === undefined) continue;
    const why = step.rule.keeps?.(step, path, context);
    if (why !== undefined) {
      run.warn(`${path} is kept: ${why}`);
      continue;
    }
    if (step.rule.mayRemove === undefined)
      throw new Error(`${step.rule.name} removes files but proves nothing`);
    const before = statText(context.port, absolute);
    await step.rule.mayRemove(step, path, run);
    // Proving takes as long as reading both; what was put there in the meantime was not proven.
    if (statText(context.port, absolute) !== before) {
      throw new FirnError('failed', 'changed while its copy was proven, and is therefore kept', {
        path,
        advice: 'Build again when it is complete.',
      });
    }
    await context.port.unlink(absolute);
    await context.port.syncDirectory(dirname(absolute));
  }
}

function statText(port: Port, path: string): string {
  const stat = port.stat(path);
  return stat === undefined ? '' : [stat.size, stat.mtimeNs, stat.ctimeNs, stat.ino].join(' ');
}
