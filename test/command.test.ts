/** The rule `command`: what reaches a program, what it has to leave behind, and what is said when it fails. */
import { spawnSync } from 'node:child_process';
import { chmodSync, existsSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import command from '../rules/command.js';
import type { RunContext, Step } from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { runProgram } from '../src/files/run-program.js';
import { temporaryFolder } from './rig/folder.js';
import { idsWith, TestProject } from './rig/project.js';
import { waitForFile } from './rig/running.js';

const test = suite('command');

/** Writes its arguments as JSON to the file named by the one that follows `--to`. */
const ARGUMENTS = `
import { writeFileSync } from 'node:fs';
const words = process.argv.slice(2);
writeFileSync(words[words.indexOf('--to') + 1], JSON.stringify(words));
`;

function projectWith(targets: string): TestProject {
  const project = new TestProject(`targets:\n${targets.replace(/^/gm, '  ')}\n`);
  project.write('args.mjs', ARGUMENTS);
  return project;
}

/** Whether there is such a process that has not ended; one that nobody waits for has. */
function isRunning(pid: number): boolean {
  const { stdout } = spawnSync('ps', ['-o', 'stat=', '-p', String(pid)], { encoding: 'utf8' });
  return /^[^Z\s]/.test(stdout.trim());
}

const HOSTILE = [
  'with space.txt',
  "it's.txt",
  'a "quote".txt',
  '$(touch INJECTED).txt',
  '`touch INJECTED`.txt',
  '; touch INJECTED;.txt',
  'a&b|c>d.txt',
  'two\nlines.txt',
  'tab\there.txt',
  '-rf.txt',
  '--to.txt',
  '%s{}~!#.txt',
  'ünïcödé 🧬.txt',
  '\u001b[31mred.txt',
];

test('file names reach a program as arguments, whatever they hold', async () => {
  const project = projectWith(`
seen:
  rule: command
  from: "in/*.txt"
  run: [node, args.mjs, "{in}", "--last={in[${HOSTILE.length - 1}]}", --to, "{out}"]
  out: seen.json`);
  for (const name of HOSTILE) project.write(`in/${name}`, name);
  const { failed, steps } = await project.build();
  assert.is(failed, 0, JSON.stringify(steps));
  const sorted = HOSTILE.map((name) => `in/${name}`).sort();
  const words = JSON.parse(project.read('seen.json').toString()) as string[];
  assert.equal(words.slice(0, sorted.length), sorted);
  assert.is(words[sorted.length], `--last=${sorted[sorted.length - 1]}`);
  assert.not.ok(project.exists('INJECTED'));
  assert.equal(
    readdirSync(project.root).filter((name) => name.startsWith('.firn')),
    [],
    'nothing staged is left',
  );
});

test('a name that begins with a dash is no option', async () => {
  const project = projectWith(`
seen:
  rule: command
  from: ["-la", "--to"]
  run: [node, args.mjs, "{in}", --to, "{out}"]
  out: "-out"`);
  project.write('-la', '');
  project.write('--to', '');
  assert.is((await project.build()).failed, 0);
  const words = JSON.parse(project.read('-out').toString()) as string[];
  assert.equal(words.slice(0, 3), ['./-la', './--to', '--to']);
});

test('one step for each match, with its wildcards', async () => {
  const project = projectWith(`
each:
  rule: command
  from: "in/{set}/{name}.txt"
  run: [node, args.mjs, "{in}", "--set={set}", "{name}", "{{literal}}", --to, "{out}"]
  out: "made/{set}-{name}.json"`);
  for (const path of ['in/a/one.txt', 'in/a/$(touch INJECTED).txt', 'in/b/-x.txt']) project.write(path, '');
  const first = await project.build('--keep-going');
  assert.equal(idsWith(first, 'ran'), ['each:a/$(touch INJECTED)', 'each:a/one']);
  const words = JSON.parse(project.read('made/a-one.json').toString()) as string[];
  assert.equal(words.slice(0, 4), ['in/a/one.txt', '--set=a', 'one', '{literal}']);
  assert.not.ok(project.exists('INJECTED'));
  // A part of a name has no path to stand before it.
  const refused = first.steps.find((step) => step.status === 'failed');
  assert.is(refused?.id, 'each:b/-x');
  assert.match(refused?.error ?? '', /"-x" begins with a dash/);

  project.write('in/c/two.txt', '');
  assert.equal(idsWith(await project.build('-k'), 'ran'), ['each:c/two']);
});

test('what it uses is part of the key and not of {in}', async () => {
  const project = projectWith(`
seen:
  rule: command
  from: in.txt
  run: [node, args.mjs, "{in}", --to, "{out}"]
  out: seen.json
  with: {uses: [args.mjs], version: "1"}`);
  project.write('in.txt', '');
  assert.is((await project.build()).ran, 1);
  assert.is((await project.build()).ran, 0);
  assert.is((JSON.parse(project.read('seen.json').toString()) as string[])[1], '--to');
  project.write('args.mjs', `${ARGUMENTS}\n// another\n`);
  const { steps } = await project.build();
  assert.is(steps[0].status, 'ran');
  assert.match(steps[0].reason, /args\.mjs changed/);
  project.remove('args.mjs');
  const missing = await project.build();
  assert.is(missing.failed, 1);
  assert.match(missing.steps[0].error ?? '', /args\.mjs/);
});

test('a program that does not write its output has failed, and hears where it had to', async () => {
  const project = projectWith(`
lost:
  rule: command
  run: [touch, elsewhere]
  out: data/page.html`);
  const { failed, steps } = await project.build();
  assert.is(failed, 1);
  assert.match(
    steps[0].error ?? '',
    /lost ended without writing data\/page\.html\n.*it is given as its output: data\/\.firn-[^/]+\/page\.html/,
  );
  assert.not.ok(project.exists('data'), 'no empty folder is left');
});

test('a failure names the exit code and the last lines', async () => {
  const project = projectWith(`
bad:
  rule: command
  run: [sh, -c, "for i in $(seq 1 50); do echo line $i; done; echo last words >&2; printf 'no newline'; exit 7"]
  out: x`);
  project.write('x', 'kept');
  const { code, stderr } = await project.firn('build', '--force');
  assert.is(code, 1);
  assert.match(stderr, /FAILED bad: sh -c ".*" ended with exit code 7/);
  const said = stderr.slice(stderr.indexOf('It last printed'));
  for (const line of ['line 50', 'last words', 'no newline']) assert.match(said, line);
  assert.not.match(said, /line 20\n/);
  assert.is(project.read('x').toString(), 'kept');
});

test('programs that cannot be started are named', async () => {
  const cases: [run: string, says: RegExp][] = [
    ['[no-such-program-at-all, x]', /no-such-program-at-all cannot be started: there is no such program/],
    ['[./script.sh]', /\.\/script\.sh cannot be started: it may not be executed/],
    ['[./interpreter.sh]', /cannot be started: there is no such program, .*first line/],
    ['[sh, -c, "kill -9 $$"]', /was ended by SIGKILL/],
    // Words of a shell, which are no programs.
    ['[exit, "0"]', /exit cannot be started/],
    ['[eval, "touch INJECTED"]', /eval cannot be started/],
    ['["touch INJECTED"]', /"touch INJECTED" cannot be started/],
  ];
  for (const [run, says] of cases) {
    const project = projectWith(`t: {rule: command, run: ${run}, out: x}`);
    project.write('script.sh', 'exit 0');
    project.write('interpreter.sh', '#!/no/such/interpreter\n');
    chmodSync(project.path('interpreter.sh'), 0o755);
    const { failed, steps } = await project.build();
    assert.is(failed, 1, run);
    assert.match(steps[0].error ?? '', says);
    assert.not.ok(project.exists('INJECTED'));
  }
});

test('what a program prints is shown safely', async () => {
  const project = projectWith(`
loud:
  rule: command
  run: [sh, -c, 'printf "\\033]0;title\\007evil\\n10%%\\r50%%\\r100%%\\r\\n"; touch "$0"', "{out}"]
  out: made`);
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0, stderr);
  assert.match(stderr, 'loud| \\x1b]0;title\\x07evil\n  loud| 100%\n');
});

