/** The tag files of bags, as text: what is written is read back, whatever names and values hold. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatInfo, formatOxum, parseDeclaration, parseInfo, parseOxum } from '../src/backup/bag-info.js';
import { decodePath, encodePath, whyUnsafe } from '../src/backup/bag-paths.js';
import { formatManifest, manifestName, parseFetch, parseManifest } from '../src/backup/manifest.js';
import { EXTRAS, formatNotes, type Notes, parseNotes } from '../src/backup/notes.js';

const test = suite('bag format');

/** Parts of names as a file system takes them, with all that could disturb a line of text. */
const part = fc
  .string({
    unit: fc.oneof(
      fc.constantFrom(
        '%',
        '\r',
        '\n',
        ' ',
        '\t',
        '*',
        '#',
        '\u2028',
        '\u0085',
        '%0A',
        '%25',
        'é',
        '\u0301',
        '😀',
        '.',
        '~',
      ),
      fc.string({ unit: 'grapheme', minLength: 1, maxLength: 1 }),
    ),
    minLength: 1,
    maxLength: 12,
  })
  .filter((name) => !/[/\\\0]/.test(name) && name !== '.' && name !== '..');
const payloadPath = fc
  .array(part, { minLength: 1, maxLength: 4 })
  .map((parts) => `data/${parts.join('/')}`)
  // What no program should be led to by percent-decoding is refused, see below.
  .filter((path) => whyUnsafe(encodePath(path), 1) === undefined);
const digest = fc.string({ unit: fc.constantFrom(...'0123456789abcdef'), minLength: 64, maxLength: 64 });

test('a manifest is read back as it was written', () => {
  fc.assert(
    fc.property(fc.uniqueArray(fc.tuple(payloadPath, digest), { selector: ([path]) => path }), (entries) => {
      const text = formatManifest(entries);
      const { entries: found, problems } = parseManifest(text, 1, 'sha256');
      assert.equal(problems, []);
      assert.equal([...found].sort(), [...entries].sort());
      assert.is(text.split('\n').length, entries.length + 1, 'a line an entry');
    }),
  );
});

test('the same with other line ends and digits', () => {
  fc.assert(
    fc.property(
      fc.uniqueArray(fc.tuple(payloadPath, digest), { selector: ([path]) => path, minLength: 1 }),
      fc.constantFrom('\r\n', '\r'),
      (entries, end) => {
        const text = formatManifest(entries.map(([path, value]) => [path, value.toUpperCase()])).replaceAll(
          '\n',
          end,
        );
        assert.equal([...parseManifest(text, 1, 'sha256').entries].sort(), [...entries].sort());
      },
    ),
  );
});

test('only line breaks and percent signs are encoded', () => {
  assert.is(encodePath('a b%c\r\nd\té😀'), 'a b%25c%0D%0Ad\té😀');
  assert.is(decodePath('a%0a%0D%25%20', 1), 'a\n\r%%20');
  assert.is(decodePath('a%0a%25', 0), 'a\n%25', 'before 1.0 a percent sign was as it is');
});

test('no text of a manifest gives a path that reaches outside', () => {
  const piece = fc.constantFrom(
    '..',
    '.',
    '/',
    '\\',
    '%2e',
    '%2E%2e',
    '%2f',
    '%5c',
    '~',
    'C:',
    'data',
    '%25',
    '%252e',
    'a',
    '\0',
  );
  fc.assert(
    fc.property(
      fc.array(piece, { maxLength: 8 }).map((pieces) => pieces.join('')),
      digest,
      fc.constantFrom(0, 1),
      (name, value, major) => {
        for (const path of parseManifest(`${value} ${name}\n`, major, 'sha256').entries.keys()) {
          for (const form of [path, freely(name.replace(/^(\.\/+)+/, ''))]) {
            assert.not.match(form, /^[/\\~]|^[A-Za-z]:|\0/);
            assert.not.ok(form.split(/[/\\]/).includes('..'), form);
          }
        }
      },
    ),
    { numRuns: 2000 },
  );
});

