/** `firn runs list`: what headers, registry, references and remembered digests say of each run. */
import { mkdirSync, readFileSync, rmSync, truncateSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { listRuns } from '../src/run-life/list.js';
import { temporaryFolder } from './rig/folder.js';
import { parse, TestProject } from './rig/project.js';
import { builtProject, life, RUNS } from './run-life-rig.js';

const test = suite('runs list');

interface Listed {
  run: string;
  rows: number | null;
  dims: number | null;
  dtype: string | null;
  bytes: number;
  container: string;
  version: string | null;
  changed: string | null;
  references: { target: string; state: string; same: boolean | null }[];
  archived?: { directory: string; bytes: number };
  error?: string;
}

async function list(project: TestProject, ...args: string[]): Promise<Listed[]> {
  const finished = await project.firn('runs', 'list', '--json', ...args);
  assert.is(finished.code, 0, finished.stderr);
  return parse<{ runs: Listed[] }>(finished).runs;
}

async function names(project: TestProject, ...args: string[]): Promise<string[]> {
  return (await list(project, ...args)).map(({ run }) => run);
}

/** Digests are remembered by inode, and a copy of a project has others. */
async function withDigests(): Promise<TestProject> {
  const project = await builtProject();
  assert.is((await project.build()).fresh, 4);
  return project;
}

test('every run with its shape, container, age and references', async () => {
  const project = await withDigests();
  const archive = temporaryFolder();
  await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  const runs = await list(project);
  const size = (path: string) => readFileSync(path).length;
  assert.equal(
    runs.map(({ changed: _changed, ...run }) => run),
    [
      {
        run: 'A/new',
        rows: 20,
        dims: 8,
        dtype: '<f4',
        bytes:
          size(project.path(`${RUNS}/A/new/embeddings.npy`)) +
          size(project.path(`${RUNS}/A/new/embeddings.npz`)),
        container: 'both',
        version: null,
        references: [{ target: 'reference', state: 'present', same: true }],
      },
      {
        run: 'A/old',
        rows: 50,
        dims: 8,
        dtype: '<f4',
        bytes:
          size(project.path(`${RUNS}/A/old/embeddings.npy`)) +
          size(project.path(`${RUNS}/A/old/embeddings.npz`)),
        container: 'both',
        version: null,
        references: [{ target: 'reference', state: 'present', same: true }],
      },
      {
        run: 'B/r1',
        rows: 20,
        dims: 8,
        dtype: '<f4',
        bytes: 0,
        container: 'archived',
        version: null,
        references: [{ target: 'reference', state: 'retained', same: true }],
        archived: { directory: join(archive, 'B/r1'), bytes: size(join(archive, 'B/r1/embeddings.npy')) },
      },
    ],
  );
  const days = (Date.now() - Date.parse(runs[1].changed as string)) / 86_400_000;
  assert.ok(days > 299 && days < 301, String(days));
  const { stdout } = await project.firn('runs', 'list');
  assert.match(stdout, /A +old +50 +8 +f4 +[\d.]+ kB +both +300 d +reference\n/);
  assert.match(stdout, /B +r1 +20 +8 +f4 +0 B +archived +0 h +reference \(retained\)\n/);
});

test('a digest that is not remembered is not claimed, and other values are told', async () => {
  const project = await withDigests();
  await project.writeRun('A/new', { seed: 22 });
  await project.writeRun('B/r1', { seed: 33, rows: 21 });
  const said = async () => (await list(project)).map(({ references }) => references[0]?.same);
  // Another number of rows is another array; of the same number, nobody has looked.
  assert.equal(await said(), [null, true, false]);
  project.remove('cache');
  assert.equal(await said(), [null, null, false]);
  const { stdout } = await project.firn('runs', 'list');
  assert.match(stdout, /B +r1 .*reference \(other values\)/);
  assert.match(stdout, /A +old .*reference \(not compared\)/);
});

test('filters by dataset, run, version, age and text, and the newest', async () => {
  const project = await builtProject();
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'tag-run', 'B/r1', '--version', 'v1');
  project.age(`${RUNS}/B/r1/embeddings.npy`, 3);
  assert.equal(await names(project, '--dataset', 'A'), ['A/new', 'A/old']);
  assert.equal(await names(project, '--run', 'r*', '--run', 'A/o*'), ['A/old', 'B/r1']);
  assert.equal(await names(project, '--version', 'v1'), ['B/r1']);
  assert.equal(await names(project, '--older-than', '180'), ['A/old']);
  assert.equal(await names(project, '--older-than', '12h'), ['A/old', 'B/r1']);
  assert.equal(await names(project, 'OLD'), ['A/old']);
  assert.equal(await names(project, 'a/', 'n'), ['A/new']);
  assert.equal(await names(project, '--recent', '2'), ['A/new', 'B/r1']);
  assert.equal(await names(project, 'nothing'), []);
  const wrong = await project.firn('runs', 'list', '--older-than', '3 fortnights');
  assert.is(wrong.code, 2);
});

