/** `firn runs rm`: runs go whose rows a reference keeps. */
import type { Command } from 'commander';
import type { RemoveItem } from '../../run-life/remove.js';
import { textOf } from '../../system-errors.js';
import { act, note, print, printJson } from '../main.js';
import { formatBytes, plural, safe } from '../text.js';
import { bytesOf, exitOf, isDue, namesOf, noteErrors, statusOf, withRequest } from './moving.js';

interface RemoveFlags {
  allFiles?: boolean;
  execute?: boolean;
  json?: boolean;
}

export function defineRemove(runs: Command): void {
  runs
    .command('rm <run...>')
    .description('remove runs (names or patterns) whose rows a reference keeps; a dry run unless --execute')
    .option('--all-files', 'also files that firn does not know, such as results of other programs')
    .option('--execute', 'do it')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn runs rm My_Dataset/2024-11-22                      what would be removed
  firn runs rm My_Dataset/2024-11-22 --execute

The rows of the run are read from the reference and hashed right before; where they are not all there, the run stays.`,
    )
    .action((patterns: string[], flags: RemoveFlags, command: Command) =>
      act(async (signal) => {
        const { planRemove, removeRuns } = await import('../../run-life/remove.js');
        const items = await withRequest(command, signal, patterns, (request) =>
          (flags.execute ? removeRuns : planRemove)({ ...request, allFiles: flags.allFiles ?? false }),
        );
        if (flags.json) printJson(removeJson(items, flags.execute ?? false));
        else showRemove(items, flags.execute ?? false);
        return exitOf(items);
      }),
    );
}

function removeJson(items: readonly RemoveItem[], execute: boolean): object {
  return {
    dryRun: !execute,
    bytes: bytesOf(items.filter((item) => isDue(item, execute))),
    runs: items.map(({ run, files, bytes, heldBy, usedBy, done, error }) => ({
      run,
      status: statusOf({ done, error }, 'would remove', 'removed'),
      files,
      bytes,
      heldBy,
      usedBy,
      ...(error === undefined ? {} : { error: textOf(error) }),
    })),
  };
}

function showRemove(items: readonly RemoveItem[], execute: boolean): void {
  noteErrors(items);
  const due = items.filter((item) => isDue(item, execute));
  for (const { run, files, heldBy, usedBy } of due) {
    const kept = heldBy.length === 0 ? '' : `; its rows stay in ${heldBy.join(', ')}`;
    print(
      `${execute ? 'removed' : 'would remove'} ${safe(run)}: ${files.map((path) => safe(path)).join(', ')}${safe(kept)}`,
    );
    if (usedBy.length > 0) note(`note: what reads files of it: ${namesOf(usedBy)}`);
  }
  if (due.length === 0) {
    print('nothing was removed');
    return;
  }
  const end = execute ? ' freed' : '; nothing was removed, add --execute to do it';
  print(`${plural(due.length, 'run')}, ${formatBytes(bytesOf(due))}${end}`);
}
