/** Faults at any change of the disk while a project is backed up and restored: no copy is lost, and the next run ends right. */
import { readdirSync, utimesSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupRequest } from '../src/backup/backup.js';
import { verifyBag } from '../src/backup/verify-bag.js';
import { disk } from '../src/files/disk.js';
import { BAG, backupHere, restoreHere } from './rig/backups.js';
import { buildHere } from './rig/build-here.js';
import { CHANGE_MODES, faultTests, type States } from './rig/faults.js';
import { TestProject } from './rig/project.js';

const test = suite('faults of backups');

const PIPELINE = `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;

/** Files on disk have the dates of when they were written; backups note them, and are to be compared here. */
function standStill(project: TestProject): void {
  for (const entry of readdirSync(project.root, { recursive: true, withFileTypes: true })) {
    if (entry.isFile()) utimesSync(join(entry.parentPath, entry.name), 1_800_000_000, 1_800_000_000);
  }
}

function backup(project: TestProject, more: Partial<BackupRequest> = {}): Promise<unknown> {
  standStill(project);
  return backupHere(project, more);
}

/** While files get their names the payload manifests are away, and whoever looks sees why. */
function isOnTheWay(path: string, project: TestProject): boolean {
  return /^backup\/manifest-\w+\.txt$/.test(path) && project.exists(`${BAG}/.firn-backup/switch.json`);
}

async function built(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  project.write('rules/a.mjs', 'a');
  project.write('rules/deep/b.mjs', 'b');
  await buildHere(project, disk);
  return project;
}

/** The bag is valid, as it was or as it will be, or every program sees that it is not complete: also one without journals. */
async function validOrIncomplete(project: TestProject, { before, after, where }: States): Promise<void> {
  if (!project.exists(`${BAG}/bagit.txt`)) return;
  const { findings } = await verifyBag(disk, project.path(BAG));
  const errors = findings.filter(({ severity, code }) => severity === 'error' && code !== 'unfinished');
  const isComplete = errors.every(({ code }) => code === 'checksum' || code === 'oxum');
  assert.ok(errors.length === 0 || !isComplete, `${where}: ${JSON.stringify(errors)}`);
  if (errors.length > 0) return;
  const now = project.sha256(`${BAG}/manifest-sha256.txt`);
  const states = [before, after].map((files) => files[`${BAG}/manifest-sha256.txt`]);
  assert.ok(states.includes(now), where);
}

faultTests(test, {
  name: 'backup, the first',
  modes: CHANGE_MODES,
  prepare: built,
  run: (project, port) => backup(project, { port }),
  between: isOnTheWay,
  stride: 4,
  invariant: validOrIncomplete,
});

faultTests(test, {
  name: 'backup, brought up to date and pruned',
  modes: CHANGE_MODES,
  async prepare() {
    const project = await built();
    await backup(project);
    await project.writeRun('A/r2', { seed: 2 });
    await buildHere(project, disk);
    project.remove('rules');
    project.write('rules', 'a file where a folder was');
    return project;
  },
  run: (project, port) => backup(project, { port, prune: true }),
  between: isOnTheWay,
  stride: 4,
  invariant: validOrIncomplete,
});

// No file comes or goes, so that nothing but checksums could tell a mixture of two states.
faultTests(test, {
  name: 'backup, of the same files with other bytes',
  async prepare() {
    const project = await built();
    await backup(project);
    for (const name of ['rules/a.mjs', 'rules/deep/b.mjs']) project.write(name, 'changed');
    return project;
  },
  run: (project, port) => backup(project, { port }),
  between: isOnTheWay,
  invariant: validOrIncomplete,
  modes: ['die', 'power cut, names kept'],
});

faultTests(test, {
  name: 'restore, from nothing',
  async prepare() {
    const project = await built();
    await backup(project, { include: ['runs'] });
    for (const name of ['cache', 'consolidated_data', 'data', 'rules', 'pipeline.yaml']) project.remove(name);
    return project;
  },
  run: (project, port) => restoreHere(project, { port }),
  stride: 4,
});

faultTests(test, {
  name: 'restore, over files that differ',
  async prepare() {
    const project = await built();
    await backup(project);
    await project.writeRun('A/r2', { seed: 2 });
    await buildHere(project, disk);
    project.remove('rules/deep');
    return project;
  },
  run: (project, port) => restoreHere(project, { port, force: true }),
  stride: 4,
  // What was replaced is kept, however often it was tried.
  invariant(project, { before, where }) {
    for (const path of ['embeddings.npy', 'metadata.json', 'index.faiss'].map(
      (name) => `data/reference/consolidated_${name}`,
    )) {
      const digests = Object.values(project.digests('data'));
      assert.ok(digests.includes(before[path]), `${where}: ${path} as it was is lost`);
    }
  },
});

test.run();