test('runs that only references hold are counted, and listed when asked for', async () => {
  const project = await builtProject();
  rmSync(project.path(`${RUNS}/B/r1`), { recursive: true });
  assert.equal(await names(project), ['A/new', 'A/old']);
  assert.match(
    (await project.firn('runs', 'list')).stderr,
    /1 more run only in references; --gone lists them/,
  );
  const gone = (await list(project, '--gone')).find(({ run }) => run === 'B/r1');
  assert.equal(
    [gone?.container, gone?.rows, gone?.references],
    ['gone', 20, [{ target: 'reference', state: 'retained', same: null }]],
  );
  assert.equal(await names(project, '--gone', '--dataset', 'A'), ['A/new', 'A/old']);
});

test('what cannot be read is told, and the others are listed', async () => {
  const project = await builtProject();
  truncateSync(project.path(`${RUNS}/A/new/embeddings.npy`), 40);
  writeFileSync(project.path(`${RUNS}/B/r1/embeddings.npy`), 'no array');
  mkdirSync(project.path(`${RUNS}/C/r1`), { recursive: true });
  writeFileSync(project.path(`${RUNS}/C/r1/archived.json`), '{}');
  const runs = await list(project);
  assert.equal(
    runs.map(({ run, rows, error }) => [run, rows, error !== undefined]),
    [
      ['A/new', null, true],
      ['A/old', 50, false],
      ['B/r1', null, true],
      ['C/r1', null, true],
    ],
  );
  const { stdout, stderr } = await project.firn('runs', 'list');
  assert.match(stderr, /A\/new cannot be read: .*embeddings\.npy: is truncated|A\/new cannot be read/);
  assert.match(stdout, /C +r1 +\? +\? +\?/);
});

test('without pipeline.yaml, and without runs', async () => {
  const project = new TestProject();
  assert.match((await project.firn('runs', 'list')).stdout, /^no run in consolidated_data\/runs\n/);
  await project.writeRun('A/r1');
  assert.equal(await names(project), ['A/r1']);
  assert.is(
    (await project.firn('runs', 'list', 'soil')).stdout,
    'none of 1 run in consolidated_data/runs is meant\n',
  );
  assert.not.ok(project.exists('cache'));
});

test('a folder that is not there has no runs to be silent about', async () => {
  const project = new TestProject();
  project.write('file', '');
  for (const folder of ['nowhere', 'file']) {
    for (const args of [['runs', 'list'], ['runs', 'restore'], ['du']]) {
      const { code, stderr } = await project.firn('-C', folder, ...args);
      assert.is(code, 2, args.join(' '));
      assert.match(stderr, /(nowhere: there is no such folder|file: is no folder)/);
    }
  }
});

test('names are data', async () => {
  const project = new TestProject();
  await project.writeRun('A/$(touch X)\u001b[31m');
  const { stdout } = await project.firn('runs', 'list');
  assert.match(stdout, '$(touch X)\\x1b[31m');
  assert.not.ok(project.exists('X'));
});

test('a time that no calendar holds is not shown, and hides no other run', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1');
  await project.writeRun('A/r2');
  // As memory file systems and some servers keep it.
  const mtimeNs = 99_999_999_999_999n * 1_000_000_000n;
  const port: Port = Object.assign(Object.create(disk) as Port, {
    stat(path: string) {
      const stat = disk.stat(path);
      return stat !== undefined && path.endsWith('r1/embeddings.npy') ? { ...stat, mtimeNs } : stat;
    },
  });
  const { runs } = await listRuns({ directory: project.root, port, signal: new AbortController().signal });
  assert.equal(
    runs.map(({ changedMs }) => changedMs === undefined),
    [true, false],
  );
});

test('no array is read behind its header, however large it is', async () => {
  const project = await builtProject();
  let most = 0;
  const port = Object.assign(Object.create(disk) as Port, {
    async open(path: string) {
      const handle = await disk.open(path);
      return {
        path,
        size: handle.size,
        async read(into: Uint8Array, position: number) {
          if (path.endsWith('.npy')) most = Math.max(most, position + into.byteLength);
          return handle.read(into, position);
        },
        stat: () => handle.stat(),
        close: () => handle.close(),
      };
    },
  });
  await project.writeRun('Z/big', { rows: 100_000, seed: 5 });
  const { runs } = await listRuns({ directory: project.root, port, signal: new AbortController().signal });
  assert.is(runs.find(({ name }) => name === 'Z/big')?.rows, 100_000);
  assert.ok(most < 100_000, `${most} bytes of an array were asked for`);
});

test.run();
