/**
 * Whether the files that a step would replace are firn's to replace. Reads only; asked before the work, so that a dry
 * run says what a build would refuse. Knows records and what a rule recognises.
 */
import { dirname, join } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Digests } from './digests.js';
import type { Records } from './records.js';
import type { Output, Step } from './types.js';

export interface OwnershipContext {
  port: ReadPort;
  /** Absolute. */
  root: string;
  records: Records;
  digests: Digests;
  force: boolean;
}

/** A rename replaces a file and nothing else, and in the project only; found out before the work and not after it. */
function checkNames(step: Step, context: OwnershipContext): void {
  for (const output of step.outputs) {
    checkLinks(output, context);
    const kind = context.port.stat(join(context.root, output.path))?.kind ?? 'file';
    if (kind === 'file') continue;
    throw new FirnError(
      'conflict',
      `is ${kind === 'directory' ? 'a folder' : 'no file'}; ${step.id} writes a file there`,
      {
        path: output.path,
        advice:
          step.rule.fields.out === undefined
            ? 'Move it away.'
            : 'Move it away, or give the target another `out`.',
      },
    );
  }
}

/** Nothing is written through a link: below one, a folder that nobody named as firn's would be changed. */
function checkLinks(output: Output, { port, root }: OwnershipContext): void {
  let folder = dirname(output.path);
  while (folder !== '.' && port.stat(join(root, folder)) === undefined) folder = dirname(folder);
  const real = port.realPath(root);
  const leads = port.realPath(join(root, folder));
  if (real === undefined || leads === undefined || leads === join(real, folder)) return;
  throw new FirnError('conflict', `would be written to ${leads}: ${folder} is a link, or lies behind one`, {
    path: output.path,
    advice:
      'Nothing is written through links. Put the project itself there, or mount that place as the folder.',
  });
}

/** Existing outputs that no record and no mark in the file shows to be firn's. Throws for those that are surely not. */
export async function unprovenOutputs(step: Step, context: OwnershipContext): Promise<Output[]> {
  checkNames(step, context);
  if (context.force) return [];
  const unproven: Output[] = [];
  for (const output of step.outputs) {
    if (context.port.stat(join(context.root, output.path)) === undefined) continue;
    if (await isRecorded(step, output, context)) continue;
    const ours = await step.rule.recognises?.(step, output, context);
    if (ours === false) throw foreignOutput(step, output);
    if (ours === undefined) unproven.push(output);
  }
  return unproven;
}

/** What the step itself wrote is firn's, edited or not; what another step wrote here, as long as it is as it was written. */
async function isRecorded(step: Step, output: Output, context: OwnershipContext): Promise<boolean> {
  const record = context.records.forOutput(output.path);
  if (record === undefined || record.step === step.id) return record !== undefined;
  const found = await context.digests.get({ kind: 'file', path: output.path });
  return found?.digest === context.records.bytesOf(output.path);
}

function foreignOutput(step: Step, output: Output): FirnError {
  const { takeOver } = step.rule;
  const advice = 'Move it away, or build with --force to overwrite it';
  return new FirnError(
    'conflict',
    `is there already and was not written by firn; ${step.id} would overwrite it`,
    {
      path: output.path,
      advice: takeOver === undefined ? `${advice}.` : `${advice}; ${takeOver}.`,
    },
  );
}
