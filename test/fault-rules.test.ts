/** Faults at any operation of the rules: nothing partial under a final name, no run lost, and the next build ends right. */
import { suite } from 'uvu';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { faultTests, type Scenario } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of rules');

const builds = { run: buildHere, settled: nothingToDo } satisfies Partial<Scenario>;

faultTests(test, {
  ...builds,
  name: 'consolidate, from nothing',
  async prepare() {
    const project = new TestProject(
      'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}',
    );
    await project.writeRun('A/r1', { seed: 1 });
    await project.writeRun('B/r1', { seed: 2 });
    return project;
  },
});

test.run();
