/**
 * Stale or fresh, and why: one step against its record and its outputs. The plan and the build ask this same function,
 * which is why a dry run says what a build does. Reads, and changes nothing.
 */
import { join } from 'node:path';
import { atOnce } from '../at-once.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import type { Digests } from './digests.js';
import { buildManifest, explainChange, keyOf } from './manifest.js';
import { unprovenOutputs } from './ownership.js';
import type { Records } from './records.js';
import type { Store } from './store.js';
import {
  type Digest,
  inputId,
  type ManifestEntry,
  type Memory,
  nameOf,
  type Output,
  type Reason,
  type Step,
  type StepRecord,
} from './types.js';

export interface DecideContext {
  port: ReadPort;
  root: string;
  digests: Digests;
  records: Records;
  store: Store;
  workers: Workers;
  force: boolean;
}

interface Known {
  key: string;
  manifest: ManifestEntry[];
  digests: ReadonlyMap<string, Digest>;
  memory: Memory | undefined;
}

type Verdict =
  | ({ action: 'fresh'; record: StepRecord } & Known)
  /** Outputs are as recorded; only files that should be gone are still there. */
  | ({ action: 'cleanup'; reasons: Reason[]; record: StepRecord } & Known)
  | ({ action: 'restore'; reasons: Reason[]; record: StepRecord } & Known)
  | ({ action: 'run'; reasons: Reason[] } & Known);

/** `unproven`: outputs that stand in the way and may be replaced by equal bytes only. */
export type Decision = Verdict & { unproven: Output[] };

/** Throws FirnError when an input is missing or unusable, an output is not firn's to replace, or the rule cannot do it. */
export async function decide(step: Step, context: DecideContext): Promise<Decision> {
  const verdict = await judge(step, context);
  const replaces = verdict.action === 'run' || verdict.action === 'restore';
  const unproven = replaces ? await unprovenOutputs(step, context) : [];
  const obstacle =
    verdict.action === 'run' ? (verdict.memory?.obstacle ?? (await step.rule.obstacle?.(step))) : undefined;
  if (obstacle !== undefined) throw obstacle;
  return { ...verdict, unproven };
}

async function judge(step: Step, context: DecideContext): Promise<Verdict> {
  const digests = await digestInputs(step, context);
  const record = context.records.of(step.id);
  const memory = await step.rule.memory?.(step, {
    port: context.port,
    root: context.root,
    digests,
    recorded: record ?? context.records.forOutput(step.outputs[0]?.path ?? ''),
    isStored: (digest) => context.store.has(digest),
    force: context.force,
  });
  const manifest = buildManifest(step, digests, memory);
  const known: Known = { key: keyOf(manifest), manifest, digests, memory };
  if (context.force) return { action: 'run', reasons: [{ code: 'forced', text: 'forced' }], ...known };

  if (record?.key === known.key) {
    const damaged = await damagedOutputs(step, record, context);
    if (damaged.length === 0) {
      const left = (step.removes ?? []).filter(
        (path) =>
          context.port.stat(join(context.root, path)) !== undefined &&
          step.rule.keeps?.(step, path, context) === undefined,
      );
      if (left.length === 0) return { action: 'fresh', record, ...known };
      const reasons = left.map(
        (path): Reason => ({ code: 'cleanup', text: `${path} is still to be removed` }),
      );
      return { action: 'cleanup', reasons, record, ...known };
    }
    return restorable(step, record, context)
      ? { action: 'restore', reasons: damaged, record, ...known }
      : { action: 'run', reasons: damaged, ...known };
  }

  const reasons: Reason[] =
    record === undefined
      ? [{ code: 'new', text: 'never built' }]
      : explainChange(record.manifest, manifest, step.passedOver);
  const earlier = context.records.withKey(step.id, known.key);
  if (earlier !== undefined && restorable(step, earlier, context)) {
    return { action: 'restore', reasons, record: earlier, ...known };
  }
  return { action: 'run', reasons, ...known };
}

async function digestInputs(step: Step, context: DecideContext): Promise<Map<string, Digest>> {
  const found = new Map<string, Digest | undefined>();
  // Thousands of inputs are remembered as a rule. The order is theirs, whichever is digested first.
  for (const input of step.inputs) found.set(inputId(input), context.digests.recall(input));
  const unknown = step.inputs.filter((input) => found.get(inputId(input)) === undefined);
  await atOnce(context.workers.size, unknown, async (input) => {
    const digest = await context.digests.get(input);
    if (digest === undefined) {
      throw new FirnError('missing', `${nameOf(input)} is not there; ${step.id} reads it`, {
        path: input.path,
        advice: 'Put the file there, or correct pipeline.yaml.',
      });
    }
    found.set(inputId(input), digest);
  });
  return found as Map<string, Digest>;
}

/** The digest of an output as it is on disk. For a run any container of its array will do. */
export function outputDigest(output: Output, digests: Digests): Promise<Digest | undefined> {
  const path = output.kind === 'file' ? output.path : output.path.slice(0, output.path.lastIndexOf('/'));
  return digests.get({ kind: output.kind, path });
}

async function damagedOutputs(step: Step, record: StepRecord, context: DecideContext): Promise<Reason[]> {
  const damaged: Reason[] = [];
  for (const output of record.outputs) {
    let text: string | undefined;
    try {
      const found = await outputDigest(output, context.digests);
      if (found === undefined) text = `${output.path} is missing`;
      else if (found.digest !== output.digest) text = `${output.path} is not what ${step.id} wrote`;
    } catch (error) {
      if (!(error instanceof FirnError) || error.kind === 'interrupted') throw error;
      text = `${output.path} is damaged`;
    }
    if (text !== undefined) damaged.push({ code: 'output', text });
  }
  return damaged;
}

function restorable(step: Step, record: StepRecord, context: DecideContext): boolean {
  if (step.rule.immutable) return false;
  return record.outputs.every((output) => context.store.has(output.stored ?? output.digest));
}
