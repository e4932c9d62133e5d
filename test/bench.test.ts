/** The measuring harness: it asks, writes results and a page, and replaces only what was asked. Never how fast. */
import { spawnSync } from 'node:child_process';
import { existsSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { renderPage } from '../bench/render.js';
import { merge, type Result } from '../bench/results.js';
import { spreadOf } from '../bench/spread.js';
import { temporaryFolder } from './rig/folder.js';

const s = suite('bench');
const BENCH = fileURLToPath(new URL('../bench/run.js', import.meta.url));
/** No such Python: the peers that need it are missing on every machine. */
const NO_PYTHON = '/nowhere/python3';

function bench(...args: string[]): { status: number | null; stdout: string; stderr: string } {
  return spawnSync(process.execPath, [BENCH, ...args], { encoding: 'utf8', timeout: 120_000 });
}

/** Cells of the table rows in which one of the cells is this text. */
function rowsWith(page: string, cell: string): string[][] {
  const rows = page.split('\n').filter((line) => line.startsWith('|'));
  return rows
    .map((line) =>
      line
        .slice(1, -1)
        .split(/(?<!\\)\|/)
        .map((text) => text.trim()),
    )
    .filter((cells) => cells.includes(cell));
}

function result(id: string, more: Partial<Result> = {}): Result {
  const seconds = { median: 2, min: 1, max: 3 };
  const base = { group: '', runs: 3, memory: { median: 100, min: 90, max: 110 }, figures: {} };
  return {
    id,
    title: `Title ${id}`,
    goal: `goal ${id}`,
    method: `Method ${id}.`,
    day: '2024-05-01',
    load: '0.00, 0.00, 0.00',
    repeats: 3,
    quick: false,
    missing: [],
    environment: { CPU: 'a processor' },
    answer: {
      rows: [
        { ...base, who: 'firn', seconds },
        { ...base, who: 'other', seconds: { median: 9, min: 8, max: 10 }, figures: { size: '7 MB' } },
      ],
      verdicts: [{ goal: 'time: at most 25 %', measured: '22 %', reached: true }],
      notes: ['A note.'],
    },
    ...more,
  };
}

s('two questions in small sizes give a page and results; nothing else stays', () => {
  const folder = temporaryFolder();
  const out = join(folder, 'out');
  const where = ['--directory', folder, '--out', out, '--python', NO_PYTHON];
  const first = bench('g', 'h', '--quick', '--repeats', '1', ...where);
  assert.is(first.status, 0, first.stderr);
  assert.match(first.stderr, 'MISSING: numpy');
  assert.equal(readdirSync(folder), ['out']);
  const page = readFileSync(join(out, 'benchmarks.md'), 'utf8');
  assert.match(page, '## g) Compressing a run');
  assert.match(page, '## h) Digests of 1 GB');
  assert.match(page, '**No measurement.** (g), (h)');
  assert.match(page, '**Left out** in (g)');
  assert.ok(rowsWith(page, 'firn').length >= 3, page);
  assert.is(rowsWith(page, 'savez_compressed').length, 0);
  assert.ok(rowsWith(page, 'not measured').length > 0);

  const before = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as { results: Result[] };
  const again = bench('h', '--quick', '--repeats', '2', ...where);
  assert.is(again.status, 0, again.stderr);
  const after = JSON.parse(readFileSync(join(out, 'results.json'), 'utf8')) as { results: Result[] };
  assert.equal(
    after.results.map(({ id, repeats }) => [id, repeats]),
    [
      ['g', 1],
      ['h', 2],
    ],
  );
  assert.equal(after.results[0], before.results[0]);
});

s('data stays where it is to be kept', () => {
  const keep = temporaryFolder();
  const { status, stdout } = bench('h', '--quick', '--repeats', '1', '--python', NO_PYTHON, '--keep', keep);
  assert.is(status, 0);
  assert.match(stdout, '# Benchmarks');
  assert.equal(readdirSync(keep), ['data-2500x32']);
  const array = join(keep, 'data-2500x32/bench/run-00000/embeddings.npy');
  assert.ok(existsSync(array));
});

s('wrong requests and results of another format are refused', () => {
  const unknown = bench('z');
  assert.is(unknown.status, 2);
  assert.match(unknown.stderr, 'there is no question "z"');
  assert.match(unknown.stderr, 'usage:');
  assert.is(bench('--repeats', '0').status, 2);
  assert.is(bench('--faster').status, 2);
  const out = temporaryFolder();
  writeFileSync(join(out, 'results.json'), '{"format": 0, "results": []}');
  const other = bench('g', '--quick', '--out', out);
  assert.is(other.status, 2);
  assert.match(other.stderr, 'another format');
});

s('a page: goals, ratios within a group, machines', () => {
  const page = renderPage([
    result('a'),
    result('b', { missing: ['faiss'], environment: { CPU: 'another processor' } }),
  ]);
  const [row] = rowsWith(page, 'other');
  assert.equal(row, ['other', '9.00 s', '8.00 s to 10.0 s', '3', '100 MiB', '4.50', '7 MB']);
  assert.equal(rowsWith(page, 'a) Title a')[0], ['a) Title a', 'time: at most 25 %', '22 %', 'yes']);
  assert.match(page, '**Left out** in (b), since it is missing on this machine: faiss.');
  assert.match(page, '(a):\n\n|  |  |\n| --- | --- |\n| CPU | a processor |');
  assert.match(page, 'another processor');
  assert.not.match(page, 'No measurement');
});

s('new results replace those of the same question; medians of even counts', () => {
  const merged = merge([result('a'), result('c'), result('b')], [result('b', { repeats: 7 })]);
  assert.equal(
    merged.map(({ id, repeats }) => [id, repeats]),
    [
      ['a', 3],
      ['b', 7],
      ['c', 3],
    ],
  );
  assert.equal(spreadOf([4, 1, 3, 2]), { median: 2.5, min: 1, max: 4 });
});

s.run();
