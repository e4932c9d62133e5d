/** Faults at any change of the disk while commands other than a build change things. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { adoptReference } from '../src/adopt.js';
import { clean } from '../src/clean.js';
import { unlock } from '../src/engine/recover.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { writeStarter } from '../src/init.js';
import { openProject } from '../src/project.js';
import { changeRegistry } from '../src/registry.js';
import { type Registry, registerVersion, tagRun } from '../src/runs/versions.js';
import { aheadOfFiles, buildHere } from './rig/build-here.js';
import { CHANGE_MODES, faultTests, filesOf } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of commands');

const PIPELINE = `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;
const signal = new AbortController().signal;
const onWait = (holder: string): void => assert.unreachable(`it waits for ${holder}`);

async function built(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await buildHere(project, disk);
  return project;
}

faultTests(test, {
  name: 'clean',
  modes: CHANGE_MODES,
  prepare: built,
  async run({ root }, port) {
    const project = await openProject({ directory: root, port: aheadOfFiles(port) });
    await clean(project, new Set(['reference', 'index']), { signal, onWait });
  },
});

/** What the older system leaves: fewer members, and an index that says nothing of its rows. */
async function foreign(): Promise<TestProject> {
  const project = await built();
  const path = 'data/reference/consolidated_metadata.json';
  const {
    firn: _firn,
    runs: _runs,
    ...old
  } = JSON.parse(project.read(path).toString()) as Record<string, unknown>;
  project.write(path, JSON.stringify(old));
  const index = project.read('data/reference/consolidated_index.faiss');
  // The trailer stands behind what FAISS reads: 40 rows of 8 values.
  project.write('data/reference/consolidated_index.faiss', index.subarray(0, 45 + 4 * 40 * 8));
  project.remove('cache');
  return project;
}

function adopt({ root }: TestProject, port: Port): Promise<unknown> {
  return adoptReference({
    port,
    root,
    cacheDirectory: join(root, 'cache'),
    directory: join(root, 'data/reference'),
    runsDir: join(root, 'consolidated_data/runs'),
    signal,
    onProgress: () => undefined,
    onWait,
  });
}

faultTests(test, {
  name: 'adopt',
  prepare: foreign,
  run: adopt,
  // It may have come to its end all the same; then there is nothing to adopt.
  async converge(project, port) {
    await adopt(project, port).catch((error: Error) => {
      if (!/is a reference of firn already/.test(error.message)) throw error;
    });
  },
  async settled(project, port) {
    const before = project.sha256('data/reference/consolidated_embeddings.npy');
    const copy = project.clone();
    await buildHere(copy, port);
    assert.is(copy.sha256('data/reference/consolidated_embeddings.npy'), before);
  },
});

faultTests(test, {
  name: 'init',
  async prepare() {
    const project = await built();
    project.remove('pipeline.yaml');
    return project;
  },
  run: ({ root }, port) => writeStarter(port, root, 'consolidated_data/runs'),
  async converge(project, port) {
    if (!project.exists('pipeline.yaml')) await writeStarter(port, project.root, 'consolidated_data/runs');
  },
  leaves: /^\.firn-tmp-/,
});

const REGISTRY = 'data/reference/embedding_versions.json';
const NOW = new Date(2025, 0, 2, 3, 4, 5);
const withVersion = (registry: Registry): Registry =>
  registerVersion(registry, { version: 'v1', model: 'nt-500m' }, NOW);

function change(edit: (registry: Registry) => Registry) {
  return ({ root }: TestProject, port: Port): Promise<void> =>
    changeRegistry({ port, root, versionsFile: REGISTRY }, { onWait }, (registry) => [
      edit(registry),
      undefined,
    ]);
}

faultTests(test, {
  name: 'versions register, the first',
  prepare: async () => new TestProject(PIPELINE),
  run: change(withVersion),
});

faultTests(test, {
  name: 'versions tag-run',
  async prepare() {
    const project = await built();
    await change(withVersion)(project, disk);
    return project;
  },
  run: change((registry) => tagRun(registry, 'A/r1', 'v1', NOW)),
});

faultTests(test, {
  name: 'unlock --force',
  async prepare() {
    const project = await built();
    const elsewhere = {
      host: 'h',
      machine: 'm',
      boot: 'b',
      namespace: '',
      pid: 1,
      started: '1',
      command: 'firn build',
    };
    project.write('cache/lock/holder.json', JSON.stringify(elsewhere));
    project.write('data/reference/.firn-0123456789ab-0123456789ab/half', 'half');
    return project;
  },
  run: ({ root }, port) => unlock(port, join(root, 'cache'), true),
  async converge(project, port) {
    if (project.exists('cache/lock/holder.json')) await unlock(port, join(project.root, 'cache'), true);
    const before = filesOf(project);
    await buildHere(project, port);
    assert.equal(filesOf(project), before);
  },
});

test.run();
