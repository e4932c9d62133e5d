/** verifyBag on bags that other programs could have made, and on some that nobody should have. */
import { spawnSync } from 'node:child_process';
import {
  appendFileSync,
  chmodSync,
  mkdirSync,
  readFileSync,
  renameSync,
  rmSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type VerifiedBag, verifyBag } from '../src/backup/verify-bag.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { Workers } from '../src/workers/pool.js';
import { hex, makeBag, problemsByRfc } from './rig/bags.js';
import { temporaryFolder } from './rig/folder.js';
import { oracleTest } from './rig/python.js';
import { withoutRights } from './rig/where.js';

const test = suite('verify bags');

const verify = (dir: string, options = {}): Promise<VerifiedBag> => verifyBag(disk, dir, options);

/** `code path` of each error, sorted. */
function errorsOf({ findings }: VerifiedBag): string[] {
  return findings
    .filter(({ severity }) => severity === 'error')
    .map(({ code, path }) => `${code} ${path}`.trim())
    .sort();
}

function warningsOf({ findings }: VerifiedBag): string[] {
  return findings
    .filter(({ severity }) => severity === 'warning')
    .map(({ code, path }) => `${code} ${path}`.trim())
    .sort();
}

async function assertErrors(dir: string, ...expected: string[]): Promise<VerifiedBag> {
  const result = await verify(dir);
  assert.equal(errorsOf(result), expected.sort(), JSON.stringify(result.findings, null, 1));
  assert.is(result.valid, false);
  return result;
}

async function assertValid(dir: string, ...warnings: string[]): Promise<VerifiedBag> {
  const result = await verify(dir);
  assert.equal(errorsOf(result), [], JSON.stringify(result.findings, null, 1));
  assert.ok(result.valid && result.complete);
  assert.equal(warningsOf(result), warnings.sort());
  return result;
}

const PAYLOAD = { 'data/a.txt': 'hello', 'data/b/ü c.txt': '', 'data/b/100%.txt': 'x' };

test('valid bags of all versions and algorithms', async () => {
  for (const version of ['0.93', '0.96', '0.97', '1.0']) {
    for (const algorithm of ['md5', 'sha1', 'sha224', 'sha256', 'sha384', 'sha512']) {
      const payload = { 'data/a.txt': 'hello', 'data/b/ü c.txt': '' };
      const dir = makeBag({
        version,
        payload,
        algorithms: [algorithm],
        tagAlgorithms: [algorithm],
        info: 'Payload-Oxum: 5.2\n',
      });
      const result = await assertValid(dir);
      assert.is(result.version, version);
      assert.equal([result.files, result.bytes, result.algorithms], [2, 5, [algorithm]]);
    }
  }
});

test('two manifests of one algorithm both count', async () => {
  for (const [wrong, files] of [
    ['manifest-SHA256.txt', {}],
    ['manifest-sha256.txt', { 'manifest-SHA256.txt': `${hex('sha256', 'hello')}  data/a.txt\n` }],
  ] as const) {
    const dir = makeBag({ files: { ...files, [wrong]: `${'0'.repeat(64)}  data/a.txt\n` } });
    const { findings } = await assertErrors(dir, 'checksum data/a.txt');
    assert.match(findings[0].message, new RegExp(wrong));
    assert.is((await verify(dir, { checksums: 'one' })).valid, false);
  }
});

test('what may not be looked at, or has a name that no file can have, is a finding', async () => {
  const dir = makeBag({ payload: { 'data/a.txt': 'hello', 'data/b/c.txt': 'x' } });
  const long = `data/${'x'.repeat(300)}`;
  appendFileSync(join(dir, 'manifest-sha256.txt'), `${'0'.repeat(64)}  ${long}\n`);
  const denied = <T>(path: string, look: (path: string) => T): T => {
    if (path.startsWith(join(dir, 'data/b'))) throw Object.assign(new Error('no'), { code: 'EACCES' });
    return look(path);
  };
  const port: Port = {
    ...disk,
    list: (path) => denied(path, disk.list),
    stat: (path) => denied(path, disk.stat),
  };
  const result = await verifyBag(port, dir);
  assert.equal(errorsOf(result), ['unreadable data/b', 'unreadable data/b/c.txt', `unreadable ${long}`]);
});

test('a folder whose name is no text hides nothing', async () => {
  const dir = makeBag();
  const folder = Buffer.concat([Buffer.from(join(dir, 'data/d')), Buffer.from([0xff])]);
  mkdirSync(folder);
  writeFileSync(Buffer.concat([folder, Buffer.from('/hidden')]), 'x');
  await assertErrors(dir, 'unreadable data/d\ufffd');
});

