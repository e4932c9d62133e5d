/** Whatever stands in pipeline.yaml, reading and expanding it gives steps or a FirnError with a place, and ends. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import { expandPipeline } from '../src/pipeline/expand.js';
import { loadPipeline } from '../src/pipeline/load.js';
import { findFiles, matchPattern } from '../src/pipeline/pattern.js';
import { builtInRule, builtInRuleNames } from '../src/pipeline/rules.js';
import { TestProject } from './rig/project.js';
import { holds } from './rig/property.js';

const test = suite('pipeline fuzz');

const project = new TestProject();
await project.writeRun('A/one');
await project.writeRun('B/two');
project.write('sequences/A/one.fasta', '>a\nACGT\n');

/** Steps, or a FirnError that has a line; anything else is thrown on. */
async function load(text: string): Promise<'steps' | 'error'> {
  try {
    const pipeline = await loadPipeline('pipeline.yaml', text, builtInRule, builtInRuleNames());
    expandPipeline(pipeline, { port: disk, root: project.root, nowMs: Date.now(), wasWritten: () => false });
    return 'steps';
  } catch (error) {
    if (!(error instanceof FirnError) || error.kind !== 'usage' || error.path !== 'pipeline.yaml')
      throw error;
    const lines = text.split(/\r?\n/);
    assert.ok(
      error.line !== undefined && error.line >= 1 && error.line <= lines.length,
      `line ${error.line} of ${lines.length}`,
    );
    assert.ok(error.column !== undefined && error.column >= 1, `column ${error.column}`);
    return 'error';
  }
}

const scrap = fc.constantFrom(
  ...[
    'targets',
    'rule',
    'from',
    'runs',
    'out',
    'run',
    'with',
    'version',
    'all',
    'a',
    'b',
    'command',
    'consolidate',
    'index',
  ],
  ...[
    'compress',
    'embed',
    ': ',
    ':',
    '- ',
    '? ',
    '\n',
    '\n  ',
    '\n    ',
    '\n\t',
    '\r\n',
    '[',
    ']',
    '{',
    '}',
    ', ',
    '"',
    "'",
  ],
  ...[
    '&x ',
    '*x',
    '<<: ',
    '!!str ',
    '!t ',
    '| ',
    '> ',
    '#',
    '---',
    '...',
    '%YAML 1.1',
    '@',
    '`',
    '\\',
    '\\x',
    '\0',
    '\ufeff',
  ],
  ...[
    '__proto__',
    'constructor',
    '1.10',
    '0x1F',
    '.inf',
    '~',
    'null',
    'yes',
    'true',
    '../x',
    '/etc',
    '{in}',
    '{x}',
    '**/',
    '*',
    '\ud800',
    '💧',
  ],
);

test('scraps of YAML', async () => {
  await holds(
    2000,
    fc.asyncProperty(
      fc.array(fc.oneof({ weight: 9, arbitrary: scrap }, fc.string()), { maxLength: 60 }),
      async (scraps) => {
        await load(scraps.join(''));
      },
    ),
  );
});

const word = fc.constantFrom(
  'a',
  'b',
  'data/x',
  'sequences/*/*.fasta',
  '{s}/{t}',
  'all',
  '',
  '..',
  '/x',
  '[z-a]',
  '**',
  'a//b',
  '30d',
  '5',
  'v1',
);
const wrong: fc.Arbitrary<unknown> = fc.oneof(
  word,
  fc.constantFrom(null, true, 1.5, -1, 0),
  fc.array(word, { maxLength: 3 }),
  fc.dictionary(word, word, { maxKeys: 2 }),
);
const mostly = (right: fc.Arbitrary<unknown>) =>
  fc.oneof({ weight: 30, arbitrary: right }, { weight: 1, arbitrary: wrong });
const runs = mostly(
  fc.oneof(
    fc.constant('all'),
    fc.record({ dataset: fc.constantFrom('A', '*'), 'older-than': fc.constant('0d') }, { requiredKeys: [] }),
  ),
);
const out = mostly(
  fc.constantFrom(
    'o/a',
    'o/b',
    'o',
    '{n}.txt',
    'o/{d}/{n}.txt',
    'consolidated_data/runs/{d}/new/embeddings.npy',
  ),
);
const from = mostly(
  fc.constantFrom('a', ['b'], 'sequences/*/*.fasta', 'sequences/{d}/{n}.fasta', [
    'consolidated_data/runs/**',
  ]),
);
const words = mostly(
  fc.array(fc.constantFrom('cp', '{in}', '{out}', '{n}', '{{', '{in[0]}', '}'), {
    minLength: 1,
    maxLength: 4,
  }),
);
const target = fc.oneof(
  fc.record({ rule: mostly(fc.constant('consolidate')), runs, out }),
  fc.record({ rule: mostly(fc.constant('command')), from, out, run: words }),
  fc.record({
    rule: mostly(fc.constant('compress')),
    runs,
    with: mostly(
      fc.record({ precision: fc.constantFrom('float16', 'lossless'), 'delete-original': fc.boolean() }),
    ),
  }),
  fc.record({
    rule: mostly(fc.constant('embed')),
    from,
    with: mostly(fc.record({ k: fc.integer({ min: 1, max: 7 }) })),
  }),
  fc.record({ rule: mostly(fc.constant('index')), from }),
);