/** As a program reads it that undoes every percent-encoding. */
function freely(text: string): string {
  return text.replace(/%([0-9a-f]{2})/gi, (_, digits: string) =>
    String.fromCharCode(Number.parseInt(digits, 16)),
  );
}

test('names that are refused, and why', () => {
  for (const [name, reason] of [
    ['data/../../etc/passwd', /"\.\."/],
    ['../data/a', /"\.\."/],
    ['/etc/passwd', /absolute/],
    ['\\\\server\\share', /absolute/],
    ['C:\\Windows', /drive/],
    ['~/.bashrc', /"~"/],
    ['~root/x', /"~"/],
    ['data\\..\\..\\x', /"\.\."/],
    ['data/%2e%2e/%2e%2e/etc/passwd', /percent-decoded/],
    ['%2fetc%2fpasswd', /percent-decoded/],
    ['data/a%00b', /percent-decoded/],
    ['', /empty/],
  ] as const) {
    assert.match(whyUnsafe(name, 1) ?? '', reason, name);
  }
  for (const name of ['data/a..b', 'data/...', 'data/%252e%252e', 'data/~a', 'data/c:d', 'data/100%25'])
    assert.is(whyUnsafe(name, 1), undefined, name);
});

test('lines that are no entries are named, and the others are read', () => {
  const good = 'a'.repeat(64);
  const text = `${good} data/a\nhello\n${good.slice(1)} data/b\n${good}  ./data/c\n${good} *data/d\n${good} data/a\n${good} data//e\n${good} data/50%\n`;
  const { entries, problems } = parseManifest(text, 1, 'sha256');
  assert.equal([...entries.keys()], ['data/a', 'data/c', 'data/d', 'data/50%']);
  assert.equal(
    problems.map(({ line, code, severity }) => `${line} ${code} ${severity}`),
    ['2 line error', '3 line error', '6 duplicate error', '7 line error', '8 percent warning'],
  );
});

test('before 1.0 a file could be listed twice with one checksum', () => {
  const [a, b] = ['a'.repeat(32), 'b'.repeat(32)];
  assert.is(parseManifest(`${a} data/a\n${a} data/a\n`, 0, 'md5').problems[0].severity, 'warning');
  assert.is(parseManifest(`${a} data/a\n${b} data/a\n`, 0, 'md5').problems[0].severity, 'error');
});

test('names of manifests', () => {
  assert.equal(manifestName('manifest-sha256.txt'), { tag: false, algorithm: 'sha256' });
  assert.equal(manifestName('tagmanifest-SHA-512.txt'), { tag: true, algorithm: 'sha512' });
  for (const name of ['manifest.txt', 'manifest-sha256.txt.bak', 'mymanifest-md5.txt', 'a/manifest-md5.txt'])
    assert.is(manifestName(name), undefined, name);
});

test('fetch.txt', () => {
  const { entries, problems } = parseFetch(
    'http://x.org/a%20b 12 data/a b\nhttp://x.org/c - data/c\nhttp://x.org/d data/d\n',
    1,
  );
  assert.equal(Object.fromEntries(entries), {
    'data/a b': { url: 'http://x.org/a%20b', length: 12 },
    'data/c': { url: 'http://x.org/c', length: undefined },
  });
  assert.equal(
    problems.map(({ line }) => line),
    [3],
  );
});

test('bagit.txt', () => {
  const text = 'BagIt-Version: 0.97\nTag-File-Character-Encoding: UTF-8\n';
  assert.equal(parseDeclaration(text), { major: 0, minor: 97, encoding: 'UTF-8', strict: true });
  assert.is(parseDeclaration(text.replaceAll('\n', '\r\n'))?.strict, true);
  assert.is(parseDeclaration(text.trim())?.strict, true);
  for (const odd of [
    `\uFEFF${text}`,
    text.replace(': 0', ' : 0'),
    text.replace(': 0', ':0'),
    `${text}\n`,
    text.replace('\n', ' \n'),
  ])
    assert.is(parseDeclaration(odd)?.strict, false, JSON.stringify(odd));
  for (const none of ['', 'BagIt-Version: 1.0\n', text.replace('0.97', 'one'), `Version: 1.0\n${text}`])
    assert.is(parseDeclaration(none), undefined, JSON.stringify(none));
});

