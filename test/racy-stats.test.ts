/**
 * Never a wrong "fresh": files that change within one tick, with equal size and mtime, while they are hashed or read, or
 * between their last byte and their digest; clocks that are set, or are not that of the file system.
 */
import { spawn, spawnSync } from 'node:child_process';
import { once } from 'node:events';
import {
  closeSync,
  openSync,
  readFileSync,
  renameSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
  writeSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Digests } from '../src/engine/digests.js';
import { FileClock } from '../src/engine/file-clock.js';
import type { Digester } from '../src/engine/types.js';
import { disk } from '../src/files/disk.js';
import type { FileStat, Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { temporaryFolder } from './rig/folder.js';
import { type BuildJson, idsWith, PROGRAM, stepOf, TestProject } from './rig/project.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('racy stats');

const REFERENCE = 'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n';
const NPY = 'consolidated_data/runs/A/r1/embeddings.npy';
const STAMP = 1_700_000_000;

/** The last values of the run in the same file, with the size and mtime that it had. */
function rewrite(path: string, value: number): void {
  const handle = openSync(path, 'r+');
  writeSync(handle, Buffer.from(Float32Array.of(value).buffer), 0, 4, statSync(path).size - 4);
  closeSync(handle);
  utimesSync(path, STAMP, STAMP);
}

/** The last value of the run, as the reference has it. */
function lastValue(project: TestProject): number {
  return project.reference().rowsOf('A/r1').at(-1) as number;
}

async function project(): Promise<TestProject> {
  const made = new TestProject(REFERENCE);
  await made.writeRun('A/r1');
  rewrite(made.path(NPY), 0.5);
  return made;
}

const buildHere = async (made: TestProject, port: Port = disk) =>
  build(await openProject({ directory: made.root, port }));

test('rewritten right before and after every one of many builds', async () => {
  const made = await project();
  for (let i = 0; i < 60; i++) {
    rewrite(made.path(NPY), i);
    if (i % 3 === 0) await buildHere(made);
    rewrite(made.path(NPY), i + 0.25);
    const { ran, fresh, failed } = await buildHere(made);
    assert.equal([ran, fresh, failed], [1, 0, 0], `${i}`);
    assert.is(lastValue(made), i + 0.25);
  }
});

test('rewritten in a loop while builds run: what they say is fresh is what is there', async () => {
  const made = await project();
  const script = `
const { openSync, writeSync, utimesSync, existsSync } = require('node:fs');
const [path, size, stop] = process.argv.slice(1);
const handle = openSync(path, 'r+');
for (let i = 1; !existsSync(stop); i++) {
  writeSync(handle, Buffer.from(Float32Array.of(i).buffer), 0, 4, size - 4);
  utimesSync(path, ${STAMP}, ${STAMP});
  if (i === 1) console.log('begun');
}`;
  const stop = made.path('stop');
  const loop = spawn(
    process.execPath,
    ['-e', script, made.path(NPY), String(statSync(made.path(NPY)).size), stop],
    {
      stdio: ['ignore', 'pipe', 'inherit'],
    },
  );
  await once(loop.stdout, 'data');
  for (let i = 0; i < 12; i++) {
    const { outcomes } = await buildHere(made);
    // It may have been written to between digest and copy, and then nothing is recorded.
    for (const { status, error } of outcomes)
      if (status === 'failed') assert.match(String(error), /changed while/);
  }
  writeFileSync(stop, '');
  await once(loop, 'close');
  const last = new Float32Array(Uint8Array.from(made.read(NPY).subarray(-4)).buffer)[0];
  const after = await buildHere(made);
  assert.is(after.failed, 0);
  assert.is(lastValue(made), last);
  assert.is((await buildHere(made)).fresh, 1);
});

test('files from the future are looked into each time', async () => {
  const made = await project();
  const future = Date.now() / 1000 + 400_000_000;
  utimesSync(made.path(NPY), future, future);
  await buildHere(made);
  for (const value of [1, 2]) {
    rewrite(made.path(NPY), value);
    utimesSync(made.path(NPY), future, future);
    assert.is((await buildHere(made)).ran, 1);
    assert.is(lastValue(made), value);
  }
});

testWhere(
  test,
  programLacks('faketime', '--version'),
  'the clock of the program set forth and back between builds',
  async () => {
    const made = await project();
    const at = (shift: string): BuildJson => {
      const args = ['-f', shift, process.execPath, PROGRAM, 'build', '--json'];
      const env = { ...process.env, FAKETIME_DONT_FAKE_MONOTONIC: '1' };
      const { stdout, stderr } = spawnSync('faketime', args, { cwd: made.root, env, encoding: 'utf8' });
      assert.ok(stdout !== '', stderr);
      return JSON.parse(stdout) as BuildJson;
    };
    const shifts = ['+30d', '-30d', '+1h', '-1h', '+0', '-10y', '+10y'];
    for (const [i, shift] of shifts.entries()) {
      rewrite(made.path(NPY), i + 1);
      assert.is(at(shift).ran, 1, shift);
      assert.is(lastValue(made), i + 1, shift);
      assert.is(at(shifts[(i + 3) % shifts.length]).fresh, 1, shift);
    }
  },
);

test('edited while it is hashed, the digest is told and not remembered', async () => {
  const made = await project();
  let edits = 0;
  const port: Port = {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      // The second and last time the run is opened: when it is copied.
      if (path.endsWith(NPY) && edits < 1) {
        edits += 1;
        rewrite(path, 77);
      }
      return handle;
    },
  };
  const first = await buildHere(made, port);
  assert.is(edits, 1);
  // Either all of it is of the new value, or nothing was built of a mixture.
  if (first.failed === 0) assert.is(lastValue(made), 77);
  assert.is((await buildHere(made)).failed, 0);
  assert.is(lastValue(made), 77);
});

