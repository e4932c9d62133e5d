/** Who builds again and again does not repeat what would fail again, and does repeat what may not. */
import { renameSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BuildSummary } from '../src/engine/events.js';
import { Failures } from '../src/engine/failures.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { TestProject } from './rig/project.js';

const test = suite('failures');

/** Builds of one program, at a time that the test sets. */
class Builds {
  readonly failures = new Failures();
  /** Later than all that the test writes: then it is remembered what was read. */
  now = Date.now() + 60_000;

  constructor(
    private readonly project: TestProject,
    private readonly port: Port = disk,
  ) {}

  async build(): Promise<BuildSummary> {
    const now = (): number => this.now;
    const project = await openProject({ directory: this.project.root, port: this.port, now });
    return build(project, { failures: this.failures, keepGoing: true });
  }
}

function states(summary: BuildSummary): string[] {
  return summary.outcomes.map(({ id, status, reasons }) =>
    [id, status, ...(status === 'skipped' ? reasons.map(({ code }) => code) : [])].join(' '),
  );
}

/** The disk, and what was opened or renamed on it. */
function countingPort(): { port: Port; opened: string[]; renamed: string[] } {
  const opened: string[] = [];
  const renamed: string[] = [];
  const port: Port = Object.assign(Object.create(disk), {
    open(path: string) {
      opened.push(path);
      return disk.open(path);
    },
    rename(from: string, to: string) {
      renamed.push(to);
      return disk.rename(from, to);
    },
  });
  return { port, opened, renamed };
}

test('an input that cannot be read is not read again before it changes, and no lock is taken for it', async () => {
  const project = new TestProject(`targets:
  good: {rule: command, run: [cp, pipeline.yaml, "{out}"], out: good.txt}
  r: {rule: consolidate, runs: all, out: data/r}
`);
  await project.writeRun('A/r1', { seed: 1 });
  const path = 'consolidated_data/runs/A/r1/embeddings.npy';
  const whole = project.read(path);
  project.write(path, whole.subarray(0, 300));
  const { port, opened, renamed } = countingPort();
  const builds = new Builds(project, port);
  assert.equal(states(await builds.build()), ['good ran', 'r failed']);
  assert.ok(opened.some((name) => name.endsWith(path)));
  opened.length = 0;
  renamed.length = 0;
  assert.equal(states(await builds.build()), ['good fresh', 'r skipped failed']);
  assert.equal([opened, renamed], [[], []]);
  assert.equal(builds.failures.steps, ['r']);
  project.write(path, whole);
  assert.equal(states(await builds.build()), ['good fresh', 'r ran']);
  assert.equal(builds.failures.steps, []);
});

test('a step whose key is the same is not repeated, and so are not those behind it', async () => {
  const project = new TestProject(`targets:
  bad: {rule: command, from: in.txt, run: [sh, -c, 'echo x >> tries; exit 3', "{in}"], out: bad.txt}
  after: {rule: command, from: bad, run: [cp, "{in}", "{out}"], out: after.txt}
`);
  project.write('in.txt', 'one');
  const builds = new Builds(project);
  assert.equal(states(await builds.build()), ['bad failed', 'after skipped upstream']);
  project.write('in.txt', 'one');
  assert.equal(states(await builds.build()), ['bad skipped failed', 'after skipped upstream']);
  assert.is(project.read('tries').toString(), 'x\n');
  project.write('in.txt', 'two');
  assert.equal(states(await builds.build()), ['bad failed', 'after skipped upstream']);
  // The pipeline is something that it reads as well.
  project.write(
    'pipeline.yaml',
    project.read('pipeline.yaml').toString().replace('exit 3', 'cp in.txt bad.txt; exit 4'),
  );
  assert.equal(states(await builds.build()), ['bad failed', 'after skipped upstream']);
  assert.is(project.read('tries').toString(), 'x\nx\nx\n');
  // A new program, also in a process that goes on, knows of nothing.
  assert.equal(states(await new Builds(project).build()), ['bad failed', 'after skipped upstream']);
});

