/** A build with nothing to do: it writes nothing and takes no lock, and is sure of what it says. */
import { mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acquireLock } from '../src/engine/lock.js';
import { disk } from '../src/files/disk.js';
import { glanceAt } from '../src/files/glance.js';
import type { Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { FaultyPort } from './rig/faulty-port.js';
import { TestProject } from './rig/project.js';

const test = suite('nothing to do');

const TRACE = 'cache/fresh.jsonl';
const PIPELINE = `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;

/** Built, and built again until every digest is remembered. */
async function built(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  for (const name of ['A/r1', 'A/r2']) {
    await project.writeRun(name);
    // Older than any tick of a clock.
    project.age(`consolidated_data/runs/${name}/embeddings.npy`, 1);
  }
  await project.build();
  await settle(project);
  return project;
}

/** ctime cannot be set: until the files are older than a tick, a build hashes them again, and leaves no trace. */
async function settle(project: TestProject): Promise<void> {
  for (;;) {
    const counting = new FaultyPort(() => undefined);
    await build(await openProject({ directory: project.root, port: counting.port }));
    if (counting.done === 0 && project.exists(TRACE)) return;
  }
}

test('it changes nothing on disk, and says what is fresh', async () => {
  const project = await built();
  const before = project.snapshot();
  const { fresh, ran, steps } = await project.build();
  assert.equal([fresh, ran], [2, 0]);
  assert.equal(
    steps.map(({ id, status }) => `${id} ${status}`),
    ['reference fresh', 'index:reference fresh'],
  );
  assert.is(steps[0].stats?.rows, 40);
  assert.equal(project.snapshot(), before);
  assert.match((await project.firn('build')).stdout, /^nothing to do: 2 steps fresh/);
});

test('it waits for one who holds the lock', async () => {
  const project = await built();
  const lock = await acquireLock(disk, project.path('cache/lock'), {
    command: 'this test',
    onWait: () => undefined,
  });
  let waited = '';
  const summary = await build(await openProject({ directory: project.root }), {
    onEvent(event) {
      if (event.type !== 'waiting') return;
      waited = event.holder;
      void lock.release();
    },
  });
  assert.match(waited, /^this test/);
  assert.is(summary.fresh, 2);
});

for (const traced of [true, false]) {
  test(`a build that began while it looked ${traced ? 'at a trace' : 'at all'} is waited for as well`, async () => {
    const project = await built();
    if (!traced) project.remove(TRACE);
    const lock = project.path('cache/lock');
    const begin = (): void => {
      mkdirSync(lock, { recursive: true });
      writeFileSync(`${lock}/other.json`, '{');
    };
    // After the first look at the lock: while the trace is read, or the metadata.
    const port: Port = {
      ...disk,
      readText(path, limit) {
        if (traced && path.endsWith(TRACE)) begin();
        return disk.readText(path, limit);
      },
      async open(path) {
        begin();
        return disk.open(path);
      },
    };
    let waited = false;
    const summary = await build(await openProject({ directory: project.root, port }), {
      onEvent(event) {
        if (event.type !== 'waiting') return;
        waited = true;
        Object.assign(port, { open: disk.open, readText: disk.readText });
        rmSync(lock, { recursive: true });
      },
    });
    assert.ok(waited);
    assert.is(summary.fresh, 2);
    // A build that was disturbed has found out nothing.
    assert.is(project.exists(TRACE), traced);
  });
}

test('what was looked at for one build is not believed in the next', async () => {
  const project = await built();
  const opened = await openProject({ directory: project.root });
  assert.is((await build(opened)).fresh, 2);
  await project.writeRun('A/r2', { seed: 5 });
  assert.is((await build(opened)).ran, 2);
});

test('what a run says of its version is read once', async () => {
  const project = await built();
  const facts = 'consolidated_data/runs/A/r1/embedding_run.json';
  project.write(facts, '{"version": "v1"}');
  let reads = 0;
  const port: Port = {
    ...disk,
    readText(path, limit) {
      if (path.endsWith(facts)) reads += 1;
      return disk.readText(path, limit);
    },
  };
  const { graph } = await openProject({ directory: project.root, port });
  assert.equal((graph.order[0].detail as { versions: unknown }).versions, { 'A/r1': 'v1' });
  assert.is(reads, 1);
});

test('a glance asks for nothing twice, and knows from a listing what is not there', () => {
  const project = new TestProject();
  project.write('a/one', '1');
  const asked: string[] = [];
  const port: Port = {
    ...disk,
    stat: (path) => {
      asked.push(`stat ${path}`);
      return disk.stat(path);
    },
    list: (path) => {
      asked.push(`list ${path}`);
      return disk.list(path);
    },
    readText: (path) => {
      asked.push(`read ${path}`);
      return disk.readText(path);
    },
  };
  const glance = glanceAt(port);
  const [a, one, two, three] = ['a', 'a/one', 'a/two', 'a/three'].map((name) => project.path(name));
  for (let time = 0; time < 2; time++) {
    assert.is(glance.stat(three), undefined);
    assert.equal(
      glance.list(a).map(({ name }) => name),
      ['one'],
    );
    assert.is(glance.stat(one)?.size, 1);
    assert.is(glance.stat(two), undefined);
    assert.is(glance.readText(two), undefined);
    assert.is(glance.stat(`${a}/one/`.slice(0, -1))?.kind, 'file');
  }
  assert.equal(asked, [`stat ${three}`, `list ${a}`, `stat ${one}`]);
  // A listing without names says nothing: it may be of no folder, or of one that cannot be seen yet.
  assert.equal(glance.list(project.path('b')), []);
  project.write('b/new', '2');
  assert.is(glance.stat(project.path('b/new'))?.size, 1);
});

test.run();