test('what a program prints does not fill the memory', async () => {
  const project = projectWith(`
loud:
  rule: command
  run: [sh, -c, 'yes 0123456789 | head -c 300000000; head -c 100000000 /dev/zero; cat /proc/$PPID/status > "$0"', "{out}"]
  out: status`);
  assert.is((await project.build()).failed, 0);
  const peak = Number(/VmHWM:\s+(\d+) kB/.exec(project.read('status').toString())?.[1]);
  assert.ok(peak > 0 && peak < 250_000, `${peak} kB`);
});

test('what a program leaves running in its group is waited for', async () => {
  const project = projectWith(`
slow:
  rule: command
  run: [sh, -c, '(while [ ! -e go ]; do :; done; echo late > "$0"; rm go) & touch started', "{out}"]
  out: late.txt`);
  const running = project.start('build');
  await waitForFile(project, 'started', running);
  project.write('go', '');
  const { code, stderr } = await running.finished;
  assert.is(code, 0, stderr);
  assert.is(project.read('late.txt').toString(), 'late\n');
});

test('a script that is named from the folder of the pipeline is depended on', async () => {
  const project = projectWith(`
seen:
  rule: command
  run: [./make.sh, "{out}"]
  out: seen.txt`);
  for (const text of ['one', 'two']) {
    project.write('make.sh', `#!/bin/sh\nprintf ${text} > "$1"\n`);
    chmodSync(project.path('make.sh'), 0o755);
    assert.is((await project.build()).failed, 0);
    assert.is(project.read('seen.txt').toString(), text);
  }
});

