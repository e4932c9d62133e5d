/** `firn release` when any operation of the disk fails, or the program dies there: nothing half has the final name. */
import { spawn } from 'node:child_process';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { projectPlaces } from '../src/project.js';
import { takeRelease } from '../src/release/take.js';
import { verifyDirectory } from '../src/verify.js';
import { Workers } from '../src/workers/pool.js';
import { builtProject, RELEASES } from './release-rig.js';
import { faultyPort } from './rig/faulty-port.js';
import { removeFolder } from './rig/folder.js';
import type { TestProject } from './rig/project.js';

const test = suite('release faults');

const TAKE = fileURLToPath(new URL('./rig/release-at.js', import.meta.url));
const DIRECTORY = `${RELEASES}/reference_2024-11`;
const ARCHIVE = `${DIRECTORY}.tar.gz`;

let first: Promise<{ project: TestProject; whole: { [path: string]: string } }> | undefined;

function prepare(): NonNullable<typeof first> {
  first ??= (async () => {
    const project = await builtProject();
    const done = project.clone();
    await take(done, disk);
    return { project, whole: done.digests(RELEASES) };
  })();
  return first;
}

async function take(project: TestProject, port: Port): Promise<void> {
  const { root, pipeline } = await projectPlaces(project.root);
  await takeRelease({
    port,
    root,
    pipeline,
    reference: project.path('data/reference'),
    name: 'reference',
    tag: '2024-11',
    archive: 'tar.gz',
    signal: new AbortController().signal,
    onProgress: () => undefined,
    onWait: () => undefined,
  });
}

/** Under its final name stands all of it, or nothing. */
function assertWholeOrNothing(project: TestProject, whole: { [path: string]: string }, where: string): void {
  const found = project.exists(RELEASES) ? project.digests(RELEASES) : {};
  const final = Object.keys(found).filter((path) => path.startsWith(`${DIRECTORY}/`));
  if (final.length > 0 || project.exists(DIRECTORY)) {
    for (const [path, digest] of Object.entries(whole))
      if (path !== ARCHIVE) assert.is(found[path], digest, `${where}: ${path}`);
  }
  if (project.exists(ARCHIVE)) assert.is(found[ARCHIVE], whole[ARCHIVE], `${where}: the archive is half`);
}

async function assertConverges(
  project: TestProject,
  whole: { [path: string]: string },
  where: string,
): Promise<void> {
  await take(project, disk);
  assert.equal(project.digests(RELEASES), whole, where);
  assert.equal(project.leftovers(), [], where);
}

/** Every operation fails with EIO, and every few with the others. */
for (const [errno, from, stride] of [
  ['EIO', 1, 1],
  ['ENOSPC', 1, 3],
  ['EACCES', 2, 3],
] as const) {
  test(`when any one operation fails with ${errno}, nothing half has the name, and the next try works`, async () => {
    const { project: before, whole } = await prepare();
    let walked = 0;
    for (let at = from; ; at += stride) {
      const project = before.clone();
      let failed = '';
      const { port, count } = faultyPort(at, (operation) => {
        failed = operation;
        throw Object.assign(new Error(`${errno}: no, ${operation}`), { code: errno });
      });
      let error: unknown;
      await take(project, port).catch((thrown: unknown) => {
        error = thrown;
      });
      if (count.done < at) break;
      walked += 1;
      const where = `${errno} at ${at} (${failed})`;
      assertWholeOrNothing(project, whole, where);
      // Its holder lives: this process.
      if (project.exists('cache/lock')) project.remove('cache/lock');
      if (error !== undefined && !project.exists(DIRECTORY) && !failed.startsWith('unlink'))
        assert.equal(
          project.leftovers().filter((path) => path.includes('release-')),
          [],
          `${where}: what was begun is left`,
        );
      await assertConverges(project, whole, where);
      removeFolder(project.root);
    }
    assert.ok(walked * stride > 40, `only ${walked} operations`);
  });
}

/** What it was about to do; undefined when it was through before. */
function killedAt(project: TestProject, at: number): Promise<string | undefined> {
  return new Promise((resolve, reject) => {
    const child = spawn(process.execPath, [TAKE, project.root, '2024-11', String(at)], {
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

/** Every process costs a quarter of a second: the operations are visited in strides, all of them when asked. */
const STRIDE = Number(process.env.FIRN_TEST_STRIDE ?? 6);

test('killed at any operation, nothing half has the name, and the next try ends right and tidies up', async () => {
  const { project: before, whole } = await prepare();
  let through = false;
  let kills = 0;
  const visit = async (offset: number): Promise<void> => {
    for (let at = offset; !through; at += 2 * STRIDE) {
      const project = before.clone();
      const operation = await killedAt(project, at);
      if (operation === undefined) {
        through = true;
        break;
      }
      kills += 1;
      const where = `killed at ${at} (${operation})`;
      assertWholeOrNothing(project, whole, where);
      await assertConverges(project, whole, where);
      removeFolder(project.root);
    }
  };
  await Promise.all([visit(1), visit(1 + STRIDE)]);
  assert.ok(kills * STRIDE > 40, `only ${kills} kills`);
});

test('interrupted at any time, nothing is left, and the lock is free', async () => {
  const { project: before, whole } = await prepare();
  for (const after of [1, 3, 8, 20, 40]) {
    const project = before.clone();
    const abort = new AbortController();
    let operations = 0;
    const port = new Proxy(disk, {
      get(target, name: keyof Port) {
        const real = target[name];
        return typeof real !== 'function'
          ? real
          : (...args: never[]) => {
              operations += 1;
              if (operations === after * 5) abort.abort(new Error('stop'));
              return (real as (...all: never[]) => unknown)(...args);
            };
      },
    });
    const { root, pipeline } = await projectPlaces(project.root);
    await takeRelease({
      port,
      root,
      pipeline,
      reference: project.path('data/reference'),
      name: 'reference',
      tag: '2024-11',
      archive: 'tar.gz',
      signal: abort.signal,
      onProgress: () => undefined,
      onWait: () => undefined,
    }).catch(() => undefined);
    assertWholeOrNothing(project, whole, `after ${after}`);
    assert.not.ok(project.exists('cache/lock'), `after ${after}`);
    assert.equal(project.leftovers(), [], `after ${after}`);
    await assertConverges(project, whole, `after ${after}`);
    removeFolder(project.root);
  }
});

test('a file that cannot be read is a finding of `verify`, and no crash', async () => {
  const { project: before } = await prepare();
  const project = before.clone();
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
      signal: new AbortController().signal,
      onProgress: () => undefined,
    });
    assert.match(report.findings[0].problem, /^cannot be read: the disk reports an error \(EIO\)/);
  } finally {
    await workers.close();
  }
  removeFolder(project.root);
});

test.run();
