/** Power cuts on a real file system: an ext4 in a file, copied while it is in use, mounted again as after a restart. */
import { spawnSync } from 'node:child_process';
import { closeSync, cpSync, fsyncSync, openSync, readFileSync, renameSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { bury, type Files, filesOf, journals } from './rig/faults.js';
import { FaultyPort } from './rig/faulty-port.js';
import { Ext4, ext4Lacks, inMountNamespace } from './rig/mounts.js';
import { TestProject } from './rig/project.js';
import { testWhere } from './rig/where.js';

inMountNamespace(import.meta.url);
const test = suite('power cuts');
const lacks = ext4Lacks();

/** Two mounts for each. */
const STRIDE = process.env.FIRN_TEST_FAULTS === 'all' ? 1 : 3;

function sync(path: string): void {
  const fd = openSync(path, 'r');
  fsyncSync(fd);
  closeSync(fd);
}

testWhere(test, lacks, 'the rig shows what it should: a rename without fsync leaves an empty file', () => {
  const ext4 = new Ext4(16);
  const at = (name: string) => join(ext4.path, name);
  writeFileSync(at('file'), 'old');
  sync(at('file'));
  sync(ext4.path);
  writeFileSync(at('new'), 'new');
  renameSync(at('new'), at('file'));
  // Somebody else's sync takes the names along, and not the bytes.
  writeFileSync(at('other'), 'other');
  sync(at('other'));
  const left = ext4.cutPower();
  assert.is(readFileSync(join(left.path, 'file'), 'utf8'), '');
  assert.is(readFileSync(join(left.path, 'other'), 'utf8'), 'other');
  left.discard();
  ext4.discard();
});

/** A run is gone, one is replaced, one is new and goes once it is compressed. */
async function prepare(): Promise<TestProject> {
  const project = new TestProject(`
targets:
  compressed: {rule: compress, runs: {dataset: C}, with: {delete-original: true}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`);
  for (const [i, name] of ['A/r1', 'B/r1'].entries()) await project.writeRun(name, { seed: i });
  await buildHere(project, disk);
  project.remove('consolidated_data/runs/B/r1');
  await project.writeRun('A/r1', { seed: 22, rows: 31 });
  await project.writeRun('C/r1', { seed: 3, rows: 400 });
  return project;
}

function assertWhole(project: TestProject, before: Files, after: Files, where: string): void {
  const now = filesOf(project);
  for (const path of new Set([...Object.keys(before), ...Object.keys(now)]))
    assert.ok([before[path], after[path]].includes(now[path]), `${where}: ${path} is neither old nor new`);
  const run = 'consolidated_data/runs/C/r1/embeddings';
  assert.ok(now[`${run}.npy`] ?? now[`${run}.npz`], `${where}: no copy of the run is left`);
}

testWhere(
  test,
  lacks,
  'the power goes at any change of the disk: every file is whole, and the next build converges',
  async () => {
    const project = await prepare();
    const before = filesOf(project);
    const done = project.clone();
    const counting = new FaultyPort(() => undefined);
    await buildHere(done, counting.port);
    const after = filesOf(done);
    const ext4 = new Ext4(32);
    let cuts = 0;
    // One after the end, when the machine has been told nothing more.
    for (let at = 1; cuts * STRIDE <= counting.done; at += STRIDE) {
      const here = new TestProject(undefined, join(ext4.path, `p${at}`));
      cpSync(project.root, here.root, { recursive: true, preserveTimestamps: true });
      sync(ext4.path);
      assert.is(spawnSync('sync', ['-f', ext4.path]).status, 0);
      let what = 'after its end';
      const faulty: FaultyPort = new FaultyPort((change) => {
        if (change.at !== at) return undefined;
        what = `at ${at} (${change.what} ${change.path})`;
        return faulty.die;
      });
      await Promise.race([buildHere(here, faulty.port), faulty.died]);
      const left = ext4.cutPower();
      const found = new TestProject(undefined, join(left.path, `p${at}`));
      bury(found.root);
      assertWhole(found, before, after, what);
      if (what === 'after its end') assert.equal(filesOf(found), after, what);
      await buildHere(found, disk);
      assert.equal(filesOf(found), after, what);
      await nothingToDo(found, disk);
      assert.equal([journals(found), found.leftovers()], [[], []], what);
      left.discard();
      cuts += 1;
    }
    ext4.discard();
    console.log(`\nWALKED a build on ext4: ${cuts} power cuts in ${counting.done} operations`);
  },
);

test.run();