test('a project in the uppermost folder', async () => {
  const folder = temporaryFolder();
  const step = {
    params: { argv: ['sh', '-c', 'echo made > "$0"', '{out}'] },
    detail: { in: [], wildcards: {} },
  };
  const output = { kind: 'file', path: 'out.txt' };
  await command.run(
    { ...step, outputs: [output] } as unknown as Step,
    {
      root: '/',
      stage: () => join(folder, 'out.txt'),
      signal: new AbortController().signal,
      log: () => undefined,
    } as unknown as RunContext,
  );
  assert.ok(existsSync(join(folder, 'out.txt')));
});

test('a program that is being started when the build is told to stop is ended', async () => {
  const folder = temporaryFolder();
  const abort = new AbortController();
  const ended = runProgram(['sh', '-c', 'sleep 1; touch ended-by-itself'], {
    cwd: folder,
    signal: abort.signal,
    onLine: () => undefined,
  });
  abort.abort(new FirnError('interrupted', 'interrupted'));
  let kind: string | undefined;
  await ended.catch((error: FirnError) => {
    kind = error.kind;
  });
  assert.is(kind, 'interrupted');
  assert.not.ok(existsSync(join(folder, 'ended-by-itself')));
});

test('the files of a target with wildcards are handed on by their names', async () => {
  const project = projectWith(`
each:
  rule: command
  from: "in/{name}.txt"
  run: [cp, "{in}", "{out[0]}"]
  out: ["made/{name}.txt"]
seen:
  rule: command
  from: [each]
  run: [node, args.mjs, "{in}", --to, "{out}"]
  out: seen.json`);
  for (const name of ['a', 'b']) project.write(`in/${name}.txt`, name);
  const { failed, steps } = await project.build();
  assert.is(failed, 0, JSON.stringify(steps));
  assert.equal(JSON.parse(project.read('seen.json').toString()).slice(0, 2), ['made/a.txt', 'made/b.txt']);
});

test('a link in the place of an output is refused', async () => {
  const project = projectWith(`
linked:
  rule: command
  from: in/a.txt
  run: [ln, -s, ../../in/a.txt, "{out}"]
  out: made/a.txt`);
  project.write('in/a.txt', 'a');
  const { failed, steps } = await project.build();
  assert.is(failed, 1);
  assert.match(steps[0].error ?? '', /linked made a link and no file of made\/a\.txt/);
  assert.not.ok(project.exists('made'));
});

/** Its child says through a pipe that it ignores the request to end; only then is its number told. */
const STAYS = `mkfifo ready
(trap "" TERM; echo > ready; exec sleep 1000) > log 2>&1 &
read -r _ < ready
echo $!
wait`;

