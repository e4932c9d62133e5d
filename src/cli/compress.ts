/** `firn compress`: compresses runs once, without a target in pipeline.yaml. A dry run unless told otherwise. */
import { join } from 'node:path';
import type { Command } from 'commander';
import type { BuildSummary, Listener, StepOutcome } from '../engine/events.js';
import type { Project } from '../project.js';
import { NPY_FILE } from '../runs/discover.js';
import { textOf } from '../system-errors.js';
import { act, EXIT, errorText, globalOptions, note, print, printJson } from './main.js';
import { formatBytes, plural, safe, table } from './text.js';

interface CompressFlags {
  execute?: boolean;
  olderThan?: string;
  deleteOriginal?: boolean;
  precision: string;
  json?: boolean;
}

export function defineCompress(program: Command): void {
  program
    .command('compress [run...]')
    .description(
      'compress runs (names or patterns, all when none) from .npy to .npz; a dry run unless --execute',
    )
    .option('--execute', 'do it')
    .option('--older-than <days>', 'only runs whose array was last changed so many days ago (also 12h, 2w)')
    .option('--delete-original', 'unlink embeddings.npy once its copy is read back and equal in every value')
    .option('--precision <precision>', 'lossless, float16 or mantissa:BITS', 'lossless')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn compress                                   what would be compressed
  firn compress --older-than 30 --execute         runs older than 30 days
  firn compress 'My_Dataset/*' --execute --delete-original`,
    )
    .action((patterns: string[], flags: CompressFlags, command: Command) =>
      act(async (signal) => {
        const { compressProject } = await import('../compress.js');
        const { build } = await import('../project.js');
        const { directory } = globalOptions(command);
        const { precision, olderThan, deleteOriginal = false } = flags;
        const project = await compressProject({ directory, patterns, precision, olderThan, deleteOriginal });
        if (!flags.execute) return showDryRun(project, flags, signal);
        const { chooseReporter } = await import('./reporters/choose.js');
        const reporter = chooseReporter(false, directory);
        // Who reads JSON waits as well, and should know for whom.
        const onEvent: Listener = (event) => {
          if (!flags.json || event.type === 'waiting') reporter(event);
        };
        const summary = await build(project, { signal, onEvent, keepGoing: true });
        showResult(summary, project, flags);
        return summary.failed > 0 ? EXIT.failed : EXIT.done;
      }),
    );
}

interface RunResult {
  run: string;
  status: 'compressed' | 'kept' | 'fresh' | 'failed' | 'interrupted' | 'skipped';
  originalBytes: number;
  bytes: number;
  largestError: number;
  error?: string;
}

function resultOf({ id, status, stats, error }: StepOutcome): RunResult {
  const { bytes = 0, originalBytes = 0, largestError = 0, kept } = stats ?? {};
  return {
    run: runOf(id),
    status: status !== 'ran' && status !== 'restored' ? status : kept === true ? 'kept' : 'compressed',
    originalBytes: Number(originalBytes),
    bytes: Number(bytes),
    largestError: Number(largestError),
    ...(error === undefined ? {} : { error: textOf(error) }),
  };
}

/** Why there is nothing to do. */
function nothing({ graph, pipeline }: Project): string {
  const steps = graph.order.length;
  return steps === 0
    ? `nothing to compress: no run in ${safe(pipeline.runsDir)} that is asked for has an ${NPY_FILE}`
    : `nothing to compress: ${plural(steps, 'run')} ${steps === 1 ? 'has its copy' : 'have their copies'}`;
}

function showResult(summary: BuildSummary, project: Project, flags: CompressFlags): void {
  const runs = summary.outcomes.map(resultOf);
  const done = runs.filter((run) => run.status === 'compressed');
  const originalBytes = done.reduce((sum, run) => sum + run.originalBytes, 0);
  const bytes = done.reduce((sum, run) => sum + run.bytes, 0);
  if (flags.json) {
    const count = (status: RunResult['status']) => runs.filter((run) => run.status === status).length;
    const counts = {
      compressed: done.length,
      kept: count('kept'),
      fresh: count('fresh'),
      failed: count('failed'),
    };
    printJson({ dryRun: false, ...counts, originalBytes, bytes, runs });
    return;
  }
  if (runs.length === 0) print(nothing(project));
  if (originalBytes === 0) return;
  const percent = `${Math.abs((1 - bytes / originalBytes) * 100).toFixed(1)}% ${bytes > originalBytes ? 'larger' : 'smaller'}`;
  const largest = done.reduce((most, run) => Math.max(most, run.largestError), 0);
  const error = largest > 0 ? `; the largest change of a value is ${largest.toPrecision(3)}` : '';
  print(`${formatBytes(originalBytes)} became ${formatBytes(bytes)} (${percent})${error}`);
  if (!flags.deleteOriginal)
    note('the originals are kept; --delete-original removes each once its copy is proven equal');
}

async function showDryRun(project: Project, flags: CompressFlags, signal: AbortSignal): Promise<number> {
  const { plan } = await import('../project.js');
  const planned = (await plan(project, { signal })).filter((step) => step.action !== 'fresh');
  const runs = planned
    .filter((step) => step.action !== 'blocked')
    .map(({ id }) => {
      const directory = project.graph.order.find((step) => step.id === id)?.inputs[0].path as string;
      return {
        run: runOf(id),
        originalBytes: project.port.stat(join(project.root, directory, NPY_FILE))?.size ?? 0,
      };
    });
  const failing = planned
    .filter((step) => step.action === 'blocked')
    .map(({ id, error }) => ({ run: runOf(id), error }));
  const originalBytes = runs.reduce((sum, run) => sum + run.originalBytes, 0);
  const code = failing.length > 0 ? EXIT.failed : EXIT.done;
  if (flags.json) {
    printJson({
      dryRun: true,
      originalBytes,
      runs,
      failing: failing.map(({ run, error }) => ({ run, error: textOf(error) })),
    });
    return code;
  }
  for (const { run, error } of failing) note(`${safe(run)} would fail: ${errorText(error)}`);
  if (runs.length === 0) {
    print(nothing(project));
    return code;
  }
  print(
    table(
      [{ title: 'run' }, { title: 'size', align: 'right' }],
      runs.map((run) => [run.run, formatBytes(run.originalBytes)]),
    ),
  );
  const removed = flags.deleteOriginal ? ' and their originals removed' : '';
  print(`${plural(runs.length, 'run')}, ${formatBytes(originalBytes)}, would be compressed${removed}`);
  print('nothing was written; add --execute to do it');
  return code;
}

/** `compress:dataset/run` -> `dataset/run` */
function runOf(id: string): string {
  return id.slice(id.indexOf(':') + 1);
}
