/** `firn runs archive`: runs go to another disk. */
import type { Command } from 'commander';
import type { ArchiveResult } from '../../run-life/archive.js';
import { textOf } from '../../system-errors.js';
import { act, note, print, printJson } from '../main.js';
import { formatAge, formatBytes, plural, safe, table } from '../text.js';
import { bytesOf, exitOf, isDue, namesOf, noteErrors, statusOf, withRequest } from './moving.js';

interface ArchiveFlags {
  to: string;
  olderThan?: string;
  execute?: boolean;
  json?: boolean;
}

export function defineArchive(runs: Command): void {
  runs
    .command('archive [run...]')
    .description(
      'move runs (names or patterns) to another disk once references hold their rows; a dry run unless --execute',
    )
    .requiredOption('--to <dir>', 'the folder that gets <dataset>/<run>/')
    .option('--older-than <days>', 'only runs whose array was last changed so many days ago (also 12h, 26w)')
    .option('--execute', 'do it')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn runs archive --older-than 180 --to /mnt/archive             what would go
  firn runs archive --older-than 180 --to /mnt/archive --execute
  firn runs archive 'My_Dataset/*' --to ../archive --execute

Rows of archived runs stay in their references and are searched as before.`,
    )
    .action((patterns: string[], flags: ArchiveFlags, command: Command) =>
      act(async (signal) => {
        const { archiveRuns, planArchive } = await import('../../run-life/archive.js');
        const { to, olderThan } = flags;
        const result = await withRequest(command, signal, patterns, (request) =>
          (flags.execute ? archiveRuns : planArchive)({ ...request, to, olderThan }),
        );
        if (flags.json) printJson(archiveJson(result, flags.execute ?? false));
        else showArchive(result, flags.execute ?? false);
        return exitOf(result.items);
      }),
    );
}

function archiveJson({ to, items, sameDisk, space }: ArchiveResult, execute: boolean): object {
  return {
    dryRun: !execute,
    to,
    sameDisk,
    available: space?.free ?? null,
    bytes: bytesOf(items.filter((item) => isDue(item, execute))),
    runs: items.map(({ run, files, bytes, to: folder, usedBy, state, done, error }) => ({
      run,
      status: statusOf({ done, error }, state === 'archived' ? 'archived' : 'would archive', 'archived'),
      files,
      bytes,
      to: folder,
      usedBy,
      ...(error === undefined ? {} : { error: textOf(error) }),
    })),
  };
}

function showArchive({ to, items, sameDisk, space }: ArchiveResult, execute: boolean): void {
  noteErrors(items);
  const due = items.filter((item) => isDue(item, execute));
  const before = items.filter(({ state, error }) => state === 'archived' && error === undefined);
  if (before.length > 0)
    note(`${namesOf(before.map(({ run }) => run))} ${before.length === 1 ? 'is' : 'are'} archived already`);
  const readers = [...new Set(due.flatMap(({ usedBy }) => usedBy))];
  if (readers.length > 0)
    note(`note: what reads files of these runs cannot while they are archived: ${namesOf(readers)}`);
  if (due.length === 0) {
    print('nothing to archive');
    return;
  }
  print(
    table(
      [
        { title: 'run' },
        { title: 'age', align: 'right' },
        { title: 'files', align: 'right' },
        { title: 'size', align: 'right' },
      ],
      due.map((item) => [
        item.run + (item.state === 'unfinished' && !execute ? ' (begun before)' : ''),
        formatAge(item.ageMs),
        String(item.files),
        formatBytes(item.bytes),
      ]),
    ),
  );
  const bytes = bytesOf(due);
  print(
    `${plural(due.length, 'run')}, ${formatBytes(bytes)}, ${execute ? 'moved' : 'would be moved'} to ${safe(to)}`,
  );
  if (sameDisk) note(`${safe(to)} is on the same disk as the runs: this frees nothing`);
  if (!execute && space !== undefined && space.free < bytes)
    note(`${formatBytes(space.free)} are free there, which is too little`);
  if (!execute) print('nothing was written; add --execute to do it');
}