test('nearly right pipelines', async () => {
  const seen = { steps: 0, error: 0 };
  await holds(
    3000,
    fc.asyncProperty(
      fc.dictionary(fc.constantFrom('a', 'b', 'c', 'd e'), target, { maxKeys: 3, noNullPrototype: true }),
      async (targets) => {
        seen[await load(JSON.stringify({ targets }))] += 1;
      },
    ),
  );
  assert.ok(seen.steps > 300 && seen.error > 300, JSON.stringify(seen));
});

test('a right pipeline that is cut or altered anywhere', async () => {
  const whole = `runs: consolidated_data/runs
targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {embedder: kmer, version: "1.10"}}
  reference:
    rule: consolidate
    runs: {dataset: [A, "B*"], older-than: 0d}
    out: data/reference
  index:
    rule: index
    from: [reference]   # one beside it
  page:
    rule: command
    from: [reference, "sequences/{set}/*.fasta"]
    run: [cp, "{in}", '{out}']
    out: page.html
`;
  assert.is(await load(whole), 'steps');
  for (let end = 0; end < whole.length; end++) await load(whole.slice(0, end));
  for (let at = 0; at < whole.length; at++) {
    for (const char of ['"', '{', '\t', ':', '*', '\n', '-'])
      await load(`${whole.slice(0, at)}${char}${whole.slice(at + 1)}`);
  }
});

/** What the pattern means, letter by letter. */
function means(pattern: string, path: string): boolean {
  if (pattern === '') return path === '';
  if (pattern.startsWith('**/')) {
    return (
      means(pattern.slice(3), path) ||
      (path.includes('/') && path[0] !== '/' && means(pattern, path.slice(path.indexOf('/') + 1)))
    );
  }
  if (pattern[0] === '*')
    return means(pattern.slice(1), path) || (path !== '' && path[0] !== '/' && means(pattern, path.slice(1)));
  if (pattern[0] === '?') return path !== '' && path[0] !== '/' && means(pattern.slice(1), path.slice(1));
  return pattern[0] === path[0] && means(pattern.slice(1), path.slice(1));
}

test('patterns mean what their letters say', async () => {
  const piece = fc.constantFrom('a', 'b', '*', '?', 'ab', 'a*', '*b', '.', '+', '(', '$');
  const name = fc.constantFrom('a', 'b', 'ab', 'ba', 'aab', '.', '+', '(', '$');
  const pattern = fc
    .tuple(fc.constantFrom('', '**/'), fc.array(piece, { minLength: 1, maxLength: 4 }))
    .map(([start, parts]) => start + parts.join('/'));
  await holds(
    5000,
    fc.property(pattern, fc.array(name, { minLength: 1, maxLength: 4 }), (glob, parts) => {
      const path = parts.join('/');
      assert.is(matchPattern(glob, path) !== undefined, means(glob, path), `${glob} on ${path}`);
    }),
  );
});

test('the walk finds what matches, once', () => {
  const place = new TestProject();
  for (const path of ['s/a/x.fa', 's/a/y.txt', 's/a/b/c/z.fa', 's/top.fa', 's/.hidden/x.fa', 's/a/.x.fa'])
    place.write(path, '');
  const found = (pattern: string) => findFiles(disk, place.root, pattern).map(({ path }) => path);
  assert.equal(found('s/**'), ['s/a/b/c/z.fa', 's/a/x.fa', 's/a/y.txt', 's/top.fa']);
  assert.equal(found('**/*.fa'), ['s/a/b/c/z.fa', 's/a/x.fa', 's/top.fa']);
  assert.equal(found('s/**/**/**/z.fa'), ['s/a/b/c/z.fa']);
  assert.equal(found('s/*/*.fa'), ['s/a/x.fa']);
  assert.equal(found('s/*/.*.fa'), ['s/a/.x.fa']);
  assert.equal(found('s/[!b]/[x-z].??'), ['s/a/x.fa']);
  assert.equal(findFiles(disk, place.root, 's/{d}/{n}.fa'), [
    { path: 's/a/x.fa', wildcards: { d: 'a', n: 'x' } },
  ]);
});

test.run();
