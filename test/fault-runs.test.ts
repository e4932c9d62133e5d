/** Faults at any change of the disk while runs are archived, restored and removed: one good copy is always there. */
import { utimesSync } from 'node:fs';
import { join, relative } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { archiveRuns } from '../src/run-life/archive.js';
import { removeRuns } from '../src/run-life/remove.js';
import { restoreRuns } from '../src/run-life/restore.js';
import { aheadOfFiles, buildHere, nothingToDo } from './rig/build-here.js';
import { bury, type Files, faultTests, MODES, type Scenario, type States } from './rig/faults.js';
import { seededValues, TestProject } from './rig/project.js';

const test = suite('faults of the life of runs');

const RUN = 'consolidated_data/runs/A/r1';
const signal = new AbortController().signal;
const onWait = (holder: string): void => assert.unreachable(`it waits for ${holder}`);

/** A/r1 with a copy, which is rounded: taken for the run, it would change the reference. */
async function built(): Promise<TestProject> {
  const project = new TestProject(`
targets:
  rounded: {rule: compress, runs: {run: A/r1}, with: {precision: float16}}
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('B/r1', { seed: 2 });
  await buildHere(project, disk);
  return project;
}

function common(project: TestProject, port: Port) {
  return { directory: project.root, port: aheadOfFiles(port), signal, onWait };
}

function expectDone(items: readonly { error?: unknown }[]): void {
  for (const { error } of items) if (error !== undefined) throw error;
}

async function archive(project: TestProject, port: Port): Promise<void> {
  // The stub has the dates, which a copy of the project keeps in part.
  for (const name of ['embeddings.npy', 'embeddings.npz', 'plots/umap.html', 'plots'])
    if (project.exists(`${RUN}/${name}`)) utimesSync(project.path(`${RUN}/${name}`), 1e9, 1e9);
  // Relative, so that the stub says the same wherever the folder is.
  const to = relative(process.cwd(), join(project.root, 'archive'));
  expectDone((await archiveRuns({ ...common(project, port), patterns: ['A/r1'], to })).items);
}

function restore(removeArchive: boolean) {
  return async (project: TestProject, port: Port): Promise<void> => {
    expectDone((await restoreRuns({ ...common(project, port), patterns: ['A/r1'], removeArchive })).items);
  };
}

async function remove(project: TestProject, port: Port): Promise<void> {
  expectDone(await removeRuns({ ...common(project, port), patterns: ['A/r1'], allFiles: true }));
}

/** Every file of the run is whole in the run or in the archive, and a build changes no byte of the reference. */
function nothingLost(files: (states: States) => Files) {
  return async (left: TestProject, states: States): Promise<void> => {
    for (const [path, digest] of Object.entries(files(states))) {
      const copies = [path, path.replace('consolidated_data/runs/', 'archive/')];
      const isHere = copies.some((copy) => left.exists(copy) && left.sha256(copy) === digest);
      assert.ok(isHere, `${states.where}: no good copy of ${path} is left`);
    }
    const built = left.clone();
    bury(built.root);
    await buildHere(built, disk);
    assert.equal(
      built.digests('data'),
      onlyIn(states.before, 'data/'),
      `${states.where}: the reference changed`,
    );
  };
}

function onlyIn(files: Files, folder: string): Files {
  return Object.fromEntries(Object.entries(files).filter(([path]) => path.startsWith(folder)));
}

/** Death at every operation, since one order of them may be right and its neighbour not; the others now and then. */
function walk(scenario: Scenario, stride: number): void {
  faultTests(test, { ...scenario, modes: ['die'] });
  faultTests(test, { ...scenario, modes: MODES.filter((mode) => mode !== 'die'), stride });
}

walk(
  {
    name: 'runs archive',
    async prepare() {
      const project = await built();
      project.write(`${RUN}/plots/umap.html`, '<p>');
      return project;
    },
    run: archive,
    invariant: nothingLost(({ before }) => onlyIn(before, RUN)),
    settled: nothingToDo,
  },
  4,
);

for (const removes of [false, true]) {
  walk(
    {
      name: `runs restore${removes ? ' --remove-archive' : ''}`,
      async prepare() {
        const project = await built();
        project.write(`${RUN}/plots/umap.html`, '<p>');
        await archive(project, disk);
        return project;
      },
      run: restore(removes),
      invariant: nothingLost(({ after }) => onlyIn(after, RUN)),
      settled: nothingToDo,
    },
    removes ? 4 : 8,
  );
}

faultTests(test, {
  name: 'runs rm',
  async prepare() {
    const project = await built();
    project.write(`${RUN}/embedding_run.json`, '{}');
    return project;
  },
  run: remove,
  async invariant(left, { where }) {
    // Whether the run is still there or not, the reference holds its rows, and a build keeps them.
    const rows = seededValues(1, 160);
    assert.equal(left.reference().rowsOf('A/r1'), rows, where);
    const later = left.clone();
    bury(later.root);
    await buildHere(later, disk);
    assert.equal(later.reference().rowsOf('A/r1'), rows, where);
  },
});

test.run();
