/** `firn versions`: which model made which run. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import type { Pipeline } from '../pipeline/load.js';
import type { Registry } from '../runs/versions.js';
import { act, globalOptions, note, print, printJson } from './main.js';
import { runNameIn } from './run-name.js';
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
    .option('--description <text>', 'what is special about it')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExample:\n  firn versions register --version v1.0 --model nt-500m-1000g')
    .action(
      (flags: { version: string; model: string; description?: string; json?: boolean }, command: Command) =>
        change(command, async ({ registry, lib }) => {
          const { version, model, description } = flags;
          const changed = lib.registerVersion(
            registry,
            { version, model, ...(description === undefined ? {} : { description }) },
            new Date(),
          );
          if (flags.json) printJson({ registered: version, model });
          else {
            const known = registry.versions.has(version);
            const what =
              changed === registry ? ' already' : known ? ' already, now with this description' : '';
            print(`${safe(version)} (${safe(model)}) is registered${what}`);
          }
          return changed;
        }),
    );

  versions
    .command('tag-run <run>')
    .description('say which version made a run')
    .requiredOption('--version <name>', 'a registered version')
    .option('--force', 'also when the run has another version')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExample:\n  firn versions tag-run My_Dataset/2024-12-01 --version v2.0')
    .action((run: string, flags: { version: string; force?: boolean; json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib, runs, runsDir, ownVersion }) => {
        const { suggest } = await import('../pipeline/nearest.js');
        const name = runNameIn(runsDir, run);
        const own = ownVersion(name);
        if (own !== undefined && own !== flags.version) {
          throw new FirnError('conflict', `run ${name} says itself that ${own} made it`, {
            advice: 'A run that another model makes belongs in a folder of its own.',
          });
        }
        if (!runs.includes(name)) {
          throw new FirnError('usage', `there is no run ${name}`, {
            advice: suggest(name, runs.length > 20 ? runs.slice(0, 20) : runs),
          });
        }
        const changed = lib.tagRun(registry, name, flags.version, new Date(), {
          force: flags.force ?? false,
        });
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
    .addHelpText('after', '\nExample:\n  firn versions auto-tag --version v1.0')
    .action((flags: { version: string; json?: boolean }, command: Command) =>
      change(command, async ({ registry, lib, runs, ownVersion }) => {
        const untagged = runs.filter(
          (name) => (lib.versionOf(registry, name) ?? ownVersion(name)) === undefined,
        );
        const { registry: changed, tagged } = lib.autoTag(registry, untagged, flags.version, new Date());
        if (flags.json) printJson({ tagged, version: flags.version });
        else {
          for (const name of tagged) print(`tagged ${safe(name)}`);
          print(
            `${plural(tagged.length, 'run')} tagged with ${safe(flags.version)}, ${runs.length - tagged.length} had a version already`,
          );
        }
        return changed;
      }),
    );

  versions
    .command('list')
    .description('list versions and how many runs each has')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExample:\n  firn versions list --json')
    .action((flags: { json?: boolean }, command: Command) =>
      look(command, async ({ registry, lib }) => {
        const all = lib
          .listVersions(registry)
          .map((version) => ({ ...version, runs: lib.runsOf(registry, version.version) }));
        if (flags.json) printJson({ versions: all });
        else if (all.length === 0) print('no version is registered; see `firn versions register --help`');
        else {
          const rows = all.map((v) => [
            v.version,
            v.model,
            String(v.runs.length),
            v.registeredAt.slice(0, 16).replace('T', ' '),
            v.description,
          ]);
          print(
            table(
              [
                { title: 'version' },
                { title: 'model' },
                { title: 'runs', align: 'right' },
                { title: 'registered' },
                { title: 'description' },
              ],
              rows,
            ),
          );
        }
      }),
    );

  versions
    .command('compare <first> <second>')
    .description('set two versions side by side')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExample:\n  firn versions compare v1.0 v2.0')
    .action((first: string, second: string, flags: { json?: boolean }, command: Command) =>
      look(command, async ({ registry, lib, shapeOf }) => {
        const { compareVersions } = await import('../runs/compare-versions.js');
        const shapes = new Map<string, Shape | undefined>();
        for (const version of [first, second]) {
          for (const run of lib.runsOf(registry, version)) shapes.set(run, await shapeOf(run));
        }
        const comparison = compareVersions(registry, first, second, (name) => shapes.get(name));
        for (const side of comparison.sides) {
          const lost = side.runs.filter((run) => shapes.get(run) === undefined).map((run) => safe(run));
          if (lost.length > 0)
            note(
              `note: not on disk or not readable, and not counted in the sequences of ${safe(side.version)}: ${lost.join(', ')}`,
            );
        }
        if (flags.json) {
          printJson(comparison);
          return;
        }
        const rows = comparison.sides.map((side) => [
          side.version,
          side.model,
          String(side.runs.length),
          String(side.datasets.length),
          formatCount(side.rows),
          side.dims.join(', '),
        ]);
        print(
          table(
            [
              { title: 'version' },
              { title: 'model' },
              { title: 'runs', align: 'right' },
              { title: 'datasets', align: 'right' },
              { title: 'sequences', align: 'right' },
              { title: 'dimensions', align: 'right' },
            ],
            rows,
          ),
        );
        const datasets = (names: readonly string[]) =>
          names.length === 0 ? 'none' : names.map((name) => safe(name)).join(', ');
        print(`datasets with runs of both: ${datasets(comparison.common)}`);
        print(`of ${safe(first)} only: ${datasets(comparison.onlyFirst)}`);
        print(`of ${safe(second)} only: ${datasets(comparison.onlySecond)}`);
      }),
    );
}

interface Shape {
  rows: number;
  dims: number;
}

interface Context {
  registry: Registry;
  lib: typeof import('../runs/versions.js');
  /** Names of the runs on disk. */
  runs: string[];
  /** Relative to the project. */
  runsDir: string;
  /** The version that stands beside a run that firn made. */
  ownVersion: (run: string) => string | undefined;
  shapeOf: (run: string) => Promise<Shape | undefined>;
}

