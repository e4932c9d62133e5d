/** What `runs` and `prune` do to rows that are there is said, once, by the build that does it. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, seededValues, stepOf, TestProject } from './rig/project.js';

const test = suite('said once');

const RUNS = 'consolidated_data/runs';
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';

function pipeline(runs: string, prune: string[] = []): string {
  return `
targets:
  reference:
    rule: consolidate
    runs: ${runs}
    out: data/reference
    with: {prune: [${prune.join(', ')}]}
  index: {rule: index, from: [reference]}
`;
}

async function projectOf(names: string[], runs = 'all'): Promise<TestProject> {
  const project = new TestProject(pipeline(runs));
  for (const [i, name] of names.entries()) await project.writeRun(name, { seed: i + 1 });
  assert.is((await project.build()).failed, 0);
  return project;
}

/** The warnings of a build, or of a dry run. */
async function warnings(project: TestProject, ...flags: string[]): Promise<string[]> {
  const { stdout, stderr } = await project.firn('build', ...flags);
  assert.not.match(stderr + stdout, 'FAILED');
  return stderr.split('\n').filter((line) => line.startsWith('warning: '));
}

const LEAVING = (names: string) =>
  `warning: reference: no longer selected by \`runs\`: rows of ${names} leave the reference, and rows after them get other row numbers`;
const STAYING = (names: string) =>
  `warning: reference: gone from disk and not selected by \`runs\`: rows of ${names} stay, since there is no other copy; \`prune\` drops those of the runs it names`;
const PRUNED = (names: string) =>
  `warning: reference: \`prune\` names ${names}, but no such run is in the reference or on disk`;

test('runs that are no longer selected are named when they leave', async () => {
  const project = await projectOf(['A/r1', 'A/r2', 'A/r3', 'A/r4', 'A/r5', 'A/r6', 'A/r7', 'B/r1']);
  project.write('pipeline.yaml', pipeline('{dataset: B}'));
  const said = [LEAVING('A/r1, A/r2, A/r3, A/r4, A/r5 and 2 more')];
  assert.equal(await warnings(project, '--dry-run'), said);
  assert.equal(await warnings(project), said);
  assert.equal(project.reference().names, ['B/r1']);
  assert.equal(await warnings(project, '--dry-run'), []);
  assert.equal(await warnings(project), []);
  await project.writeRun('B/r2', { seed: 9 });
  assert.equal(await warnings(project), []);
  assert.equal(await warnings(project, '--force'), []);
});

test('they are named as well when the earlier reference comes from the cache', async () => {
  const project = await projectOf(['A/r1', 'B/r1'], '{dataset: B}');
  project.write('pipeline.yaml', pipeline('all'));
  assert.equal(await warnings(project), []);
  assert.equal(project.reference().names, ['B/r1', 'A/r1']);
  project.write('pipeline.yaml', pipeline('{dataset: B}'));
  assert.is(stepOf(await project.plan(), 'reference').status, 'restore');
  assert.equal(await warnings(project, '-n'), [LEAVING('A/r1')]);
  assert.equal(await warnings(project), [LEAVING('A/r1')]);
  assert.equal(project.reference().names, ['B/r1']);
});

test('rows of gone runs that `runs` does not select any more are said to stay', async () => {
  const project = await projectOf(['A/r1', 'B/r1']);
  project.remove(`${RUNS}/A/r1`);
  assert.equal(await warnings(project), []);
  const before = project.sha256(EMBEDDINGS);
  project.write('pipeline.yaml', pipeline('{dataset: B}'));
  const { steps } = await project.plan();
  assert.match(steps[0].reason, 'retained run A/r1 beyond `runs` is new');
  assert.equal(await warnings(project, '-n'), [STAYING('A/r1')]);
  assert.equal(await warnings(project), [STAYING('A/r1')]);
  assert.is(project.sha256(EMBEDDINGS), before);
  assert.equal(project.reference().rowsOf('A/r1'), seededValues(1, 160));
  assert.equal(await warnings(project), []);
  await project.writeRun('B/r2', { seed: 9 });
  assert.equal(await warnings(project), []);
  // What is asked for by age was of that age before it went.
  project.age(`${RUNS}/B/r1/embeddings.npy`, 40);
  project.age(`${RUNS}/B/r2/embeddings.npy`, 40);
  project.write('pipeline.yaml', pipeline('{older-than: 30d}'));
  assert.equal(await warnings(project), []);
  project.write('pipeline.yaml', pipeline('{dataset: B, older-than: 30d}'));
  assert.equal(await warnings(project), [STAYING('A/r1')]);
});

