/** `firn runs restore`: what was archived comes back as it was, or not at all. */
import {
  cpSync,
  existsSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { restoreRuns } from '../src/run-life/restore.js';
import { temporaryFolder } from './rig/folder.js';
import { seededValues } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { builtProject, difference, errorOf, life, RUNS } from './run-life-rig.js';

const test = suite('runs restore');

test('restored, everything is as it was, and nothing is stale', async () => {
  const project = await builtProject();
  const before = project.clone();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', 'B/r1', '--to', archive, '--execute');
  const dry = await life(project, 'restore');
  assert.equal(
    dry.runs.map(({ run, status }) => [run, status]),
    [
      ['A/old', 'would restore'],
      ['B/r1', 'would restore'],
    ],
  );
  assert.equal(readdirSync(project.path(`${RUNS}/B/r1`)), ['archived.json']);
  const result = await life(project, 'restore', '--execute');
  assert.equal(
    [result.code, ...result.runs.map(({ status }) => status)],
    [0, 'restored', 'restored'],
    errorOf(result),
  );
  assert.is(difference(before.path(RUNS), project.path(RUNS)), '');
  assert.is(statSync(project.path(`${RUNS}/A/old/.note`)).mode & 0o777, 0o400);
  assert.ok(
    Math.abs(before.mtime(`${RUNS}/A/old/embeddings.npy`) - project.mtime(`${RUNS}/A/old/embeddings.npy`)) <
      0.01,
  );
  // The copy in the archive stays.
  assert.is(difference(join(archive, 'A/old'), project.path(`${RUNS}/A/old`)), '');
  assert.is((await project.build()).fresh, 4);
  assert.equal(project.digests('data'), before.digests('data'));
  // The age is the one it had.
  const aged = await life(project, 'archive', '--older-than', '299', '--to', archive);
  assert.equal(
    aged.runs.map(({ run }) => run),
    ['A/old'],
  );
});

test('archived again after it was restored, the copy that is there is used', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  await life(project, 'restore', 'A/old', '--execute');
  project.write(`${RUNS}/A/old/novelty.csv`, 'new work\n');
  const result = await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  assert.is(result.code, 0, errorOf(result));
  assert.is(readFileSync(join(archive, 'A/old/novelty.csv'), 'utf8'), 'new work\n');
  assert.equal(readdirSync(project.path(`${RUNS}/A/old`)), ['archived.json']);
});

test('--remove-archive removes the copy, and nothing else that is there', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', 'B/r1', '--to', archive, '--execute');
  writeFileSync(join(archive, 'B/r1/mine.txt'), 'mine');
  const result = await life(project, 'restore', '--remove-archive', '--execute');
  assert.is(result.code, 0, errorOf(result));
  assert.equal(readdirSync(archive, { recursive: true, encoding: 'utf8' }).sort(), [
    'B',
    'B/r1',
    'B/r1/mine.txt',
  ]);
  assert.is((await project.build()).ran, 0);
});

test('an archive that was moved is found with --from, and one that is not there is said to be missing', async () => {
  const project = await builtProject();
  const [archive, moved] = [temporaryFolder(), temporaryFolder()];
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  cpSync(archive, moved, { recursive: true });
  rmSync(join(archive, 'A'), { recursive: true });
  const lost = await life(project, 'restore', '--execute');
  assert.is(lost.code, 1);
  assert.match(errorOf(lost), /A\/old\/.*: is not in the archive\n .*--from DIR/);
  assert.equal(readdirSync(project.path(`${RUNS}/A/old`)), ['archived.json']);
  const found = await life(project, 'restore', '--from', moved, '--execute');
  assert.is(found.code, 0, errorOf(found));
  assert.ok(project.exists(`${RUNS}/A/old/embeddings.npy`));
});

test('a damaged archive is not brought back, and nothing is written', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  const path = join(archive, 'A/old/embeddings.npy');
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes);
  const result = await life(project, 'restore', '--execute');
  assert.is(result.code, 1);
  assert.match(errorOf(result), /embeddings\.npy: is not what it was when the run was archived/);
  assert.equal(readdirSync(project.path(`${RUNS}/A/old`)), ['archived.json']);
});

test('a file that is here and differs is not overwritten', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  project.write(`${RUNS}/A/old/.note`, 'HIDDEN');
  const result = await life(project, 'restore', '--execute');
  assert.is(result.code, 1);
  assert.match(errorOf(result), /\.note: is here, and is not what was archived; nothing is overwritten/);
  assert.is(project.read(`${RUNS}/A/old/.note`).toString(), 'HIDDEN');
  assert.not.ok(project.exists(`${RUNS}/A/old/embeddings.npy`));
});

test('a run that was made anew beside its stub is neither archived over nor overwritten', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  await project.writeRun('B/r1', { seed: 33 });
  await project.build();
  assert.equal(project.reference().rowsOf('B/r1'), seededValues(33, 160));
  const again = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.match(
    errorOf(again),
    /embeddings\.npy: is not what was archived, and stays\n {2}If the run was made anew, delete its archived\.json/,
  );
  const back = await life(project, 'restore', 'B/r1', '--execute');
  assert.match(errorOf(back), /is here, and is not what was archived/);
  assert.equal(project.reference().rowsOf('B/r1'), seededValues(33, 160));
});