test('a file that may not even be looked at fails its own step, until it may', async () => {
  const project = new TestProject(`targets:
  each: {rule: command, from: "in/{name}.txt", run: [cp, "{in}", "{out}"], out: "made/{name}.txt"}
`);
  for (const name of ['a', 'b']) project.write(`in/${name}.txt`, name);
  let refused = true;
  const port: Port = Object.assign(Object.create(disk), {
    stat(path: string) {
      if (!refused || !path.endsWith('in/a.txt')) return disk.stat(path);
      throw Object.assign(new Error('EACCES: permission denied, stat'), {
        code: 'EACCES',
        syscall: 'stat',
        path,
      });
    },
  });
  const builds = new Builds(project, port);
  assert.equal(states(await builds.build()), ['each:a failed', 'each:b ran']);
  assert.equal(states(await builds.build()), ['each:a skipped failed', 'each:b fresh']);
  refused = false;
  assert.equal(states(await builds.build()), ['each:a ran', 'each:b fresh']);
});

test('a file in the way that goes away lets the step be tried again', async () => {
  const project = new TestProject(
    'targets:\n  c: {rule: command, from: in.txt, run: [cp, "{in}", "{out}"], out: out.txt}\n',
  );
  project.write('in.txt', 'one');
  project.write('out.txt', 'of somebody else');
  const builds = new Builds(project);
  assert.equal(states(await builds.build()), ['c failed']);
  assert.equal(states(await builds.build()), ['c skipped failed']);
  renameSync(project.path('out.txt'), project.path('mine.txt'));
  assert.equal(states(await builds.build()), ['c ran']);
});

test('a full disk passes: tried again after a minute, then after two', async () => {
  const project = new TestProject('targets:\n  r: {rule: consolidate, runs: all, out: data/r}\n');
  await project.writeRun('A/r1', { seed: 1 });
  let isFull = true;
  const port: Port = Object.assign(Object.create(disk), {
    create(path: string) {
      if (isFull && path.includes('data/'))
        throw Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'open', path });
      return disk.create(path);
    },
  });
  const builds = new Builds(project, port);
  const tries: string[][] = [];
  for (const minutes of [0, 0.9, 0.2, 1.5, 0.6]) {
    builds.now += minutes * 60_000;
    tries.push(states(await builds.build()));
  }
  isFull = false;
  builds.now += 3.9 * 60_000;
  tries.push(states(await builds.build()));
  builds.now += 0.2 * 60_000;
  tries.push(states(await builds.build()));
  assert.equal(
    tries.map(([state]) => state),
    ['r failed', 'r skipped failed', 'r failed', 'r skipped failed', 'r failed', 'r skipped failed', 'r ran'],
  );
});

test('what changed while it was read may have failed for that', async () => {
  const project = new TestProject(`targets:
  c: {rule: command, from: in.txt, run: [sh, -c, 'test -e calm || echo two > in.txt; cp "$0" "$1"', "{in}", "{out}"], out: out.txt}
`);
  project.write('in.txt', 'one');
  const builds = new Builds(project);
  const [outcome] = (await builds.build()).outcomes;
  assert.match(String((outcome.error as Error).message), 'in.txt changed while c read it');
  assert.equal(builds.failures.steps, []);
  // As it was: the same key, and nothing stands in the way.
  project.write('in.txt', 'one');
  project.write('calm', '');
  assert.equal(states(await builds.build()), ['c ran']);
});

test('steps that are no more are forgotten', async () => {
  const project = new TestProject('targets:\n  bad: {rule: command, run: ["false"], out: bad.txt}\n');
  const builds = new Builds(project);
  await builds.build();
  assert.equal(builds.failures.steps, ['bad']);
  builds.failures.keepOnly([]);
  assert.equal(builds.failures.steps, []);
});

test.run();
