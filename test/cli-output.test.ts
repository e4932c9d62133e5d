/** What the program prints: to which stream, safe for a terminal, and into pipes and disks that do not take it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { formatSeconds } from '../src/cli/text.js';
import { TestProject } from './rig/project.js';
import { forAll, shell } from './rig/running.js';

const test = suite('output');

const PIPELINE = 'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n';

async function project(): Promise<TestProject> {
  const made = new TestProject(PIPELINE);
  await made.writeRun('A/r1');
  return made;
}

test('results go to stdout, messages to stderr, and neither holds what a terminal would obey', async () => {
  const here = new TestProject(`${PIPELINE}  e: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}\n`);
  here.write('sequences/A/\u001b]0;evil\u0007.fasta', '>\u001b[31mred\nACGT\n>\u009b1mx\nTTTTT\n>short\nA\n');
  const control = /[\u0000-\u0009\u000b-\u001f\u007f-\u009f\u202a-\u202e]/;
  const first = await here.firn('build');
  assert.is(first.code, 0);
  assert.match(first.stderr, /built e:A\/\\x1b\]0;evil\\x07 in/);
  assert.not.match(first.stdout + first.stderr, control);
  const calls = [
    ['build', '-n', '--explain'],
    ['build'],
    ['build'],
    ['status'],
    ['why', 'reference'],
    ['graph', '--steps'],
    ['clean', '--all'],
    ['graph', '--steps', '--format', 'mermaid'],
    ['graph', '--steps', '--format', 'svg'],
    ['graph', '--steps', '--format', 'json'],
    ['build', '--force', '--json'],
    ['status', '--json'],
    ['compress'],
    ['compress', '--json'],
    ['doctor', '--full'],
    ['doctor', '--json'],
    ['search', '--run', 'A/\u001b]0;evil\u0007', '--seq-idx', '0'],
    ['search', '--json', '--query', 'ACGTT'],
    ['search', '--run', 'A/\u001b[2J', '--seq-idx', '0'],
  ];
  await forAll(calls, async (args) => {
    const { stdout, stderr } = await here.firn(...args);
    assert.not.match(stdout, control, args.join(' '));
    assert.not.match(stderr, control, args.join(' '));
    if (args.includes('--json') || args.includes('json')) {
      assert.is(stderr.replace(/^note: .*\n/, ''), '', args.join(' '));
      JSON.parse(stdout);
    }
  });
  const { stdout, stderr } = await here.firn('build');
  assert.match(stdout, /^nothing to do: 2 steps fresh \(.*\)\n$/);
  assert.is(stderr, '');
});

test('a reader that closes early stops the printing and not the work', async () => {
  const here = await project();
  for (let i = 0; i < 40; i++) await here.writeRun(`A/x${i}`);
  const { code, stderr } = shell(
    here,
    'set -o pipefail; firn build --dry-run --explain | head -1; echo $PIPESTATUS >&2; firn compress --json | head -c 10 > /dev/null; echo $PIPESTATUS >&2',
  );
  assert.is(code, 0);
  assert.is(stderr, '0\n0\n');
  // Messages are cut off as well, and the reference is built all the same.
  const built = shell(here, 'firn build 2>&1 | head -0; echo $PIPESTATUS');
  assert.is(built.stdout, '0\n');
  assert.ok(here.exists('data/reference/consolidated_metadata.json'));
  const searched = shell(
    here,
    'firn search --run A/x1 --seq-idx 0 --top-k 800 --output all.json | head -0; echo $PIPESTATUS',
  );
  assert.is(searched.stdout, '0\n');
  assert.is((JSON.parse(here.read('all.json').toString()) as { results: unknown[] }).results.length, 800);
});

test('output that cannot be written is a failure', async () => {
  const here = await project();
  const { code, stderr } = shell(here, 'firn status > /dev/full');
  assert.is(code, 1);
  assert.match(stderr, /^firn: .*ENOSPC/);
});

test('a path is shown from here where it begins, and is no other where here is in its middle', async () => {
  const project = new TestProject();
  const lab = `x${project.root}/lab`;
  project.write(`${lab}/note`, '');
  const { code, stderr } = await project.firn('-C', lab, 'status');
  assert.is(code, 2);
  assert.match(stderr, `firn: ${lab}: there is no pipeline.yaml here`);
});

test('times are rounded before they are cut into minutes', () => {
  const shown = [0.0949, 0.095, 59.94, 59.96, 119.4, 119.7, 3599.4, 3599.7, 7199.7].map(formatSeconds);
  assert.equal(shown, [
    '95 ms',
    '0.1 s',
    '59.9 s',
    '1 min 0 s',
    '1 min 59 s',
    '2 min 0 s',
    '59 min 59 s',
    '1 h 0 min',
    '2 h 0 min',
  ]);
});

test.run();