test('the version of a gone run is the one it was recorded with', async () => {
  const project = new TestProject(pipeline('{version: v1}'));
  for (const [i, name] of ['A/r1', 'A/r2'].entries()) {
    await project.writeRun(name, { seed: i + 1 });
    project.write(`${RUNS}/${name}/embedding_run.json`, '{"version": "v1"}');
  }
  assert.equal(await warnings(project), []);
  project.remove(`${RUNS}/A/r1`);
  assert.equal(await warnings(project), []);
  project.write('pipeline.yaml', pipeline('{version: v2}'));
  // The run of v1 that is still there leaves, and the gone one stays.
  assert.equal(await warnings(project), [LEAVING('A/r2'), STAYING('A/r1')]);
});

test('a name under `prune` that no run has is told, and one that did its work is not', async () => {
  const project = await projectOf(['A/r1', 'A/r2', 'B/r1']);
  project.remove(`${RUNS}/A/r2`);
  await project.build();
  project.write('pipeline.yaml', pipeline('all', ['A/R2']));
  assert.equal(await warnings(project, '-n'), [PRUNED('A/R2')]);
  assert.equal(await warnings(project), [PRUNED('A/R2')]);
  assert.equal(await warnings(project), []);
  assert.equal(project.reference().names, ['A/r1', 'A/r2', 'B/r1']);

  project.write('pipeline.yaml', pipeline('all', ['A/r1', 'A/r2']));
  assert.equal(await warnings(project), []);
  assert.equal(project.reference().names, ['B/r1']);
  await project.writeRun('B/r2', { seed: 9 });
  const built = await project.build();
  assert.equal(idsWith(built, 'ran'), ['index:reference', 'reference']);
  await project.writeRun('B/r3', { seed: 10 });
  assert.equal(await warnings(project), []);
});

test('a run that has no rows any more is named', async () => {
  const project = await projectOf(['A/r1', 'B/r1']);
  await project.writeRun('A/r1', { rows: 0 });
  await project.writeRun('B/r2', { rows: 0 });
  const said = [
    'warning: reference: without any row now: rows of A/r1 leave the reference, and rows after them get other row numbers',
  ];
  assert.equal(await warnings(project, '-n'), said);
  assert.equal(await warnings(project), said);
  assert.is(project.reference().metadata.total_sequences, 20);
  assert.equal(await warnings(project), []);
});

test('two model versions in one reference are told, and what each has', async () => {
  const project = new TestProject(pipeline('all'));
  for (const [i, version] of ['v1', 'v1', 'v2'].entries()) {
    await project.writeRun(`A/r${i}`, { seed: i + 1 });
    project.write(`${RUNS}/A/r${i}/embedding_run.json`, JSON.stringify({ version }));
  }
  await project.writeRun('B/untagged', { seed: 9 });
  const said = [
    'warning: reference: holds runs of 2 model versions: v1 (A/r0, A/r1), v2 (A/r2); vectors of different models do not compare: build one reference for each, with `runs: {version: ...}`',
  ];
  assert.equal(await warnings(project, '-n'), said);
  assert.equal(await warnings(project), said);
  assert.equal(await warnings(project), []);
  await project.writeRun('B/r2', { seed: 10 });
  assert.equal(await warnings(project), []);
  project.write('pipeline.yaml', pipeline('{version: v1}'));
  assert.equal(await warnings(project), [LEAVING('A/r2, B/untagged, B/r2')]);
});

test('that no run is left is said, since `runs` may name another folder by mistake', async () => {
  const project = await projectOf(['A/r1', 'A/r2']);
  const right = pipeline('all');
  const said = [
    'warning: reference: no run is in consolidated/runs any more: all rows stay, marked retained; if the runs are elsewhere, correct `runs` at the top of pipeline.yaml',
  ];
  project.write('pipeline.yaml', `runs: consolidated/runs\n${right}`);
  assert.equal(await warnings(project, '--dry-run'), said);
  assert.equal(await warnings(project), said);
  assert.equal(await warnings(project, '--force'), []);
  project.write('pipeline.yaml', right);
  assert.equal(await warnings(project), []);
  assert.equal(project.reference().names, ['A/r1', 'A/r2']);
});

test.run();
