/** `firn runs`: which runs there are, and what becomes of old ones. Dry runs unless told otherwise. */
import type { Command } from 'commander';
import type { ArchiveResult } from '../run-life/archive.js';
import type { HeldIn, ListedRun } from '../run-life/list.js';
import type { RemoveItem } from '../run-life/remove.js';
import type { RestoreResult } from '../run-life/restore.js';
import { runNameIn } from '../runs/run-name.js';
import { textOf } from '../system-errors.js';
import { act, EXIT, errorText, globalOptions, note, print, printJson, wholeNumber } from './main.js';
import { progressLine } from './progress.js';
import { formatAge, formatBytes, formatCount, plural, safe, table } from './text.js';

export function defineRuns(program: Command): void {
  const runs = program
    .command('runs')
    .description('the life of runs: list, archive, restore, rm')
    .addHelpText(
      'after',
      `
Examples:
  firn runs list --recent 10
  firn runs archive --older-than 180 --to /mnt/archive             what would go
  firn runs archive --older-than 180 --to /mnt/archive --execute
  firn runs restore My_Dataset/2024-11-22 --execute
  firn runs rm My_Dataset/2024-11-22 --execute`,
    );
  defineList(runs);
  defineArchive(runs);
  defineRestore(runs);
  defineRemove(runs);
}

interface ListFlags {
  dataset?: string[];
  run?: string[];
  version?: string;
  olderThan?: string;
  recent?: number;
  gone?: boolean;
  json?: boolean;
}

function defineList(runs: Command): void {
  runs
    .command('list [text...]')
    .description('list runs whose names contain all of these texts, or all runs; reads headers only')
    .option('--dataset <pattern>', 'only of this dataset; may be given several times', collect)
    .option('--run <pattern>', 'only this run (with a /: dataset/run); may be given several times', collect)
    .option('--version <name>', 'only of this model version')
    .option('--older-than <days>', 'only runs whose array was last changed so many days ago (also 12h, 2w)')
    .option('--recent <n>', 'only the newest so many, the newest first', wholeNumber('--recent', 1))
    .option('--gone', 'also runs that only references hold')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn runs list
  firn runs list soil --version v1.0 --older-than 180
  firn runs list --recent 10 --json`,
    )
    .action((text: string[], flags: ListFlags, command: Command) =>
      act(async (signal) => {
        const { listRuns } = await import('../run-life/list.js');
        const found = await listRuns({ ...globalOptions(command), ...flags, text, signal });
        if (flags.json) {
          printJson({ runs: found.runs.map(listedJson), gone: found.gone });
          return;
        }
        for (const { path, reason } of found.ignored) note(`passed over ${safe(path)}: it ${safe(reason)}`);
        for (const run of found.runs) {
          if (run.problem !== undefined) note(`${safe(run.name)} cannot be read: ${errorText(run.problem)}`);
          if (run.unfinished) {
            note(
              `${safe(run.name)} is half archived: \`firn runs archive\` or \`firn runs restore\` completes it`,
            );
          }
        }
        if (found.runs.length === 0) print('no run');
        else print(listTable(found.runs, found.nowMs));
        if (!flags.gone && found.gone.length > 0)
          note(`${plural(found.gone.length, 'more run')} only in references; --gone lists them`);
      }),
    );
}

function collect(pattern: string, before: string[] = []): string[] {
  return [...before, pattern];
}

function listedJson(run: ListedRun): object {
  return {
    run: run.name,
    rows: run.rows ?? null,
    dims: run.dims ?? null,
    dtype: run.dtype === undefined ? null : `<${run.dtype}`,
    bytes: run.bytes,
    container: run.container,
    version: run.version ?? null,
    changed: run.changedMs === undefined ? null : new Date(run.changedMs).toISOString(),
    references: run.references.map(({ target, state, same }) => ({ target, state, same: same ?? null })),
    ...(run.archived === undefined ? {} : { archived: run.archived }),
    ...(run.unfinished ? { unfinished: true } : {}),
    ...(run.problem === undefined ? {} : { error: textOf(run.problem) }),
  };
}