oracleTest(test, ['hashlib'], 'what Python calls valid by the RFC, and what it does not', async () => {
  const good = makeBag({
    algorithms: ['sha256', 'sha512'],
    tagAlgorithms: ['sha256', 'sha512'],
    info: 'Payload-Oxum: 5.1\nBagging-Date: 2026-01-01\n',
  });
  assert.equal(problemsByRfc(good), []);
  await assertValid(good);
  writeFileSync(join(good, 'data/a.txt'), 'hellO');
  assert.is(problemsByRfc(good).length, 2);
  const { complete, valid } = await assertErrors(good, 'checksum data/a.txt', 'checksum data/a.txt');
  assert.equal([complete, valid], [true, false], 'complete, since all files are there, but not valid');
});

test('an empty payload is a bag', async () => {
  await assertValid(makeBag({ payload: {}, info: 'Payload-Oxum: 0.0\n' }));
});

test('percent signs: %25 in 1.0, as they are before', async () => {
  const sums = (name: string): string => `${hex('md5', 'x')}  data/${name}\n`;
  const payload = { 'data/50%25.txt': 'x' };
  await assertValid(
    makeBag({
      version: '0.97',
      payload,
      algorithms: ['md5'],
      files: { 'manifest-md5.txt': sums('50%25.txt') },
    }),
  );
  await assertErrors(
    makeBag({ payload, algorithms: ['md5'], files: { 'manifest-md5.txt': sums('50%25.txt') } }),
    'missing data/50%.txt',
    'unlisted data/50%25.txt',
  );
  await assertValid(
    makeBag({ payload, algorithms: ['md5'], files: { 'manifest-md5.txt': sums('50%2525.txt') } }),
  );
  await assertValid(
    makeBag({
      payload: { 'data/a\r\nb': 'x' },
      algorithms: ['md5'],
      files: { 'manifest-md5.txt': sums('a%0D%0ab') },
    }),
  );
  await assertValid(
    makeBag({
      payload: { 'data/50%': 'x' },
      algorithms: ['md5'],
      files: { 'manifest-md5.txt': sums('50%') },
    }),
    'percent manifest-md5.txt',
  );
});

test('tag files in other encodings', async () => {
  const encode: { [encoding: string]: (text: string) => Uint8Array } = {
    'ISO-8859-1': (text) => Buffer.from(text, 'latin1'),
    'UTF-16': (text) => Buffer.concat([Buffer.from([0xfe, 0xff]), Buffer.from(text, 'utf16le').swap16()]),
    'UTF-16LE': (text) => Buffer.from(text, 'utf16le'),
  };
  for (const [encoding, bytes] of Object.entries(encode)) {
    const manifest = bytes(`${hex('md5', 'x')}  data/ü.txt\n`);
    await assertValid(
      makeBag({
        version: '0.97',
        encoding,
        payload: { 'data/ü.txt': 'x' },
        algorithms: ['md5'],
        files: { 'manifest-md5.txt': manifest },
      }),
    );
  }
  await assertErrors(makeBag({ encoding: 'EBCDIC-42' }), 'encoding bagit.txt', 'no-manifest');
  await assertErrors(
    makeBag({ files: { 'manifest-sha256.txt': Buffer.from([0xff, 0xfe, 0x80]) } }),
    'encoding manifest-sha256.txt',
    'no-manifest',
  );
});

test('what sha256sum and md5sum -b write is read', async () => {
  const dir = makeBag({ payload: PAYLOAD, algorithms: [] });
  for (const [program, flag, file] of [
    ['md5sum', '-b', 'manifest-md5.txt'],
    ['sha256sum', '-t', 'manifest-sha256.txt'],
  ]) {
    const names = ['./data/a.txt', 'data/b/ü c.txt', 'data/b/100%.txt'];
    const { stdout } = spawnSync(program, [flag, ...names], { cwd: dir });
    writeFileSync(join(dir, file), stdout);
  }
  await assertValid(dir, 'percent manifest-md5.txt', 'percent manifest-sha256.txt');
});

