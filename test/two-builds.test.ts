/** Two builds of one project: one works, one waits and says for whom. Nobody's lock is taken while he may live. */
import { type ChildProcess, spawn } from 'node:child_process';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  symlinkSync,
  unlinkSync,
  writeFileSync,
} from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acquireLock, type Holder, readLock, removeLock } from '../src/engine/lock.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { Gate } from './rig/gate.js';
import { TestProject } from './rig/project.js';
import { testWhere } from './rig/where.js';

const test = suite('two builds');

/** Resolves when the program has printed a line to stderr that matches. */
function printed(child: ChildProcess, pattern: RegExp): Promise<string> {
  return new Promise((resolve, reject) => {
    let text = '';
    child.stderr?.on('data', (chunk) => {
      text += chunk;
      if (pattern.test(text)) resolve(text);
    });
    child.on('close', () => reject(new Error(`it ended and had only printed:\n${text}`)));
  });
}

test('the second waits, names the holder, and finds everything done', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`
targets:
  made: {rule: command, run: ${gate.command('made')}, out: out.txt}
`);
    const one = project.start('build', '--json');
    const visitor = await gate.next();
    const two = project.start('build');
    const said = await printed(two.child, /waiting for .*\n/);
    assert.match(
      said,
      new RegExp(`waiting for firn build \\(pid ${one.child.pid} on ${hostname()}\\) to finish`),
    );
    visitor.go('once');
    assert.is((await one.finished).code, 0);
    const second = await two.finished;
    assert.is(second.code, 0);
    assert.match(second.stdout, /nothing to do/);
    assert.equal(gate.visits, ['made']);
    assert.is(project.read('out.txt').toString(), 'once');
    assert.equal(project.leftovers(), []);
    assert.not.ok(project.exists('cache/lock'));
  } finally {
    gate.close();
  }
});

test('`firn compress --json` says for whom it waits, too', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1');
  const lock = await acquireLock(disk, project.path('cache/lock'), {
    command: 'this test',
    onWait: () => undefined,
  });
  const { child, finished } = project.start('compress', '--execute', '--json');
  await printed(child, /waiting for this test/);
  await lock.release();
  const { code, stdout } = await finished;
  assert.equal([code, (JSON.parse(stdout) as { compressed: number }).compressed], [0, 1]);
});

test('a waiting build that is interrupted leaves nothing', async () => {
  const project = new TestProject(
    'targets:\n  made: {rule: command, run: [cp, pipeline.yaml, "{out}"], out: out.txt}\n',
  );
  const lock = await acquireLock(disk, project.path('cache/lock'), {
    command: 'this test',
    onWait: () => undefined,
  });
  const { child, finished } = project.start('build');
  await printed(child, /waiting for this test/);
  child.kill('SIGINT');
  assert.is((await finished).code, 130);
  assert.equal(project.leftovers(), []);
  await lock.release();
  assert.is((await project.build()).ran, 1);
});

const BOOT = readOr('/proc/sys/kernel/random/boot_id');
const bootLacks = BOOT === '' ? 'this system does not tell its boot' : undefined;
const machineLacks = readOr('/etc/machine-id') === '' ? 'this machine has no id' : undefined;

function readOr(path: string): string {
  try {
    return readFileSync(path, 'utf8').trim();
  } catch {
    return '';
  }
}

function namespaceOf(pid: number | 'self'): string {
  try {
    return readlinkSync(`/proc/${pid}/ns/pid`);
  } catch {
    return '';
  }
}