function listTable(runs: readonly ListedRun[], nowMs: number): string {
  return table(
    [
      { title: 'dataset' },
      { title: 'run' },
      { title: 'rows', align: 'right' },
      { title: 'dims', align: 'right' },
      { title: 'dtype' },
      { title: 'size', align: 'right' },
      { title: 'container' },
      { title: 'version' },
      { title: 'age', align: 'right' },
      { title: 'references' },
    ],
    runs.map((run) => [
      run.dataset,
      run.run,
      run.rows === undefined ? '?' : formatCount(run.rows),
      run.dims === undefined ? '?' : String(run.dims),
      run.dtype ?? '?',
      formatBytes(run.bytes),
      run.container,
      run.version ?? '',
      run.changedMs === undefined ? '' : formatAge(nowMs - run.changedMs),
      run.references.map(heldText).join(', '),
    ]),
  );
}

function heldText({ target, state, same }: HeldIn): string {
  const words = [
    ...(state === 'retained' ? ['retained'] : []),
    ...(same === false ? ['other values'] : []),
    ...(same === undefined && state === 'present' ? ['not compared'] : []),
  ];
  return words.length === 0 ? target : `${target} (${words.join(', ')})`;
}

interface ArchiveFlags {
  to: string;
  olderThan?: string;
  execute?: boolean;
  json?: boolean;
}

function defineArchive(runs: Command): void {
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
        const { archiveRuns, planArchive } = await import('../run-life/archive.js');
        const { to, olderThan } = flags;
        const request = { ...(await lifeOf(command, signal, patterns)), to, olderThan };
        const result = await (flags.execute ? archiveRuns : planArchive)(request);
        request.line.end();
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

function statusOf(item: { done: boolean; error?: unknown }, due: string, done: string): string {
  return item.error !== undefined ? 'refused' : item.done ? done : due;
}

/** Whether it counts among what is, or would be, moved. */
function isDue(item: { done: boolean; error?: unknown; state?: string }, execute: boolean): boolean {
  return execute ? item.done : item.error === undefined && item.state !== 'archived';
}

function bytesOf(items: readonly { bytes: number }[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
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

interface RestoreFlags {
  from?: string;
  removeArchive?: boolean;
  execute?: boolean;
  json?: boolean;
}

function defineRestore(runs: Command): void {
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
        const { planRestore, restoreRuns } = await import('../run-life/restore.js');
        const { from, removeArchive = false } = flags;
        const request = { ...(await lifeOf(command, signal, patterns)), from, removeArchive };
        const result = await (flags.execute ? restoreRuns : planRestore)(request);
        request.line.end();
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

interface RemoveFlags {
  allFiles?: boolean;
  execute?: boolean;
  json?: boolean;
}

function defineRemove(runs: Command): void {
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
        const { planRemove, removeRuns } = await import('../run-life/remove.js');
        const request = { ...(await lifeOf(command, signal, patterns)), allFiles: flags.allFiles ?? false };
        const items = await (flags.execute ? removeRuns : planRemove)(request);
        request.line.end();
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

/** What all of them ask for. */
async function lifeOf(command: Command, signal: AbortSignal, patterns: readonly string[]) {
  const { projectPlaces } = await import('../project.js');
  const { directory } = globalOptions(command);
  const { pipeline } = await projectPlaces(directory);
  const line = progressLine('runs');
  return {
    directory,
    signal,
    patterns: patterns.map((pattern) => runNameIn(pipeline.runsDir, pattern)),
    line,
    onWait: (holder: string) => note(`waiting for ${safe(holder)} to finish`),
    onProgress: (run: string, doing: string, done: number, total: number) =>
      line.show(done, total, `bytes, ${doing} ${run}`),
  };
}

const NAMED = 5;

function namesOf(names: readonly string[]): string {
  const more = names.length - NAMED;
  return safe(names.slice(0, NAMED).join(', ')) + (more > 0 ? ` and ${formatCount(more)} more` : '');
}

function noteErrors(items: readonly { run: string; error?: unknown }[]): void {
  for (const { run, error } of items) {
    if (error !== undefined) note(`firn: ${safe(run)}: ${errorText(error)}`);
  }
}

function exitOf(items: readonly { error?: unknown }[]): number {
  return items.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.done;
}
