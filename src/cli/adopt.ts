/** `firn adopt`: takes over a reference that the older system wrote. */
import { join, resolve } from 'node:path';
import type { Command } from 'commander';
import { act, globalOptions, note, print, printJson } from './main.js';
import { formatCount, plural, safe } from './text.js';

export function defineAdopt(program: Command): void {
  program
    .command('adopt [directory]')
    .description(
      'take over a reference that another program wrote, so that builds continue it (default: data/reference)',
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn adopt data/reference && firn build --dry-run')
    .action((directory: string | undefined, flags: { json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { CACHE_FOLDER, projectPlaces } = await import('../project.js');
        const { disk } = await import('../files/disk.js');
        const { adoptReference } = await import('../adopt.js');
        const { DEFAULT_REFERENCE } = await import('../reference/files.js');
        const { root, pipeline } = await projectPlaces(globalOptions(command).directory);
        const adopted = await adoptReference({
          port: disk,
          root,
          cacheDirectory: join(root, CACHE_FOLDER),
          directory: resolve(root, directory ?? DEFAULT_REFERENCE),
          runsDir: join(root, pipeline.runsDir),
          signal,
          onProgress: () => undefined,
          onWait: (holder) => note(`waiting for ${safe(holder)} to finish`),
        });
        const retained = adopted.ranges.filter((range) => range.retained).length;
        if (flags.json) {
          printJson({
            runs: adopted.ranges.length,
            rows: adopted.rows,
            retained,
            repeated: adopted.repeated,
            kept: adopted.kept,
            keptIndex: adopted.keptIndex ?? null,
          });
          return;
        }
        print(
          `adopted ${formatCount(adopted.rows)} rows of ${plural(adopted.ranges.length, 'run')}, ${formatCount(retained)} of them no longer on disk`,
        );
        for (const name of adopted.repeated)
          note(`${safe(name)} was counted more than once; the next build keeps it once`);
        print(`the metadata as it was: ${safe(adopted.kept)}`);
        if (adopted.keptIndex !== undefined) {
          print(
            `the index as it was: ${safe(adopted.keptIndex)}; \`firn build\` makes one that follows the reference`,
          );
        }
      }),
    );
}
