/** Faults at any change of the disk while a release is made: under its name stands all of it or nothing. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { collectGarbage, findGarbage } from '../src/cache.js';
import type { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { openProject, projectPlaces } from '../src/project.js';
import { takeRelease } from '../src/release/take.js';
import { verifyDirectory } from '../src/verify.js';
import { Workers } from '../src/workers/pool.js';
import { PIPELINE, RELEASES } from './release-rig.js';
import { aheadOfFiles, buildHere, nothingToDo } from './rig/build-here.js';
import { faultTests, type States } from './rig/faults.js';
import { FaultyPort } from './rig/faulty-port.js';
import { removeFolder } from './rig/folder.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of releases');

const DIRECTORY = `${RELEASES}/reference_2024-11`;
const signal = new AbortController().signal;
const onWait = (holder: string): void => assert.unreachable(`it waits for ${holder}`);

async function built(pipeline = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await buildHere(project, disk, { targets: ['index'] });
  return project;
}

async function take(project: TestProject, port: Port, signal?: AbortSignal): Promise<void> {
  const { root, pipeline } = await projectPlaces(project.root);
  await takeRelease({
    port,
    root,
    pipeline,
    reference: project.path('data/reference'),
    name: 'reference',
    tag: '2024-11',
    archive: 'tar.gz',
    signal: signal ?? new AbortController().signal,
    onProgress: () => undefined,
    onWait,
  });
}

/** Beyond what holds for every file: the directory is there as a whole or not at all. */
function allOrNothing(project: TestProject, { after, where }: States): void {
  if (!project.exists(DIRECTORY)) return;
  const all = Object.keys(after).filter((path) => path.startsWith(`${DIRECTORY}/`));
  assert.equal(Object.keys(project.digests(DIRECTORY)).sort(), all.sort(), `${where}: half a release`);
}

faultTests(test, {
  name: 'release, with an archive',
  prepare: built,
  run: take,
  invariant: allOrNothing,
});

faultTests(test, {
  name: 'rule release',
  prepare: () =>
    built(`${PIPELINE}  release: {rule: release, from: reference, with: {tag: "2024-11", archive: zip}}\n`),
  run: buildHere,
  settled: nothingToDo,
  invariant: allOrNothing,
  // The same as above, in a build.
  stride: 4,
});

faultTests(test, {
  name: 'cache gc',
  async prepare() {
    const project = await built();
    await project.writeRun('A/r3', { seed: 3 });
    await buildHere(project, disk);
    project.write('pipeline.yaml', PIPELINE.replace(/ {2}index.*\n/, ''));
    project.remove('data/reference/consolidated_index.faiss');
    project.remove('consolidated_data/runs/A/r3');
    return project;
  },
  async run({ root }, port) {
    const project = await openProject({ directory: root, port: aheadOfFiles(port) });
    await collectGarbage(project, { signal, onWait });
  },
  async settled({ root }) {
    const left = await findGarbage(await openProject({ directory: root, port: aheadOfFiles(disk) }), {
      signal,
    });
    assert.equal([left.objects, left.records, left.leftovers], [[], [], []]);
  },
  // Of logs that are written anew: they go when they are a day old, or with the next build.
  leaves: /^cache\/\.firn-tmp-/,
});

test('interrupted at any time, nothing is left, and the lock is free', async () => {
  const project = await built();
  for (const after of [5, 15, 40, 100, 200]) {
    const abort = new AbortController();
    let operations = 0;
    const port = new Proxy(disk, {
      get(target, name: keyof Port) {
        const real = target[name];
        return (...args: never[]) => {
          operations += 1;
          if (operations === after) abort.abort(new Error('stop'));
          return (real as (...all: never[]) => unknown)(...args);
        };
      },
    });
    const copy = project.clone();
    await take(copy, port, abort.signal).catch(() => undefined);
    assert.not.ok(copy.exists('cache/lock'), `after ${after}`);
    assert.equal(copy.leftovers(), [], `after ${after}`);
    await take(copy, disk);
    removeFolder(copy.root);
  }
});

test('a disk that is full names the release, and the archive, as people know them', async () => {
  const project = await built();
  for (const [hidden, named] of [
    ['/.firn-release-', `${DIRECTORY}/reference_2024-11.npy`],
    ['/.firn-archive-', `${DIRECTORY}.tar.gz`],
  ]) {
    const copy = project.clone();
    const { port } = new FaultyPort(({ what, path }) =>
      what === 'write' && path.includes(hidden)
        ? () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }))
        : undefined,
    );
    const error = await take(copy, port).then(
      () => undefined,
      (thrown: FirnError) => thrown,
    );
    assert.is(error?.path, copy.path(named));
    assert.match(String(error?.message), /disk is full/);
    removeFolder(copy.root);
  }
});

test('a disk that gives back other bytes than it took: nothing is released of it', async () => {
  const project = await built();
  const whole = project.clone();
  await take(whole, disk);
  for (const lies of ['.npy', '.faiss', '.json', 'SHA256SUMS', '.firn-archive-']) {
    const port: Port = {
      ...disk,
      async open(path) {
        const handle = await disk.open(path);
        if (!path.includes('/.firn-') || !path.includes(lies)) return handle;
        return {
          path,
          size: handle.size,
          stat: () => handle.stat(),
          close: () => handle.close(),
          async read(into, position) {
            const read = await handle.read(into, position);
            const at = (handle.size >> 1) - position;
            if (at >= 0 && at < read) into[at] ^= 1;
            return read;
          },
        };
      },
    };
    const copy = project.clone();
    const error = await take(copy, port).then(
      () => undefined,
      (thrown: Error) => thrown,
    );
    assert.match(
      String(error?.message),
      /reads back other than it was written|is not what its metadata says/,
      lies,
    );
    const left = Object.keys(copy.exists(RELEASES) ? copy.digests(RELEASES) : {});
    assert.equal(left, lies === '.firn-archive-' ? Object.keys(whole.digests(DIRECTORY)) : [], lies);
    assert.equal(copy.leftovers(), [], lies);
    removeFolder(copy.root);
  }
});

test('a file that cannot be read is a finding of `verify`, and no crash', async () => {
  const project = await built();
  await take(project, disk);
  const port: Port = {
    ...disk,
    async open(path) {
      if (path.endsWith('.faiss'))
        throw Object.assign(new Error('EIO: i/o error'), { code: 'EIO', syscall: 'open', path });
      return disk.open(path);
    },
  };
  const workers = new Workers();
  try {
    const report = await verifyDirectory({
      port,
      directory: project.path(DIRECTORY),
      runsDir: project.path('consolidated_data/runs'),
      scratch: project.path('cache'),
      rebuild: false,
      workers,
      signal,
      onProgress: () => undefined,
    });
    assert.match(report.findings[0].problem, /^cannot be read: the disk reports an error \(EIO\)/);
  } finally {
    await workers.close();
  }
});

test.run();
