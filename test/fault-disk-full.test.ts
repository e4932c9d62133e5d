/** A disk that really is full: a build in a small file system says what it needs, keeps what was there, and goes on with room. */
import { cpSync, statfsSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { filesOf, journals } from './rig/faults.js';
import { inMountNamespace, mountLacks, SmallDisk, unmount } from './rig/mounts.js';
import { TestProject } from './rig/project.js';
import { testWhere } from './rig/where.js';

inMountNamespace(import.meta.url);
const test = suite('full disk');
const lacks = mountLacks();

const LARGE = 64 * 1024 * 1024;
/** By so much more room at a time. */
const STEP = 28 * 1024;

function bytesIn(path: string): number {
  const { blocks, bfree, bsize } = statfsSync(path);
  return (blocks - bfree) * bsize;
}

async function prepare(): Promise<TestProject> {
  const project = new TestProject(`
targets:
  compressed: {rule: compress, runs: {dataset: B}, with: {delete-original: true}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
  page: {rule: command, from: reference, run: [cp, "{in}/consolidated_embeddings.npy", "{out}"], out: page.npy}
`);
  for (const [i, name] of ['A/r1', 'B/r1'].entries()) await project.writeRun(name, { seed: i, rows: 500 });
  await buildHere(project, disk);
  await project.writeRun('A/r1', { seed: 2, rows: 700 });
  await project.writeRun('B/r2', { seed: 3, rows: 900 });
  return project;
}

testWhere(
  test,
  lacks,
  'whatever room there is, nothing is lost, and with more room the build goes on',
  async () => {
    const project = await prepare();
    const before = filesOf(project);
    const done = project.clone();
    await buildHere(done, disk);
    const after = filesOf(done);
    const failures = new Set<string>();
    let sizes = 0;
    for (let room = 0; ; room += STEP) {
      const small = new SmallDisk(LARGE);
      const here = new TestProject(undefined, join(small.path, 'project'));
      cpSync(project.root, here.root, { recursive: true, preserveTimestamps: true });
      const { blocks, bfree, bsize } = statfsSync(small.path);
      small.resize((Number(blocks) - Number(bfree)) * Number(bsize) + room);
      const { code, stderr } = await here.firn('build');
      const where = `with ${room} bytes of room`;
      const now = filesOf(here);
      for (const path of new Set([...Object.keys(before), ...Object.keys(now)]))
        assert.ok(
          [before[path], after[path]].includes(now[path]),
          `${where}: ${path} is neither old nor new`,
        );
      for (const run of ['B/r1', 'B/r2'].map((name) => `consolidated_data/runs/${name}/embeddings`))
        assert.ok(now[`${run}.npy`] ?? now[`${run}.npz`], `${where}: no copy of ${run} is left`);
      assert.equal(here.leftovers(), [], where);
      assert.not.ok(here.exists('cache/lock'), where);
      if (code !== 0) {
        assert.is(code, 1, `${where}: ${stderr}`);
        assert.match(stderr, /full|no space|no room/i, where);
        assert.not.match(stderr, /\n +at /, where);
        failures.add(stderr.match(/FAILED (\S+):|firn: (\S+):/)?.[0] ?? stderr);
      }
      small.resize(LARGE);
      await buildHere(here, disk);
      assert.equal(filesOf(here), after, where);
      await nothingToDo(here, disk);
      assert.equal([journals(here), here.leftovers()], [[], []], where);
      unmount(small.path);
      sizes += 1;
      if (code === 0) break;
    }
    assert.ok(failures.size >= 3, [...failures].join('; '));
    console.log(`\nWALKED a build on a full disk: ${sizes} sizes; it failed at ${[...failures].join(' ')}`);
  },
);

testWhere(test, lacks, 'the message names the file, and how many bytes it needs', async () => {
  const project = new TestProject(
    'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}',
  );
  await project.writeRun('A/r1', { rows: 4000 });
  const small = new SmallDisk(LARGE);
  const here = new TestProject(undefined, join(small.path, 'project'));
  cpSync(project.root, here.root, { recursive: true });
  small.resize(bytesIn(small.path) + 64 * 1024);
  const { code, stderr } = await here.firn('build');
  assert.is(code, 1);
  assert.match(
    stderr,
    /FAILED reference: data\/reference\/consolidated_embeddings\.npy: the disk is full \(ENOSPC\): at least \d+ bytes are needed\n {2}Free space/,
  );
  unmount(small.path);
  // The lock, too, takes a block.
  const none = new SmallDisk(LARGE);
  const there = new TestProject(undefined, join(none.path, 'project'));
  cpSync(project.root, there.root, { recursive: true });
  none.resize(bytesIn(none.path));
  const refused = await there.firn('build');
  assert.is(refused.code, 1);
  assert.is(
    refused.stderr,
    'firn: cache: cannot be written to: the disk is full (ENOSPC)\n  Make room and try again.\n',
  );
  unmount(none.path);
});

test.run();
