/** `firn versions`: which model made which run. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import type { Pipeline } from '../pipeline/load.js';
import type { Registry } from '../runs/versions.js';
import { act, globalOptions, print, printJson } from './main.js';
import { formatCount, plural, safe, table } from './text.js';

export function defineVersions(program: Command): void {
  const versions = program
    .command('versions')
    .description('the registry of model versions: register, tag-run, auto-tag, list, compare')
    .addHelpText(
      'after',
      `
Examples:
  firn versions register --version v1.0 --model nt-500m-1000g --description "Initial baseline"
  firn versions auto-tag --version v1.0
  firn versions tag-run My_Dataset/2024-12-01 --version v2.0
  firn versions list
  firn versions compare v1.0 v2.0`,
    );

  versions
    .command('register')
    .description('add a model version')
    .requiredOption('--version <name>', 'such as v1.0')
    .requiredOption('--model <model>', 'the model, such as nt-500m-1000g')
    .option('--description <text>', 'what is special about it', '')
    .option('--json', 'print one JSON object')
    .action((flags: { version: string; model: string; description: string; json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib }) => {
        const { version, model, description } = flags;
        const changed = lib.registerVersion(registry, { version, model, description }, new Date());
        if (flags.json) printJson({ registered: version, model });
        else print(`registered ${safe(version)} (${safe(model)})`);
        return changed;
      }),
    );

  versions
    .command('tag-run <run>')
    .description('say which version made a run')
    .requiredOption('--version <name>', 'a registered version')
    .option('--force', 'also when the run has another version')
    .option('--json', 'print one JSON object')
    .action((run: string, flags: { version: string; force?: boolean; json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib, runs }) => {
        const { suggest } = await import('../pipeline/nearest.js');
        const name = run.replace(/\/+$/, '');
        if (!runs.includes(name)) {
          throw new FirnError('missing', `there is no run ${name}`, { advice: suggest(name, runs.length > 20 ? runs.slice(0, 20) : runs) });
        }
        const changed = lib.tagRun(registry, name, flags.version, new Date(), { force: flags.force ?? false });
        if (flags.json) printJson({ tagged: [name], version: flags.version });
        else print(`tagged ${safe(name)} with ${safe(flags.version)}`);
        return changed;
      }),
    );

  versions
    .command('auto-tag')
    .description('tag every run that has no version')
    .requiredOption('--version <name>', 'a registered version')
    .option('--json', 'print one JSON object')
    .action((flags: { version: string; json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib, runs, known }) => {
        const untagged = runs.filter((name) => known(name) === undefined);
        const { registry: changed, tagged } = lib.autoTag(registry, untagged, flags.version, new Date());
        if (flags.json) printJson({ tagged, version: flags.version });
        else {
          for (const name of tagged) print(`tagged ${safe(name)}`);
          print(`${plural(tagged.length, 'run')} tagged with ${safe(flags.version)}, ${runs.length - tagged.length} had a version already`);
        }
        return changed;
      }),
    );

  versions
    .command('list')
    .description('list versions and how many runs each has')
    .option('--json', 'print one JSON object')
    .action((flags: { json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib }) => {
        const all = lib.listVersions(registry).map((version) => ({ ...version, runs: lib.runsOf(registry, version.version) }));
        if (flags.json) printJson({ versions: all });
        else if (all.length === 0) print('no version is registered; see `firn versions register --help`');
        else {
          const rows = all.map((v) => [v.version, v.model, String(v.runs.length), v.registeredAt, v.description]);
          print(table([{ title: 'version' }, { title: 'model' }, { title: 'runs', align: 'right' }, { title: 'registered' }, { title: 'description' }], rows));
        }
        return undefined;
      }),
    );

  versions
    .command('compare <first> <second>')
    .description('set two versions side by side')
    .option('--json', 'print one JSON object')
    .action((first: string, second: string, flags: { json?: boolean }, command: Command) =>
      change(command, async ({ registry, shapeOf }) => {
        const { compareVersions } = await import('../runs/compare-versions.js');
        const names = registry.runs.size === 0 ? [] : [...registry.runs.keys()];
        const shapes = new Map(await Promise.all(names.map(async (name) => [name, await shapeOf(name)] as const)));
        const comparison = compareVersions(registry, first, second, (name) => shapes.get(name));
        if (flags.json) {
          printJson(comparison);
          return undefined;
        }
        const rows = comparison.sides.map((side) => [side.version, side.model, String(side.runs.length), String(side.datasets.length), formatCount(side.rows), side.dims.join(', ')]);
        print(table([{ title: 'version' }, { title: 'model' }, { title: 'runs', align: 'right' }, { title: 'datasets', align: 'right' }, { title: 'sequences', align: 'right' }, { title: 'dimensions', align: 'right' }], rows));
        const common = comparison.common.map((name) => safe(name)).join(', ');
        print(common === '' ? 'no dataset has runs of both' : `datasets with runs of both: ${common}`);
        return undefined;
      }),
    );
}

interface Context {
  registry: Registry;
  lib: typeof import('../runs/versions.js');
  /** Names of the runs on disk. */
  runs: string[];
  /** The version of a run, from the registry or from the run itself. */
  known: (run: string) => string | undefined;
  shapeOf: (run: string) => Promise<{ rows: number; dims: number } | undefined>;
}

/** Reads the registry, and writes it back when the action returns another. */
function change(command: Command, action: (context: Context) => Promise<Registry | undefined>): Promise<void> {
  return act(async () => {
    const { disk } = await import('../files/disk.js');
    const lib = await import('../runs/versions.js');
    const { discoverRuns } = await import('../runs/discover.js');
    const { openRun } = await import('../runs/run-array.js');
    const { RUN_FACTS_FILE, versionInFacts } = await import('../runs/run-facts.js');
    const { root, pipeline } = await places(command);
    const path = join(root, pipeline.versionsFile);
    const registry = lib.loadRegistry(disk, path);
    const runsDir = join(root, pipeline.runsDir);
    const changed = await action({
      registry,
      lib,
      runs: discoverRuns(disk, runsDir).runs.map((run) => run.name),
      known: (run) => lib.versionOf(registry, run) ?? versionInFacts(disk, join(runsDir, run, RUN_FACTS_FILE)),
      async shapeOf(run) {
        try {
          const reader = await openRun(disk, join(runsDir, run));
          await reader.close();
          return { rows: reader.rows, dims: reader.dims };
        } catch {
          return undefined;
        }
      },
    });
    if (changed !== undefined) await lib.saveRegistry(disk, path, changed);
    return undefined;
  });
}

/** Folders as pipeline.yaml names them, or the defaults where there is none. */
async function places(command: Command): Promise<{ root: string; pipeline: Pick<Pipeline, 'runsDir' | 'versionsFile'> }> {
  const { projectPlaces } = await import('../project.js');
  return projectPlaces(globalOptions(command).directory);
}
