/** New runs append: earlier rows keep their ids, and the recorded order gives the same bytes from nothing. */
import { cpSync, mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openIndex } from '../src/faiss/search.js';
import { disk } from '../src/files/disk.js';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('append');

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
    with: {sequences: false}
  index:
    rule: index
    from: [reference]
`;
const METADATA = 'data/reference/consolidated_metadata.json';
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const INDEX = 'data/reference/consolidated_index.faiss';

test('earlier rows stay where they are, byte for byte, and the order is recorded', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('B/r1', { seed: 1, rows: 7 });
  await project.writeRun('B/r2', { seed: 2, rows: 5 });
  await project.build();
  const first = project.reference();
  // Both sort before what is there.
  await project.writeRun('A/r9', { seed: 3, rows: 3 });
  await project.writeRun('B/r0', { seed: 4, rows: 2 });
  await project.build();
  const second = project.reference();
  assert.equal(second.names, ['B/r1', 'B/r2', 'A/r9', 'B/r0']);
  assert.equal(second.metadata.runs.slice(0, 2), first.metadata.runs);
  assert.ok(second.data.subarray(0, first.data.length).equals(first.data));
  assert.equal(
    second.metadata.runs.map(({ start, count }) => [start, count]),
    [
      [0, 7],
      [7, 5],
      [12, 3],
      [15, 2],
    ],
  );
});

let grown: Promise<TestProject> | undefined;

/** Three builds that each add runs; the lists of the index were made on the first of them. */
async function grownProject(): Promise<TestProject> {
  grown ??= grow();
  return (await grown).clone();
}

async function grow(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('C/r1', { seed: 1, rows: 6000 });
  await project.writeRun('C/r2', { seed: 2, rows: 5000 });
  await project.build();
  await project.writeRun('B/r1', { seed: 3, rows: 3000 });
  await project.build();
  await project.writeRun('A/r1', { seed: 4, rows: 2000 });
  const last = await project.build();
  assert.equal(idsWith(last, 'ran'), ['index:reference', 'reference']);
  const { stats } = stepOf(last, 'index:reference');
  assert.equal([stats?.trained, stats?.trainedRows, stats?.rowsSinceTraining], ['before', 11_000, 5000]);
  assert.equal(project.reference().names, ['C/r1', 'C/r2', 'B/r1', 'A/r1']);
  return project;
}

test('an IVF index with a history is made again from nothing but the runs and the metadata', async () => {
  const project = await grownProject();
  const before = project.digests('data');
  assert.is(project.reference().metadata.firn.trained_rows, 11_000);

  project.remove(INDEX);
  project.remove('cache/objects');
  assert.equal(idsWith(await project.build(), 'ran'), ['index:reference']);
  assert.equal(project.digests('data'), before);

  project.remove('cache');
  const without = await project.build();
  assert.equal([without.ran, without.failed], [2, 0]);
  assert.equal(project.digests('data'), before);

  for (const path of ['cache', INDEX, EMBEDDINGS]) project.remove(path);
  assert.equal(idsWith(await project.build(), 'failed'), []);
  assert.equal(project.digests('data'), before);

  // Elsewhere, from the runs and the metadata: no path, clock or host is in the files.
  const other = new TestProject(PIPELINE);
  cpSync(project.path('consolidated_data'), other.path('consolidated_data'), { recursive: true });
  mkdirSync(dirname(other.path(METADATA)), { recursive: true });
  cpSync(project.path(METADATA), other.path(METADATA));
  assert.equal(idsWith(await other.build(), 'failed'), []);
  assert.equal(other.digests('data'), before);
  const again = await other.build();
  assert.is(again.fresh, 2);
});

test('an index trained on less than half of its rows is trained again', async () => {
  const project = await grownProject();
  const lists = stepOf(await project.build(), 'index:reference').stats?.nlist;
  await project.writeRun('D/r1', { seed: 5, rows: 7000 });
  const result = await project.build();
  assert.is(project.reference().metadata.firn.trained_rows, undefined);
  assert.not.equal(stepOf(result, 'index:reference').stats?.nlist, undefined);
  assert.ok(Number(stepOf(result, 'index:reference').stats?.nlist) >= Number(lists));
  const { stats, reason } = stepOf(result, 'index:reference');
  assert.is(stats?.trainedRows, 23_000);
  assert.is(stats?.rowsSinceTraining, 0);
  assert.match(reason, /rows trained on changed from 11000 to 23000/);
});

test('an index of an array that changed under its metadata is built from the array', async () => {
  const project = new TestProject(`
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`);
  await project.writeRun('A/r1', { seed: 1, rows: 11_000 });
  await project.build();
  project.write('pipeline.yaml', 'targets:\n  index: {rule: index, from: data/reference}\n');
  const changed = project.read(EMBEDDINGS);
  const values = new Float32Array(changed.buffer, changed.byteOffset + 128, 8);
  values.fill(9);
  project.write(EMBEDDINGS, changed);
  const { steps } = await project.build('--force');
  assert.equal(
    steps.map(({ status }) => status),
    ['ran'],
  );
  const index = await openIndex(disk, project.path(INDEX));
  const [[nearest]] = await index.search(new Float32Array(8).fill(9), 1);
  assert.equal(nearest, { id: 0, distance: 0 });
  await index.close();
});

test('an array that is shorter than its metadata was trained on is trained on whole', async () => {
  const project = await grownProject();
  await project.writeRun('D/short', { rows: 10_500 });
  project.write(EMBEDDINGS, project.read('consolidated_data/runs/D/short/embeddings.npy'));
  project.write('pipeline.yaml', 'targets:\n  index: {rule: index, from: data/reference}\n');
  const step = stepOf(await project.build(), 'index:data/reference');
  assert.equal([step.status, step.stats?.trainedRows], ['ran', 10_500]);
});

test.run();
