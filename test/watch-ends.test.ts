/** How a watch begins and ends: exit codes, Ctrl-C with and without a terminal, and ways to notice changes. */
import { spawn, spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { textOf } from '../src/system-errors.js';
import type { WatchEvent } from '../src/watch/events.js';
import { type WatchPlace, watchProject } from '../src/watch/watch.js';
import { Gate } from './rig/gate.js';
import { PROGRAM, TestProject } from './rig/project.js';
import { oracleTest } from './rig/python.js';
import { waitFor } from './rig/running.js';
import { Watching } from './rig/watching.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('watch ends');

const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;

test('a wrong request or pipeline.yaml at the beginning ends it', async () => {
  const project = new TestProject('targets: {r: {rule: consolidat}}');
  for (const [args, message] of [
    [[], /unknown rule/],
    [['--settle', '-1'], /--settle must be a number of seconds from 0 to 86400, found "-1"/],
    [['--poll=0'], /--poll must be/],
    [['--jobs', '0'], /--jobs must be/],
  ] as const) {
    const { code, stderr, stdout } = await project.firn('watch', ...args);
    assert.is(code, 2);
    assert.match(stderr, message);
    assert.is(stdout, '');
  }
  project.write('pipeline.yaml', PIPELINE);
  const { code, stderr } = await project.firn('watch', 'referenc');
  assert.is(code, 2);
  assert.match(stderr, /there is no target "referenc"\n {2}Did you mean "reference"/);
  assert.is((await new TestProject().firn('watch')).code, 2);
  assert.not.ok(project.exists('cache'));
});

test('a first build that cannot begin ends it', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1');
  project.write('cache', 'a file');
  const { code, stderr } = await project.firn('watch');
  assert.is(code, 1);
  assert.match(stderr, /^firn: cache/m);
});

test('a target and what it depends on, and nothing else', async () => {
  const project = new TestProject(`${PIPELINE}  other: {rule: consolidate, runs: all, out: data/other}\n`);
  await project.writeRun('A/r1');
  const watch = new Watching(project, 'index');
  const { event } = await watch.built('index:reference');
  assert.equal(
    event?.steps?.map(({ id }) => id),
    ['reference', 'index:reference'],
  );
  await watch.stop();
  assert.not.ok(project.exists('data/other'));
});

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} while it has nothing to do is its normal end`, async () => {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1');
    const watch = new Watching(project);
    await watch.built('reference');
    await watch.idle();
    watch.running.child.kill(signal);
    const { code, stderr } = await watch.running.finished;
    assert.is(code, 0);
    assert.is(stderr, '');
    assert.is((await project.build()).fresh, 2);
  });
}

test('Ctrl-C in a build interrupts it, and the next one goes on', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`targets:
  made: {rule: command, run: ${gate.command('made')}, out: out.txt}
  after: {rule: command, from: made, run: [cp, "{in}", "{out}"], out: after.txt}
