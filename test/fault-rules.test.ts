/** Faults at any change of the disk while rules work: nothing partial under a final name, and the next build ends right. */

import { suite } from 'uvu';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { faultTests, type Scenario } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of rules');

const builds = { run: buildHere, settled: nothingToDo } satisfies Partial<Scenario>;

faultTests(test, {
  ...builds,
  name: 'embed',
  async prepare() {
    const project = new TestProject(
      'targets: {embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 3}}}',
    );
    project.write('sequences/A/r1.fasta', '>one\nACGTACGTAA\n>short\nA\n>two\nTTTTACGA\n');
    return project;
  },
});

faultTests(test, {
  ...builds,
  name: 'command with two outputs, again',
  async prepare() {
    const project = new TestProject(`
targets:
  made: {rule: command, from: in.txt, run: [sh, -c, 'cp "$0" "$1"; cp "$0" "$2"', "{in}", "{out[0]}", "{out[1]}"], out: [out/a.txt, other/b.txt]}
`);
    project.write('in.txt', 'one');
    await buildHere(project, disk);
    project.write('in.txt', 'two');
    return project;
  },
  // Each run starts a program.
  stride: 3,
});

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

faultTests(test, {
  ...builds,
  name: 'consolidate, onto a reference with retained rows',
  async prepare() {
    const project = new TestProject(
      'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}',
    );
    for (const [i, name] of ['A/r1', 'A/r2', 'B/r1'].entries()) await project.writeRun(name, { seed: i });
    await buildHere(project, disk);
    // The retained rows move by eleven: old metadata over the new array would not find them.
    project.remove('consolidated_data/runs/B/r1');
    await project.writeRun('A/r2', { seed: 22, rows: 31 });
    await project.writeRun('A/r3', { seed: 3 });
    // Nobody but the reference itself knows them.
    project.remove('cache');
    return project;
  },
});

test.run();
