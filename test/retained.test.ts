/** References remember: the rows of a run that is gone stay until they are pruned by name. */
import { mkdirSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convertBytes } from '../src/arrays/convert-bytes.js';
import { createNpy } from '../src/arrays/npy-writer.js';
import { disk } from '../src/files/disk.js';
import { idsWith, seededValues, stepOf, TestProject } from './rig/project.js';

const test = suite('retained');

const pipeline = (prune: string[] = []) => `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
    with: {prune: [${prune.join(', ')}]}
  index:
    rule: index
    from: [reference]
`;
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const METADATA = 'data/reference/consolidated_metadata.json';
const RUNS = 'consolidated_data/runs';

let first: Promise<TestProject> | undefined;

/** A reference of A/r1, A/r2 and B/r1, of which A/r2 is gone. */
async function projectThatRemembers(): Promise<TestProject> {
  first ??= buildAndDelete();
  return (await first).clone();
}

async function buildAndDelete(): Promise<TestProject> {
  const project = new TestProject(pipeline());
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3 });
  await project.build();
  const before = project.digests('data');
  project.remove(`${RUNS}/A/r2`);
  const result = await project.build();
  assert.equal(idsWith(result, 'ran'), ['reference']);
  // The rows are the same rows, so the rebuild ends there.
  assert.equal(idsWith(result, 'fresh'), ['index:reference']);
  assert.is(stepOf(result, 'reference').reason.split(';')[0], 'run A/r2 is gone');
  const after = project.digests('data');
  assert.is(after[EMBEDDINGS], before[EMBEDDINGS]);
  assert.is.not(after[METADATA], before[METADATA]);
  return project;
}

function assertRemembers(project: TestProject): void {
  const reference = project.reference();
  assert.equal(reference.names, ['A/r1', 'A/r2', 'B/r1']);
  assert.equal(reference.retained, ['A/r2']);
  assert.equal(reference.rowsOf('A/r2'), seededValues(2, 160));
}

test('the rows of a deleted run stay, and the index is not rebuilt', async () => {
  const project = await projectThatRemembers();
  assertRemembers(project);
  assert.is((await project.build()).ran, 0);
});

test('they stay under --force and after the cache is gone', async () => {
  const project = await projectThatRemembers();
  const before = project.digests('data');
  assert.is((await project.build('--force')).ran, 2);
  assert.equal(project.digests('data'), before);
  project.remove('cache');
  assert.is((await project.build()).failed, 0);
  assert.equal(project.digests('data'), before);
  project.remove('cache');
  assert.is((await project.build('--force')).failed, 0);
  assert.equal(project.digests('data'), before);
  assertRemembers(project);
});

test('they stay when runs before them change length', async () => {
  const project = await projectThatRemembers();
  await project.writeRun('A/r1', { seed: 11, rows: 33 });
  await project.build();
  assertRemembers(project);
  assert.equal(project.reference().rowsOf('A/r1'), seededValues(11, 33 * 8));
  project.remove('cache');
  await project.writeRun('A/r1', { seed: 12, rows: 4 });
  assert.is((await project.build()).failed, 0);
  assertRemembers(project);
  assert.equal(project.reference().rowsOf('A/r1'), seededValues(12, 4 * 8));
});

test('they stay when every run is gone', async () => {
  const project = await projectThatRemembers();
  project.remove(RUNS);
  assert.is((await project.build()).failed, 0);
  assert.equal(project.reference().retained, ['A/r1', 'A/r2', 'B/r1']);
  assertRows(project);
  assert.is((await project.build()).ran, 0);
});

function assertRows(project: TestProject): void {
  for (const [name, seed] of Object.entries({ 'A/r1': 1, 'A/r2': 2, 'B/r1': 3 })) {
    assert.equal(project.reference().rowsOf(name), seededValues(seed, 160), name);
  }
}

test('they stay when the metadata is deleted or cut, as the record says', async () => {
  const project = await projectThatRemembers();
  const before = project.digests('data');
  project.remove(METADATA);
  project.remove('cache/objects');
  assert.equal(idsWith(await project.build(), 'ran'), ['reference']);
  assert.equal(project.digests('data'), before);
  project.write(METADATA, project.read(METADATA).subarray(0, 500));
  project.remove('cache/objects');
  assert.equal(idsWith(await project.build(), 'ran'), ['reference']);
  assert.equal(project.digests('data'), before);
});

test('only pruning by name drops them', async () => {
  const project = await projectThatRemembers();
  project.write('pipeline.yaml', pipeline(['A/r2']));
  const result = await project.build();
  assert.equal(idsWith(result, 'ran'), ['index:reference', 'reference']);
  assert.equal(project.reference().names, ['A/r1', 'B/r1']);
  assert.equal(project.reference().rowsOf('B/r1'), seededValues(3, 160));
  assert.is((await project.build()).ran, 0);
});

test('a deleted array that held the only copy is an error, and nothing is overwritten', async () => {
  const project = await projectThatRemembers();
  project.remove(EMBEDDINGS);
  project.remove('cache');
  const before = project.digests('data');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.match(stepOf(result, 'reference').error ?? '', /held the only copy of A\/r2, and it is gone/);
  assert.equal(project.digests('data'), before);
  // Neither does force help: what is lost has to be given up by name.
  assert.equal(idsWith(await project.build('--force', 'reference'), 'failed'), ['reference']);
  assert.equal(project.digests('data'), before);
});

