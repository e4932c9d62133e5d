/**
 * JSON, YAML and patterns that somebody made to stop the program: metadata of references in any shape, names that were
 * lost, brackets without end, patterns that take for ever. A FirnError with a path, or what is really there; in no time.
 */
import { createHash } from 'node:crypto';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { matchPattern } from '../src/pipeline/pattern.js';
import { YamlSource } from '../src/pipeline/source.js';
import { readMetadata } from '../src/reference/metadata.js';
import { readRowSources } from '../src/reference/row-sources.js';
import { compileGlob } from '../src/runs/glob.js';
import { parseOrdered } from '../src/runs/ordered-json.js';
import { readRunFacts } from '../src/runs/run-facts.js';
import { isRunName } from '../src/runs/run-name.js';
import { loadRegistry } from '../src/runs/versions.js';
import { memoryPort } from './rig/memory-port.js';
import { damaged, holds } from './rig/property.js';

const s = suite('hostile metadata');

/** What reading ends in; anything but a value or a FirnError that names the file is thrown. */
async function outcome<T>(read: () => T | Promise<T>): Promise<T | FirnError> {
  try {
    return await read();
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    assert.equal([error.kind, error.path], ['input', 'small'], error.message);
    return error;
  }
}

const metadataOf = (text: string | Uint8Array) =>
  outcome(() => readMetadata(memoryPort(Buffer.from(text)), 'small'));
const rowsOf = (text: string | Uint8Array) =>
  outcome(() => readRowSources(memoryPort(Buffer.from(text)), 'small'));

const range = (more: object = {}) => ({
  dataset: 'A',
  run_id: 'r',
  start: 0,
  count: 2,
  digest: 'sha256:00',
  dtype: 'f4',
  version: null,
  retained: false,
  ...more,
});

/** Metadata with a right check, whatever it says; laid out as firn does it or by another program. */
function metadata(runs: unknown, said: object = {}, dims: unknown = 4, indent = 2): string {
  const firn: object = { format: 1, dtype: '<f4', embeddings: 'sha256:11', layout: 'sha256:22', ...said };
  const check = `sha256:${createHash('sha256')
    .update(JSON.stringify([dims, firn, runs]))
    .digest('hex')}`;
  return JSON.stringify(
    { total_sequences: 2, embedding_dim: dims, firn: { ...firn, check }, runs, sequences: [] },
    null,
    indent,
  );
}

s('a check that anybody can make does not make a range right', async () => {
  const good = await metadataOf(metadata([range(), range({ dataset: 'B', start: 2, count: 1 })]));
  assert.is((good as { ranges: unknown[] }).ranges.length, 2);
  const wrong: [string, string][] = [
    ...[null, 7, 'x', [], [[]]].map((one): [string, string] => [
      `range ${JSON.stringify(one)}`,
      metadata([one]),
    ]),
    ...Object.entries({
      dataset: ['../..', '', '.x', 'a/b', 7, null, 'a\0', '\ud800'],
      run_id: ['..', '/', undefined],
      start: [0.5, -1, '0', null],
      count: [-2, 0.5, 2 ** 53, '2', null, 1e308],
      digest: [null, 7],
      dtype: ['O', 'f16', '__proto__', 'toString', null],
      version: [7, undefined, {}],
      retained: ['true', 0, null],
    }).flatMap(([field, values]) =>
      values.map((value): [string, string] => [
        `${field} ${JSON.stringify(value)}`,
        metadata([range({ [field]: value })]),
      ]),
    ),
    [
      'sum of counts',
      metadata([range({ count: 2 ** 53 - 1 }), range({ dataset: 'B', start: 2 ** 53 - 1, count: 2 })]),
    ],
    ['dims', metadata([range()], {}, -1)],
    ['dims as text', metadata([range()], {}, '4')],
    ['dtype', metadata([range()], { dtype: 7 })],
    ['embeddings', metadata([range()], { embeddings: null })],
    ['trained rows', metadata([range()], { trained_rows: 'all' })],
    ...[null, 'v1', { name: 'n', tag: 7, date: 'd' }, {}].map((release): [string, string] => [
      `release ${JSON.stringify(release)}`,
      metadata([range()], { release }),
    ]),
    ['another check', metadata([range()]).replace('"count": 2', '"count": 3')],
  ];
  for (const [what, text] of wrong) {
    const found = await metadataOf(text);
    assert.match(
      found instanceof FirnError ? found.message : 'was read',
      'was altered since firn wrote it',
      what,
    );
  }
  for (const firn of [null, 7, 'x', [], [1]]) {
    // Nothing of firn's, so another program's.
    assert.is(
      await metadataOf(
        `{\n  "layout": 1, "firn": ${JSON.stringify(firn)}, "runs": [],\n  "sequences": [\n]}`,
      ),
      undefined,
    );
  }
  const newer = await metadataOf(metadata([null], { format: 2 }));
  assert.match((newer as FirnError).message, 'written by a newer firn (format 2)');
});

