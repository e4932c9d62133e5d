/** Choosing runs: patterns, versions, age. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import type { FileStat } from '../src/files/port.js';
import { expectNames } from '../src/runs/choose.js';
import type { Run } from '../src/runs/discover.js';
import { compileGlob } from '../src/runs/glob.js';
import { parseDuration, selectRuns } from '../src/runs/select.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('selecting runs');

const DAY = 86_400_000;
const NOW = Date.UTC(2024, 11, 31);

function stat(ageDays: number): FileStat {
  const ns = BigInt(NOW - ageDays * DAY) * 1_000_000n;
  return { kind: 'file', size: 1, mtimeNs: ns, ctimeNs: ns, ino: 1n, mode: 0o644 };
}

function run(name: string, arrays: Pick<Run, 'npy' | 'npz'> = {}): Run {
  const [dataset, part] = name.split('/') as [string, string];
  return { name, dataset, run: part, directory: `runs/${name}`, ...arrays };
}

const runs = [
  run('Bay/2024-01', { npy: stat(40), npz: stat(1) }),
  run('Bay/2024-02', { npz: stat(30) }),
  run('Bay/2024-03', { npy: stat(2), npz: stat(90) }),
  run('Lake/2024-01', { npy: stat(-5) }),
  run('Lake/soon'),
];
const versions: Record<string, string> = { 'Bay/2024-01': 'v1', 'Bay/2024-02': 'v2', 'Lake/soon': 'v2' };
const context = { versionOf: (name: string) => versions[name], nowMs: NOW };

function chosen(filter: Parameters<typeof selectRuns>[1]): string[] {
  return selectRuns(runs, filter, context).map(({ name }) => name);
}

s('all, and every part of a filter', () => {
  assert.equal(
    chosen('all'),
    runs.map(({ name }) => name),
  );
  assert.equal(chosen({ dataset: 'B*' }), ['Bay/2024-01', 'Bay/2024-02', 'Bay/2024-03']);
  assert.equal(chosen({ dataset: 'Ba' }), []);
  assert.equal(chosen({ run: ['*-01', 's?on'] }), ['Bay/2024-01', 'Lake/2024-01', 'Lake/soon']);
  assert.equal(chosen({ run: 'Bay/*-0[12]' }), ['Bay/2024-01', 'Bay/2024-02']);
  assert.equal(chosen({ version: 'v2' }), ['Bay/2024-02', 'Lake/soon']);
  assert.equal(chosen({ version: 'v3' }), []);
  assert.equal(chosen({ dataset: '{Bay,Pond}', run: '*', version: 'v2', 'older-than': '1w' }), [
    'Bay/2024-02',
  ]);
  assert.equal(chosen({ dataset: [] }), []);
});

s('age is that of the .npy where there is one; what is not there or from the future is young', () => {
  assert.equal(chosen({ 'older-than': '30d' }), ['Bay/2024-01', 'Bay/2024-02']);
  assert.equal(chosen({ 'older-than': '721h' }), ['Bay/2024-01']);
  assert.equal(chosen({ 'older-than': '0d' }), ['Bay/2024-01', 'Bay/2024-02', 'Bay/2024-03']);
});

s('versions are asked for only when the filter names one', () => {
  const never = {
    nowMs: NOW,
    versionOf(): string {
      throw new Error('asked');
    },
  };
  assert.is(selectRuns(runs, { dataset: '*' }, never).length, 5);
  assert.throws(() => selectRuns(runs, { version: 'v1' }, never), 'asked');
});

s('durations', () => {
  assert.is(parseDuration('30d'), 30 * DAY);
  assert.is(parseDuration('12h'), DAY / 2);
  assert.is(parseDuration(' 2w '), 14 * DAY);
  assert.is(parseDuration('6mo'), 180 * DAY);
  assert.is(parseDuration('1.5 h'), 5_400_000);
  assert.is(parseDuration('90min'), DAY / 16);
  const refused: [string, RegExp][] = [
    ['30', /30d\?/],
    ['5m', /5min .* 5mo/],
    ['', /such as/],
    ['-1d', /such as/],
    ['1e3d', /such as/],
    ['d', /such as/],
    ['3constructor', /such as/],
    [`${'9'.repeat(400)}d`, /such as/],
  ];
  for (const [text, advice] of refused) {
    assert.throws(
      () => parseDuration(text),
      (error: FirnError) =>
        error instanceof FirnError && error.kind === 'usage' && advice.test(error.advice!),
      text,
    );
  }
});

s('patterns: braces, escapes, the slash', () => {
  const yes = [
    '{a,b{1,2}}c',
    '\\*',
    '[]x]',
    '[!a]',
    'a{b}',
    '{',
    '[',
    '\\{a,b\\}',
    '{,x}y',
    'a*/b?',
    '[a-c-]',
  ];
  const names = ['b2c', '*', ']', 'b', 'a{b}', '{', '[', '{a,b}', 'y', 'ax/bc', '-'];
  yes.forEach((pattern, i) => {
    assert.ok(compileGlob(pattern)(names[i]!), pattern);
  });
  const no: [string, string][] = [
    ['{a,b{1,2}}c', 'bc'],
    ['\\*', 'x'],
    ['*', 'a/b'],
    ['a?b', 'a/b'],
    ['a[!x]b', 'a/b'],
    ['[a-c]', 'B'],
    ['', 'a'],
    ['a', ''],
  ];
  for (const [pattern, name] of no) assert.not(compileGlob(pattern)(name), `${pattern} ${name}`);
  assert.ok(compileGlob('?')('\u{1f9ec}'), 'one character, though two units');
  assert.throws(() => compileGlob('{a,b}'.repeat(20)), /too many alternatives/);
});

