/** `firn init`: a first pipeline.yaml for what is here. */
import { relative } from 'node:path';
import type { Command } from 'commander';
import { act, globalOptions, note, print } from './main.js';
import { plural, safe } from './text.js';

export function defineInit(program: Command): void {
  program
    .command('init')
    .description('write a starter pipeline.yaml for the runs that are here')
    .option('--runs <dir>', 'the folder of runs, relative to the project', 'consolidated_data/runs')
    .addHelpText('after', '\nExamples:\n  cd my-lab && firn init && firn build --dry-run')
    .action((flags: { runs: string }, command: Command) =>
      act(async () => {
        const { disk } = await import('../files/disk.js');
        const { writeStarter } = await import('../init.js');
        const { rootAt } = await import('../project.js');
        const root = rootAt(disk, globalOptions(command).directory);
        const { path, runsDir, runs, untagged, versions, sequences } = await writeStarter(
          disk,
          root,
          flags.runs,
        );
        print(
          `wrote ${safe(relative(process.cwd(), path) || path)}: ${plural(runs, 'run')} found in ${safe(runsDir)}${sequences.length > 0 ? ', sequences in sequences/' : ''}`,
        );
        if (versions.length > 1 && untagged > 0) {
          note(
            `${plural(untagged, 'run')} without a model version: in none of these references; see \`firn versions\``,
          );
        }
        if (runs === 0 && sequences.length === 0) {
          print(
            `next: put a run at ${safe(runsDir)}/<dataset>/<run>/embeddings.npy, or correct \`runs\` in pipeline.yaml`,
          );
        } else print('next: firn build --dry-run');
        return undefined;
      }),
    );
}
