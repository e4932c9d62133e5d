/**
 * What a step has made, before anybody else may see it: every output there and digested, and nothing replaced that is not
 * firn's. Knows no rule, and not how outputs get their names.
 */
import { dirname, join } from 'node:path';
import { FirnError } from '../errors.js';
import type { FileStat } from '../files/port.js';
import { outputDigest } from './decide.js';
import type { ExecuteContext } from './execute.js';
import type { Stage } from './stage.js';
import { fileDigest } from './store.js';
import type { Output, RecordedOutput, RunContext, Step } from './types.js';

/** What `stat` says of what was staged, by the names it is to get. */
export function stagedStats(step: Step, stage: Stage, context: ExecuteContext): Map<string, FileStat> {
  return new Map(
    step.outputs.flatMap((output) => {
      const stat = context.port.stat(join(context.root, stage.pathOf(output)));
      return stat === undefined ? [] : [[output.path, stat] as const];
    }),
  );
}

export async function stagedOutputs(
  step: Step,
  stage: Stage,
  run: RunContext,
  context: ExecuteContext,
): Promise<RecordedOutput[]> {
  const outputs: RecordedOutput[] = [];
  for (const output of step.outputs) {
    const staged = stage.pathOf(output);
    // It would lead elsewhere under its final name, or out of the project, and what it leads to is not firn's to keep.
    if (context.port.readLink(join(context.root, staged)) !== undefined) {
      throw new FirnError('failed', `${step.id} made a link and no file of ${output.path}`, {
        advice: 'It has to write the file itself, such as a copy of what the link leads to.',
      });
    }
    if (context.port.stat(join(context.root, staged))?.kind !== 'file') {
      throw new FirnError('failed', `${step.id} ended without writing ${output.path}`, {
        advice: `It has to write the file it is given as its output: ${staged}`,
      });
    }
    const bytes = await run.stagedDigest(output);
    if (output.kind === 'file') {
      outputs.push({ ...output, digest: bytes });
      continue;
    }
    const content = await context.digesters.get(output.kind)?.digest(dirname(staged), {
      port: context.port,
      workers: context.workers,
      signal: context.signal,
      onBytes: () => undefined,
    });
    if (content === undefined)
      throw new FirnError('failed', `${step.id} wrote no ${output.kind} at ${output.path}`);
    outputs.push({ ...output, digest: content.digest, stored: bytes });
  }
  return outputs;
}

export async function keptOutputs(step: Step, context: ExecuteContext): Promise<RecordedOutput[]> {
  const outputs: RecordedOutput[] = [];
  for (const output of step.outputs) {
    const found = await outputDigest(output, context.digests);
    if (found === undefined)
      throw new FirnError('failed', `${step.id} kept ${output.path}, which is not there`);
    outputs.push({ ...output, digest: found.digest });
  }
  return outputs;
}

/** An unproven output may be replaced by the same bytes only: then it was firn's, and the record was lost. */
export async function compareUnproven(
  unproven: readonly Output[],
  outputs: readonly RecordedOutput[],
  context: ExecuteContext,
): Promise<void> {
  for (const output of unproven) {
    const made = outputs.find((other) => other.path === output.path);
    const found = await fileDigest(context.port, join(context.root, output.path), {
      signal: context.signal,
      workers: context.workers,
    });
    if (made !== undefined && found !== (made.stored ?? made.digest)) {
      throw new FirnError(
        'conflict',
        'is there already, differs from what the step made, and no record says firn wrote it',
        {
          path: output.path,
          advice: 'Move it away, or build with --force to overwrite it.',
        },
      );
    }
  }
}
