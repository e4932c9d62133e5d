/** `firn restore`: puts back what a backup holds. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { RestoreRequest, RestoreResult } from '../backup/restore.js';
import { act, EXIT, globalOptions, note, print, printJson } from './main.js';
import { progressLine } from './progress.js';
import { formatBytes, formatSeconds, plural, safe } from './text.js';

interface RestoreFlags {
  to?: string;
  retained?: boolean;
  force?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

export function defineRestore(program: Command): void {
  program
    .command('restore <dir> [path...]')
    .description(
      'put back from a backup what is missing in the project: everything, or the named files and folders',
    )
    .option('--to <folder>', 'the project to restore into (default: where you are, or -C DIR)')
    .option('--retained', 'also files that were no longer in the project when it was last backed up')
    .option('--force', 'also files that differ; each that is replaced is kept as NAME.before-restore')
    .option('-n, --dry-run', 'say what would be done; write nothing')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn restore /media/disk/lab --dry-run
  firn restore /media/disk/lab --to new-lab            a project from nothing
  firn restore /media/disk/lab data/reference          one folder of it

Every byte of the backup is checked first. Where a file of the project differs from the backup, nothing at all is
written unless --force is given.

Exit codes: 0 done, 1 the backup is not whole or files differ, 2 the request is wrong, 130 interrupted.`,
    )
    .action((dir: string, paths: string[], flags: RestoreFlags, command: Command) =>
      act(async (signal) => {
        const { restoreProject } = await import('../backup/restore.js');
        const { disk } = await import('../files/disk.js');
        const line = progressLine('restore');
        const request: RestoreRequest = {
          port: disk,
          directory: resolve(dir),
          root: resolve(flags.to ?? globalOptions(command).directory),
          paths,
          retained: flags.retained ?? false,
          force: flags.force ?? false,
          dryRun: flags.dryRun ?? false,
          signal,
          onProgress: ({ phase, done, total }) => line.show(done, total ?? 0, `bytes ${phase}`),
          onWait: (holder, lock) => {
            line.end();
            note(`waiting for ${safe(holder)} to finish; if it no longer runs, remove ${safe(lock)}`);
          },
        };
        let result: RestoreResult;
        try {
          result = await restoreProject(request);
        } finally {
          line.end();
        }
        const refused = result.different.length > 0 && !flags.force;
        if (flags.json) {
          const different = result.different.map(({ path, isNewer }) => ({ path, newer: isNewer ?? false }));
          printJson({
            root: request.root,
            dryRun: flags.dryRun ?? false,
            ...result,
            different,
            kept: Object.fromEntries(result.kept),
          });
        } else show(request, result);
        return refused ? EXIT.failed : EXIT.done;
      }),
    );
}

function show({ root, dryRun, force, paths }: RestoreRequest, result: RestoreResult): void {
  const { restored, restoredBytes, same, different, kept, retained, checked } = result;
  if (result.completed) note('a backup that had been cut off was completed first');
  note(
    `the backup is whole: ${plural(checked.files, 'file')}, ${formatBytes(checked.bytes)}, checked in ${formatSeconds(checked.seconds)}`,
  );
  const refused = different.length > 0 && !force;
  if (refused) {
    note(
      `${plural(different.length, 'file')} of the project ${different.length === 1 ? 'differs' : 'differ'} from the backup:`,
    );
    for (const { path, isNewer } of different)
      note(`  ${safe(path)} (${isNewer ? 'newer' : 'older'} than in the backup)`);
    const whole = (paths ?? []).length === 0;
    note(
      `nothing was written. --force replaces them and keeps each as NAME.before-restore${whole ? '; or name what to restore, or a folder with --to' : ''}`,
    );
  }
  if (dryRun) for (const path of restored) print(`would restore ${safe(path)}`);
  for (const [path, name] of kept) print(`${safe(path)} as it was: ${safe(name)}`);
  if (retained.length > 0) {
    note(
      `${plural(retained.length, 'file')} had left the project before the backup; --retained puts ${retained.length === 1 ? 'it' : 'them'} back`,
    );
  }
  if (same.length > 0) print(`${plural(same.length, 'file')} there already, with the same bytes`);
  if (refused) return;
  const where = safe(root);
  if (dryRun)
    print(
      `${plural(restored.length, 'file')}, ${formatBytes(restoredBytes)}, would be restored to ${where}; nothing was written`,
    );
  else print(`restored ${plural(restored.length, 'file')}, ${formatBytes(restoredBytes)}, to ${where}`);
}
