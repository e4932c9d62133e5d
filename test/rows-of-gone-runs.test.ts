/** Rows that stand nowhere else any more: what may not make a reference forget them. */
import { cpSync, renameSync, rmSync, symlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestProject } from './rig/project.js';

const test = suite('rows of gone runs');

const METADATA = 'data/reference/consolidated_metadata.json';
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
`;

/** A reference of A/r1, retained, and A/r2. */
async function projectWithGoneRun(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.writeRun('A/r2', { seed: 2, rows: 6 });
  await project.build();
  project.remove('consolidated_data/runs/A/r1');
  assert.is((await project.build()).failed, 0);
  assert.equal(rowsByRun(project), { 'A/r1': 5, 'A/r2': 6 });
  return project;
}

function rowsByRun(project: TestProject): { [run: string]: number } {
  const { runs } = JSON.parse(project.read(METADATA).toString()) as {
    runs: { dataset: string; run_id: string; count: number }[];
  };
  return Object.fromEntries(runs.map((run) => [`${run.dataset}/${run.run_id}`, run.count]));
}

test('metadata that another program wrote anew, in another layout, is still the memory', async () => {
  for (const space of [4, 0]) {
    const project = await projectWithGoneRun();
    project.write(METADATA, JSON.stringify(JSON.parse(project.read(METADATA).toString()), null, space));
    project.remove('cache');
    const result = await project.build('--force');
    assert.is(result.failed, 0, JSON.stringify(result.steps));
    assert.equal(rowsByRun(project), { 'A/r1': 5, 'A/r2': 6 });
  }
});

test('metadata whose members were sorted, as many programs do, is still the memory', async () => {
  for (const [space, mark] of [
    [2, ''],
    [1, ''],
    [0, ''],
    [2, '\ufeff'],
  ] as const) {
    const project = await projectWithGoneRun();
    project.write(
      METADATA,
      mark + JSON.stringify(sorted(JSON.parse(project.read(METADATA).toString())), null, space),
    );
    project.remove('cache');
    const result = await project.build();
    assert.is(result.failed, 0, JSON.stringify(result.steps));
    assert.equal(rowsByRun(project), { 'A/r1': 5, 'A/r2': 6 });
  }
  const project = await projectWithGoneRun();
  const altered = sorted(JSON.parse(project.read(METADATA).toString())) as { runs: { count: number }[] };
  altered.runs[0].count += 1;
  project.write(METADATA, JSON.stringify(altered));
  assert.match((await project.firn('verify', 'data/reference')).stdout, /was altered since firn wrote it/);
});

/** With the members of every object in the order of their names. */
function sorted(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(sorted);
  if (value === null || typeof value !== 'object') return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : 1));
  return Object.fromEntries(entries.map(([name, member]) => [name, sorted(member)]));
}

test('a run without rows that is gone is not taken for renamed', async () => {
  const project = new TestProject(PIPELINE);
  for (const name of ['A/r1', 'A/r2']) await project.writeRun(name, { rows: 0 });
  await project.build();
  project.remove('consolidated_data/runs/A/r1');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.not.match(stderr, /stand here twice/);
});

test('without metadata and records, not even --force makes a reference of what is left', async () => {
  const project = await projectWithGoneRun();
  const before = project.sha256(EMBEDDINGS);
  project.remove(METADATA);
  project.remove('cache');
  for (const flags of [[], ['--force']]) {
    assert.is((await project.build(...flags)).failed, 1);
    assert.is(project.sha256(EMBEDDINGS), before);
  }
});

test('an older cache is not believed about a newer array', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.build();
  cpSync(project.path('cache'), project.path('older'), { recursive: true });
  await project.writeRun('A/r2', { seed: 2, rows: 6 });
  await project.build();
  project.remove('consolidated_data/runs/A/r2');
  await project.build();
  const before = project.sha256(EMBEDDINGS);
  project.remove('cache');
  renameSync(project.path('older'), project.path('cache'));
  project.remove(METADATA);
  const result = await project.build();
  assert.is(result.failed, 1);
  assert.match(String(result.steps[0].error), /nothing that is left says of which runs/);
  assert.is(project.sha256(EMBEDDINGS), before);
});

test('a renamed target takes over what the old one recorded', async () => {
  const project = await projectWithGoneRun();
  project.remove(METADATA);
  project.write('pipeline.yaml', PIPELINE.replace('reference:', 'renamed:'));
  const result = await project.build();
  assert.is(result.failed, 0, JSON.stringify(result.steps));
  assert.equal(rowsByRun(project), { 'A/r1': 5, 'A/r2': 6 });
});

test('a run that was moved away and linked is gone, and its rows stay', async () => {
  const project = new TestProject(PIPELINE);
  const archive = new TestProject();
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.writeRun('A/r2', { seed: 2, rows: 6 });
  await project.build();
  const run = project.path('consolidated_data/runs/A/r1');
  cpSync(run, archive.path('r1'), { recursive: true });
  rmSync(run, { recursive: true });
  symlinkSync(archive.path('r1'), run);
  assert.is((await project.build()).failed, 0);
  assert.equal(rowsByRun(project), { 'A/r1': 5, 'A/r2': 6 });
});

test('a newer npz beside an older npy is a conflict, also where firn once made one', async () => {
  const project = new TestProject(`${PIPELINE}  compressed:\n    rule: compress\n    runs: all\n`);
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.build();
  const other = new TestProject('targets:\n  compressed:\n    rule: compress\n    runs: all\n');
  await other.writeRun('A/r1', { seed: 9, rows: 7 });
  await other.build();
  const npz = 'consolidated_data/runs/A/r1/embeddings.npz';
  project.write(npz, other.read(npz));
  const before = project.sha256(npz);
  const result = await project.build('-k');
  assert.is(result.failed, 2);
  for (const step of result.steps)
    assert.match(String(step.error), /embeddings\.npy: differs from .*embeddings\.npz/);
  assert.is(project.sha256(npz), before);
});

test.run();