/** Writes other text into its input, reads it, and puts the text back as it was, mtime and all. */
const DECEIVER = `
import { existsSync, readFileSync, statSync, utimesSync, writeFileSync } from 'node:fs';
const [from, to] = process.argv.slice(2);
const { atime, mtime } = statSync(from);
const text = readFileSync(from, 'utf8');
if (!existsSync('done-once')) writeFileSync(from, 'OTHER');
writeFileSync(to, readFileSync(from));
writeFileSync(from, text);
utimesSync(from, atime, mtime);
writeFileSync('done-once', '');
`;

test('what held something else for a moment while it was read is read again by the next build', async () => {
  const made = new TestProject(`targets:
  made: {rule: command, from: in.txt, run: [${process.execPath}, edit.mjs, "{in}", "{out}"], out: out.txt}
  after: {rule: command, from: [made], run: [cp, "{in}", "{out}"], out: copy.txt}
`);
  made.write('edit.mjs', DECEIVER);
  made.write('in.txt', 'right');
  const first = await made.firn('build');
  assert.is(first.code, 0, first.stderr);
  assert.match(
    first.stderr,
    'warning: made: in.txt was written to while made read it: the next build does it again',
  );
  assert.is(made.read('out.txt').toString(), 'OTHER');
  const plan = await made.plan();
  assert.is(stepOf(plan, 'made').reason, 'in.txt changed');
  made.write(
    'edit.mjs',
    "import { copyFileSync } from 'node:fs';\ncopyFileSync(...process.argv.slice(2));\n",
  );
  assert.equal(idsWith(await made.build(), 'ran').sort(), ['after', 'made']);
  assert.is(made.read('copy.txt').toString(), 'right');
  assert.is((await made.build()).fresh, 2);
});

test('a copy says of no values that they are those of a run that held others for a moment', async () => {
  const made = new TestProject('targets:\n  compressed: {rule: compress}\n');
  await made.writeRun('A/r1', { seed: 1 });
  await made.writeRun('B/r1', { seed: 2 });
  const other = made.path('other.npy');
  renameSync(made.path('consolidated_data/runs/B/r1/embeddings.npy'), other);
  let opened = 0;
  const port: Port = {
    ...disk,
    open(path) {
      if (path.endsWith(NPY)) opened += 1;
      // Hashed as what it is, and read as something else.
      return disk.open(path.endsWith(NPY) && opened === 2 ? other : path);
    },
  };
  const { outcomes } = await buildHere(made, port);
  const [{ status, error }] = outcomes.filter(({ id }) => id === 'compressed:A/r1');
  assert.is(status, 'failed');
  assert.match(String(error), 'changed while it was compressed');
  assert.not.ok(made.exists('consolidated_data/runs/A/r1/embeddings.npz'));
  assert.equal(made.leftovers(), []);
  assert.is((await buildHere(made)).failed, 0);
});

