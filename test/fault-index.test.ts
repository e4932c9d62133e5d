/** Faults at any change of the disk while an index is written: the one that stands there stays whole until the new one is. */

import { suite } from 'uvu';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { faultTests, type Scenario } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of indexes');

function pipeline(parameters: string): string {
  return `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference, with: ${parameters}}
`;
}

/** The reference stands already: the operations are those of the index. */
async function withReference(parameters: string): Promise<TestProject> {
  const project = new TestProject(pipeline(parameters));
  await project.writeRun('A/r1', { seed: 1, rows: 60, dims: 4 });
  await buildHere(project, disk, { targets: ['reference'] });
  return project;
}

async function grown(parameters: string): Promise<TestProject> {
  const project = new TestProject(pipeline(parameters));
  await project.writeRun('A/r1', { seed: 1, rows: 60, dims: 4 });
  await buildHere(project, disk);
  await project.writeRun('A/r2', { seed: 2, rows: 40, dims: 4 });
  await buildHere(project, disk, { targets: ['reference'] });
  return project;
}

const builds = { run: buildHere, settled: nothingToDo } satisfies Partial<Scenario>;

faultTests(test, { ...builds, name: 'index, Flat, from nothing', prepare: () => withReference('{}') });
faultTests(test, { ...builds, name: 'index, Flat, grown', prepare: () => grown('{}') });
// Each run starts threads, which takes a quarter of a second; commits are those of Flat.
const ivf = { ...builds, modes: ['die', 'fails once', 'disk full'], stride: 4 } satisfies Partial<Scenario>;
faultTests(test, { ...ivf, name: 'index, IVF, from nothing', prepare: () => withReference('{nlist: 3}') });
faultTests(test, { ...ivf, name: 'index, IVF, grown', prepare: () => grown('{nlist: 3}') });

test.run();
