/** `firn status` and `firn why`: what is stale, what it waits for, and every reason, without writing anything. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

const test = suite('status and why');

const PIPELINE = `targets:
  compressed: {rule: compress, runs: {dataset: A}}
  none: {rule: compress, runs: {dataset: Nothing}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
  report: {rule: command, from: notes.txt, run: [cp, "{in}", "{out}"], out: report.txt}
`;

interface StatusJson {
  targets: {
    target: string;
    rule: string;
    steps: { id: string; status: string; reason: string; stats: object | null }[];
  }[];
}

async function builtProject(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  project.write('notes.txt', 'one');
  assert.is((await project.build()).failed, 0);
  return project;
}

/** The table with its cells set apart by one bar. */
async function status(project: TestProject, ...args: string[]): Promise<string[]> {
  const { code, stdout, stderr } = await project.firn('status', ...args);
  assert.equal([code, stderr], [0, '']);
  const [table] = stdout.split('\n\nwhen last built:\n');
  return table
    .trimEnd()
    .split('\n')
    .map((line) => line.replace(/ {2,}/g, '|').trim());
}

test('a line a target: fresh, stale, waiting, failing, empty', async () => {
  const project = await builtProject();
  const before = project.snapshot();
  assert.equal(await status(project), [
    'target|rule|steps|state|why',
    'compressed|compress|2|fresh',
    'none|compress|0|empty|nothing matches what it asks for',
    'reference|consolidate|1|fresh',
    'index|index|1|fresh',
    'report|command|1|fresh',
  ]);
  assert.equal(project.snapshot(), before);

  await project.writeRun('A/r2', { seed: 22 });
  await project.writeRun('A/r1', { seed: 21 });
  assert.match(
    (await status(project, 'reference')).join('\n'),
    'run A/r1 changed (and 1 more; `firn why` lists them)',
  );
  await project.writeRun('A/r1', { seed: 1 });
  project.remove('notes.txt');
  project.write('report.txt', 'edited');
  project.write('notes.txt', 'one');
  assert.equal(await status(project), [
    'target|rule|steps|state|why',
    'compressed|compress|2|1 stale|run A/r2 changed',
    'none|compress|0|empty|nothing matches what it asks for',
    'reference|consolidate|1|1 stale|run A/r2 changed',
    'index|index|1|1 waiting|reference runs first',
    'report|command|1|1 to restore|report.txt is not what report wrote',
  ]);
  assert.equal(await status(project, 'index'), [
    'target|rule|steps|state|why',
    'reference|consolidate|1|1 stale|run A/r2 changed',
    'index|index|1|1 waiting|reference runs first',
  ]);
  const json = parse<StatusJson>(await project.firn('status', '--json'));
  assert.equal(
    json.targets.map(({ target, steps }) => [target, steps.map((step) => step.status)]),
    [
      ['compressed', ['fresh', 'run']],
      ['none', []],
      ['reference', ['run']],
      ['index', ['maybe']],
      ['report', ['restore']],
    ],
  );
  assert.is(json.targets[0].steps[1].reason, 'run A/r2 changed');

  project.write('consolidated_data/runs/A/r1/embeddings.npy', 'no array');
  const failing = await status(project);
  assert.match(
    failing[1],
    /^compressed\|compress\|2\|1 failing, 1 stale\|compressed:A\/r1: .*A\/r1\/embeddings\.npy: is neither an npy nor an npz file.*; and 1 more step$/,
  );
  assert.match(failing[4], /^index\|index\|1\|1 failing\|reference fails first$/);
  const noArray = /A\/r1\/embeddings\.npy: is neither an npy nor an npz file/;
  const blocked = parse<StatusJson>(await project.firn('status', '--json')).targets[0].steps[0];
  assert.is(blocked.status, 'blocked');
  assert.match(blocked.reason, noArray);
  const why = await project.firn('why', 'compressed:A/r1', '--json');
  const [step] = parse<{ steps: { status: string; reasons: object[]; error: string }[] }>(why).steps;
  assert.equal([step.status, step.reasons], ['blocked', []]);
  assert.match(step.error, noArray);
});

test('what a target of one step said of itself is told again', async () => {
  const project = await builtProject();
  const { stdout } = await project.firn('status');
  const told = stdout.split('when last built:\n')[1].trimEnd().split('\n');
  assert.equal(told, [
    '  reference: runs 2, rows 40, dims 8, retained 0',
    '  index:reference: kind flat, rows 40, metric l2',
  ]);
});

test('why gives every reason, and what stands before', async () => {
  const project = await builtProject();
  assert.is((await project.firn('why', 'reference')).stdout, '1 step of reference is fresh\n');
  await project.writeRun('A/r2', { seed: 22 });
  await project.writeRun('B/new', { seed: 3 });
  const { stdout } = await project.firn('why', 'reference');
  assert.match(stdout, /^reference: \n {4}/);
  for (const reason of ['run A/r2 changed', 'run B/new is new']) assert.match(stdout, `\n    ${reason}\n`);
  assert.match(
    (await project.firn('why', 'index')).stdout,
    /^index:reference: reference runs first\n {2}before it, reference: /,
  );
  assert.is((await project.firn('why', 'compressed:A/r2')).stdout, 'compressed:A/r2: run A/r2 changed\n');
  assert.match((await project.firn('why', 'none')).stdout, /none has no step: nothing matches it/);
  const json = parse<{
    steps: { id: string; status: string; reasons: { code: string; text: string }[] }[];
    before: { id: string }[];
  }>(await project.firn('why', 'index', '--json'));
  assert.equal(
    json.steps.map(({ id, status: state, reasons }) => [id, state, reasons]),
    [['index:reference', 'maybe', [{ code: 'upstream', text: 'reference runs first' }]]],
  );
  assert.equal(
    json.before.map(({ id }) => id),
    ['reference'],
  );
});

test.run();
