/** SIGKILL, really: a build that is killed at any change of the disk leaves what the fault rig says, and the next ends right. */
import { spawn } from 'node:child_process';
import { readdirSync, rmSync } from 'node:fs';
import { join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { filesOf, journals } from './rig/faults.js';
import { FaultyPort } from './rig/faulty-port.js';
import { TestProject } from './rig/project.js';
import { forAll } from './rig/running.js';

const test = suite('killed at any change');

const KILL_AT = fileURLToPath(new URL('./rig/kill-at.js', import.meta.url));
/** Every process costs a quarter of a second; in between, the rig dies without one. */
const STRIDE = process.env.FIRN_TEST_FAULTS === 'all' ? 1 : 6;

/** Built, and then changed: a run is gone, one before it is longer, one is new. */
async function prepare(): Promise<TestProject> {
  const project = new TestProject(`
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
  page: {rule: command, from: reference, run: [cp, "{in}/consolidated_metadata.json", "{out}"], out: page.json}
`);
  for (const [i, name] of ['A/r1', 'A/r2', 'B/r1'].entries()) await project.writeRun(name, { seed: i });
  await buildHere(project, disk);
  // Its retained rows move by eleven: old metadata over the new array would not find them.
  project.remove('consolidated_data/runs/B/r1');
  await project.writeRun('A/r2', { seed: 22, rows: 31 });
  await project.writeRun('A/r3', { seed: 3 });
  return project;
}

/** What it was about to do; undefined when the build was through before. */
function killedAt(project: TestProject, at: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [KILL_AT, project.root, String(at)], {
      stdio: ['ignore', 'pipe', 'inherit'],
    });
    let operation = '';
    child.stdout.on('data', (chunk) => {
      operation += chunk;
    });
    child.on('error', reject);
    child.on('close', (_code, signal) => resolve(signal === 'SIGKILL' ? operation : undefined));
  });
}

async function deadAt(project: TestProject, at: number): Promise<void> {
  const faulty: FaultyPort = new FaultyPort((change) => (change.at === at ? faulty.die : undefined));
  await Promise.race([buildHere(project, faulty.port), faulty.died]);
}

/** Everything below the folder, with its bytes; of what names a process, a time or a random number only that it is there. */
function treeOf(project: TestProject): string[] {
  return readdirSync(project.root, { withFileTypes: true, recursive: true })
    .map((entry) => {
      const path = join(entry.parentPath, entry.name).slice(project.root.length + 1);
      const name = path.replace(/-[0-9a-f]{12}(?=\/|$)|\d+-\d+(?=-)|[0-9a-f]{16}(?=\.json)/g, '*');
      if (entry.isDirectory()) return `${name}/`;
      if (!path.startsWith('cache/')) return `${name} ${project.sha256(path)}`;
      return `${name} ${project.read(path).toString('latin1').split('\n').length} lines`;
    })
    .sort();
}

test('it leaves what the rig leaves, every file is whole, and the next build converges', async () => {
  const project = await prepare();
  const before = filesOf(project);
  const done = project.clone();
  const counting = new FaultyPort(() => undefined);
  await buildHere(done, counting.port);
  const after = filesOf(done);
  const all = Array.from({ length: Math.floor(counting.done / STRIDE) }, (_, i) => 1 + i * STRIDE);
  await forAll(all, async (at) => {
    const killed = project.clone();
    const operation = await killedAt(killed, at);
    const where = `killed at ${at} (${operation})`;
    assert.ok(operation !== undefined, where);

    const dead = project.clone();
    await deadAt(dead, at);
    assert.equal(treeOf(dead), treeOf(killed), where);

    const now = filesOf(killed);
    for (const path of new Set([...Object.keys(before), ...Object.keys(now)]))
      assert.ok([before[path], after[path]].includes(now[path]), `${where}: ${path} is neither old nor new`);
    await buildHere(killed, disk);
    assert.equal(filesOf(killed), after, where);
    await nothingToDo(killed, disk);
    assert.equal([journals(killed), killed.leftovers()], [[], []], where);
    for (const { root } of [killed, dead]) rmSync(root, { recursive: true });
  });
  console.log(`\nWALKED a build of three rules: SIGKILL: ${all.length} of ${counting.done} operations`);
});

test.run();