s('a pattern made to be slow is not', () => {
  const matches = compileGlob(`${'*a'.repeat(60)}*b`);
  assert.not(matches('a'.repeat(20_000)));
});

oracleTest(s, ['fnmatch'], 'without braces and slashes it agrees with fnmatch', () => {
  const text = (letters: string) => fc.string({ unit: fc.constantFrom(...letters), maxLength: 8 });
  const cases = fc.sample(fc.tuple(text('ab-*?*[]!'), text('ab-]!')), { numRuns: 4000, seed: 7 });
  const script = `
import fnmatch, json, sys
print(json.dumps([fnmatch.fnmatchcase(n, p) for p, n in json.loads(sys.argv[1])]))`;
  const expected = JSON.parse(python(script, JSON.stringify(cases))) as boolean[];
  let hits = 0;
  cases.forEach(([pattern, name], i) => {
    assert.is(compileGlob(pattern)(name), expected[i], JSON.stringify([pattern, name]));
    hits += expected[i] ? 1 : 0;
  });
  assert.ok(hits > 100, `${hits} matches`);
});

s('a name that no run has: the nearest, those that begin so, the runs of a dataset, or some of all', () => {
  const advice = (pattern: string, among = runs): string | undefined => {
    try {
      expectNames([pattern], among, 'runs');
    } catch (error) {
      return (error as FirnError).advice;
    }
    return undefined;
  };
  assert.is(advice('Bay/2024-01'), undefined);
  const long = [
    run('Bay/2024-11-22_15-45-00'),
    run('Bay/2024-11-22_18-00-00'),
    run('Bay/2025-01-01_09-00-00'),
  ];
  assert.is(advice('Bay/2024-11-22_15-46-00', long), 'Did you mean "Bay/2024-11-22_15-45-00"?');
  assert.is(advice('Bay/2025', long), 'Did you mean "Bay/2025-01-01_09-00-00"?');
  assert.is(
    advice('Bay/2024', long),
    'Did you mean one of these? Bay/2024-11-22_15-45-00, Bay/2024-11-22_18-00-00.',
  );
  assert.is(advice('Bay', long), "For all runs of this dataset: 'Bay/*'.");
  const many = Array.from({ length: 30 }, (_, i) => run(`Bay/run-of-day-${i}`));
  const all = many
    .map(({ name }) => name)
    .slice(0, 10)
    .join(', ');
  assert.is(advice('Reef/2', many), `There is: ${all} and 20 more.`);
  assert.is(
    advice('Bay/run-of-dya-29', many),
    'Did you mean "Bay/run-of-day-29"?',
    'also one beyond the tenth',
  );
});

s.run();
