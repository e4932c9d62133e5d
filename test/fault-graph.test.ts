/** Faults at any change of the disk in builds that do more than one thing: a whole graph, the mending of a killed build. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { bury, faultTests, journals, type Scenario } from './rig/faults.js';
import { FaultyPort } from './rig/faulty-port.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of builds');

const builds = { run: buildHere, settled: nothingToDo } satisfies Partial<Scenario>;

const fasta = (seed: number): string =>
  Array.from(
    { length: 40 },
    (_, i) => `>s${i}\n${'ACGTTGCA'.repeat(2 + ((i * seed) % 5))}${'GATC'.repeat(i % 7)}\n`,
  ).join('');

faultTests(test, {
  ...builds,
  name: 'all rules in one build',
  async prepare() {
    const project = new TestProject(`
targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 4}}
  compressed: {rule: compress, runs: all, with: {delete-original: true}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
  page: {rule: command, from: reference, run: [cp, "{in}/consolidated_metadata.json", "{out}"], out: pages/page.json}
`);
    project.write('sequences/A/r1.fasta', fasta(1));
    await buildHere(project, disk);
    project.write('sequences/A/r1.fasta', fasta(2));
    project.write('sequences/B/r1.fasta', fasta(3));
    return project;
  },
  between: (path) => /^consolidated_data\/runs\/.*\.npy$/.test(path),
  // Some 200 operations, and a program in each run.
  stride: 12,
});

faultTests(test, {
  name: 'three steps at a time',
  async prepare() {
    const project = new TestProject(`
targets:
  compressed: {rule: compress, runs: all}
  one: {rule: consolidate, runs: {dataset: A}, out: data/one}
  other: {rule: consolidate, runs: {dataset: B}, out: data/other}
  index: {rule: index, from: [one, other]}
`);
    for (const [seed, name] of ['A/r1', 'B/r1'].entries()) await project.writeRun(name, { seed, rows: 300 });
    return project;
  },
  run: (project, port) => buildHere(project, port, { jobs: 3 }),
  settled: nothingToDo,
  modes: ['die', 'fails once', 'disk full', 'power cut, names kept'],
  stride: 3,
});

const PIPELINE = `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
`;

faultTests(test, {
  ...builds,
  name: 'the build after one that was killed in a commit',
  async prepare() {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1', { seed: 1 });
    await buildHere(project, disk);
    await project.writeRun('A/r2', { seed: 2 });
    const faulty: FaultyPort = new FaultyPort(({ what, path }) =>
      what === 'rename' && path.endsWith('/consolidated_metadata.json') ? faulty.die : undefined,
    );
    await Promise.race([buildHere(project, faulty.port), faulty.died]);
    bury(project.root);
    assert.is(journals(project).length, 1);
    project.write('cache/objects/ab/.firn-tmp-0123456789ab', 'half a copy');
    return project;
  },
});

faultTests(test, {
  ...builds,
  name: 'going back, restored from cache/',
  async prepare() {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1', { seed: 1 });
    await buildHere(project, disk);
    await project.writeRun('A/r1', { seed: 2 });
    await buildHere(project, disk);
    await project.writeRun('A/r1', { seed: 1 });
    return project;
  },
});

/** What is stored is believed only when it is whole. */
async function thereAndBack(project: TestProject, port: Port): Promise<void> {
  for (const seed of [1, 2]) {
    await project.writeRun('A/r1', { seed });
    await buildHere(project, port);
  }
}

faultTests(test, {
  ...builds,
  name: 'storing in cache/, gone back to later',
  async prepare() {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1', { seed: 1 });
    await buildHere(project, disk);
    await project.writeRun('A/r1', { seed: 2 });
    return project;
  },
  settled: thereAndBack,
  modes: ['die', 'fails once', 'power cut, names kept'],
});

test.run();
