/** Results as Markdown for people. Pure: knows no disk and no clock. */
import type { Environment } from './machine.js';
import type { Row, Verdict } from './question.js';
import type { Result } from './results.js';
import type { Spread } from './spread.js';
import { duration, mebibytes } from './verdict.js';

const HEAD = `# Benchmarks

How long firn takes, beside the programs that people would use instead. \`npm run bench\` measures everything, in about 25
minutes on two cores, and writes this page; \`npm run bench -- a d\` measures some questions again and leaves the rest.
[CONTRIBUTING.md](../CONTRIBUTING.md#benchmarks) says more.

## How it was measured

- Firn and its peers take turns, round by round, on the same data on the same disk. What is given is the median, with the
  smallest and the largest beside it.
- The data is generated from a fixed seed: clustered vectors of low intrinsic dimension, as embeddings are. Anybody can
  make the same bytes again.
- Everything read is in the page cache for all. Before a program that reads or writes much is started, the disk is synced,
  so that nobody pays for what another wrote, and free memory is touched, since a virtual machine may have lent it to its
  host. Firn syncs its own files before it is done; numpy, FAISS and \`cp\` do not.
- Memory is the maximum resident set that GNU time reports: that of the largest single process, with the file pages it has
  mapped.
- *times firn* is the median of a row divided by that of firn in the same group: above 1 the other is slower.
- What stands behind the figures that miss their goals is in
  [architecture.md](architecture.md#what-limits-speed).
`;

/** The whole page. */
export function renderPage(results: readonly Result[]): string {
  return [HEAD, ...warnings(results), goals(results), ...results.map(section), machines(results)]
    .map((part) => part.trimEnd())
    .join('\n\n')
    .concat('\n');
}

function warnings(results: readonly Result[]): string[] {
  const texts: string[] = [];
  const quick = results.filter((result) => result.quick);
  if (quick.length > 0) {
    texts.push(
      `> **No measurement.** ${list(quick)}: sizes of \`--quick\`, which only show that the harness works.`,
    );
  }
  const lacking = results.filter(({ missing }) => missing.length > 0);
  for (const result of lacking) {
    texts.push(
      `> **Left out** in (${result.id}), since it is missing on this machine: ${result.missing.join(', ')}.`,
    );
  }
  return texts;
}

function list(results: readonly Result[]): string {
  return results.map(({ id }) => `(${id})`).join(', ');
}

function goals(results: readonly Result[]): string {
  const rows = results.flatMap(({ id, title, answer }) =>
    answer.verdicts.map(({ goal, measured, reached }, i) => [
      i === 0 ? `${id}) ${title}` : '',
      goal,
      measured,
      reachedText(reached),
    ]),
  );
  return `## Goals\n\n${table(['question', 'goal', 'measured', 'reached'], rows)}`;
}

function reachedText(reached: Verdict['reached']): string {
  if (reached === null) return 'not measured';
  return reached ? 'yes' : '**no**';
}

function section({ id, title, goal, method, day, load, answer }: Result): string {
  const notes = answer.notes.map((note) => `${note}\n`).join('\n');
  const when = `Measured on ${day}; load average at the start ${load}.`;
  return `## ${id}) ${title}\n\n${method}\n\nGoal: ${goal}.\n\n${rowsTable(answer.rows)}\n\n${notes}${notes === '' ? '' : '\n'}${when}`;
}

function rowsTable(rows: readonly Row[]): string {
  const grouped = rows.some(({ group }) => group !== '');
  const titles = [...new Set(rows.flatMap(({ figures }) => Object.keys(figures)))];
  const head = [
    ...(grouped ? [''] : []),
    'program',
    'median',
    'min to max',
    'runs',
    'memory',
    'times firn',
    ...titles,
  ];
  const body = rows.map((row, i) => {
    const first = rows.findIndex(({ group }) => group === row.group);
    return [
      ...(grouped ? [first === i ? row.group : ''] : []),
      row.who,
      duration(row.seconds.median),
      row.runs === 1 ? '' : between(row.seconds),
      String(row.runs),
      row.memory === null ? 'not measured' : mebibytes(row.memory.median),
      first === i ? '' : ratio(row.seconds.median / rows[first].seconds.median),
      ...titles.map((title) => row.figures[title] ?? ''),
    ];
  });
  return table(head, body);
}

function between({ min, max }: Spread): string {
  return `${duration(min)} to ${duration(max)}`;
}

function ratio(value: number): string {
  if (value >= 99.95) return String(Math.round(value));
  return value.toFixed(value < 9.995 ? 2 : 1);
}

/** Each environment once, with the questions that were measured in it. */
function machines(results: readonly Result[]): string {
  const different = new Map<string, Result[]>();
  for (const result of results) {
    const key = JSON.stringify(result.environment);
    different.set(key, [...(different.get(key) ?? []), result]);
  }
  const parts = [...different.values()].map((same) => {
    const intro = different.size === 1 ? '' : `${list(same)}:\n\n`;
    return `${intro}${environmentTable(same[0].environment)}`;
  });
  return `## Machine and versions\n\n${parts.join('\n\n')}`;
}

function environmentTable(environment: Environment): string {
  return table(['', ''], Object.entries(environment));
}

function table(head: readonly string[], rows: readonly (readonly string[])[]): string {
  const line = (cells: readonly string[]): string =>
    `| ${cells.map((cell) => cell.replaceAll('|', '\\|').replaceAll('\n', ' ')).join(' | ')} |`;
  return [line(head), `|${' --- |'.repeat(head.length)}`, ...rows.map(line)].join('\n');
}
