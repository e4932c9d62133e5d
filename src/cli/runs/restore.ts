/** `firn runs restore`: archived runs come back. */
import type { Command } from 'commander';
import type { RestoreResult } from '../../run-life/restore.js';
import { textOf } from '../../system-errors.js';
import { act, note, print, printJson } from '../main.js';
import { formatBytes, plural, table } from '../text.js';
import { bytesOf, exitOf, isDue, noteErrors, statusOf, withRequest } from './moving.js';

interface RestoreFlags {
  from?: string;
  removeArchive?: boolean;
  execute?: boolean;
  json?: boolean;
}

export function defineRestore(runs: Command): void {
  runs
    .command('restore [run...]')
    .description('bring archived runs (names or patterns, all when none) back; a dry run unless --execute')
    .option('--from <dir>', 'where the archive is now, when it was moved')
    .option('--remove-archive', 'remove the copy in the archive once the run is here and proven')
    .option('--execute', 'do it')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn runs restore                                       what would come back
  firn runs restore My_Dataset/2024-11-22 --execute
  firn runs restore --from /media/usb/archive --execute`,
    )
    .action((patterns: string[], flags: RestoreFlags, command: Command) =>
      act(async (signal) => {
        const { planRestore, restoreRuns } = await import('../../run-life/restore.js');
        const { from, removeArchive = false } = flags;
        const result = await withRequest(command, signal, patterns, (request) =>
          (flags.execute ? restoreRuns : planRestore)({ ...request, from, removeArchive }),
        );
        if (flags.json) printJson(restoreJson(result, flags.execute ?? false));
        else showRestore(result, flags);
        return exitOf(result.items);
      }),
    );
}

function restoreJson({ items, space }: RestoreResult, execute: boolean): object {
  return {
    dryRun: !execute,
    available: space?.free ?? null,
    bytes: bytesOf(items.filter((item) => isDue(item, execute))),
    runs: items.map(({ run, files, bytes, from, done, error }) => ({
      run,
      status: statusOf({ done, error }, 'would restore', 'restored'),
      files,
      bytes,
      from,
      ...(error === undefined ? {} : { error: textOf(error) }),
    })),
  };
}

function showRestore({ items, space }: RestoreResult, flags: RestoreFlags): void {
  const execute = flags.execute ?? false;
  noteErrors(items);
  const due = items.filter((item) => isDue(item, execute));
  if (due.length === 0) {
    print(items.length === 0 ? 'no run is archived' : 'nothing to restore');
    return;
  }
  print(
    table(
      [
        { title: 'run' },
        { title: 'files', align: 'right' },
        { title: 'size', align: 'right' },
        { title: 'from' },
      ],
      due.map((item) => [item.run, String(item.files), formatBytes(item.bytes), item.from]),
    ),
  );
  const bytes = bytesOf(due);
  print(
    `${plural(due.length, 'run')}, ${formatBytes(bytes)}, ${execute ? 'brought' : 'would be brought'} back`,
  );
  if (flags.removeArchive)
    print(
      `${execute ? 'their copies in the archive are removed' : 'then their copies in the archive would go'}`,
    );
  if (!execute && space !== undefined && space.free < bytes)
    note(`${formatBytes(space.free)} are free here, which is too little`);
  if (!execute) print('nothing was written; add --execute to do it');
}
