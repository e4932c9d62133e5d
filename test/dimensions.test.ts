/** Runs of different models do not go into one reference; the error says which run has which number of dimensions. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { stepOf, TestProject } from './rig/project.js';

const test = suite('dimensions');

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
`;

test('the error lists the runs of each number of dimensions', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { dims: 8 });
  await project.writeRun('A/r2', { dims: 8 });
  await project.writeRun('B/r1', { dims: 16 });
  const error = stepOf(await project.build(), 'reference').error ?? '';
  assert.match(error, /do not have the same number of dimensions/);
  assert.match(error, /8 dimensions: A\/r1, A\/r2\n\s*16 dimensions: B\/r1/);
  assert.not.ok(project.exists('data/reference'));
});

test('rows of a run that is gone count as well', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { dims: 8 });
  await project.build();
  project.remove('consolidated_data/runs/A/r1');
  await project.writeRun('B/r1', { dims: 16 });
  const before = project.digests('data');
  const error = stepOf(await project.build(), 'reference').error ?? '';
  assert.match(error, /B\/r1\/embeddings\.npy: has 16 dimensions where the reference has 8/);
  assert.match(error, /`prune`/);
  assert.equal(project.digests('data'), before);
});

test.run();