test('the run itself is no archive of it: put back by hand, nothing of it is removed as the copy', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  cpSync(join(archive, 'B/r1'), project.path(`${RUNS}/B/r1`), { recursive: true });
  const link = join(temporaryFolder(), 'link');
  symlinkSync(project.path(RUNS), link);
  for (const from of [project.path(RUNS), link]) {
    const result = await life(project, 'restore', '--from', from, '--remove-archive', '--execute');
    assert.is(result.code, 1, from);
    assert.match(errorOf(result), /B\/r1: is the folder of the run itself, and no archive/);
    assert.equal(readdirSync(project.path(`${RUNS}/B/r1`)), ['archived.json', 'embeddings.npy']);
  }
  assert.is((await life(project, 'restore', '--execute')).code, 0);
  assert.equal(readdirSync(project.path(`${RUNS}/B/r1`)), ['embeddings.npy']);
  assert.is((await project.firn('runs', 'restore', '--from', '')).code, 2);
});

test('what comes into being at its place while a run is copied is not overwritten', async () => {
  for (const links of [true, false]) {
    const project = await builtProject();
    const archive = temporaryFolder();
    await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
    const path = project.path(`${RUNS}/B/r1/embeddings.npy`);
    const port: Port = Object.create(disk);
    if (!links) port.hardLink = async () => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' }));
    const { items } = await restoreRuns({
      directory: project.root,
      port,
      patterns: ['B/r1'],
      removeArchive: true,
      signal: new AbortController().signal,
      onProgress: () => existsSync(path) || writeFileSync(path, 'of an analysis'),
    });
    assert.match((items[0].error as FirnError).format(), /embeddings\.npy: .*stays/);
    assert.is(readFileSync(path, 'utf8'), 'of an analysis');
    assert.ok(existsSync(join(archive, 'B/r1/embeddings.npy')));
    assert.equal(readdirSync(project.path(`${RUNS}/B/r1`)), ['archived.json', 'embeddings.npy']);
  }
});

test('the copy in the archive goes only when what was here already would survive a power cut', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  const run = project.path(`${RUNS}/A/old`);
  cpSync(join(archive, 'A/old'), run, { recursive: true });
  const synced = new Set<string>();
  let late: string[] | undefined;
  const port: Port = Object.assign(Object.create(disk) as Port, {
    async sync(path: string) {
      synced.add(path);
    },
    async syncDirectory(path: string) {
      synced.add(path);
    },
    async unlink(path: string) {
      if (path.startsWith(archive))
        late ??= ['', 'embeddings.npy', 'plots', 'plots/umap.html'].filter(
          (name) => !synced.has(join(run, name)),
        );
      await disk.unlink(path);
    },
  });
  const signal = new AbortController().signal;
  const { items } = await restoreRuns({
    directory: project.root,
    port,
    patterns: [],
    removeArchive: true,
    signal,
  });
  assert.equal([items[0].error, late], [undefined, []]);
});

oracleTest(test, ['numpy'], 'numpy reads the archived and the restored arrays', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  const load = `
import json, numpy as np, sys
folder = sys.argv[1]
with np.load(folder + '/embeddings.npz') as data: copy = data['embeddings']
array = np.load(folder + '/embeddings.npy')
print(json.dumps([array.tolist(), bool((array == copy).all())]))
`;
  const values = [...seededValues(1, 400)];
  const expected = Array.from({ length: 50 }, (_, i) => values.slice(8 * i, 8 * i + 8));
  assert.equal(JSON.parse(python(load, join(archive, 'A/old'))), [expected, true]);
  await life(project, 'restore', '--execute', '--remove-archive');
  assert.equal(JSON.parse(python(load, project.path(`${RUNS}/A/old`))), [expected, true]);
});

test('names are data, there and back', async () => {
  const project = await builtProject();
  const name = '-la $(touch X)\n*';
  await project.writeRun(`A/${name}`, { seed: 7 });
  project.write(`${RUNS}/A/${name}/;rm -rf ..\u001b[31m/--help`, 'x');
  await project.build();
  const before = project.clone();
  const archive = temporaryFolder();
  const archived = await life(project, 'archive', '--older-than', '0d', '--to', archive, '--execute');
  assert.is(archived.code, 0, errorOf(archived));
  assert.is(difference(join(before.path(RUNS), 'A', name), join(archive, 'A', name)), '');
  // What is said to be done can be pasted into a shell.
  const refused = await life(project, 'rm', `A/${name}`);
  assert.match(errorOf(refused), "firn runs restore $'A/-la $(touch X)\\x0a*'");
  const { stdout } = await project.firn('runs', 'restore');
  assert.match(stdout, 'A/-la $(touch X)\\x0a*');
  assert.is((await life(project, 'restore', '--execute')).code, 0);
  assert.is(difference(before.path(RUNS), project.path(RUNS)), '');
  assert.not.ok(project.exists('X'));
});

test.run();
