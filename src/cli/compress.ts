/** `firn compress`: compresses runs once, without a target in pipeline.yaml. A dry run unless told otherwise. */
import type { Command } from 'commander';
import type { StepOutcome } from '../engine/events.js';
import { FirnError } from '../errors.js';
import { act, EXIT, globalOptions, note, print, printJson, wholeNumber } from './main.js';
import { formatBytes, plural, table } from './text.js';

interface CompressFlags {
  execute?: boolean;
  olderThan?: number;
  deleteOriginal?: boolean;
  precision: string;
  json?: boolean;
}

export function defineCompress(program: Command): void {
  program
    .command('compress [run...]')
    .description('compress runs (names or patterns, all when none) from .npy to .npz; a dry run unless --execute')
    .option('--execute', 'do it')
    .option('--older-than <days>', 'only runs last changed so many days ago', wholeNumber('--older-than', 0))
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
        const project = await compressProject(globalOptions(command).directory, patterns, flags);
        const { build } = await import('../project.js');
        if (!flags.execute) return showDryRun(project, flags);
        const { chooseReporter } = await import('./reporters/choose.js');
        const onEvent = flags.json ? () => undefined : chooseReporter(false);
        const summary = await build(project, { signal, onEvent, keepGoing: true });
        const sums = sizesOf(summary.outcomes);
        if (flags.json) printJson({ compressed: summary.ran, fresh: summary.fresh, failed: summary.failed, ...sums });
        else if (sums.originalBytes > 0) {
          const percent = (1 - sums.bytes / sums.originalBytes) * 100;
          print(`${formatBytes(sums.originalBytes)} became ${formatBytes(sums.bytes)} (${percent.toFixed(1)}% smaller)`);
          if (!flags.deleteOriginal) note('the originals are kept; --delete-original removes each once its copy is proven equal');
        }
        return summary.failed > 0 ? EXIT.failed : EXIT.done;
      }),
    );
}

async function compressProject(directory: string, patterns: string[], flags: CompressFlags) {
  const { projectOf, projectPlaces } = await import('../project.js');
  const { loadPipeline } = await import('../pipeline/load.js');
  const { builtInRule, builtInRuleNames } = await import('../pipeline/rules.js');
  const { disk } = await import('../files/disk.js');
  const { root, pipeline: places } = await projectPlaces(directory);
  if (!/^(lossless|float16|mantissa:([1-9]|1\d|2[0-2]))$/.test(flags.precision)) {
    throw new FirnError('usage', `--precision cannot be "${flags.precision}"`, {
      advice: 'Use lossless, float16 or mantissa:BITS with 1 to 22 bits.',
    });
  }
  const filter = {
    ...(patterns.length === 0 ? {} : { run: patterns.map((name) => (name.includes('/') ? name : `*/${name}`)) }),
    ...(flags.olderThan ? { 'older-than': `${flags.olderThan}d` } : {}),
  };
  const target = {
    rule: 'compress',
    runs: Object.keys(filter).length === 0 ? 'all' : filter,
    with: { precision: flags.precision, 'delete-original': flags.deleteOriginal ?? false },
  };
  // JSON is YAML: the target is checked as one in pipeline.yaml would be.
  const text = JSON.stringify({ runs: places.runsDir, versions: places.versionsFile, targets: { compress: target } });
  const pipeline = await loadPipeline('firn compress', text, builtInRule, builtInRuleNames());
  return projectOf(pipeline, { root, port: disk, now: Date.now });
}

async function showDryRun(project: Awaited<ReturnType<typeof compressProject>>, flags: CompressFlags): Promise<number> {
  const { plan } = await import('../project.js');
  const { join } = await import('node:path');
  const stale = (await plan(project)).filter((step) => step.action !== 'fresh');
  const runs = stale.map((step) => {
    const directory = project.graph.order.find(({ id }) => id === step.id)?.inputs[0].path as string;
    const bytes = project.port.stat(join(project.root, directory, 'embeddings.npy'))?.size ?? 0;
    return { run: step.id.slice(step.id.indexOf(':') + 1), bytes };
  });
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  if (flags.json) {
    printJson({ dryRun: true, runs, bytes });
    return EXIT.done;
  }
  if (runs.length === 0) print('nothing to compress');
  else {
    print(table([{ title: 'run' }, { title: 'size', align: 'right' }], runs.map((run) => [run.run, formatBytes(run.bytes)])));
    print(`${plural(runs.length, 'run')}, ${formatBytes(bytes)}, would be compressed${flags.deleteOriginal ? ' and their originals removed' : ''}`);
    print(`nothing was written; add --execute to do it`);
  }
  return EXIT.done;
}

function sizesOf(outcomes: readonly StepOutcome[]): { bytes: number; originalBytes: number } {
  const sum = { bytes: 0, originalBytes: 0 };
  for (const { status, stats } of outcomes) {
    if (status !== 'ran') continue;
    sum.bytes += Number(stats?.bytes ?? 0);
    sum.originalBytes += Number(stats?.originalBytes ?? 0);
  }
  return sum;
}
