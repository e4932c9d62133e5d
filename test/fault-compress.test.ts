/** Faults at any change of the disk while runs are compressed: at every moment there is one good copy of every run. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { compressProject } from '../src/compress.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { build } from '../src/project.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { faultTests, type Scenario, type States } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of compressing');

/** So many that a copy is smaller. */
const ROWS = 400;

async function project(parameters: string, runs = ['A/r1']): Promise<TestProject> {
  const made = new TestProject(`targets: {compressed: {rule: compress, runs: all, with: ${parameters}}}`);
  for (const [seed, run] of runs.entries()) await made.writeRun(run, { seed, rows: ROWS });
  return made;
}

/** Each run is there as it was, or as the copy that an undisturbed build makes; nobody promises more, nor less. */
function oneGoodCopy(left: TestProject, { before, after, where }: States): void {
  for (const npy of Object.keys(before).filter((path) => path.endsWith('.npy'))) {
    const npz = npy.replace(/npy$/, 'npz');
    const original = left.exists(npy) && left.sha256(npy) === before[npy];
    const copy = left.exists(npz) && left.sha256(npz) === after[npz];
    assert.ok(original || copy, `${where}: no good copy of ${npy} is left`);
  }
}

const builds = { run: buildHere, settled: nothingToDo, invariant: oneGoodCopy } satisfies Partial<Scenario>;

faultTests(test, { ...builds, name: 'compress', prepare: () => project('{}') });
faultTests(test, {
  ...builds,
  name: 'compress and delete the original',
  prepare: () => project('{delete-original: true}', ['A/r1', 'A/r2']),
});
faultTests(test, {
  ...builds,
  name: 'delete originals whose copies are there',
  async prepare() {
    const made = await project('{}');
    await buildHere(made, disk);
    made.write(
      'pipeline.yaml',
      'targets: {compressed: {rule: compress, runs: all, with: {delete-original: true}}}',
    );
    return made;
  },
});
faultTests(test, {
  name: 'firn compress --precision float16 --delete-original',
  async prepare() {
    const made = await project('{}');
    made.remove('pipeline.yaml');
    return made;
  },
  async run({ root }: TestProject, port: Port) {
    const request = {
      directory: root,
      patterns: [],
      precision: 'float16',
      olderThan: undefined,
      deleteOriginal: true,
    };
    const { failed, outcomes } = await build(await compressProject({ ...request, port }));
    if (failed > 0) throw outcomes.find(({ error }) => error !== undefined)?.error;
  },
  invariant: oneGoodCopy,
});

test.run();
