/** A build on a terminal: progress is drawn and leaves nothing behind; elsewhere there is none. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { terminalReporter } from '../src/cli/reporters/terminal.js';
import type { StepOutcome } from '../src/engine/events.js';
import { PROGRAM, TestProject } from './rig/project.js';
import { oracleTest } from './rig/python.js';
import { shell } from './rig/running.js';
import { CTRL_C, onTerminal as typeOn } from './rig/terminal.js';

const test = suite('terminal');

const COLUMNS = 60;

/** Runs the program on a pseudo-terminal of 60 columns; its bytes, and its exit code in the last line. */
const PTY = `
import fcntl, os, pty, struct, sys, termios
pid, fd = pty.fork()
if pid == 0:
    fcntl.ioctl(0, termios.TIOCSWINSZ, struct.pack('HHHH', 24, ${COLUMNS}, 0, 0))
    os.execvp(sys.argv[1], sys.argv[1:])
data = b''
while True:
    try: more = os.read(fd, 65536)
    except OSError: break
    if not more: break
    data += more
_, status = os.waitpid(pid, 0)
sys.stdout.buffer.write(data + b'\\n%d' % os.waitstatus_to_exitcode(status))
`;

interface Shown {
  code: number;
  /** All that was written. */
  bytes: string;
  /** What stands on the screen at the end. */
  screen: string[];
  /** Every state of a line that was drawn over. */
  drawn: string[];
}

function onTerminal(project: TestProject, args: string[], env: Record<string, string> = {}): Shown {
  const { CI: _ci, NO_COLOR: _noColor, ...rest } = process.env;
  const { stdout, status } = spawnSync('/usr/bin/python3', ['-c', PTY, process.execPath, PROGRAM, ...args], {
    cwd: project.root,
    env: { ...rest, TERM: 'xterm', ...env },
    encoding: 'utf8',
    maxBuffer: 1 << 26,
  });
  assert.is(status, 0);
  const end = stdout.lastIndexOf('\n');
  return {
    code: Number(stdout.slice(end + 1)),
    bytes: stdout.slice(0, end),
    ...emulate(stdout.slice(0, end)),
  };
}

/** As much of a terminal as the reporter uses; anything else it would obey is an error. */
function emulate(bytes: string): Pick<Shown, 'screen' | 'drawn'> {
  const screen = [''];
  const drawn: string[] = [];
  let column = 0;
  for (let i = 0; i < bytes.length; i++) {
    const line = screen.length - 1;
    if (bytes.startsWith('\u001b[2K', i)) {
      if (screen[line] !== '') drawn.push(screen[line]);
      screen[line] = '';
      i += 3;
    } else if (bytes[i] === '\r') column = 0;
    else if (bytes[i] === '\n') {
      screen.push('');
      column = 0;
    } else {
      assert.ok(bytes[i] >= ' ', `the terminal got ${JSON.stringify(bytes.slice(i, i + 10))}`);
      screen[line] = screen[line].slice(0, column).padEnd(column) + bytes[i] + screen[line].slice(column + 1);
      column += 1;
    }
  }
  return { screen: screen.filter((line) => line !== ''), drawn };
}

const PIPELINE = `targets:
  slow:
    rule: command
    run: [sh, -c, 'echo from the program; sleep 0.3; touch "$0"', "{out}"]
    out: slow.txt
  compressed: {rule: compress}
  reference: {rule: consolidate, runs: all, out: data/reference}
  after: {rule: command, from: [reference], run: [cp, "{in}/consolidated_metadata.json", "{out}"], out: copy.json}
`;

async function project(): Promise<TestProject> {
  const made = new TestProject(PIPELINE);
  await made.writeRun('A/a long name for a run that does not fit into sixty columns \u001b[31m', {
    rows: 40_000,
    dims: 32,
  });
  return made;
}

