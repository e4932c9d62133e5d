/** What a change rebuilds, and what it leaves alone: content counts, the container and the clock do not. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, stepOf, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('incremental');

const PIPELINE = `
targets:
  compressed:
    rule: compress
    runs: all
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  reference-v1:
    rule: consolidate
    runs: {version: v1}
    out: data/reference_v1
  index:
    rule: index
    from: [reference, reference-v1]
`;

const REGISTRY = {
  versions: { v1: { model: 'm', description: '', registered_at: '2024-01-01T00:00:00' } },
  runs: { 'A/r1': { version: 'v1' } },
};

const RUNS = 'consolidated_data/runs';

let first: Promise<TestProject> | undefined;

async function builtProject(): Promise<TestProject> {
  first ??= buildOnce();
  return (await first).clone();
}

async function buildOnce(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  project.write('data/reference/embedding_versions.json', JSON.stringify(REGISTRY));
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3 });
  const first = await project.build();
  assert.is(first.failed, 0);
  assert.is(first.ran, 7);
  return project;
}

test('a second build runs nothing and touches nothing', async () => {
  const project = await builtProject();
  const before = project.snapshot('data');
  const second = await project.build();
  assert.equal([second.ran, second.restored, second.fresh], [0, 0, 7]);
  assert.equal(project.snapshot('data'), before);
});

test('touching a run rebuilds nothing', async () => {
  const project = await builtProject();
  const before = project.snapshot('data');
  project.age(`${RUNS}/A/r1/embeddings.npy`, 1);
  assert.is((await project.build()).ran, 0);
  assert.equal(project.snapshot('data'), before);
});

test('a run of which only the compressed copy is left is the same run', async () => {
  const project = await builtProject();
  const before = project.snapshot('data');
  project.remove(`${RUNS}/A/r1/embeddings.npy`);
  const result = await project.build();
  assert.equal([result.ran, result.restored, result.failed], [0, 0, 0]);
  assert.equal(project.snapshot('data'), before);
});

const RESAVE = `
import sys, os, numpy as np
runs = sys.argv[1]
big = np.load(runs + '/A/r1/embeddings.npy')
np.save(runs + '/A/r1/embeddings.npy', big.astype('>f4'))
fortran = np.load(runs + '/A/r2/embeddings.npy')
np.save(runs + '/A/r2/embeddings.npy', np.asfortranarray(fortran))
zipped = np.load(runs + '/B/r1/embeddings.npy')
np.savez_compressed(runs + '/B/r1/embeddings.npz', embeddings=zipped)
os.unlink(runs + '/B/r1/embeddings.npy')
for run in ('A/r1', 'A/r2'):
    with open(runs + '/' + run + '/embeddings.npy', 'rb') as f:
        np.lib.format.read_magic(f)
        print(np.lib.format.read_array_header_1_0(f)[1:])
`;

oracleTest(
  test,
  ['numpy'],
  'the same values big-endian, in Fortran order or in an npz rebuild nothing',
  async () => {
    const project = await builtProject();
    const before = project.snapshot('data');
    const written = python(RESAVE, project.path(RUNS)).trim().split('\n');
    assert.equal(written, ["(False, dtype('>f4'))", "(True, dtype('float32'))"]);
    const result = await project.build();
    assert.equal([result.ran, result.restored, result.failed], [0, 0, 0]);
    assert.equal(project.snapshot('data'), before);
  },
);

test('one changed run rebuilds exactly its followers, and the reason names it', async () => {
  const project = await builtProject();
  const before = project.snapshot('data/reference_v1');
  await project.writeRun('A/r2', { seed: 22 });
  const plan = await project.plan();
  assert.equal(idsWith(plan, 'run'), ['compressed:A/r2', 'reference']);
  assert.equal(idsWith(plan, 'maybe'), ['index:reference']);
  const result = await project.build();
  assert.equal(idsWith(result, 'ran'), ['compressed:A/r2', 'index:reference', 'reference']);
  assert.is(stepOf(result, 'reference').reason, 'run A/r2 changed');
  assert.equal(project.snapshot('data/reference_v1'), before);
});

test.run();