test('what ignores the request to end and has closed its output is killed as well', async () => {
  const abort = new AbortController();
  let pid = 0;
  await runProgram(['sh', '-c', STAYS], {
    cwd: temporaryFolder(),
    signal: abort.signal,
    onLine(line) {
      pid = Number(line);
      abort.abort(new FirnError('interrupted', 'interrupted'));
    },
  }).catch(() => undefined);
  assert.ok(pid > 0 && !isRunning(pid));
});

test('placeholders that cannot be filled are errors before anything runs', async () => {
  const cases: [target: string, says: RegExp][] = [
    ['{rule: command, run: [cp, "{in}", "{out}"], out: x}', /{in} stands for nothing/],
    [
      '{rule: command, from: [a.txt, b.txt], run: [cp, "x{in}"], out: x}',
      /{in} stands for 2 files in "x{in}"/,
    ],
    [
      '{rule: command, from: [a.txt, b.txt], run: [cp, "{in[2]}"], out: x}',
      /there is no {in\[2\]}: {in} stands for 2 files/,
    ],
    ['{rule: command, run: [cp, "{out[1]}"], out: x}', /there is no {out\[1\]}: {out} stands for 1 file/],
    ['{rule: command, from: "{n}.txt", run: [cp, "{n[0]}"], out: "{n}.x"}', /{n} is no list/],
    ['{rule: command, run: [""], out: x}', /names the program, and it is empty/],
    ['{rule: command, run: [a, "\\0"], out: x}', /cannot hold a NUL/],
  ];
  for (const [target, says] of cases) {
    const project = projectWith(`t: ${target}`);
    project.write('a.txt', '');
    project.write('b.txt', '');
    const { code, stderr } = await project.firn('build');
    assert.is(code, 2, target);
    assert.match(stderr, /^firn: pipeline\.yaml:\d+:\d+: /);
    assert.match(stderr, says);
  }
});

test('a run that a program makes is in the reference of the same build', async () => {
  const project = projectWith(`
model:
  rule: command
  from: "sequences/{set}/{run}.txt"
  run: [python3, model.py, "{in}", "{out}"]
  out: "consolidated_data/runs/{set}/{run}/embeddings.npy"
  with: {version: nt-1, uses: [model.py]}
reference:
  rule: consolidate
  runs: {version: nt-1}
  out: data/reference
index:
  rule: index
  from: [reference]`);
  // Eight bytes a line of float32 in the npy format, without numpy.
  project.write(
    'model.py',
    `import struct, sys
rows = [[float(len(line)), 1.0] for line in open(sys.argv[1])]
head = "{'descr': '<f4', 'fortran_order': False, 'shape': (%d, 2), }" % len(rows)
head += ' ' * (-(len(head) + 11) % 64) + '\\n'
with open(sys.argv[2], 'wb') as out:
    out.write(b'\\x93NUMPY\\x01\\x00' + struct.pack('<H', len(head)) + head.encode())
    for row in rows: out.write(struct.pack('<2f', *row))
`,
  );
  project.write('sequences/A/r1.txt', 'ACGT\nAC\n');
  project.write('sequences/B/r1.txt', 'ACGTACGT\n');
  await project.writeRun('C/other', { dims: 2 });
  const first = await project.build();
  assert.is(first.failed, 0, JSON.stringify(first.steps));
  assert.equal(idsWith(first, 'ran'), ['index:reference', 'model:A/r1', 'model:B/r1', 'reference']);
  const metadata = JSON.parse(project.read('data/reference/consolidated_metadata.json').toString());
  assert.equal(
    metadata.runs.map((run: { dataset: string; version: string; count: number }) => [
      run.dataset,
      run.version,
      run.count,
    ]),
    [
      ['A', 'nt-1', 2],
      ['B', 'nt-1', 1],
    ],
  );
  assert.is((await project.build()).ran, 0);
  project.write('sequences/B/r1.txt', 'ACGTACGT\nA\n');
  assert.equal(idsWith(await project.build(), 'ran'), ['index:reference', 'model:B/r1', 'reference']);
});

test.run();
