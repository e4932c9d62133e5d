/** What a change rebuilds, and what it leaves alone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, TestProject } from './rig/project.js';

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
  index:
    rule: index
    from: [reference]
`;

async function builtProject(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3 });
  const first = await project.build();
  assert.is(first.failed, 0);
  assert.is(first.ran, 5);
  return project;
}

test('a second build runs nothing', async () => {
  const project = await builtProject();
  const second = await project.build();
  assert.equal([second.ran, second.restored, second.fresh], [0, 0, 5]);
});

test('touching a run rebuilds nothing', async () => {
  const project = await builtProject();
  project.age('consolidated_data/runs/A/r1/embeddings.npy', 1);
  assert.is((await project.build()).ran, 0);
});

test('one changed run rebuilds exactly its followers, and explain names it', async () => {
  const project = await builtProject();
  await project.writeRun('A/r2', { seed: 22 });
  const plan = await project.plan();
  assert.equal(idsWith(plan, 'run'), ['compressed:A/r2', 'reference']);
  assert.equal(idsWith(plan, 'maybe'), ['index:reference']);
  const result = await project.build();
  assert.equal(idsWith(result, 'ran'), ['compressed:A/r2', 'index:reference', 'reference']);
  const reason = result.steps.find((step) => step.id === 'reference')?.reason;
  assert.is(reason, 'run A/r2 changed');
});

test.run();