test('a deleted array comes back from the cache', async () => {
  const project = await projectThatRemembers();
  project.remove(EMBEDDINGS);
  assert.equal(idsWith(await project.build(), 'restored'), ['reference']);
  assertRemembers(project);
});

test('a deleted reference of which every run is gone comes back from the cache', async () => {
  const project = await projectThatRemembers();
  project.remove(RUNS);
  await project.build();
  const before = project.digests('data');
  project.remove('data');
  assert.equal(idsWith(await project.build(), 'restored'), ['index:reference', 'reference']);
  assert.equal(project.digests('data'), before);
  project.remove('data');
  project.remove('cache/objects');
  const lost = await project.build();
  assert.match(
    stepOf(lost, 'reference').error ?? '',
    /held the only copy of A\/r1, A\/r2, B\/r1, and it is gone/,
  );
});

/** Flips one bit in the last value of A/r2. */
function alterRetained(project: TestProject, array = EMBEDDINGS): void {
  const bytes = project.read(array);
  bytes[bytes.length - 160 * 4 - 3] ^= 1;
  project.write(array, bytes);
}

const LOSSES: [name: string, lose: (project: TestProject) => void][] = [
  ['deleted', (project) => project.remove(EMBEDDINGS)],
  ['altered', (project) => alterRetained(project)],
  ['cut', (project) => project.write(EMBEDDINGS, project.read(EMBEDDINGS).subarray(0, 900))],
  [
    'deleted with its metadata',
    (project) => {
      project.remove(EMBEDDINGS);
      project.remove(METADATA);
    },
  ],
];

for (const [name, lose] of LOSSES) {
  test(`an array that is ${name} before a run is added gives its rows from the cache`, async () => {
    const project = await projectThatRemembers();
    lose(project);
    await project.writeRun('B/r2', { seed: 4 });
    const result = await project.build();
    assert.equal(idsWith(result, 'failed'), [], stepOf(result, 'reference').error);
    assert.equal(project.reference().names, ['A/r1', 'A/r2', 'B/r1', 'B/r2']);
    assert.equal(project.reference().retained, ['A/r2']);
    assertRows(project);
    assert.equal(project.leftovers(), []);
    assert.is((await project.build()).ran, 0);
  });
}

test('a stored array that was altered is not believed', async () => {
  const project = await projectThatRemembers();
  const digest = project.sha256(EMBEDDINGS);
  alterRetained(project, `cache/objects/${digest.slice(0, 2)}/${digest}`);
  project.remove(EMBEDDINGS);
  await project.writeRun('B/r2', { seed: 4 });
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.match(
    stepOf(result, 'reference').error ?? '',
    /consolidated_embeddings\.npy: held the only copy of A\/r2/,
  );
  assert.equal(project.leftovers(), []);
});

test('altered retained rows are restored from the cache, or found out', async () => {
  const project = await projectThatRemembers();
  const before = project.digests('data');
  alterRetained(project);
  assert.equal(idsWith(await project.build(), 'restored'), ['reference']);
  assert.equal(project.digests('data'), before);
  alterRetained(project);
  project.remove('cache');
  const altered = project.digests('data');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.match(
    stepOf(result, 'reference').error ?? '',
    /only copy of A\/r2, and its rows are not what they were/,
  );
  assert.equal(project.digests('data'), altered);
});

test('a change that is too small for the dtype of the run that is gone is found out', async () => {
  const project = new TestProject(pipeline());
  await project.writeRun('A/r1', { seed: 1 });
  const half = project.path(`${RUNS}/A/r2/embeddings.npy`);
  mkdirSync(dirname(half), { recursive: true });
  const writer = await createNpy(disk, half, { dtype: 'f2', dims: 8, rows: 20 });
  await writer.write(new Uint8Array(convertBytes(new Uint8Array(seededValues(2, 160).buffer), 'f4', 'f2')));
  await writer.finish();
  await project.build();
  project.remove(`${RUNS}/A/r2`);
  await project.build();
  project.remove('cache/objects');
  const bytes = project.read(EMBEDDINGS);
  // The lowest byte of a float32 of its rows, which were widened from float16.
  bytes[bytes.length - 4] ^= 1;
  project.write(EMBEDDINGS, bytes);
  const result = await project.build();
  assert.match(stepOf(result, 'reference').error ?? '', /only copy of A\/r2, and its rows are not what/);
});

test('a run that comes back with its values is not there twice', async () => {
  const project = await projectThatRemembers();
  const before = project.digests('data');
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  assert.equal(project.reference().names, ['A/r1', 'A/r2', 'B/r1']);
  assert.equal(project.reference().retained, []);
  assert.is(project.digests('data')[EMBEDDINGS], before[EMBEDDINGS]);
});

test('a run that comes back with other values is replaced where it stands', async () => {
  const project = await projectThatRemembers();
  await project.writeRun('A/r2', { seed: 77, rows: 9 });
  await project.build();
  const reference = project.reference();
  assert.equal(reference.names, ['A/r1', 'A/r2', 'B/r1']);
  assert.equal(reference.retained, []);
  assert.equal(reference.rowsOf('A/r2'), seededValues(77, 72));
  assert.equal(reference.rowsOf('B/r1'), seededValues(3, 160));
});

test('a renamed run is said to stand there twice', async () => {
  const project = await projectThatRemembers();
  await project.writeRun('A/renamed', { seed: 2 });
  const { stderr } = await project.firn('build');
  assert.match(stderr, /A\/r2 is gone and A\/renamed has its values/);
});

test.run();