test('an output that is altered between its last byte and its digest is seen', async () => {
  for (const when of ['staged', 'renamed'] as const) {
    const made = new TestProject(
      'targets:\n  c: {rule: command, from: in.txt, run: [cp, "{in}", "{out}"], out: out.txt}\n',
    );
    made.write('in.txt', 'right');
    const alter = (path: string): void => {
      const handle = openSync(path, 'r+');
      writeSync(handle, 'wrong');
      closeSync(handle);
    };
    const port: Port = {
      ...disk,
      async rename(from, to) {
        if (to.endsWith('out.txt') && when === 'staged') alter(from);
        await disk.rename(from, to);
        if (to.endsWith('out.txt') && when === 'renamed') alter(to);
      },
    };
    assert.is((await buildHere(made, port)).ran, 1);
    assert.is(made.read('out.txt').toString(), 'wrong');
    const { outcomes } = await buildHere(made);
    assert.match(outcomes[0].reasons.map(({ text }) => text).join(), 'out.txt is not what c wrote', when);
    assert.is(made.read('out.txt').toString(), 'right', when);
  }
});

const FILE = { kind: 'file', path: 'a' };

/** A file whose stat says nothing of what is in it, on a file system with a clock of its own. */
class StillFile {
  content = 'first';
  readings = 0;
  /** ns; the stamp of the file is 0 by this clock. */
  clock = 0n;
  stat: FileStat = {
    kind: 'file',
    size: 5,
    mtimeNs: 1_700_000_000_123_000_000n,
    ctimeNs: 1_700_000_000_123_000_000n,
    ino: 1n,
    dev: 7n,
  };
  readonly folder = temporaryFolder();

  digests(): Digests {
    const folderStat: FileStat = { ...this.stat, kind: 'directory', dev: 7n };
    const port: Port = {
      ...disk,
      stat: (path) => (path === '/a' ? this.stat : path === this.folder ? folderStat : disk.stat(path)),
      probe: async () => ({ ...this.stat, dev: 7n, mtimeNs: this.stat.mtimeNs + this.clock }),
    };
    const digester: Digester = {
      files: (path) => [path],
      digest: async () => {
        this.readings += 1;
        return { digest: `sha256:${Buffer.from(this.content).toString('hex').padEnd(64, '0')}` };
      },
    };
    const clock = new FileClock(port, this.folder);
    return new Digests(port, '', new Map([['file', digester]]), join(this.folder, 'log'), {
      save: true,
      clock,
    });
  }

  /** Whether another content is seen by the next program. */
  async isSeen(): Promise<boolean> {
    rmSync(join(this.folder, 'log'), { force: true });
    this.readings = 0;
    const digests = this.digests();
    await digests.get(FILE);
    await digests.close();
    const again = this.digests();
    await again.get(FILE);
    await again.close();
    return this.readings === 2;
  }
}

const MS = 1_000_000n;

test('it is the clock of the file system that counts, and not that of the program', async () => {
  const file = new StillFile();
  for (const [clock, seen] of [
    // The server is an hour behind, or ahead, of this machine: its own stamps say how old the file is.
    [10n * MS, true],
    [19n * MS, true],
    [21n * MS, false],
    [-3_600_000n * MS, true],
    [3_600_000n * MS, false],
  ] as const) {
    file.clock = clock;
    assert.is(await file.isSeen(), seen, String(clock));
  }
});

test('whole seconds, and files of another file system, need longer to be believed', async () => {
  const file = new StillFile();
  file.stat = { ...file.stat, mtimeNs: 1_700_000_000_000_000_000n };
  file.clock = 1_900n * MS;
  assert.ok(await file.isSeen());
  file.clock = 2_100n * MS;
  assert.not.ok(await file.isSeen());
  // What time it is there nobody can ask without writing to it.
  const other = new StillFile();
  other.stat = { ...other.stat, dev: 8n };
  other.clock = 59_000n * MS;
  assert.ok(await other.isSeen());
  other.clock = 61_000n * MS;
  assert.not.ok(await other.isSeen());
});

test('where the file system does not tell, nothing is remembered and the build goes on', async () => {
  const made = await project();
  const silent: Port = {
    ...disk,
    probe: () => Promise.reject(Object.assign(new Error('EROFS'), { code: 'EROFS' })),
  };
  assert.is((await buildHere(made, silent)).ran, 1);
  const { fresh } = await buildHere(made, silent);
  assert.is(fresh, 1);
  assert.not.ok(made.exists('cache/fresh.jsonl'));
  const lines = readFileSync(made.path('cache/digests.jsonl'), 'utf8');
  assert.not.match(lines, 'run:');
});

test.run();