`);
    const watch = new Watching(project);
    const visitor = await gate.next();
    watch.running.child.kill('SIGINT');
    const { code, stdout } = await watch.running.finished;
    assert.is(code, 130);
    assert.match(stdout, '"interrupted":1');
    assert.not.ok(isRunning(visitor.pid));
    assert.not.ok(project.exists('out.txt'));
    assert.equal(project.leftovers(), []);
    assert.not.ok(project.exists('cache/lock'));
    const again = new Watching(project);
    (await gate.next()).go('whole');
    await again.built('after');
    await again.stop();
    assert.is(project.read('after.txt').toString(), 'whole');
  } finally {
    gate.close();
  }
});

function isRunning(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

test('as lines for a log: when, what is waited for, and each build as firn build shows it', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const { child, finished } = project.start('watch', '--settle', '0.1', '--explain');
  let said = '';
  child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  const until = (what: string) => waitFor({ child, finished }, what, () => said.includes(what));
  await until('built index:reference');
  project.write('consolidated_data/runs/A/\u001b[31m/embeddings.npy', '');
  await until('waiting for A/\\x1b[31m to be complete: embeddings.npy is empty\n');
  await project.writeRun('A/r2', { seed: 2 });
  await until('[2/2] built index:reference in');
  await until('run A/r2 is new');
  project.write('pipeline.yaml', 'targets: 1');
  await until('the pipeline stays in use as it was before');
  child.kill('SIGINT');
  const { code, stdout, stderr } = await finished;
  assert.is(code, 0);
  const time = '\\d{4}-\\d\\d-\\d\\d \\d\\d:\\d\\d:\\d\\d';
  assert.match(stderr, new RegExp(`^${time} watching \\d+ folders; Ctrl-C ends it$`, 'm'));
  assert.match(stderr, new RegExp(`^${time} building\nrun reference: \n    run A/r2 is new\n`, 'm'));
  assert.match(stderr, new RegExp(`^${time} firn: pipeline.yaml:1:10: .*`, 'm'));
  assert.not.match(stderr, /\r|\u001b/);
  const summaries = stdout.trim().split('\n');
  assert.is(summaries.length, 2, stdout);
  for (const line of summaries) assert.match(line, /^2 steps: 2 built \(/);
});

test('what failed is told when it fails, and not in every build', async () => {
  const project = new TestProject(`targets:
  bad: {rule: command, from: in.txt, run: [sh, -c, 'exit 3', "{in}"], out: bad.txt}
  after: {rule: command, from: bad, run: [cp, "{in}", "{out}"], out: after.txt}
  other: {rule: command, from: o.txt, run: [cp, "{in}", "{out}"], out: other.txt}
`);
  project.write('in.txt', 'one');
  project.write('o.txt', 'one');
  const { child, finished } = project.start('watch', '--settle', '0.1');
  let said = '';
  child.stdout?.on('data', (chunk) => {
    said += chunk;
  });
  const builds = (count: number) =>
    waitFor({ child, finished }, `${count} builds`, () => said.split('\n').length > count);
  await builds(1);
  for (const [i, text] of ['two', 'three'].entries()) {
    project.write('o.txt', text);
    await builds(i + 2);
  }
  child.kill('SIGINT');
  const { code, stdout, stderr } = await finished;
  assert.is(code, 0);
  assert.is(stderr.match(/FAILED bad/g)?.length, 1, stderr);
  assert.is(stderr.match(/skipped after: bad failed/g)?.length, 1, stderr);
  assert.not.match(stderr, /skipped bad/);
  assert.match(
    stdout,
    /^3 steps: 1 built, 1 failed, 1 skipped .*\n3 steps: 1 built, 2 skipped .*\n3 steps: 1 built, 2 skipped .*\n$/,
  );
});

test('a reader of the JSON that goes away ends it', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const watch = new Watching(project);
  await watch.built('reference');
  await watch.idle();
  watch.running.child.stdout?.destroy();
  await project.writeRun('A/r2', { seed: 2 });
  const { code, stderr } = await watch.running.finished;
  assert.is(code, 0);
  assert.is(stderr, '');
});

/** Runs the program on a pseudo-terminal, changes something once it is idle, and types Ctrl-C when it is idle again. */
const PTY = `
import os, pty, sys, shutil
os.environ.pop('CI', None)
os.environ['TERM'] = 'xterm'
pid, fd = pty.fork()
if pid == 0:
    os.execvp(sys.argv[1], sys.argv[1:])
data = b''
seen = 0
def until(text):
    global data, seen
    while text not in data[seen:]:
        more = os.read(fd, 65536)
        if not more: raise SystemExit('it ended: %r' % data)
        data += more
    seen = data.index(text, seen) + len(text)