test('bag-info.txt is read back as it was written', () => {
  const label = fc.stringMatching(/^[A-Za-z][A-Za-z0-9 -]{0,18}[A-Za-z0-9]$/);
  const value = fc
    .string({ unit: 'grapheme', maxLength: 60 })
    .map((text) => text.replace(/\s+/g, ' ').trim());
  fc.assert(
    fc.property(fc.array(fc.tuple(label, value)), (elements) => {
      const { elements: found, odd } = parseInfo(formatInfo(elements));
      assert.equal(odd, []);
      assert.equal(found, elements);
    }),
  );
});

test('no value of bag-info.txt begins another element', () => {
  fc.assert(
    fc.property(fc.string(), (value) => {
      assert.is(parseInfo(formatInfo([['Contact-Name', value]])).elements.length, 1);
    }),
  );
});

test('values of bag-info.txt go on in indented lines', () => {
  const { elements, odd } = parseInfo(
    'Contact-Name: Ada\nExternal-Description: one\n  two\n\tthree\r\nnonsense\nContact-Name: Bob\n',
  );
  assert.equal(elements, [
    ['Contact-Name', 'Ada'],
    ['External-Description', 'one two three'],
    ['Contact-Name', 'Bob'],
  ]);
  assert.equal(odd, [5]);
});

test('Payload-Oxum', () => {
  assert.equal(parseOxum(formatOxum({ bytes: 279164409832, files: 1198 })), {
    bytes: 279164409832,
    files: 1198,
  });
  for (const none of ['', '1', '1.', '1.2.3', '-1.2', '1e3.2', '99999999999999999999.1'])
    assert.is(parseOxum(none), undefined, none);
});

test('the notes are read back as they were written', () => {
  const note = fc.record(
    {
      kind: fc.constant('reference' as const),
      size: fc.nat(),
      modified: fc.integer(),
      mode: fc.integer({ min: 0, max: 0o7777 }),
      written: fc.bigInt({ min: 0n, max: 2n ** 62n }).map(String),
    },
    { noNullPrototype: true },
  );
  const names = fc.oneof(fc.constant('__proto__'), fc.string({ unit: 'grapheme', minLength: 1 }));
  const target = fc.stringMatching(/^[a-z]{1,9}$/);
  const notes = fc.record(
    {
      project: fc.string(),
      include: fc.subarray([...EXTRAS]),
      files: fc.array(fc.tuple(names, note)).map((entries) => new Map(entries)),
      folders: fc
        .array(fc.tuple(names, fc.integer({ min: 0, max: 0o7777 })))
        .map((entries) => new Map(entries)),
      links: fc.array(fc.tuple(names, target)).map((entries) => new Map(entries)),
    },
    { noNullPrototype: true },
  );
  const sorted = (found: Notes) => ({
    ...found,
    files: [...found.files].sort(([a], [b]) => (a < b ? -1 : 1)),
    folders: [...found.folders].sort(([a], [b]) => (a < b ? -1 : 1)),
    links: [...found.links].sort(([a], [b]) => (a < b ? -1 : 1)),
  });
  fc.assert(
    fc.property(notes, (written: Notes) => {
      assert.equal(sorted(parseNotes(formatNotes(written), 'x')), sorted(written));
    }),
  );
});

test('notes that firn did not write are refused by name', () => {
  const good = formatNotes({
    project: 'p',
    include: [],
    files: new Map(),
    folders: new Map(),
    links: new Map([['a', 'b']]),
  });
  assert.equal([...parseNotes(good, 'x').links], [['a', 'b']]);
  for (const text of [
    '',
    '[]',
    '{}',
    good.replace('"backup"', '"other"'),
    good.replace('"b"', '"../b"'),
    good.slice(0, -3),
  ])
    assert.throws(
      () => parseNotes(text, 'x'),
      (error: Error & { path?: string }) => error.path === 'x',
      text,
    );
  assert.throws(() => parseNotes(good.replace('"format": 1', '"format": 2'), 'x'), /newer firn/);
});

test.run();
