/** Going back to an earlier state is a copy from the cache, which is checked, bounded and never believed. */
import { readdirSync, statSync, utimesSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Store } from '../src/engine/store.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { buildHere } from './rig/build-here.js';
import { idsWith, TestProject } from './rig/project.js';

const test = suite('going back');

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`;

let first: Promise<TestProject> | undefined;

/** A project that was built in one state, then in another, and whose run is as it was first. */
async function projectBeforeReturn(): Promise<{ project: TestProject; before: { [path: string]: string } }> {
  first ??= build();
  const project = (await first).clone();
  return { project, before: JSON.parse(project.read('before.json').toString()) };
}

async function build(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  project.write('before.json', JSON.stringify(project.digests('data')));
  await project.writeRun('A/r2', { seed: 22, rows: 30 });
  assert.is((await project.build()).ran, 2);
  await project.writeRun('A/r2', { seed: 2 });
  return project;
}

function objects(project: TestProject): string[] {
  const folders = readdirSync(project.path('cache/objects'));
  return folders.flatMap((folder) =>
    readdirSync(project.path(`cache/objects/${folder}`)).map((name) => `cache/objects/${folder}/${name}`),
  );
}

test('an earlier state is restored, byte for byte', async () => {
  const { project, before } = await projectBeforeReturn();
  assert.equal(idsWith(await project.plan(), 'restore'), ['reference']);
  const result = await project.build();
  assert.equal(idsWith(result, 'restored'), ['index:reference', 'reference']);
  assert.is(result.ran, 0);
  assert.equal(project.digests('data'), before);
  assert.is((await project.build()).fresh, 2);
});

test('a stored output that was altered is not restored but made again', async () => {
  const { project, before } = await projectBeforeReturn();
  for (const path of objects(project)) {
    const bytes = project.read(path);
    bytes[bytes.length >> 1] ^= 1;
    project.write(path, bytes);
  }
  const result = await project.build();
  assert.equal([result.ran, result.restored, result.failed], [2, 0, 0]);
  assert.equal(project.digests('data'), before);
  assert.equal(project.leftovers(), []);
});

test('a store that cannot be read costs time only', async () => {
  const { project, before } = await projectBeforeReturn();
  for (const path of objects(project)) {
    project.remove(path);
    project.write(`${path}/is-a-folder`, '');
  }
  const result = await project.build();
  assert.is(result.failed, 0);
  assert.equal(project.digests('data'), before);
  assert.equal(project.leftovers(), []);
});

test('restoring ends when the build is told to stop', async () => {
  const project = new TestProject();
  project.write('large.bin', new Uint8Array(10_000_000));
  const abort = new AbortController();
  let blocks = 0;
  const port: Port = {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      return {
        path,
        size: handle.size,
        read(into, position) {
          blocks += 1;
          abort.abort();
          return handle.read(into, position);
        },
        stat: () => handle.stat(),
        close: () => handle.close(),
      };
    },
  };
  const store = new Store(port, project.path('objects'), 1e9, Date.now);
  const digest = `sha256:${project.sha256('large.bin')}`;
  await store.keep(project.path('large.bin'), digest);
  let name = '';
  await store.restore(digest, project.path('again.bin'), { signal: abort.signal }).catch((error: Error) => {
    name = error.name;
  });
  assert.equal([name, blocks], ['AbortError', 1]);
});

test('a store that cannot be trimmed is told, and fails nothing', async () => {
  const project = new TestProject(`cache: {limit: 20kB}\n${PIPELINE}`);
  const port: Port = {
    ...disk,
    unlink: (path) =>
      path.includes('/cache/objects/')
        ? Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'unlink', path }))
        : disk.unlink(path),
  };
  const warnings: string[] = [];
  for (const seed of [1, 2, 3]) {
    await project.writeRun('A/r1', { seed, rows: 60 });
    await buildHere(project, port, {
      onEvent: (event) => event.type === 'warning' && warnings.push(event.message),
    });
  }
  assert.ok(warnings.length > 0);
  for (const warning of warnings)
    assert.match(warning, /^cache\/objects takes more than its limit: .*permission denied/s);
});

test('the store stays within its limit, and what was unused longest leaves first', async () => {
  const project = new TestProject(`cache: {limit: 20kB}\n${PIPELINE}`);
  const states: { [path: string]: string }[] = [];
  // Each state stores about 7.5 kB: two of them fit, three do not.
  for (const seed of [1, 2, 3]) {
    await project.writeRun('A/r1', { seed, rows: 60 });
    await project.build();
    states.push(project.digests('data'));
    // A day apart, so that no clock's grain decides the order.
    for (const path of objects(project)) {
      const old = statSync(project.path(path)).mtimeMs / 1000 - 86_400;
      utimesSync(project.path(path), old, old);
    }
  }
  const kept = objects(project);
  const bytes = kept.reduce((sum, path) => sum + statSync(project.path(path)).size, 0);
  assert.ok(bytes <= 20_000, `${bytes} bytes`);
  const has = (digest: string) => kept.some((path) => path.endsWith(digest));
  for (const digest of Object.values(states[2])) assert.ok(has(digest), 'the last state is kept whole');
  assert.not.ok(Object.values(states[0]).every(has), 'of the first something is gone');

  await project.writeRun('A/r1', { seed: 1, rows: 60 });
  const back = await project.build();
  assert.is(back.failed, 0);
  assert.ok(back.ran > 0);
  assert.equal(project.digests('data'), states[0]);
});

test.run();