oracleTest(test, ['pty'], 'progress is drawn, fits the width, and the lines stay as in a log', async () => {
  const made = await project();
  const { code, screen, drawn } = onTerminal(made, ['build', '-j', '2']);
  assert.is(code, 0, screen.join('\n'));
  assert.ok(drawn.length > 0, 'nothing was drawn');
  assert.ok(
    drawn.every((line) => /^\[\d+\/4\] /.test(line) && line.length < COLUMNS),
    drawn.join('\n'),
  );
  assert.ok(
    drawn.some((line) => /checking inputs|%|slow|reference|after/.test(line)),
    drawn.join('\n'),
  );
  assert.ok(
    screen.every((line) => !/^\[\d\/4\] (checking|slow|reference|after)/.test(line)),
    screen.join('\n'),
  );
  const plain = (line: string) => line.replace(/\d+(\.\d+)? m?s\b.*/, 'TIME').replace(/^\[\d/, '[N');
  const again = await project();
  const { stderr, stdout } = await again.firn('build', '-j', '2');
  // What starts is in the line that is drawn.
  const expected = `${stderr}${stdout}`
    .trim()
    .split('\n')
    .filter((line) => !line.startsWith('run '))
    .map(plain);
  assert.equal(screen.map(plain).sort(), expected.sort());
});

oracleTest(test, ['pty'], 'what is fresh, failed or interrupted leaves a clean screen', async () => {
  const made = await project();
  made.write('pipeline.yaml', PIPELINE.replace('touch "$0"', 'exit 3'));
  const failed = onTerminal(made, ['build', '-k']);
  assert.is(failed.code, 1);
  assert.ok(
    failed.screen.some((line) => /FAILED slow: sh -c .* ended with exit code 3/.test(line)),
    failed.screen.join('\n'),
  );
  assert.match(failed.screen[failed.screen.length - 1], /^4 steps: 3 built, 1 failed/);
  made.write('pipeline.yaml', PIPELINE);
  assert.is(onTerminal(made, ['build']).code, 0);
  const fresh = onTerminal(made, ['build']);
  assert.is(fresh.screen.length, 1);
  assert.match(fresh.screen[0], /^nothing to do: 4 steps fresh/);
});

oracleTest(
  test,
  ['pty'],
  'a command that moves runs leaves a clean screen when it is interrupted',
  async () => {
    const made = new TestProject(
      'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n',
    );
    await made.writeRun('A/r1', { rows: 500_000, dims: 32 });
    assert.is((await made.build()).failed, 0);
    const acts = [{ see: 'copying A/r1' }, { type: CTRL_C }];
    const { code, bytes } = await typeOn(
      made,
      acts,
      'runs',
      'archive',
      'A/r1',
      '--to',
      'archive',
      '--execute',
    );
    const { screen, drawn } = emulate(bytes);
    // The key may be echoed before what is drawn over.
    assert.equal([code, ...screen.map((line) => line.replace('^C', ''))], [130, 'firn: interrupted']);
    assert.match(drawn.join('\n'), /^runs \d+%, [\d.]+ [MG]B copying A\/r1/m);
  },
);

oracleTest(test, ['pty'], 'no progress with --json, in CI, on a dumb terminal, and in a pipe', async () => {
  const made = await project();
  for (const [args, env] of [
    [['build', '--json'], {}],
    [['build', '--force'], { CI: 'true' }],
    [['build', '--force'], { TERM: 'dumb' }],
  ] as const) {
    const { code, bytes } = onTerminal(made, [...args], env);
    assert.is(code, 0, bytes);
    assert.not.match(bytes, '\u001b');
    assert.not.match(bytes, /\r(?!\n)/);
  }
  const piped = shell(made, 'firn build --force 2>&1 | cat', { TERM: 'xterm', CI: '' });
  assert.not.match(piped.stdout, /[\u001b\r]/);
  // No colour is ever used, and NO_COLOR changes nothing else.
  const { bytes } = onTerminal(made, ['build', '--force'], { NO_COLOR: '1' });
  assert.not.match(bytes, /\u001b\[\d*(;\d+)*m/);
});

test('a second build of the same watch counts from the beginning', () => {
  const written: string[] = [];
  const real = process.stderr.write;
  process.stderr.write = (text: string | Uint8Array) => written.push(String(text)) > 0;
  try {
    const tell = terminalReporter(() => undefined);
    const outcome: StepOutcome = { id: 'a', target: 'a', status: 'fresh', reasons: [], seconds: 0 };
    tell({ type: 'begin', steps: 1 });
    tell({ type: 'finish', outcome, finished: 1, steps: 1 });
    tell({ type: 'begin', steps: 2 });
    tell({ type: 'start', step: 'a', reasons: [], restore: false });
  } finally {
    process.stderr.write = real;
  }
  assert.match(written.at(-1) ?? '', '[0/2] a');
});

test.run();
