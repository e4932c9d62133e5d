/**
 * What keeps a reference from being built, as far as it shows before an array is read. Knows the step and its inputs'
 * digests, and not how the array is written.
 */
import { join } from 'node:path';
import { inputId, type MemoryContext, type Step } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { isDamaged, RUN_FACTS_FILE } from '../runs/run-facts.js';
import { loadRegistry, versionOf } from '../runs/versions.js';
import { type Range, runName } from './layout.js';
import { someOf } from './warnings.js';

/** What the rows to be lack. `away`: archived runs. `standing`: `sha256:` of the array that holds those of now. */
export function obstacleOf(
  step: Step,
  {
    ranges,
    away,
    standing,
  }: { ranges: readonly Range[]; away: ReadonlySet<string>; standing: string | undefined },
  context: MemoryContext,
): FirnError | undefined {
  const [{ path }] = step.outputs;
  if (ranges.length === 0) {
    return new FirnError('failed', 'would hold no run at all', {
      path,
      advice: 'Look at the `runs` and `prune` of its target.',
    });
  }
  const isLost = context.port.stat(join(context.root, path)) === undefined;
  if (!isLost || (standing !== undefined && context.isStored(standing))) return undefined;
  const retained = ranges.filter((range) => range.retained).map(runName);
  if (retained.length > 0) {
    return new FirnError('missing', `held the only copy of ${someOf(retained)}, and it is gone`, {
      path,
      advice: 'Put the file back from a release or backup, or give the runs up by naming them under `prune`.',
    });
  }
  const archived = ranges.map(runName).filter((name) => away.has(name));
  if (archived.length === 0) return undefined;
  return new FirnError(
    'missing',
    `held the rows of ${someOf(archived)}, which are archived, and it is gone`,
    {
      path,
      advice: 'Bring the runs back with `firn runs restore`, or put the file back from a release or backup.',
    },
  );
}

/**
 * A run leaves a reference of one version when it is of another. When nobody says any more of which it is, because the file
 * that did is damaged, it stays until that is mended. `leaving`: names of runs that are on disk.
 */
export function checkVersions(
  leaving: readonly string[],
  { runsDir, versionsFile }: { runsDir: string; versionsFile: string },
  { port, root }: MemoryContext,
): void {
  if (leaving.length === 0) return;
  const registry = loadRegistry(port, join(root, versionsFile));
  for (const name of leaving) {
    const path = `${runsDir}/${name}/${RUN_FACTS_FILE}`;
    if (versionOf(registry, name) !== undefined || !isDamaged(port, join(root, path))) continue;
    throw new FirnError(
      'input',
      `does not say which model version made the run, and rows of ${name} would leave`,
      {
        path,
        advice: `Put it back as it was, tag the run with \`firn versions tag-run\`, or remove the file: then the rows leave.`,
      },
    );
  }
}

/** One reference, one number of dimensions. The error lists the runs of each. */
export function checkDimensions(step: Step, names: ReadonlySet<string>, context: MemoryContext): void {
  const byDims = new Map<number, string[]>();
  for (const input of step.inputs) {
    if (!names.has(input.name as string)) continue;
    const dims = context.digests.get(inputId(input))?.facts?.dims as number;
    const runs = byDims.get(dims);
    if (runs === undefined) byDims.set(dims, [input.name as string]);
    else runs.push(input.name as string);
  }
  if (byDims.size < 2) return;
  const groups = [...byDims].sort((a, b) => b[1].length - a[1].length);
  const lines = groups.map(([dims, runs]) => `${dims} dimensions: ${someOf(runs, 10)}`);
  throw new FirnError(
    'input',
    `the runs of ${step.id} do not have the same number of dimensions\n  ${lines.join('\n  ')}`,
    {
      advice: 'They come from different models: build one reference for each, with `runs: {version: ...}`.',
    },
  );
}