/** Field 22 of /proc/PID/stat. */
function startedOf(pid: number): string {
  const text = readOr(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function stateOf(pid: number): string {
  const text = readOr(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2, text.lastIndexOf(')') + 3);
}

/** A lock as another process would have left it. */
function plantLock(holder: Partial<Holder> & { pid: number }): string {
  const path = new TestProject().path('cache/lock');
  mkdirSync(path, { recursive: true });
  const whole: Holder = {
    host: hostname(),
    machine: readOr('/etc/machine-id'),
    boot: BOOT,
    namespace: namespaceOf('self'),
    started: startedOf(holder.pid),
    command: 'other',
    ...holder,
  };
  writeFileSync(join(path, 'holder.json'), JSON.stringify(whole));
  return path;
}

const isGone = (path: string) => readLock(disk, path)?.gone;

test('a holder that lives is not gone, also when it is stopped, elsewhere or unreadable', async () => {
  assert.is(isGone(plantLock({ pid: process.pid })), false);
  assert.is(isGone(plantLock({ pid: 2 ** 22 - 1, host: 'another-host', boot: 'another' })), false);
  const stopped = spawn('sleep', ['100']);
  try {
    stopped.kill('SIGSTOP');
    assert.is(isGone(plantLock({ pid: stopped.pid as number })), false);
  } finally {
    stopped.kill('SIGKILL');
  }
  const dead = spawn('true');
  await new Promise((resolve) => dead.on('close', resolve));
  const unseen = { pid: dead.pid as number, namespace: 'pid:[1]' };
  assert.is(isGone(plantLock(unseen)), false, 'the pid is one of another container');
  const namesake = { pid: dead.pid as number, boot: 'another', machine: 'another' };
  assert.is(isGone(plantLock(namesake)), false, 'another machine has the same name');
  assert.is(isGone(plantLock({ ...namesake, machine: '' })), false, 'nothing says that it is this machine');
  const cut = plantLock({ pid: 1 });
  writeFileSync(join(cut, 'holder.json'), '{"host":');
  assert.is(isGone(cut), false);
});

test('a holder is gone when its pid is', async () => {
  const ended = spawn('true');
  await new Promise((resolve) => ended.on('close', resolve));
  assert.is(isGone(plantLock({ pid: ended.pid as number })), true);
});

testWhere(test, bootLacks, 'a holder is gone when its start is another', () => {
  assert.is(isGone(plantLock({ pid: process.pid, started: '1' })), true, 'the pid is used again');
  const renamed = { pid: process.pid, started: '1', host: 'another-name' };
  assert.is(isGone(plantLock(renamed)), true, 'a container of this machine under another name');
});

testWhere(test, bootLacks ?? machineLacks, 'a holder is gone when its boot is another', () => {
  assert.is(isGone(plantLock({ pid: process.pid, boot: 'earlier' })), true, 'the machine was started again');
});

testWhere(
  test,
  bootLacks,
  'what another user left of a lock and may not be removed keeps nobody from building',
  async () => {
    const folder = new TestProject().root;
    const path = join(folder, 'lock');
    const first = await acquireLock(disk, path, { command: 'test', onWait: () => undefined });
    const { holder } = readLock(disk, path) as { holder: Holder };
    await first.release();
    const left = join(folder, '.firn-lock-0123456789ab-1-0123456789ab');
    mkdirSync(left);
    writeFileSync(join(left, 'x.json'), JSON.stringify({ ...holder, started: '1' }));
    const port: Port = {
      ...disk,
      unlink: (file) =>
        file.startsWith(left)
          ? Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES' }))
          : disk.unlink(file),
    };
    for (let i = 0; i < 2; i++) {
      const lock = await acquireLock(port, path, {
        command: 'test',
        onWait: () => assert.unreachable('nobody holds it'),
      });
      await lock.release();
    }
  },
);

test('a lock that is none, or that the system refuses, is told and not asked for without end', async () => {
  const project = new TestProject(
    'targets:\n  made: {rule: command, run: [cp, pipeline.yaml, "{out}"], out: out.txt}\n',
  );
  mkdirSync(project.path('cache/lock'), { recursive: true });
  symlinkSync('nowhere', project.path('cache/lock/link'));
  const waits = project.start('build');
  await printed(waits.child, /waiting for a process that left no name to finish/);
  waits.child.kill('SIGINT');
  assert.is((await waits.finished).code, 130);
  assert.is((await project.firn('unlock', '--force')).code, 0);
  assert.is((await project.build()).ran, 1);

  const refused = Object.assign(new Error('EPERM: operation not permitted, rename'), { code: 'EPERM' });
  const port: Port = { ...disk, rename: () => Promise.reject(refused) };
  const options = { command: 'test', onWait: () => undefined, signal: AbortSignal.timeout(20_000) };
  let error: unknown;
  await acquireLock(port, project.path('cache/lock'), options).catch((thrown: unknown) => {
    error = thrown;
  });
  assert.is(error, refused);
  assert.equal(project.leftovers(), []);
});

testWhere(test, bootLacks, 'a killed holder that nobody waited for is gone', async () => {
  // exec: what becomes of the shell waits for no child. The child ends after that, or the shell could still reap it.
  const script = '(until grep -q sleep /proc/$$/comm; do :; done) & echo $!; exec sleep 100';
  const parent = spawn('sh', ['-c', script], {
    stdio: ['ignore', 'pipe', 'ignore'],
  });
  try {
    const pid = await new Promise<number>((resolve) =>
      parent.stdout.on('data', (chunk) => resolve(Number(chunk))),
    );
    while (stateOf(pid) !== 'Z') await new Promise(setImmediate);
    assert.is(isGone(plantLock({ pid })), true);
  } finally {
    parent.kill('SIGKILL');
  }
});

test('of many that find the holder dead, one at a time gets the lock, and all do', async () => {
  const path = plantLock({ pid: process.pid, started: '1' });
  let inside = 0;
  let served = 0;
  let takers = 0;
  const enter = async (): Promise<void> => {
    const lock = await acquireLock(disk, path, { command: 'test', onWait: () => undefined });
    inside += 1;
    takers += Number(lock.tookOver);
    assert.is(inside, 1);
    for (let turn = 0; turn < 5; turn++) await new Promise(setImmediate);
    inside -= 1;
    served += 1;
    await lock.release();
  };
  await Promise.all(Array.from({ length: 6 }, enter));
  assert.is(served, 6);
  assert.ok(takers >= 1);
  assert.equal(readdirSync(join(path, '..')), []);
});

test('a lock that changes hands while `unlock` looks at it stays with the new holder', async () => {
  const path = plantLock({ pid: process.pid, started: '1' });
  const other = join(path, 'other.json');
  const port: Port = {
    ...disk,
    readText(file, limit) {
      const text = disk.readText(file, limit);
      // Somebody finds the dead one at the same time, and is faster.
      unlinkSync(file);
      writeFileSync(other, text?.replace('"started":"1"', `"started":"${startedOf(process.pid)}"`) ?? '');
      return text;
    },
  };
  const mark = join(path, '..', 'unswept');
  await removeLock(port, path, true, mark);
  assert.equal(readdirSync(path), ['other.json']);
  assert.is(isGone(path), false);
});

test.run();