test('bagit.txt has to say what it says', async () => {
  await assertErrors(
    makeBag({ declaration: 'BagIt-Version : 1.0\nTag-File-Character-Encoding: UTF-8\n' }),
    'declaration bagit.txt',
  );
  await assertErrors(
    makeBag({ declaration: '\uFEFFBagIt-Version: 1.0\nTag-File-Character-Encoding: UTF-8\n' }),
    'declaration bagit.txt',
  );
  await assertErrors(makeBag({ declaration: 'hello\n' }), 'declaration bagit.txt');
  await assertErrors(makeBag({ version: '2.0' }), 'version bagit.txt');
  const none = makeBag();
  rmSync(join(none, 'bagit.txt'));
  await assertErrors(none, 'declaration bagit.txt');
});

test('required parts', async () => {
  const noPayload = makeBag({ payload: {} });
  rmSync(join(noPayload, 'data'), { recursive: true });
  await assertErrors(noPayload, 'payload-folder data');
  await assertErrors(makeBag({ algorithms: [], payload: {} }), 'no-manifest');
  await assertErrors(
    makeBag({ algorithms: [], files: { 'manifest-crc32.txt': '00000000  data/a.txt\n' } }),
    'algorithm manifest-crc32.txt',
  );
  await assertErrors(temporaryFolder(), 'declaration bagit.txt', 'no-manifest', 'payload-folder data');
  try {
    await verify(join(temporaryFolder(), 'nothing'));
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /no such folder/);
  }
});

test('files that are not there, not listed, or listed twice', async () => {
  const missing = makeBag({ payload: PAYLOAD });
  rmSync(join(missing, 'data/a.txt'));
  const { complete } = await assertErrors(missing, 'missing data/a.txt');
  assert.is(complete, false);
  await assertErrors(makeBag({ files: { 'data/extra': 'x' } }), 'unlisted data/extra');
  const twice = `${hex('sha256', 'hello')}  data/a.txt\n`.repeat(2);
  await assertErrors(makeBag({ files: { 'manifest-sha256.txt': twice } }), 'duplicate manifest-sha256.txt');
  await assertValid(
    makeBag({ version: '0.97', files: { 'manifest-sha256.txt': twice } }),
    'duplicate manifest-sha256.txt',
  );
  const { findings } = await assertErrors(
    makeBag({ files: { 'manifest-sha256.txt': `${hex('sha256', 'hello')}  data/a.txt\nnonsense\n` } }),
    'line manifest-sha256.txt',
  );
  assert.is(findings[0].line, 2);
});

test('one manifest of several was enough before 1.0', async () => {
  const payload = { 'data/a': '1', 'data/b': '2' };
  const files = {
    'manifest-md5.txt': `${hex('md5', '1')}  data/a\n`,
    'manifest-sha1.txt': `${hex('sha1', '2')}  data/b\n`,
  };
  await assertValid(makeBag({ version: '0.97', payload, algorithms: [], files }));
  await assertErrors(makeBag({ payload, algorithms: [], files }), 'unlisted data/a', 'unlisted data/b');
});

test('fetch.txt: what is elsewhere makes a bag incomplete', async () => {
  const payload = { 'data/a.txt': 'hello', 'data/far': 'far away' };
  const dir = makeBag({ payload, files: { 'fetch.txt': 'http://example.org/far 8 data/far\n' } });
  await assertValid(dir);
  rmSync(join(dir, 'data/far'));
  const result = await assertErrors(dir, 'to-fetch data/far');
  assert.is(result.complete, false);
  await assertErrors(makeBag({ files: { 'fetch.txt': 'http://example.org/x 1 data/x\n' } }), 'fetch data/x');
  await assertErrors(
    makeBag({ files: { 'fetch.txt': 'http://example.org/x 1 bagit.txt\n' } }),
    'fetch fetch.txt',
  );
  await assertErrors(
    makeBag({ files: { 'fetch.txt': 'http://example.org/x 1 data/../../x\n' } }),
    'unsafe-path fetch.txt',
  );
  await assertErrors(makeBag({ files: { 'fetch.txt': 'nonsense\n' } }), 'line fetch.txt');
});

test('tag manifests', async () => {
  const dir = makeBag({
    info: 'Contact-Name: Ada\n',
    tagAlgorithms: ['sha256'],
    files: { 'metadata/more.xml': '<x/>' },
  });
  await assertValid(dir);
  appendFileSync(join(dir, 'metadata/more.xml'), ' ');
  appendFileSync(join(dir, 'bag-info.txt'), 'More: x\n');
  const { complete } = await assertErrors(dir, 'checksum bag-info.txt', 'checksum metadata/more.xml');
  assert.is(complete, true);
  rmSync(join(dir, 'metadata'), { recursive: true });
  assert.is((await assertErrors(dir, 'checksum bag-info.txt', 'missing metadata/more.xml')).complete, false);
  const sums = `${hex('sha256', 'x')}  tagmanifest-md5.txt\n${hex('sha256', 'hello')}  data/a.txt\n`;
  await assertErrors(
    makeBag({ files: { 'tagmanifest-sha256.txt': sums } }),
    'unlisted manifest-sha256.txt',
    'wrong-manifest tagmanifest-sha256.txt',
    'wrong-manifest tagmanifest-sha256.txt',
  );
  await assertErrors(
    makeBag({ files: { 'manifest-md5.txt': `${hex('md5', 'x')}  bagit.txt\n` } }),
    'unlisted data/a.txt',
    'wrong-manifest manifest-md5.txt',
  );
});

