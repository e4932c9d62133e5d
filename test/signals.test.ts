/** Ctrl-C as it is typed, and a terminal that is closed: steps end, programs are ended with all they started, exit 130. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { PROGRAM, TestProject } from './rig/project.js';
import { oracleTest } from './rig/python.js';
import { type Act, CTRL_C, onTerminal, typedOnTerminal } from './rig/terminal.js';

const test = suite('signals');

/** A program that starts another one; `trap` is what it does about signals. Both pids stand in `pids` when they run. */
function pipeline(trap = ''): string {
  return `targets:
  page:
    rule: command
    from: in.txt
    run: [sh, -c, '${trap} sleep 1000 & echo $$ $! > pids.new; echo half > "$0"; mv pids.new pids; while :; do wait; done', "{out}"]
    out: page.html
  after: {rule: command, from: page, run: [cp, "{in}", "{out}"], out: after.html}
`;
}

const NOTED = 'trap "echo got >> got" TERM INT HUP;';
const RUNS: Act = { expect: 'pids' };
const RUNS_ONE: Act = { expect: 'runs' };
const GOT: Act = { expect: 'got' };

function project(trap?: string): TestProject {
  const made = new TestProject(pipeline(trap));
  made.write('in.txt', 'one');
  made.write('page.html', 'as it was');
  return made;
}

function lives(pid: number): boolean {
  try {
    return !/^State:\s+[ZX]/m.test(readFileSync(`/proc/${pid}/status`, 'utf8'));
  } catch {
    return false;
  }
}

/** Settles when none of the programs lives; the limit of the test file is the limit here. */
async function noOrphans(made: TestProject): Promise<void> {
  const pids = made.read('pids').toString().trim().split(' ').map(Number);
  assert.is(pids.length, 2);
  while (pids.some(lives)) await new Promise((resolve) => setTimeout(resolve, 10));
}

async function nextBuildWorks(made: TestProject): Promise<void> {
  made.write('pipeline.yaml', pipeline().replace(/run: \[sh.*\]/, 'run: [cp, "{in}", "{out}"]'));
  assert.is((await made.build('--force')).ran, 2);
  assert.is(made.read('after.html').toString(), 'one');
  assert.equal(made.leftovers(), []);
}

oracleTest(test, ['pty'], 'Ctrl-C: no further step, no orphan, a clean screen, 130', async () => {
  const made = project();
  const { code, bytes } = await onTerminal(made, [RUNS, { type: CTRL_C }], 'build', '--force');
  assert.is(code, 130, bytes);
  assert.match(bytes, /interrupted page/);
  assert.match(bytes, /2 steps: 1 interrupted, 1 skipped/);
  assert.not.match(bytes, /after\.html/);
  // What was drawn last is taken away, and the last line is a whole one.
  assert.match(bytes, /\r\n$/);
  await noOrphans(made);
  assert.is(made.read('page.html').toString(), 'as it was');
  assert.equal(made.leftovers(), []);
  assert.not.ok(made.exists('cache/lock'));
  await nextBuildWorks(made);
});

oracleTest(
  test,
  ['pty'],
  'Ctrl-C twice: firn leaves at once and takes a program along that will not end',
  async () => {
    const made = project(NOTED);
    const typed = [RUNS, { type: CTRL_C }, GOT, { type: CTRL_C }];
    const { code, bytes } = await onTerminal(made, typed, 'build', '--force');
    assert.is(code, 130, bytes);
    assert.not.match(bytes, /2 steps/, 'it did not wait to the end');
    await noOrphans(made);
    assert.is(made.read('page.html').toString(), 'as it was');
    await nextBuildWorks(made);
  },
);

oracleTest(test, ['pty'], 'a program that will not end is killed in the end, with its children', async () => {
  const made = project(NOTED);
  const { code, bytes } = await onTerminal(made, [RUNS, { type: CTRL_C }], 'build', '--force');
  assert.is(code, 130, bytes);
  assert.ok(made.exists('got'), 'it was asked first');
  await noOrphans(made);
  assert.equal(made.leftovers(), []);
  assert.not.ok(made.exists('cache/lock'));
});

oracleTest(
  test,
  ['pty'],
  'the terminal is closed: the same, though nothing can be printed any more',
  async () => {
    const made = project();
    const { code } = await onTerminal(made, [RUNS, 'hang up'], 'build', '--force');
    // By SIGHUP itself: there is nobody to be told a code.
    assert.is(code, -1);
    await noOrphans(made);
    assert.is(made.read('page.html').toString(), 'as it was');
    assert.equal(made.leftovers(), []);
    assert.not.ok(made.exists('cache/lock'));
    await nextBuildWorks(made);
  },
);

/** Node takes back what nohup does. */
for (const [name, nohup, streams] of [
  ['nohup', 'env -u _ nohup', '< /dev/tty'],
  ['nohup without input', 'nohup', '< /dev/null > log 2>&1'],
] as const) {
  oracleTest(test, ['pty'], `the terminal is closed, and ${name} keeps the build going`, async () => {
    const made = new TestProject(`targets:
  page:
    rule: command
    run: [sh, -c, 'echo > runs; while [ ! -e go ]; do sleep 0.02; done; echo done > "$0"', "{out}"]
    out: page.html
`);
    const acts: Act[] = [RUNS_ONE, 'hang up', { make: 'go' }];
    // Told by the shell, as bash tells its jobs.
    const shell = `${nohup} ${process.execPath} ${PROGRAM} build ${streams} & trap "kill -HUP $!" HUP; wait $!; wait $!`;
    const { code } = await typedOnTerminal(made, acts, ['bash', '-c', shell]);
    assert.is(code, 0);
    assert.is(made.read('page.html').toString(), 'done\n');
    assert.not.ok(made.exists('cache/lock'));
  });
}

test.run();
