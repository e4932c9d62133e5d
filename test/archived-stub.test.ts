/** The stub of an archived run: what was written is read, and nothing else is believed. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { formatStub, isInnerPath, parseStub, type Stub } from '../src/runs/archived.js';

const test = suite('stub of an archived run');

const PATH = '/runs/A/r1/archived.json';
const part = fc
  .string({ unit: 'binary', minLength: 1, maxLength: 12 })
  .filter((text) => !/[/\0]/.test(text) && text !== '.' && text !== '..' && text !== 'archived.json');
const hex = fc.stringMatching(/^[0-9a-f]{64}$/);
const time = fc.bigInt({ min: -(10n ** 18n), max: 10n ** 19n }).map(String);

const stubs: fc.Arbitrary<Stub> = fc
  .record({
    archived: fc.string(),
    digest: hex.map((text) => `sha256:${text}`),
    rows: fc.nat(),
    dims: fc.integer({ min: 1 }),
    dtype: fc.constantFrom('f2' as const, 'f4' as const, 'f8' as const),
    version: fc.option(fc.string()),
    names: fc.uniqueArray(part, { maxLength: 5 }),
    folder: fc.option(part),
    facts: fc.record({
      bytes: fc.nat(),
      sha256: hex,
      mtimeNs: time,
      mode: fc.stringMatching(/^[0-7]{1,4}$/),
    }),
  })
  .map(({ names, folder, facts, ...stub }) => {
    const top = names.filter((name) => name !== folder);
    const paths = folder === null ? top : [...top, ...names.map((name) => `${folder}/${name}`)];
    return {
      ...stub,
      run: 'A/r1',
      files: paths.map((path) => ({ path, ...facts })),
      folders: folder === null ? [] : [{ path: folder, mtimeNs: facts.mtimeNs }],
    };
  });

test('what was written is read', () => {
  fc.assert(fc.property(stubs, (stub) => assert.equal(parseStub(formatStub(stub), PATH), stub)));
});

test('any cut and any changed character is seen, but for where the archive is', () => {
  fc.assert(
    fc.property(stubs, fc.nat(), fc.nat(), (stub, at, to) => {
      const text = formatStub(stub);
      expectRefused(text.slice(0, at % (text.length - 1)));
      const position = at % text.length;
      const changed =
        text.slice(0, position) + String.fromCharCode(33 + (to % 90)) + text.slice(position + 1);
      let parsed: Stub;
      try {
        parsed = parseStub(changed, PATH);
      } catch (error) {
        assert.ok(error instanceof FirnError && error.kind === 'input' && error.path === PATH);
        return;
      }
      // White space, another spelling of the same, or another place of the archive.
      assert.equal({ ...parsed, archived: '' }, { ...stub, archived: '' });
    }),
  );
});

function expectRefused(text: string): void {
  try {
    parseStub(text, PATH);
  } catch (error) {
    assert.ok(error instanceof FirnError && error.kind === 'input' && error.path === PATH, String(error));
    return;
  }
  assert.unreachable(`${text} was believed`);
}

test('paths that lead out of the run, twice the same, or through a folder that is not named, are refused', () => {
  const file = { bytes: 1, sha256: 'a'.repeat(64), mtimeNs: '1', mode: '644' };
  const stub: Stub = {
    archived: '/archive/A/r1',
    run: 'A/r1',
    digest: 'sha256:x',
    rows: 1,
    dims: 1,
    dtype: 'f4',
    version: null,
    files: [{ path: 'embeddings.npy', ...file }],
    folders: [],
  };
  assert.equal(parseStub(formatStub(stub), PATH), stub);
  const paths = [
    '../x',
    '/etc/passwd',
    'a/../../x',
    'a//b',
    '',
    '.',
    '..',
    'a/',
    'archived.json',
    'x\0y',
    'link/file',
  ];
  for (const path of paths) expectRefused(formatStub({ ...stub, files: [{ path, ...file }] }));
  for (const path of ['..', 'a/b', 'a/..'])
    expectRefused(formatStub({ ...stub, folders: [{ path, mtimeNs: '1' }] }));
  expectRefused(formatStub({ ...stub, files: [...stub.files, ...stub.files] }));
  for (const run of ['../A', 'A', 'A/r1/x', '.A/r1', 'A/..']) expectRefused(formatStub({ ...stub, run }));
  for (const wrong of [
    { rows: 1.5 },
    { rows: -1 },
    { dims: 0 },
    { dtype: 'i4' },
    { files: 'x' },
    { files: [null] },
    { digest: 7 },
  ])
    expectRefused(formatStub({ ...stub, ...wrong } as unknown as Stub));
  for (const text of ['', 'null', '[]', '{}', '{"firn":1}', '{"firn":2}', '7']) expectRefused(text);
});

test('an inner path stays inside', () => {
  fc.assert(
    fc.property(fc.array(fc.constantFrom('a', '..', '.', '', 'b c'), { minLength: 1 }), (parts) => {
      const plain = parts.every((one) => one === 'a' || one === 'b c');
      assert.is(isInnerPath(parts.join('/')), plain);
    }),
  );
});

test.run();
