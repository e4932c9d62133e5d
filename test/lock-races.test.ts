/** The lock among processes that really run: builds that begin at once, a holder that is stopped, pids of other namespaces. */
import { type ChildProcess, spawn } from 'node:child_process';
import { once } from 'node:events';
import { readdirSync, readFileSync, readlinkSync } from 'node:fs';
import { createInterface } from 'node:readline';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Gate } from './rig/gate.js';
import { PROGRAM, type Running, TestProject } from './rig/project.js';
import { waitFor } from './rig/running.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('races for the lock');

const BUILD_WHEN_TOLD = fileURLToPath(new URL('./rig/build-when-told.js', import.meta.url));
const ROUNDS = 100;

/** A process that builds, again and again. */
class Builder {
  private readonly child: ChildProcess;
  private readonly answers: AsyncIterator<string>;

  constructor(root: string) {
    this.child = spawn(process.execPath, [BUILD_WHEN_TOLD, root], { stdio: ['pipe', 'pipe', 'inherit'] });
    this.answers = createInterface({ input: this.child.stdout! })[Symbol.asyncIterator]();
  }

  async build(): Promise<{ ran: number; fresh: number; failed: number }> {
    this.child.stdin?.write('build\n');
    const { value, done } = await this.answers.next();
    if (done) throw new Error('it has ended');
    return JSON.parse(value) as { ran: number; fresh: number; failed: number };
  }

  async end(): Promise<void> {
    this.child.stdin?.end();
    await once(this.child, 'close');
  }
}

test(`two builds that begin at once, ${ROUNDS} times: every step runs once, and both find it done`, async () => {
  const project = new TestProject(`
targets:
  made: {rule: command, from: in.txt, run: [sh, -c, 'echo run >> runs; cp "$0" "$1"', "{in}", "{out}"], out: out.txt}
  after: {rule: command, from: made, run: [cp, "{in}", "{out}"], out: after.txt}
`);
  const [one, other] = [new Builder(project.root), new Builder(project.root)];
  for (let round = 1; round <= ROUNDS; round++) {
    project.write('in.txt', `round ${round}`);
    const done = await Promise.all([one.build(), other.build()]);
    assert.is(done[0].ran + done[1].ran, 2, `round ${round}: ${JSON.stringify(done)}`);
    assert.is(done[0].fresh + done[1].fresh, 2, `round ${round}: ${JSON.stringify(done)}`);
    assert.is(project.read('runs').toString().split('\n').length - 1, round);
    assert.is(project.read('after.txt').toString(), `round ${round}`);
  }
  await Promise.all([one.end(), other.end()]);
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists('cache/lock'));
});

/** Settles when it has said that it waits. */
async function waits(running: Running): Promise<void> {
  let said = '';
  running.child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  await waitFor(running, 'it said that it waits', () => said.includes('waiting for'));
}

/** Settles when a process has been asleep, and awake again, so many times: each time it looked at the lock. */
async function looks(pid: number, times: number): Promise<void> {
  const switches = () =>
    Number(/^voluntary_ctxt_switches:\s+(\d+)/m.exec(readFileSync(`/proc/${pid}/status`, 'utf8'))?.[1]);
  const before = switches();
  while (switches() < before + times) await new Promise((resolve) => setTimeout(resolve, 10));
}

test('a holder that is stopped keeps its lock, however often the other looks', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(
      `targets: {made: {rule: command, run: ${gate.command('made')}, out: out.txt}}`,
    );
    const holder = project.start('build');
    const visitor = await gate.next();
    holder.child.kill('SIGSTOP');
    const second = project.start('build', '--json');
    await looks(second.child.pid as number, 10);
    assert.is(second.child.exitCode, null);
    assert.equal(gate.visits, ['made']);
    holder.child.kill('SIGCONT');
    visitor.go('once');
    assert.is((await holder.finished).code, 0);
    assert.is((await second.finished).code, 0);
    assert.equal(gate.visits, ['made']);
  } finally {
    gate.close();
  }
});

const UNSHARE = ['--user', '--map-root-user', '--pid', '--fork', '--mount-proc', '--kill-child'];

const namespaceLacks = programLacks('unshare', ...UNSHARE, 'true');

/** As in a container: the pids in there say nothing out here. */
function startInNamespace(project: TestProject, ...args: string[]): Running {
  const child = spawn('unshare', [...UNSHARE, process.execPath, PROGRAM, ...args], {
    cwd: project.root,
    env: { ...process.env, NO_COLOR: '1' },
    stdio: ['ignore', 'pipe', 'pipe'],
  });
  let stdout = '';
  let stderr = '';
  child.stdout.on('data', (chunk) => {
    stdout += chunk;
  });
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  const finished = once(child, 'close').then(([code]) => ({ code: code as number | null, stdout, stderr }));
  return { child, finished };
}

testWhere(
  test,
  namespaceLacks,
  'builds in two containers of one host name do not take each other for gone',
  async () => {
    const gate = await Gate.open();
    try {
      const project = new TestProject(
        `targets: {made: {rule: command, run: ${gate.command('made')}, out: out.txt}}`,
      );
      const holder = startInNamespace(project, 'build');
      const visitor = await gate.next();
      const [file] = readdirSync(project.path('cache/lock'));
      const said = JSON.parse(project.read(`cache/lock/${file}`).toString()) as {
        pid: number;
        namespace: string;
      };
      // The very first process in there, and another one out here.
      assert.is(said.pid, 1);
      assert.is.not(said.namespace, readlinkSync('/proc/self/ns/pid'));
      const second = startInNamespace(project, 'build', '--json');
      await waits(second);
      assert.equal(gate.visits, ['made']);
      visitor.go('once');
      assert.is((await holder.finished).code, 0);
      assert.is((await second.finished).code, 0);
      assert.equal(gate.visits, ['made']);
    } finally {
      gate.close();
    }
  },
);

testWhere(
  test,
  namespaceLacks,
  'a container that was killed is not known to be gone; `firn unlock --force` says so',
  async () => {
    const gate = await Gate.open();
    try {
      const project = new TestProject(
        `targets: {made: {rule: command, run: ${gate.command('made')}, out: out.txt}}`,
      );
      const holder = startInNamespace(project, 'build');
      await gate.next();
      holder.child.kill('SIGKILL');
      await holder.finished;
      const waiting = project.start('build');
      await waits(waiting);
      waiting.child.kill('SIGINT');
      const { code, stderr } = await waiting.finished;
      assert.is(code, 130);
      assert.match(stderr, /waiting for firn build \(pid 1 on .*, in another container .*\) to finish\n/);
      const refused = await project.firn('unlock');
      assert.is(refused.code, 1);
      assert.match(refused.stderr, /is not known to be gone/);
      assert.is((await project.firn('unlock', '--force')).code, 0);
      const last = project.start('build');
      (await gate.next()).go('at last');
      assert.is((await last.finished).code, 0);
      assert.is(project.read('out.txt').toString(), 'at last');
      assert.equal(project.leftovers(), []);
    } finally {
      gate.close();
    }
  },
);

test.run();