test('a manifest that was altered is noticed by the tag manifest', async () => {
  const dir = makeBag({ tagAlgorithms: ['sha256'] });
  writeFileSync(join(dir, 'data/a.txt'), 'evil!');
  writeFileSync(join(dir, 'manifest-sha256.txt'), `${hex('sha256', 'evil!')}  data/a.txt\n`);
  await assertErrors(dir, 'checksum manifest-sha256.txt');
});

test('Payload-Oxum and bag-info.txt', async () => {
  await assertErrors(makeBag({ info: 'Payload-Oxum: 6.1\n' }), 'oxum bag-info.txt');
  await assertErrors(makeBag({ info: 'payload-oxum: 5.2\n' }), 'oxum bag-info.txt');
  await assertErrors(makeBag({ info: 'Payload-Oxum: many\n' }), 'info bag-info.txt');
  await assertErrors(makeBag({ info: 'Payload-Oxum: 5.1\nPayload-Oxum: 5.1\n' }), 'info bag-info.txt');
  await assertErrors(makeBag({ info: 'no colon\n' }), 'info bag-info.txt');
  await assertValid(
    makeBag({ info: 'Payload-Oxum: 5.1\nContact-Name: Ada\nContact-Name: Bob\n  and Eve\n' }),
  );
});

test('names that differ in case or normalization only', async () => {
  await assertValid(makeBag({ payload: { 'data/A': '1', 'data/a': '2' } }), 'clash data/a');
  const [nfc, nfd] = ['data/\u00fc', 'data/u\u0308'];
  await assertValid(
    makeBag({ payload: { [nfc]: 'x' }, files: { 'manifest-sha256.txt': `${hex('sha256', 'x')}  ${nfd}\n` } }),
    `normalization ${nfd}`,
  );
  await assertValid(makeBag({ payload: { [nfc]: 'x', [nfd]: 'y' } }), `clash ${nfc}`);
});

test('names that lead outside are refused, and nothing there is read', async () => {
  const outside = temporaryFolder();
  writeFileSync(join(outside, 'secret'), 'x');
  const sums = (path: string): { [name: string]: string } => ({
    'manifest-sha256.txt': `${hex('sha256', 'x')}  ${path}\n`,
  });
  for (const path of [
    '../secret',
    'data/../../secret',
    join(outside, 'secret'),
    '~/secret',
    'data/%2e%2e/%2e%2e/secret',
    'data\\..\\..\\secret',
    'C:/secret',
    '\\\\host\\share',
    'data/%2E%2E%2Fsecret',
    '%7e/secret',
  ]) {
    await assertErrors(makeBag({ payload: {}, files: sums(path) }), 'unsafe-path manifest-sha256.txt');
    await assertErrors(
      makeBag({ payload: {}, files: { 'tagmanifest-sha256.txt': sums(path)['manifest-sha256.txt'] } }),
      'unlisted manifest-sha256.txt',
      'unsafe-path tagmanifest-sha256.txt',
    );
  }
});

/** The disk, and every path that was opened on it. */
function watched(): { port: typeof disk; opened: string[] } {
  const opened: string[] = [];
  const open = (path: string) => {
    opened.push(path);
    return disk.open(path);
  };
  return { port: { ...disk, open }, opened };
}

