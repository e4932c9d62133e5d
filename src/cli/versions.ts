/** `firn versions`: which model made which run. */
import type { Command } from 'commander';
import type { RegistryOptions, RegistryPlace } from '../registry.js';
import { act, globalOptions, note, print, printJson } from './main.js';
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
    .addHelpText('after', '\nExamples:\n  firn versions register --version v1.0 --model nt-500m-1000g')
    .action(
      (flags: { version: string; model: string; description?: string; json?: boolean }, command: Command) =>
        withRegistry(command, async ({ place, lib, options }) => {
          const { version, model, description } = flags;
          const done = await lib.register(
            place,
            { version, model, ...(description === undefined ? {} : { description }) },
            options,
          );
          const what = { added: '', described: ' already, now with this description', unchanged: ' already' };
          if (flags.json) printJson({ registered: version, model });
          else print(`${safe(version)} (${safe(model)}) is registered${what[done]}`);
        }),
    );

  versions
    .command('tag-run <run>')
    .description('say which version made a run')
    .requiredOption('--version <name>', 'a registered version')
    .option('--force', 'also when the run has another version')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn versions tag-run My_Dataset/2024-12-01 --version v2.0')
    .action((run: string, flags: { version: string; force?: boolean; json?: boolean }, command: Command) =>
      withRegistry(command, async ({ place, lib, options }) => {
        const name = await lib.tag(place, run, flags.version, { ...options, force: flags.force ?? false });
        if (flags.json) printJson({ tagged: [name], version: flags.version });
        else print(`tagged ${safe(name)} with ${safe(flags.version)}`);
      }),
    );

  versions
    .command('auto-tag')
    .description('tag every run that has no version')
    .requiredOption('--version <name>', 'a registered version')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn versions auto-tag --version v1.0')
    .action((flags: { version: string; json?: boolean }, command: Command) =>
      withRegistry(command, async ({ place, lib, options }) => {
        const { tagged, others } = await lib.tagUntagged(place, flags.version, options);
        if (flags.json) {
          printJson({ tagged, version: flags.version });
          return;
        }
        for (const name of tagged) print(`tagged ${safe(name)}`);
        print(
          `${plural(tagged.length, 'run')} tagged with ${safe(flags.version)}, ${others} had a version already`,
        );
      }),
    );

  versions
    .command('list')
    .description('list versions and how many runs each has')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn versions list --json')
    .action((flags: { json?: boolean }, command: Command) =>
      withRegistry(command, async ({ place, lib }) => {
        const all = lib.versionsOf(place);
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
    .addHelpText('after', '\nExamples:\n  firn versions compare v1.0 v2.0')
    .action((first: string, second: string, flags: { json?: boolean }, command: Command) =>
      withRegistry(command, async ({ place, lib }) => {
        const { unread, ...comparison } = await lib.compare(place, first, second);
        for (const side of comparison.sides) {
          const lost = side.runs.filter((run) => unread.includes(run)).map((run) => safe(run));
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

interface Context {
  place: RegistryPlace;
  lib: typeof import('../registry.js');
  options: RegistryOptions;
}

/** Folders as pipeline.yaml names them, or the defaults where there is none. */
function withRegistry(command: Command, action: (context: Context) => Promise<void>): Promise<void> {
  return act(async (signal) => {
    const { disk } = await import('../files/disk.js');
    const { projectPlaces } = await import('../project.js');
    const lib = await import('../registry.js');
    const { root, pipeline } = await projectPlaces(globalOptions(command).directory);
    const { runsDir, versionsFile } = pipeline;
    await action({
      place: { port: disk, root, runsDir, versionsFile },
      lib,
      options: { signal, onWait: (holder) => note(`waiting for ${safe(holder)} to finish`) },
    });
    return undefined;
  });
}