s('any JSON, damaged anywhere', async () => {
  const texts = [metadata([range(), range({ dataset: 'é', start: 2 })]), metadata([range()], {}, 4, 4)].map(
    Buffer.from,
  );
  const json = fc
    .json({ maxDepth: 4 })
    .map((text) => `{\n  "firn": ${text}, "layout": 0, "runs": [${text}],\n  "sequences": [\n${text}]}`);
  const bytes = fc.oneof(
    fc.constantFrom(...texts).chain(damaged),
    json.map(Buffer.from),
    fc.constantFrom(...texts).map((text) => text.subarray(0, -1)),
  );
  await holds(
    6000,
    fc.asyncProperty(bytes, async (content) => {
      const found = await metadataOf(content);
      // What is read passed the check: it is what was written.
      if (found !== undefined && !(found instanceof FirnError))
        assert.ok(found.ranges.every(({ dtype }) => dtype === 'f4'));
      const rows = await rowsOf(content);
      if (!(rows instanceof FirnError))
        for (const row of rows) assert.ok(row.count >= 1 && Number.isSafeInteger(row.start));
    }),
  );
});

s('keys that mean something to JavaScript', async () => {
  const row = '"dataset": "A", "run_id": "r", "seq_idx": 0';
  const hostile = `{"__proto__": {"polluted": 1}, "constructor": {"prototype": {"polluted": 1}}, "sequences": [{"__proto__": {"polluted": 1}, ${row}}]}`;
  assert.is(((await rowsOf(hostile)) as unknown[]).length, 1);
  await metadataOf(
    hostile.replace(
      '{',
      '{"layout": 1, "firn": {"__proto__": {"polluted": 1}}, "runs": [{"__proto__": {}}], ',
    ),
  );
  readRunFacts(memoryPort(Buffer.from('{"__proto__": {"polluted": 1}, "version": "v"}')), 'small');
  loadRegistry(
    memoryPort(
      Buffer.from(
        '{"versions": {"__proto__": {"model": "m"}}, "runs": {"__proto__": {"version": "__proto__"}}}',
      ),
    ),
    'small',
  );
  assert.is(({} as { polluted?: number }).polluted, undefined);
});

s('brackets, numbers, texts and escapes without end', async () => {
  const row = '{"dataset": "A", "run_id": "r", "seq_idx": 0';
  const texts = [
    `{"sequences": ${'['.repeat(2_000_000)}`,
    `{"sequences": [${row}, "more": ${'{"a":'.repeat(1_000_000)}`,
    `{"layout": ${'['.repeat(2_000_000)}`,
    `{"sequences": [${row}, "more": ${'9'.repeat(3_000_000)}`,
  ];
  const before = process.memoryUsage().heapUsed;
  for (const text of texts) {
    assert.instance(await rowsOf(text), FirnError);
    assert.is(await metadataOf(text), undefined);
  }
  assert.ok(process.memoryUsage().heapUsed - before < 200_000_000);
  // JSON that cannot be written again is not firn's.
  const deep = `{\n  "firn": {"format": 1, "dtype": "<f4", "embeddings": "", "check": "", "x": ${'['.repeat(200_000)}${']'.repeat(200_000)}}, "embedding_dim": 4, "runs": [],\n  "sequences": [\n]}`;
  assert.match(((await metadataOf(deep)) as FirnError).message, 'was altered');
  const registry = (model: string) =>
    outcome(() =>
      loadRegistry(memoryPort(Buffer.from(`{"versions": {"a": {"model": ${model}}}, "runs": {}}`)), 'small'),
    );
  assert.instance(await registry('['.repeat(100_000)), FirnError);
  for (const content of ['\\n'.repeat(8_000_000), '\\u00e9'.repeat(2_000_000), 'x'.repeat(20_000_000)]) {
    assert.not.instance(await registry(`"${content}"`), FirnError);
    assert.instance(await registry(`"${content}`), FirnError);
  }
});