until(b'\\x1b[2Kwatching')
shutil.copytree('consolidated_data/runs/A/r1', 'consolidated_data/runs/A/r2')
until(b'steps: 2 built')
until(b'\\x1b[2Kwatching')
os.write(fd, b'\\x03')
while True:
    try: more = os.read(fd, 65536)
    except OSError: break
    if not more: break
    data += more
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(data + b'\\n%d' % os.waitstatus_to_exitcode(status))
`;

oracleTest(
  test,
  ['pty'],
  'on a terminal a line says what it does, and Ctrl-C leaves a clean screen',
  async () => {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1', { seed: 1 });
    const { stdout, stderr } = spawnSync(
      '/usr/bin/python3',
      ['-c', PTY, process.execPath, PROGRAM, 'watch', '--settle', '0.1'],
      { cwd: project.root, encoding: 'utf8', timeout: 60_000 },
    );
    const code = stdout.slice(stdout.lastIndexOf('\n') + 1);
    assert.is(code, '0', `${stdout}${stderr}`);
    assert.match(stdout, /\[2Kwatching \d+ folders/);
    // What stays on the screen: each line as it was last drawn.
    const screen = stdout.split('\n').map((line) => line.split('\r\u001b[2K').at(-1)?.replaceAll('\r', ''));
    assert.not.ok(
      screen.some((line) => /^watching/.test(line ?? '')),
      screen.join('\n'),
    );
    assert.is(screen.filter((line) => /^2 steps: 2 built/.test(line ?? '')).length, 2, screen.join('\n'));
  },
);

/** In a user namespace with a limit of its own. */
const LIMITED = `echo 3 > /proc/sys/user/max_inotify_watches && exec "$0" "$@"`;

testWhere(
  test,
  programLacks('unshare', '-Ur', 'sh', '-c', LIMITED, 'true'),
  'at the limit of watched folders it says so, and polls',
  async () => {
    const project = new TestProject(PIPELINE);
    for (const name of ['A/r1', 'A/r2', 'B/r1']) await project.writeRun(name, { seed: name.length });
    const { child, finished } = project.start('watch', '--json', '--settle', '0.1');
    child.kill('SIGINT');
    await finished;
    const running = spawnLimited(project);
    await running.until(
      /"how":"polling","seconds":10,"why":"the system allows no more watched folders \(ENOSPC\)/,
    );
    await running.until(/"type":"idle"/);
    await project.writeRun('B/r2', { seed: 4 });
    await running.until(/run B\/r2 is new/);
    await running.until(/"type":"end","ran":2/);
    assert.is(await running.stop(), 0);
  },
);

function spawnLimited(project: TestProject) {
  const child = spawn(
    'unshare',
    ['-Ur', 'sh', '-c', LIMITED, process.execPath, PROGRAM, 'watch', '--json', '--settle', '0.1'],
    { cwd: project.root, stdio: ['ignore', 'pipe', 'inherit'] },
  );
  let text = '';
  let wake: () => void = () => undefined;
  let ended = false;
  child.stdout.on('data', (chunk) => {
    text += chunk;
    wake();
  });
  const code = new Promise<number | null>((resolve) => child.on('close', resolve));
  void code.then(() => {
    ended = true;
    wake();
  });
  return {
    async until(pattern: RegExp): Promise<void> {
      for (let found = pattern.exec(text); found === null; found = pattern.exec(text)) {
        if (ended) throw new Error(`it ended before ${pattern}:\n${text}`);
        await new Promise<void>((resolve) => {
          wake = resolve;
        });
      }
      text = text.slice((pattern.exec(text)?.index ?? 0) + 1);
    },
    stop(): Promise<number | null> {
      child.kill('SIGINT');
      return code;
    },
  };
}

test('it polls when told to', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const watch = new Watching(project, '--poll=0.1');
  const told = await watch.next('it polls', ({ type }) => type === 'watching');
  assert.equal([told.how, told.why], ['polling', undefined]);
  await watch.built('reference');
  await project.writeRun('A/r2', { seed: 2 });
  await watch.built('reference');
  assert.is((await watch.stop()).code, 0);
});

/** The library: a watch that goes on until `work` has seen what it waits for. */
async function library(
  project: TestProject,
  { rescanMs, ...place }: WatchPlace & { rescanMs?: number },
  work: (until: (holds: (event: WatchEvent) => boolean) => Promise<WatchEvent>) => Promise<void>,
): Promise<void> {
  const end = new AbortController();
  const events: WatchEvent[] = [];
  let wake: () => void = () => undefined;
  const options = {
    directory: project.root,
    signal: end.signal,
    settleMs: 50,
    onEvent(event: WatchEvent) {
      events.push(event);
      wake();
    },
    ...(rescanMs === undefined ? {} : { rescanMs }),
  };
  const watch = watchProject(options, place);
  let at = 0;
  const worked = work(async (holds) => {
    for (;;) {
      while (at < events.length) if (holds(events[at++])) return events[at - 1];
      await new Promise<void>((resolve) => {
        wake = resolve;
      });
    }
  });
  await Promise.race([worked, watch]);
  end.abort();
  assert.equal(await watch, { interrupted: false });
}

const isBuilt = (event: WatchEvent): boolean =>
  event.type === 'build' && event.event.type === 'end' && event.event.summary.ran > 0;

test('a listener that throws ends it, wherever that is', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  for (const type of ['watching', 'build', 'idle']) {
    let thrown = 0;
    const watch = watchProject({
      directory: project.root,
      signal: new AbortController().signal,
      settleMs: 50,
      onEvent(event) {
        if (event.type !== type && thrown === 0) return;
        thrown += 1;
        throw new Error(`at ${type}`);
      },
    });
    const error = await watch.then(
      () => undefined,
      (error: Error) => error,
    );
    assert.is(error?.message, `at ${type}`);
    assert.is(thrown, 1, 'it is told nothing more');
    assert.equal(project.leftovers(), []);
    assert.not.ok(project.exists('cache/lock'));
  }
});

test('an original that a step may remove is still an input, and watched', async () => {
  const project = new TestProject(
    PIPELINE.replace('targets:', 'targets:\n  compressed: {rule: compress, with: {delete-original: true}}'),
  );
  // Too small for its copy to be smaller, so it stays.
  await project.writeRun('A/r1', { seed: 1 });
  await library(project, { rescanMs: 1_000_000 }, async (until) => {
    await until(isBuilt);
    await until(({ type }) => type === 'idle');
    const values = await project.writeRun('A/r1', { seed: 2 });
    await until(isBuilt);
    assert.equal(project.reference().rowsOf('A/r1'), values);
  });
});

test('a lock that cannot be looked at is told, and ends nothing', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  let isRefused = false;
  const port = Object.assign(Object.create(disk), {
    list(path: string) {
      if (isRefused && path.endsWith('cache/lock'))
        throw Object.assign(new Error('ESTALE: stale file handle'), { code: 'ESTALE' });
      return disk.list(path);
    },
  });
  await library(project, { port }, async (until) => {
    await until(isBuilt);
    isRefused = true;
    await project.writeRun('A/r2', { seed: 2 });
    const told = await until(({ type }) => type === 'problem');
    assert.match(textOf((told as { error: unknown }).error), 'ESTALE');
    isRefused = false;
    await project.writeRun('A/r3', { seed: 3 });
    await until(({ type }) => type === 'mended');
  });
});

test('on a network file system it polls, and says why', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const port = Object.assign(Object.create(disk), {
    space: (path: string) => ({ ...disk.space(path), type: path.endsWith('runs/A') ? 0x6969 : 0xef53 }),
  });
  await library(project, { port }, async (until) => {
    const told = await until(({ type }) => type === 'watching');
    assert.equal(told, {
      type: 'watching',
      how: 'polling',
      seconds: 10,
      why: 'consolidated_data/runs/A is on a network file system (NFS)',
    });
    await until(isBuilt);
  });
});

test('what no sign tells of is found by looking now and then', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  let closed = false;
  const deaf = () => ({
    follow: () => undefined,
    async close() {
      closed = true;
    },
  });
  await library(project, { watchFolders: deaf, rescanMs: 100 }, async (until) => {
    await until(isBuilt);
    await project.writeRun('A/r2', { seed: 2 });
    await until(isBuilt);
    // An output that somebody damaged is found in the same way.
    project.write('data/reference/consolidated_index.faiss', 'damaged');
    await until(
      (event) => event.type === 'build' && event.event.type === 'end' && event.event.summary.restored > 0,
    );
  });
  assert.ok(closed);
});

test.run();
