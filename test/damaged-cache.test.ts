/**
 * State is a hint: whatever is wrong with cache/ costs time, never a byte of a result, and never a file anywhere else. Its
 * files are cut, altered, made of garbage, of another format, written by somebody who knows their checksums, and taken
 * away at any moment of a build.
 */
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BuildSummary } from '../src/engine/events.js';
import { readLog, rewriteLog } from '../src/engine/log-file.js';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { temporaryFolder } from './rig/folder.js';
import { seededValues, TestProject } from './rig/project.js';
import { counted, holds } from './rig/property.js';
import { swiftDisk } from './rig/swift-disk.js';

const test = suite('damaged cache');

const PIPELINE = `
targets:
  # Of the run that stays as it is: a copy of other values that no record names is a conflict.
  compressed: {rule: compress, runs: {run: A/r2}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;
const NPY = 'consolidated_data/runs/A/r1/embeddings.npy';
const FILES = ['records.jsonl', 'digests.jsonl', 'fresh.jsonl', 'pipeline.jsonl'];
/** All bytes of a file are cut at when many cases are asked for. */
const STRIDE = Number(process.env.FIRN_PROPERTY_RUNS ?? 1) >= 10 ? 1 : 37;

/** For this disk it is long after whatever was written now, so that a trace is left at once. */
const LATE: Port = {
  ...swiftDisk,
  async probe(directory) {
    const stat = await disk.probe(directory);
    return { ...stat, mtimeNs: stat.mtimeNs + 3_600_000_000_000n };
  },
};

const run = async (project: TestProject, port: Port = LATE): Promise<BuildSummary> =>
  build(await openProject({ directory: project.root, port }));

/** The other content of the run, with the size and mtime of the first. */
function write(project: TestProject, which: 0 | 1): void {
  const bytes = project.read(NPY);
  new Float32Array(new Uint8Array(bytes.buffer, bytes.byteOffset + bytes.length - 48, 48).slice().buffer);
  Buffer.from(seededValues(which + 1, 12).buffer).copy(bytes, bytes.length - 48);
  writeFileSync(project.path(NPY), bytes);
  utimesSync(project.path(NPY), 1_700_000_000, 1_700_000_000);
}

const resultsOf = (project: TestProject) => ({
  ...project.digests('data'),
  ...project.digests('consolidated_data'),
});

interface Built {
  project: TestProject;
  /** What the results have to be, for each content of the run. */
  expected: [ReturnType<typeof resultsOf>, ReturnType<typeof resultsOf>];
  /** A copy of cache/ as it is when all is fresh. */
  cache: string;
}

/** Built with the first content of the run and found fresh. */
async function built(): Promise<Built> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { rows: 4, dims: 3 });
  await project.writeRun('A/r2', { rows: 4, dims: 3, seed: 9 });
  const expected = [];
  for (const which of [1, 0] as const) {
    write(project, which);
    assert.is((await run(project)).failed, 0);
    expected.unshift(resultsOf(project));
  }
  assert.is((await run(project)).fresh, 3);
  const cache = join(temporaryFolder(), 'cache');
  assert.ok(project.exists('cache/fresh.jsonl'));
  cpSync(project.path('cache'), cache, { recursive: true, preserveTimestamps: true });
  return { project, expected: expected as unknown as Built['expected'], cache };
}

/** cache/ as it was, but for one file. */
function damage({ project, cache }: Built, name: string, content: Uint8Array | string): void {
  for (const file of FILES)
    cpSync(join(cache, file), project.path(`cache/${file}`), { preserveTimestamps: true });
  project.write(`cache/${name}`, content);
}

/** One build, with whatever the run holds: no step fails, and the results are those of that content. */
async function expectRight({ project, expected }: Built, which: 0 | 1, what: string): Promise<void> {
  const { failed, outcomes } = await run(project);
  assert.is(failed, 0, `${what}: ${outcomes.map(({ error }) => error ?? '')}`);
  assert.equal(resultsOf(project), expected[which], what);
}

for (const name of FILES) {
  test(`${name} cut at every byte`, async () => {
    const place = await built();
    const whole = readFileSync(join(place.cache, name));
    let turn = 0;
    for (let end = 0; end <= whole.length; end += STRIDE) {
      // Now and then the run has changed as well: nothing of what is left may hide it.
      const which = turn % 3 === 2 ? 1 : 0;
      write(place.project, which);
      damage(place, name, whole.subarray(0, end));
      await expectRight(place, which, `${name} cut at ${end}`);
      turn += 1;
    }
    counted(turn);
    assert.equal(place.project.leftovers(), []);
  });

  test(`${name} altered anywhere, of garbage, and not there`, async () => {
    const place = await built();
    const whole = readFileSync(join(place.cache, name));
    const flipped = (at: number): Buffer => {
      const bytes = Buffer.from(whole);
      bytes[at] ^= 1 << (at % 8);
      return bytes;
    };
    const contents: (Uint8Array | string)[] = Array.from(
      { length: Math.ceil(whole.length / (3 * STRIDE)) },
      (_, i) => flipped(i * 3 * STRIDE),
    );
    contents.push(
      '',
      '\n\n\n',
      '\0'.repeat(5000),
      'null\n',
      `${'x'.repeat(100_000)}\n`,
      Buffer.concat([whole, whole]),
      Buffer.from(whole).reverse(),
      Buffer.from('\xff\xfe'.repeat(900), 'latin1'),
    );
    for (const [i, content] of contents.entries()) {
      const which = i % 3 === 1 ? 1 : 0;
      write(place.project, which);
      damage(place, name, content);
      await expectRight(place, which, `${name}, content ${i}`);
    }
    damage(place, name, '');
    rmSync(place.project.path(`cache/${name}`));
    write(place.project, 0);
    await expectRight(place, 0, `${name} not there`);
    counted(contents.length + 1);
  });
}

/** Any value in the place of another one, somewhere in some JSON. */
function altered(value: unknown, at: readonly number[], by: unknown): unknown {
  const [first, ...rest] = at;
  if (first === undefined || value === null || typeof value !== 'object') return by;
  const keys = Object.keys(value);
  if (keys.length === 0) return by;
  const key = keys[first % keys.length];
  const copy = (Array.isArray(value) ? [...value] : { ...value }) as { [key: string]: unknown };
  copy[key] = altered(copy[key], rest, by);
  return copy;
}

test('lines with right checksums that say anything: no crash, nothing outside, no half result; and all is well without them', async () => {
  const place = await built();
  const { project, cache, expected } = place;
  const outside = join(temporaryFolder(), 'outside');
  const link = `../${'../'.repeat(10)}${outside.slice(1)}`;
  const values = fc.oneof(
    fc.jsonValue({ maxDepth: 2 }),
    fc.constantFrom<unknown>(
      link,
      `sha256:${link}`,
      '/etc/passwd',
      '',
      -1,
      2 ** 53,
      1e308,
      '__proto__',
      '\ud800',
      'sha256:',
      `sha256:${'0'.repeat(64)}`,
      [],
      {},
      null,
      99,
    ),
  );
  const logs = new Map(FILES.map((name) => [name, readLog(disk, join(cache, name)).entries]));
  const place_ = fc.array(fc.nat(30), { minLength: 1, maxLength: 6 });
  await holds(
    60,
    fc.asyncProperty(fc.constantFrom(...FILES), place_, values, fc.boolean(), async (name, at, by, isAll) => {
      writeFileSync(outside, 'mine');
      write(project, 0);
      const entries = logs.get(name) as unknown[];
      const lines = isAll
        ? entries.map((entry) => altered(entry, at.slice(1), by))
        : (altered(entries, at, by) as unknown[]);
      damage(place, name, '');
      await rewriteLog(disk, project.path(`cache/${name}`), Array.isArray(lines) ? lines : [lines]);
      try {
        const { outcomes } = await run(project);
        for (const { error } of outcomes)
          if (error !== undefined) assert.instance(error, FirnError, String((error as Error).stack));
      } catch (error) {
        assert.instance(error, FirnError, String((error as Error).stack));
      }
      assert.is(readFileSync(outside, 'utf8'), 'mine');
      rmSync(project.path('cache'), { recursive: true, force: true });
      await expectRight(place, 0, `${name} ${JSON.stringify([at, by])}`);
      assert.equal(resultsOf(project), expected[0]);
    }),
  );
});

test('an older format is dropped, a newer one refused by name', async () => {
  const place = await built();
  const { project, cache } = place;
  const [, ...records] = readLog(disk, join(cache, 'records.jsonl')).entries;
  for (const head of [{ firn: 'records', format: 0 }, { firn: 'records' }, null, 7, records[0]]) {
    damage(place, 'records.jsonl', '');
    await rewriteLog(disk, project.path('cache/records.jsonl'), [head, ...records]);
    await expectRight(place, 0, JSON.stringify(head).slice(0, 40));
  }
  for (const format of [2, 99]) {
    damage(place, 'records.jsonl', '');
    await rewriteLog(disk, project.path('cache/records.jsonl'), [{ firn: 'records', format }, ...records]);
    const before = project.sha256('cache/records.jsonl');
    const { code, stderr } = await project.firn('build');
    assert.is(code, 1);
    assert.match(
      stderr,
      /^firn: cache\/records\.jsonl: was written by a newer firn \(format \d+, this one knows 1\)\n {2}Use that firn, or delete the cache/,
    );
    assert.is(project.sha256('cache/records.jsonl'), before);
  }
  // Of digests and of the trace the others' lines are passed over.
  for (const name of ['digests.jsonl', 'fresh.jsonl', 'pipeline.jsonl']) {
    damage(place, name, '');
    const entries = readLog(disk, join(cache, name)).entries as { [field: string]: unknown }[];
    const other = entries.map((entry) => ({
      ...entry,
      ...('format' in entry ? { format: 99 } : {}),
      ...('signature' in entry
        ? {
            signature: `2${String(entry.signature).slice(1)}`,
            digest: { digest: `sha256:${'0'.repeat(64)}` },
          }
        : {}),
      ...('of' in entry && 'targets' in entry ? { of: 'another' } : {}),
    }));
    await rewriteLog(disk, project.path(`cache/${name}`), other);
    await expectRight(place, 0, `${name} of another format`);
  }
});

test('a stored output that was altered is never restored', async () => {
  const place = await built();
  const { project } = place;
  const objects = () =>
    readdirSync(project.path('cache/objects'), { recursive: true, encoding: 'utf8' }).filter((name) =>
      name.includes('/'),
    );
  const damages: ((path: string) => void)[] = [
    (path) => writeFileSync(path, ''),
    (path) => writeFileSync(path, readFileSync(path).subarray(0, -1)),
    (path) => {
      const bytes = readFileSync(path);
      bytes[bytes.length >> 1] ^= 1;
      writeFileSync(path, bytes);
    },
    (path) => {
      rmSync(path);
      mkdirSync(path);
    },
    (path) => {
      rmSync(path);
      symlinkSync('/dev/zero', path);
    },
    (path) => {
      rmSync(path);
      symlinkSync(project.path('pipeline.yaml'), path);
    },
  ];
  for (const [i, apply] of damages.entries()) {
    for (const name of objects()) apply(project.path(`cache/objects/${name}`));
    for (const path of [
      'consolidated_embeddings.npy',
      'consolidated_metadata.json',
      'consolidated_index.faiss',
    ])
      rmSync(project.path(`data/reference/${path}`));
    await expectRight(place, 0, `damage ${i}`);
    assert.is(project.read('pipeline.yaml').toString(), PIPELINE);
    rmSync(project.path('cache/objects'), { recursive: true });
    write(project, 1);
    await run(project);
    write(project, 0);
    await run(project);
  }
});

test('the store trims what it stored, and nothing else that lies there or behind a link', async () => {
  const project = new TestProject(`cache: {limit: 1kB}\n${PIPELINE}`);
  await project.writeRun('A/r1', { rows: 4, dims: 3 });
  const elsewhere = temporaryFolder();
  const hex = 'ab'.repeat(32);
  for (const path of [`${hex.slice(0, 2)}/${hex}`, 'ab/mine.txt', 'docs/thesis.tex']) {
    mkdirSync(join(elsewhere, path, '..'), { recursive: true });
    writeFileSync(join(elsewhere, path), 'x'.repeat(5000));
  }
  mkdirSync(project.path('cache'));
  // A disk that is larger, with other things on it.
  symlinkSync(elsewhere, project.path('cache/objects'));
  symlinkSync(join(elsewhere, 'docs'), join(elsewhere, 'cd'));
  for (const seed of [1, 2, 3]) {
    await project.writeRun('A/r1', { rows: 4, dims: 3, seed });
    assert.is((await run(project)).failed, 0);
  }
  for (const path of ['ab/mine.txt', 'docs/thesis.tex'])
    assert.is(statSync(join(elsewhere, path)).size, 5000, path);
});

/** A port that takes cache/ away right before the change of that number. */
function takingAway(project: TestProject, at: number): { port: Port; count: { done: number } } {
  const count = { done: 0 };
  const changes = [
    'create',
    'append',
    'makeDirectory',
    'rename',
    'unlink',
    'removeDirectory',
    'sync',
    'syncDirectory',
    'copy',
    'setTimes',
    'probe',
  ] as const;
  const port = { ...swiftDisk } as unknown as { [name: string]: (...args: unknown[]) => unknown };
  for (const name of changes) {
    const real = swiftDisk[name].bind(swiftDisk) as (...args: unknown[]) => Promise<unknown>;
    port[name] = (...args) => {
      count.done += 1;
      if (count.done === at) rmSync(project.path('cache'), { recursive: true, force: true });
      return real(...args);
    };
  }
  return { port: port as unknown as Port, count };
}

test('cache/ taken away at any moment of a build', async () => {
  const place = await built();
  const { project, expected } = place;
  let ended = false;
  let failures = 0;
  for (let at = 1; !ended; at++) {
    rmSync(project.path('data'), { recursive: true, force: true });
    for (const name of ['A/r1', 'A/r2'])
      rmSync(project.path(`consolidated_data/runs/${name}/embeddings.npz`), { force: true });
    if (at % 2 === 0) rmSync(project.path('cache'), { recursive: true, force: true });
    const { port, count } = takingAway(project, at);
    try {
      const { outcomes } = await run(project, port);
      for (const { error } of outcomes) if (error !== undefined) failures += 1;
    } catch (error) {
      // Taken away between the making of its folder and that of the lock in it.
      assert.match(
        String((error as { code?: string }).code ?? error),
        /ENOENT|no such file|is gone/,
        String((error as Error).stack),
      );
      failures += 1;
    }
    ended = count.done < at;
    // What is there under a final name is whole.
    for (const [path, digest] of Object.entries(existsSync(project.path('data')) ? resultsOf(project) : {})) {
      if (!/\.firn-/.test(path)) assert.is(digest, expected[0][path], `taken away at ${at}: ${path}`);
    }
    await expectRight(place, 0, `after it was taken away at ${at}`);
    assert.equal(project.leftovers(), [], `taken away at ${at}`);
  }
  assert.ok(failures < 40, `${failures} failures`);
});

test('other things in the places of its files and folders are named, or do not matter', async () => {
  const place = await built();
  const { project, cache, expected } = place;
  const puts: [name: string, put: (path: string) => void, fails: RegExp | undefined][] = [
    ['lock', (path) => writeFileSync(path, 'garbage'), undefined],
    ['objects', (path) => writeFileSync(path, ''), undefined],
    ['fresh.jsonl', (path) => mkdirSync(path), undefined],
    ['pipeline.jsonl', (path) => mkdirSync(path), undefined],
    ['records.jsonl', (path) => mkdirSync(path), /cache\/records\.jsonl: is a folder, expected a file/],
    ['digests.jsonl', (path) => mkdirSync(path), /cache\/digests\.jsonl: is a folder, expected a file/],
    ['journal', (path) => writeFileSync(path, ''), /cache\/journal/],
  ];
  for (const [name, put, fails] of puts) {
    rmSync(project.path('cache'), { recursive: true });
    cpSync(cache, project.path('cache'), { recursive: true, preserveTimestamps: true });
    rmSync(project.path(`cache/${name}`), { recursive: true, force: true });
    put(project.path(`cache/${name}`));
    rmSync(project.path('data/reference/consolidated_index.faiss'));
    const { code, stderr } = await project.firn('build');
    assert.is(code, fails === undefined ? 0 : 1, `${name}: ${stderr}`);
    if (fails !== undefined) assert.match(stderr, fails);
    for (const [path, digest] of Object.entries(resultsOf(project)))
      assert.is(digest, expected[0][path], `${name}: ${path}`);
    rmSync(project.path('cache'), { recursive: true });
    await expectRight(place, 0, name);
  }
  rmSync(project.path('cache'), { recursive: true });
  project.write('cache', 'a file');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(stderr, /^firn: cache.*: a file stands where a folder is needed/);
});

/** A commit that was decided, and stopped before its first rename. */
async function stopped(): Promise<Built & { journal: string }> {
  const place = await built();
  const { project } = place;
  rmSync(project.path('data/reference/consolidated_index.faiss'));
  rmSync(project.path('cache/objects'), { recursive: true });
  const port: Port = {
    ...swiftDisk,
    rename: (from, to) => (to.endsWith('.faiss') ? new Promise(() => undefined) : swiftDisk.rename(from, to)),
  };
  void run(project, port);
  const journals = () => (project.exists('cache/journal') ? readdirSync(project.path('cache/journal')) : []);
  while (!journals().some((name) => /^[0-9a-f]+\.jsonl$/.test(name)))
    await new Promise((resolve) => setTimeout(resolve, 5));
  // As if that build had been killed.
  rmSync(project.path('cache/lock'), { recursive: true });
  return { ...place, journal: `cache/journal/${journals()[0]}` };
}

test('a journal cut at every byte or altered: its step is done again', async () => {
  const place = await stopped();
  const { project, journal } = place;
  const whole = project.read(journal);
  const folder = readdirSync(project.path('data/reference')).find((name) =>
    name.startsWith('.firn-'),
  ) as string;
  const index = project.read(`data/reference/${folder}/consolidated_index.faiss`);
  const contents = Array.from({ length: Math.ceil(whole.length / STRIDE) }, (_, i) =>
    whole.subarray(0, i * STRIDE),
  );
  for (const content of [...contents, Buffer.concat([whole, whole]), whole]) {
    rmSync(project.path('data/reference/consolidated_index.faiss'), { force: true });
    project.write(`data/reference/${folder}/consolidated_index.faiss`, index);
    project.write(journal, content);
    await expectRight(place, 0, `journal of ${content.length} bytes`);
    assert.not.ok(project.exists(journal));
    project.write('cache/unswept', '');
    await run(project);
    assert.equal(project.leftovers(), []);
  }
  counted(contents.length);
});

test('a journal that would move files out of the project, or over others, is none', async () => {
  const place = await stopped();
  const { project, journal } = place;
  const [entry] = readLog(disk, project.path(journal)).entries as {
    moves: { from: string; to: string }[];
    record: { outputs: object[] };
  }[];
  const [{ from, to }] = entry.moves;
  const outside = temporaryFolder();
  const up = `../../../../../../..${outside}`;
  mkdirSync(join(outside, '.firn-0'));
  for (const name of ['victim', '.firn-0/victim']) writeFileSync(join(outside, name), 'mine');
  const evil = [
    [{ from, to: `${up}/victim` }],
    [{ from: `${up}/.firn-0/victim`, to }],
    [{ from: `${up}/.firn-0/victim`, to: `${up}/victim` }],
    [{ from: NPY, to: 'data/reference/consolidated_index.faiss' }],
    [{ from, to: NPY }],
    [{ from, to: '/etc/firn-test' }],
    [{ from: `${outside}/.firn-0/victim`, to }],
    [null],
    [{ from: 7, to: [] }],
    { length: 1 },
  ];
  for (const moves of evil) {
    await rewriteLog(disk, project.path(journal), [{ ...entry, moves }]);
    await expectRight(place, 0, JSON.stringify(moves));
    for (const name of ['victim', '.firn-0/victim'])
      assert.is(readFileSync(join(outside, name), 'utf8'), 'mine');
  }
  for (const record of [
    null,
    {},
    { ...entry.record, outputs: [null] },
    { ...entry.record, outputs: [{ kind: 'file', path: '../x', digest: 'y' }] },
  ]) {
    await rewriteLog(disk, project.path(journal), [{ ...entry, record }]);
    await expectRight(place, 0, JSON.stringify(record));
  }
});

test.run();
