/** `firn clean`: removes outputs that a build makes again. A dry run unless told otherwise. */
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { act, globalOptions, note, print, printJson } from './main.js';
import { formatBytes, plural, safe } from './text.js';

interface CleanFlags {
  all?: boolean;
  execute?: boolean;
  json?: boolean;
}

export function defineClean(program: Command): void {
  program
    .command('clean [target...]')
    .description(
      'remove what firn built for these targets; never the only copy of anything; a dry run unless --execute',
    )
    .option('--all', 'all targets')
    .option('--execute', 'do it')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn clean index\n  firn clean --all --execute')
    .action((targets: string[], flags: CleanFlags, command: Command) =>
      act(async (signal) => {
        const { checkTargets, openProject } = await import('../project.js');
        const { clean, planClean } = await import('../clean.js');
        if (targets.length === 0 && !flags.all) {
          throw new FirnError('usage', 'name the targets to clean, or give --all');
        }
        const project = await openProject(globalOptions(command));
        checkTargets(project.pipeline, targets);
        const chosen = new Set(flags.all ? project.pipeline.targets.keys() : targets);
        const onWait = (holder: string) => note(`waiting for ${safe(holder)} to finish`);
        const items = flags.execute
          ? await clean(project, chosen, { signal, onWait })
          : await planClean(project, chosen, signal);
        const going = items.filter((item) => item.spared === undefined);
        const bytes = going.reduce((sum, item) => sum + item.bytes, 0);
        if (flags.json) {
          const spared = items.filter((item) => item.spared !== undefined);
          printJson({
            dryRun: flags.execute !== true,
            bytes,
            removed: going.map((item) => item.path),
            spared,
          });
          return undefined;
        }
        for (const item of items) {
          if (item.spared === undefined)
            print(`${flags.execute ? 'removed' : 'would remove'} ${safe(item.path)}`);
          else note(`kept ${safe(item.path)}: ${safe(item.spared)}`);
        }
        print(
          `${plural(going.length, 'file')}, ${formatBytes(bytes)}${flags.execute ? ' freed' : '; nothing was removed, add --execute to do it'}`,
        );
        return undefined;
      }),
    );
}
