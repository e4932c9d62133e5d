/** `firn unlock`: removes the lock of a build that is gone. */
import { join } from 'node:path';
import type { Command } from 'commander';
import { act, globalOptions, print } from './main.js';

export function defineUnlock(program: Command): void {
  program
    .command('unlock')
    .description('remove the lock that a build on another machine left behind')
    .option('--force', 'also when its holder may still run')
    .addHelpText('after', '\nExamples:\n  firn unlock\n  firn unlock --force')
    .action((flags: { force?: boolean }, command: Command) =>
      act(async () => {
        const { disk } = await import('../files/disk.js');
        const { unlock } = await import('../engine/recover.js');
        const { CACHE_FOLDER, rootAt } = await import('../project.js');
        const cache = join(rootAt(disk, globalOptions(command).directory), CACHE_FOLDER);
        await unlock(disk, cache, flags.force ?? false);
        print('the lock is removed');
      }),
    );
}
