/**
 * Whether the files that a step would replace are firn's to replace. Reads only; asked before the work, so that a dry
 * run says what a build would refuse. Knows records and what a rule recognises.
 */
import { join } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Records } from './records.js';
import type { Output, Step } from './types.js';

export interface OwnershipContext {
  port: ReadPort;
  /** Absolute. */
  root: string;
  records: Records;
  force: boolean;
}

/** A rename replaces a file and nothing else; found out before the work and not after it. */
function checkNames(step: Step, context: OwnershipContext): void {
  for (const output of step.outputs) {
    const kind = context.port.stat(join(context.root, output.path))?.kind ?? 'file';
    if (kind === 'file') continue;
    throw new FirnError(
      'conflict',
      `is ${kind === 'directory' ? 'a folder' : 'no file'}; ${step.id} writes a file there`,
      {
        path: output.path,
        advice: 'Move it away, or give the target another `out`.',
      },
    );
  }
}

/** Existing outputs that no record and no mark in the file shows to be firn's. Throws for those that are surely not. */
export async function unprovenOutputs(step: Step, context: OwnershipContext): Promise<Output[]> {
  checkNames(step, context);
  if (context.force) return [];
  const unproven: Output[] = [];
  for (const output of step.outputs) {
    if (context.port.stat(join(context.root, output.path)) === undefined) continue;
    if (context.records.forOutput(output.path) !== undefined) continue;
    const ours = await step.rule.recognises?.(step, output, context);
    if (ours === false) throw foreignOutput(step, output);
    if (ours === undefined) unproven.push(output);
  }
  return unproven;
}

function foreignOutput(step: Step, output: Output): FirnError {
  return new FirnError(
    'conflict',
    `is there already and was not written by firn; ${step.id} would overwrite it`,
    {
      path: output.path,
      advice:
        'Move it away, or build with --force to overwrite it; `firn adopt` takes over an existing reference.',
    },
  );
}
