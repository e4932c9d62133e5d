/** `firn du`: what takes room, what could be freed, and how much more fits. */
import { basename } from 'node:path';
import type { Command } from 'commander';
import type { CompressionEstimate } from '../du/compressing.js';
import type { DuReport } from '../du/du.js';
import { act, globalOptions, print, printJson } from './main.js';
import { formatAge, formatBytes, formatCount, plural, safe, table } from './text.js';

const DAYS_A_MONTH = 365.25 / 12;
const DAY_MS = 86_400_000;

export function defineDu(program: Command): void {
  program
    .command('du')
    .description('what takes room in this project, what could be freed, and how many more sequences fit')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn du
  firn du --json

What compressing would save is measured on a sample of the runs, and not assumed. Sizes are those of files (ls -l).`,
    )
    .action((flags: { json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { measure } = await import('../du/du.js');
        const report = await measure({ ...globalOptions(command), signal });
        if (flags.json) printJson(reportJson(report));
        else show(report);
        return undefined;
      }),
    );
}

function reportJson({ runs, projection, rate, ...report }: DuReport): object {
  const { each: _each, ...sizes } = runs;
  const { nowMs: _now, dated, compressing, garbage, ...rest } = report;
  return {
    runs: sizes,
    ...rest,
    compressing: compressing ?? null,
    garbage: garbage ?? null,
    rate:
      rate === undefined
        ? { tooFewRuns: true, dated }
        : {
            runs: rate.runs,
            runsPerMonth: rate.runsPerDay * DAYS_A_MONTH,
            sequencesPerRun: rate.rowsPerRun,
            sequencesPerMonth: rate.rowsPerDay * DAYS_A_MONTH,
            first: new Date(rate.firstMs).toISOString(),
            last: new Date(rate.lastMs).toISOString(),
          },
    projection:
      projection === undefined
        ? null
        : {
            sequences: projection.sequences,
            bytesPerSequence: projection.disk.perSequence,
            disk: projection.disk.holds,
            full: projection.fullMs === undefined ? null : dateOf(projection.fullMs),
          },
  };
}

function show(report: DuReport): void {
  print(
    table(
      [{ title: 'what' }, { title: 'size', align: 'right' }, { title: '' }],
      rowsOf(report).map(([what, bytes, text]) => [what, formatBytes(bytes), text]),
    ),
  );
  print('');
  for (const line of [...savings(report), '', ...future(report)]) print(line);
}

function rowsOf({ runs, references, releases, cache, archives }: DuReport): [string, number, string][] {
  const rows: [string, number, string][] = [
    [
      'runs',
      runs.npy + runs.npz + runs.other,
      `${plural(runs.count, 'run')}: ${formatCount(runs.npyOnly)} npy, ${formatCount(runs.npzOnly)} npz, ${formatCount(runs.both)} both`,
    ],
    ['  .npy', runs.npy, ''],
    ['  .npz', runs.npz, ''],
    ['  other files', runs.other, ''],
  ];
  for (const reference of references) {
    const { target, rows: count } = reference;
    if (count === undefined && reference.embeddings === 0) {
      rows.push([`reference ${target}`, 0, 'never built']);
      continue;
    }
    const sequences = count === undefined ? '' : plural(count, 'sequence');
    rows.push([`reference ${target}`, reference.embeddings + reference.metadata, sequences]);
    rows.push(['  index', reference.index, '']);
    if (reference.other > 0) rows.push(['  other files', reference.other, '']);
  }
  if (releases.length > 0) {
    const names = releases.map(({ path }) => basename(path));
    rows.push(['releases', releases.reduce((sum, { bytes }) => sum + bytes, 0), names.join(', ')]);
  }
  rows.push([
    'cache',
    cache.objects + cache.records,
    `stored outputs take ${formatBytes(cache.objects)}, at most ${formatBytes(cache.limit)}`,
  ]);
  for (const { directory, runs: count, bytes, reachable } of archives) {
    const lost = reachable === count ? '' : `, ${formatCount(count - reachable)} of them not reachable now`;
    rows.push([`archive ${directory}`, bytes, `${plural(count, 'run')}${lost} (not counted as used here)`]);
  }
  return rows;
}

function savings({ compressing, originals, cache, garbage }: DuReport): string[] {
  const lines = ['what could be freed:'];
  if (originals.runs > 0) {
    lines.push(
      `  ${formatBytes(originals.bytes)}: originals of ${plural(originals.runs, 'run')} that have a lossless copy (firn compress --delete-original)`,
    );
  }
  if (compressing !== undefined) lines.push(...compressingLines(compressing));
  if (garbage !== undefined && garbage > 0)
    lines.push(`  ${formatBytes(garbage)}: what nothing needs any more in cache/ (firn cache gc)`);
  if (cache.objects > 0) {
    lines.push(
      `  ${formatBytes(cache.objects)}: all stored outputs in cache/, which only spare time when you go back`,
    );
  }
  if (lines.length === 1) lines.push('  nothing that firn knows of');
  return lines;
}

function compressingLines(estimate: CompressionEstimate): string[] {
  const { runs, bytes, sampledBytes, sampledRuns, lossless, float16, tooLarge, unreadable } = estimate;
  const percent = (saved: number) => `${bytes === 0 ? '0.0' : ((saved / bytes) * 100).toFixed(1)}%`;
  const lines =
    sampledBytes === 0
      ? []
      : [
          `  about ${formatBytes(lossless)} (${percent(lossless)}): compressing ${plural(runs, 'run')} that ${runs === 1 ? 'is' : 'are'} .npy only, without loss`,
          `  about ${formatBytes(float16)} (${percent(float16)}): the same as float16, which rounds`,
          `    measured on ${formatBytes(sampledBytes)} of ${formatBytes(bytes)}, in ${plural(sampledRuns, 'run')}`,
        ];
  if (tooLarge > 0) lines.push(`    float16 cannot hold values of ${plural(tooLarge, 'run')} in the sample`);
  if (unreadable > 0) lines.push(`    ${plural(unreadable, 'run')} in the sample cannot be read`);
  return lines;
}

function future({ disks, rate, dated, projection, nowMs }: DuReport): string[] {
  const lines = disks.map(
    ({ free, total, holds }) =>
      `free: ${formatBytes(free)} of ${formatBytes(total)} on the disk of ${holds.map((folder) => safe(folder)).join(', ')}`,
  );
  if (projection === undefined) {
    lines.push('no run and no reference to tell from how much a sequence takes');
    return lines;
  }
  const { sequences, disk, fullMs } = projection;
  lines.push(
    `about ${formatCount(roughly(sequences))} more sequences fit, each ${formatBytes(disk.perSequence)} in run, reference and index, with room to write a reference anew`,
  );
  if (rate === undefined || fullMs === undefined) {
    lines.push(
      `when it is full cannot be said: too few runs (${formatCount(dated)} with a date; 5 over a week are needed)`,
    );
    return lines;
  }
  const months = (fullMs - nowMs) / DAY_MS / DAYS_A_MONTH;
  lines.push(
    `as fast as the last ${plural(rate.runs, 'run')} came (${(rate.runsPerDay * DAYS_A_MONTH).toFixed(1)} runs and ${formatCount(roughly(rate.rowsPerDay * DAYS_A_MONTH))} sequences a month, the last ${formatAge(nowMs - rate.lastMs)} ago), the disk is full in ${monthsText(months)}`,
  );
  return lines;
}

/** To three figures: more would claim to be known. */
function roughly(count: number): number {
  return Number(count.toPrecision(3));
}

function monthsText(months: number): string {
  if (months > 1200) return 'more than a hundred years';
  if (months >= 24) return `about ${formatCount(Math.round(months / 12))} years`;
  return `about ${months < 10 ? months.toFixed(1) : Math.round(months)} months`;
}

/** Undefined beyond what a calendar can hold. */
function dateOf(ms: number): string | null {
  return Math.abs(ms) > 8.64e15 ? null : new Date(ms).toISOString().slice(0, 10);
}