/** Reads the registry and lets the action look at it. */
function look(command: Command, action: (context: Context) => Promise<void>): Promise<void> {
  return act(async () => {
    const { disk } = await import('../files/disk.js');
    const { loadRegistry } = await import('../runs/versions.js');
    const { root, pipeline } = await places(command);
    await action(await contextOf(root, pipeline, loadRegistry(disk, join(root, pipeline.versionsFile))));
    return undefined;
  });
}

/** Reads the registry, and writes back what the action makes of it. */
function change(command: Command, action: (context: Context) => Promise<Registry>): Promise<void> {
  return act(async (signal) => {
    const { disk } = await import('../files/disk.js');
    const { changeRegistry } = await import('../change-registry.js');
    const { root, pipeline } = await places(command);
    const onWait = (holder: string) => note(`waiting for ${safe(holder)} to finish`);
    const place = { port: disk, root, versionsFile: pipeline.versionsFile, onWait, signal };
    await changeRegistry(place, async (registry) => action(await contextOf(root, pipeline, registry)));
    return undefined;
  });
}

async function contextOf(
  root: string,
  pipeline: Pick<Pipeline, 'runsDir' | 'versionsFile'>,
  registry: Registry,
): Promise<Context> {
  const { disk } = await import('../files/disk.js');
  const lib = await import('../runs/versions.js');
  const { discoverRuns } = await import('../runs/discover.js');
  const { openRun } = await import('../runs/run-array.js');
  const { RUN_FACTS_FILE, versionInFacts } = await import('../runs/run-facts.js');
  const { isRunName } = await import('../runs/run-name.js');
  const runsDir = join(root, pipeline.runsDir);
  return {
    registry,
    lib,
    runs: discoverRuns(disk, runsDir).runs.map((run) => run.name),
    runsDir: pipeline.runsDir,
    ownVersion: (run) =>
      isRunName(run) ? versionInFacts(disk, join(runsDir, run, RUN_FACTS_FILE)) : undefined,
    async shapeOf(run) {
      if (!isRunName(run)) return undefined;
      try {
        const reader = await openRun(disk, join(runsDir, run));
        await reader.close();
        return { rows: reader.rows, dims: reader.dims };
      } catch {
        return undefined;
      }
    },
  };
}

/** Folders as pipeline.yaml names them, or the defaults where there is none. */
async function places(
  command: Command,
): Promise<{ root: string; pipeline: Pick<Pipeline, 'runsDir' | 'versionsFile'> }> {
  const { projectPlaces } = await import('../project.js');
  return projectPlaces(globalOptions(command).directory);
}