test('links that lead out are refused, and nothing behind them is read', async () => {
  const outside = temporaryFolder();
  writeFileSync(join(outside, 'secret'), 'x');
  const files = {
    'manifest-sha256.txt': `${hex('sha256', 'x')}  data/way/secret\n${hex('sha256', 'x')}  data/link\n`,
  };
  const dir = makeBag({ payload: {}, files });
  symlinkSync(outside, join(dir, 'data/way'));
  symlinkSync(join(outside, 'secret'), join(dir, 'data/link'));
  symlinkSync('nowhere', join(dir, 'data/broken'));
  symlinkSync(join(outside, 'secret'), join(dir, 'manifest-md5.txt'));
  const { port, opened } = watched();
  const result = await verifyBag(port, dir);
  assert.equal(errorsOf(result), [
    'link data/broken',
    'link data/link',
    'link data/link',
    'link data/way',
    'link data/way/secret',
    'link manifest-md5.txt',
  ]);
  assert.equal(opened.map((path) => path.slice(dir.length + 1)).sort(), ['bagit.txt', 'manifest-sha256.txt']);
  const payload = makeBag({
    payload: {},
    files: { 'manifest-sha256.txt': `${hex('sha256', 'x')}  data/secret\n` },
  });
  rmSync(join(payload, 'data'), { recursive: true });
  symlinkSync(outside, join(payload, 'data'));
  await assertErrors(payload, 'link data', 'link data/secret');
});

test('a link inside the bag is followed, with a warning', async () => {
  const dir = makeBag({
    payload: { 'data/a': 'x' },
    files: { 'manifest-sha256.txt': `${hex('sha256', 'x')}  data/a\n${hex('sha256', 'x')}  data/b\n` },
  });
  symlinkSync('a', join(dir, 'data/b'));
  await assertValid(dir, 'link data/b');
});

test('pipes and folders in the place of files', async () => {
  const dir = makeBag({
    payload: {},
    files: { 'manifest-sha256.txt': `${hex('sha256', '')}  data/pipe\n${hex('sha256', '')}  data/folder\n` },
  });
  spawnSync('mkfifo', [join(dir, 'data/pipe')]);
  mkdirSync(join(dir, 'data/folder'));
  await assertErrors(dir, 'no-file data/folder', 'no-file data/pipe', 'no-file data/pipe');
});

test('what the system does not let read is a finding', async () => {
  const dir = makeBag();
  const port = {
    ...disk,
    open: (path: string) =>
      path.endsWith('a.txt')
        ? Promise.reject(Object.assign(new Error('EIO'), { code: 'EIO' }))
        : disk.open(path),
  };
  assert.equal(errorsOf(await verifyBag(port, dir)), ['unreadable data/a.txt']);
});

test('a folder that nobody may read', async () => {
  const dir = makeBag();
  chmodSync(dir, 0o755);
  chmodSync(join(dir, 'data'), 0);
  const errors = errorsOf(await withoutRights(() => verify(dir)));
  chmodSync(join(dir, 'data'), 0o755);
  assert.equal(errors, ['unreadable data', 'unreadable data/a.txt']);
});

test('a name that is no UTF-8', async () => {
  const dir = makeBag({ payload: {} });
  writeFileSync(Buffer.concat([Buffer.from(join(dir, 'data/')), Buffer.from([0xff])]), 'x');
  await assertErrors(dir, 'unreadable data/\ufffd');
});

test('large files are read by threads, every byte', async () => {
  const content = Buffer.alloc(5_000_000, 'firn');
  const dir = makeBag({
    payload: { 'data/large': content.toString('latin1') },
    algorithms: ['md5', 'sha512'],
  });
  const workers = new Workers(2);
  try {
    let last = [0, 0];
    const result = await verify(dir, {
      workers,
      onProgress: (...progress: number[]) => {
        last = progress;
      },
    });
    assert.ok(result.valid);
    assert.equal(last, [5_000_000, 5_000_000]);
    const bytes = readFileSync(join(dir, 'data/large'));
    bytes[4_999_999] ^= 1;
    writeFileSync(join(dir, 'data/large'), bytes);
    assert.equal(errorsOf(await verify(dir, { workers })), ['checksum data/large', 'checksum data/large']);
    assert.equal(errorsOf(await verify(dir, { workers, checksums: 'one' })), ['checksum data/large']);
    assert.equal(errorsOf(await verify(dir, { workers, checksums: 'tags' })), []);
    await verify(dir, { workers, signal: AbortSignal.abort(new Error('stop')) }).then(
      () => assert.unreachable(),
      (error) => assert.is(error.message, 'stop'),
    );
  } finally {
    await workers.close();
  }
});

test('a bag may be anywhere, also behind a link', async () => {
  const dir = makeBag({ payload: PAYLOAD, tagAlgorithms: ['sha256'] });
  const moved = join(temporaryFolder(), 'moved');
  renameSync(dir, moved);
  const link = join(temporaryFolder(), 'link');
  symlinkSync(moved, link);
  await assertValid(link, 'percent manifest-sha256.txt');
});

test.run();
