/** What a build would refuse shows in a dry run, as far as it can be known before the work. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stepOf, TestProject } from './rig/project.js';

const test = suite('dry run refusals');

const RUNS = 'consolidated_data/runs';
const pipeline = (runs: string, factory = '') => `
targets:
  reference:
    rule: consolidate
    runs: ${runs}
    out: data/reference
  index:
    rule: index
    from: [reference]
    ${factory}
`;

/** The dry run says `would fail` and exits with 1, as the build then does, with the same words. */
async function expectRefused(project: TestProject, step: string, says: RegExp): Promise<void> {
  const plan = await project.firn('build', '--dry-run');
  assert.is(plan.code, 1, plan.stdout);
  assert.match(plan.stdout, new RegExp(`^would fail ${step}: `, 'm'));
  assert.match(plan.stdout, says);
  const before = project.exists('data') ? project.digests('data') : {};
  const result = await project.build('-k');
  assert.is(stepOf(result, step).status, 'failed');
  assert.match(String(stepOf(result, step).error), says);
  for (const [path, digest] of Object.entries(before)) assert.is(project.sha256(path), digest, path);
}

test('a filter that leaves a reference no run', async () => {
  const project = new TestProject(pipeline('all'));
  await project.writeRun('A/r1');
  await project.build();
  project.write('pipeline.yaml', pipeline('{dataset: B}'));
  await expectRefused(project, 'reference', /consolidated_embeddings\.npy: would hold no run at all/);
});

test('retained rows whose array is gone, and the stored copy of it', async () => {
  const project = new TestProject(pipeline('all'));
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  project.remove(`${RUNS}/A/r2`);
  await project.build();
  project.remove('data/reference/consolidated_embeddings.npy');
  const stored = project.clone();
  await stored.writeRun('A/r3', { seed: 3 });
  assert.equal(
    (await stored.plan()).steps.map(({ status }) => status),
    ['run', 'maybe'],
  );
  assert.is((await stored.build()).failed, 0);
  project.remove('cache/objects');
  await expectRefused(project, 'reference', /held the only copy of A\/r2, and it is gone/);
});

test('another kind of index without faiss-node, also behind a reference that is not there yet', async () => {
  const project = new TestProject(pipeline('all', 'with: {factory: HNSW8}'));
  project.write(
    'no-faiss.cjs',
    `const Module = require('node:module');
const load = Module._resolveFilename;
Module._resolveFilename = function (name, ...rest) {
  if (name.startsWith('faiss-node')) throw new Error('Cannot find module ' + name);
  return load.call(this, name, ...rest);
};`,
  );
  project.env = { NODE_OPTIONS: `--require=${project.path('no-faiss.cjs')}` };
  await project.writeRun('A/r1');
  await expectRefused(project, 'index:reference', /the package faiss-node is needed here: .*faiss-node/);
  assert.ok(project.exists('data/reference/consolidated_embeddings.npy'));
  await expectRefused(project, 'index:reference', /the package faiss-node is needed here/);
});

test.run();