s('names that were lost are not taken for one', async () => {
  const row = (name: Buffer | string) =>
    Buffer.concat([
      Buffer.from('[{"dataset": "'),
      Buffer.from(name as string),
      Buffer.from('", "run_id": "r", "seq_idx": 0}]'),
    ]);
  // Latin-1, and a name that was lost before it was written.
  for (const bytes of [row(Buffer.from('caf\xe9', 'latin1')), row('caf\ufffd'), row('caf\\ufffd')]) {
    const found = await rowsOf(bytes);
    assert.match((found as FirnError).message, /part of whose name was lost|is not valid JSON/);
  }
  const latin = Buffer.from('{"versions": {"caf\xe9": {"model": "m"}}, "runs": {}}', 'latin1');
  const registry = (await outcome(() => loadRegistry(memoryPort(latin), 'small'))) as FirnError;
  assert.equal([registry.line, registry.column], [1, 19]);
  assert.match(registry.message, 'it is not UTF-8 here');
  assert.is(readRunFacts(memoryPort(Buffer.from('{"version": "caf\xe9"}', 'latin1')), 'small'), undefined);
  assert.throws(
    () =>
      new YamlSource(
        'pipeline.yaml',
        Buffer.from('runs: x\ntargets:\n  a: {out: "caf\xe9"}\n', 'latin1').toString('utf8'),
      ),
    (error: FirnError) =>
      error.kind === 'usage' && error.line === 3 && error.column === 16 && /not UTF-8/.test(error.message),
  );
  for (const name of ['A/\ud800', '\udc00/r', 'A/..', '../r', 'A/r/x', 'A', '/r', 'A/', 'A/\0'])
    assert.not.ok(isRunName(name), name);
  for (const name of ['A/r', '-la/$(x)', 'n\nl/\u{1f9ec}', 'caf\u00e9/cafe\u0301'])
    assert.ok(isRunName(name), name);
});

s('no pattern and no name takes long', () => {
  const name = '_'.repeat(250);
  // As regular expressions these would take years.
  for (const pattern of [
    `${'*_'.repeat(20)}x`,
    '{a}_{b}_{c}_{d}_{e}_{f}_{g}_{h}.fasta',
    `${'*[_]'.repeat(30)}x`,
    `**/${'*_*'.repeat(20)}x/**`,
    '{a}{b}{c}{a}x',
  ])
    assert.is(matchPattern(pattern, name), undefined, pattern);
  assert.equal(matchPattern('{a}-{b}/{a}.fa', 'x-y/x.fa'), { a: 'x', b: 'y' });
  assert.is(matchPattern('{a}-{b}/{a}.fa', 'x-y/y.fa'), undefined);
  assert.is(matchPattern(`**/${'a/'.repeat(1500)}**`, `${'a/'.repeat(2000)}b`)?.length, undefined);
  assert.not.ok(compileGlob(`${'*_'.repeat(500)}x`)(name));
  for (const pattern of [
    '{a,b}'.repeat(400),
    `${'{a,b}'.repeat(9)}${'x'.repeat(16_000)}`,
    '{'.repeat(16_000),
    `${'{'.repeat(5000)}a,b${'}'.repeat(5000)}`,
    '{a,b}'.repeat(4000),
  ]) {
    try {
      compileGlob(pattern)('x');
    } catch (error) {
      assert.match((error as FirnError).message, /too many alternatives|a pattern has \d+ characters/);
      assert.ok((error as FirnError).message.length < 200);
    }
  }
  assert.ok(compileGlob('{')('{') && compileGlob('{a,{b,c}}')('c') && compileGlob('{{a,b}')('{a'));
});

s('texts are read as JSON.parse reads them, or refused', async () => {
  const text = fc.array(
    fc.constantFrom(
      '"',
      '\\',
      '\\"',
      '\\\\',
      '\\n',
      '\\u0041',
      '\\u00',
      'a',
      '\n',
      '\u{1f9ec}',
      '\\ud800',
      '\x7f',
    ),
    { maxLength: 8 },
  );
  await holds(
    6000,
    fc.property(text, (parts) => {
      const document = `"${parts.join('')}"`;
      let expected: unknown;
      try {
        expected = JSON.parse(document);
      } catch {
        assert.throws(() => parseOrdered(document, 'p'), /is not JSON/);
        return;
      }
      assert.is(parseOrdered(document, 'p'), expected);
    }),
  );
});

s.run();
