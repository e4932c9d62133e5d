/** Ctrl-C: what runs is ended with all it started, what was there stays, and the next build goes on. */
import { closeSync, ftruncateSync, openSync, readFileSync, writeSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type Running, TestProject } from './rig/project.js';
import { waitFor, waitForFile } from './rig/running.js';

const test = suite('interrupt');

/** Whether a process is there and no zombie. */
function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Settles when none of the processes lives any more; the limit of the test file is the limit here. */
async function gone(pids: number[]): Promise<void> {
  while (pids.some(lives)) await new Promise((resolve) => setTimeout(resolve, 10));
}

/** Starts a child of its own, leaves both pids in `pids`, and waits for ever; `trap` is what it does about signals. */
function sleeper(trap: string): string {
  return `targets:
  page:
    rule: command
    from: in.txt
    run: [sh, -c, '${trap} sleep 1000 & echo $$ $! > pids.new; echo half > "$0"; mv pids.new pids; while :; do wait; done', "{out}"]
    out: page.html
  after:
    rule: command
    from: page
    run: [cp, "{in}", "{out}"]
    out: after.html
`;
}

async function startedSleeper(
  trap = '',
): Promise<{ project: TestProject; running: Running; pids: number[] }> {
  const project = new TestProject(
    'targets:\n  page: {rule: command, from: in.txt, run: [cp, "{in}", "{out}"], out: page.html}\n',
  );
  project.write('in.txt', 'one');
  assert.is((await project.build()).failed, 0);
  project.write('in.txt', 'two');
  project.write('pipeline.yaml', sleeper(trap));
  const running = project.start('build');
  await waitForFile(project, 'pids', running);
  return { project, running, pids: project.read('pids').toString().trim().split(' ').map(Number) };
}

for (const signal of ['SIGINT', 'SIGTERM', 'SIGHUP'] as const) {
  test(`${signal} ends the program and its children, and keeps what was there`, async () => {
    const { project, running, pids } = await startedSleeper();
    assert.ok(pids.length === 2 && pids.every(lives));
    running.child.kill(signal);
    const { code, stdout, stderr } = await running.finished;
    assert.is(code, 130);
    assert.match(stderr, /interrupted page\n\[2\/2\] skipped after: page was interrupted\n/);
    assert.match(stdout, /^2 steps: 1 interrupted, 1 skipped \(/);
    assert.not.match(stderr, /after\.html|\n\s+at /);
    await gone(pids);
    assert.is(project.read('page.html').toString(), 'one');
    assert.equal(project.leftovers(), []);
    assert.not.ok(project.exists('cache/lock'));
    project.write('pipeline.yaml', sleeper('').replace(/run: \[sh.*\]/, 'run: [cp, "{in}", "{out}"]'));
    assert.is((await project.build()).ran, 2);
    assert.is(project.read('after.html').toString(), 'two');
  });
}

test('the second one leaves at once, and takes a program along that will not end', async () => {
  const { project, running, pids } = await startedSleeper('trap "echo got >> got" TERM;');
  running.child.kill('SIGINT');
  await waitForFile(project, 'got', running);
  running.child.kill('SIGINT');
  assert.is((await running.finished).code, 130);
  await gone(pids);
  assert.is(project.read('page.html').toString(), 'one');
  // The lock names a process that is gone, and what was staged is swept by the next build of the step.
  project.write('pipeline.yaml', sleeper('').replace(/run: \[sh.*\]/, 'run: [cp, "{in}", "{out}"]'));
  assert.is((await project.build()).ran, 2);
  assert.equal(project.leftovers(), []);
});

/** A run whose array is so large that reading it takes long; it takes no room on the disk. */
function writeHuge(project: TestProject, name: string, bytes: number): void {
  const dims = 64;
  const header = `{'descr': '<f4', 'fortran_order': False, 'shape': (${bytes / 4 / dims}, ${dims}), }`.padEnd(
    117,
  );
  const path = `consolidated_data/runs/${name}/embeddings.npy`;
  project.write(path, '');
  const file = openSync(project.path(path), 'w');
  writeSync(
    file,
    Buffer.concat([Buffer.from('\x93NUMPY\x01\x00\x76\x00', 'latin1'), Buffer.from(`${header}\n`)]),
  );
  ftruncateSync(file, 128 + bytes);
  closeSync(file);
}

for (const args of [['build'], ['build', '--dry-run'], ['status'], ['compress']]) {
  test(`in the middle of a digest: firn ${args.join(' ')}`, async () => {
    const project = new TestProject('targets:\n  r: {rule: consolidate, runs: all, out: data/reference}\n');
    writeHuge(project, 'A/huge', 2 ** 40);
    const running = project.start(...args);
    const io = `/proc/${running.child.pid}/io`;
    // Until it has read more than its own program: then it is in the array.
    await waitFor(
      running,
      'it read the array',
      () => Number(/rchar: (\d+)/.exec(readFileSync(io, 'utf8'))?.[1]) > 100_000_000,
    );
    running.child.kill('SIGINT');
    const { code, stderr } = await running.finished;
    assert.is(code, 130, stderr);
    assert.match(stderr, /interrupted/);
    assert.not.ok(project.exists('data'));
    assert.not.ok(project.exists('cache/lock'));
  });
}

test('in the middle of an embedding', async () => {
  const project = new TestProject('targets:\n  e: {rule: embed, from: "sequences/*/*.fasta"}\n');
  const block = Array.from({ length: 2000 }, (_, i) => `>s${i}\n${'ACGTTGCA'.repeat(60)}\n`).join('');
  project.write('sequences/A/big.fasta', block.repeat(100));
  const running = project.start('build');
  await waitFor(running, 'it wrote', () =>
    project.leftovers().some((path) => path.endsWith('embeddings.npy')),
  );
  running.child.kill('SIGINT');
  const { code } = await running.finished;
  assert.is(code, 130);
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists('consolidated_data/runs/A/big'));
});

test('while it waits for another build', async () => {
  const { project, running, pids } = await startedSleeper();
  const second = project.start('build');
  let said = '';
  second.child.stderr?.on('data', (chunk) => {
    said += chunk;
  });
  await waitFor(second, 'it waited', () => said.includes('waiting for'));
  assert.match(said, `waiting for firn build (pid ${running.child.pid} on `);
  second.child.kill('SIGINT');
  assert.is((await second.finished).code, 130);
  assert.ok(project.exists('cache/lock'), 'the lock is not the second one’s');
  running.child.kill('SIGINT');
  await running.finished;
  await gone(pids);
});

test.run();
