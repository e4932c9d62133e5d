/** `firn runs list`: which runs there are. */
import type { Command } from 'commander';
import type { HeldIn, ListedRun } from '../../run-life/list.js';
import { textOf } from '../../system-errors.js';
import { act, errorText, globalOptions, note, print, printJson, wholeNumber } from '../main.js';
import { formatAge, formatBytes, formatCount, plural, safe, table } from '../text.js';

interface ListFlags {
  dataset?: string[];
  run?: string[];
  version?: string;
  olderThan?: string;
  recent?: number;
  gone?: boolean;
  json?: boolean;
}

export function defineList(runs: Command): void {
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
        const { listRuns } = await import('../../run-life/list.js');
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
        const { runsDir, total } = found;
        if (found.runs.length === 0)
          print(
            total === 0
              ? `no run in ${safe(runsDir)}`
              : `none of ${plural(total, 'run')} in ${safe(runsDir)} is meant`,
          );
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
