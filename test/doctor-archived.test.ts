/** `firn doctor` on archived runs: their stubs, and what is left of them here and in the archive. */
import { readFileSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { archiveRuns } from '../src/run-life/archive.js';
import { ARRAY, type Broken, doctor, expectFindings, healthyProject, RUNS, settle } from './rig/doctor.js';
import { temporaryFolder } from './rig/folder.js';
import type { TestProject } from './rig/project.js';

const test = suite('doctor: archived runs');

const STUB = `${RUNS}/A/r1/archived.json`;

/** Archives A/r1, and gives the folder it went to. */
async function archived(project: TestProject): Promise<string> {
  const to = temporaryFolder();
  const signal = new AbortController().signal;
  const { items } = await archiveRuns({ directory: project.root, patterns: ['A/r1'], to, signal });
  assert.ok(items[0].done, String(items[0].error));
  await settle(project);
  return join(to, 'A/r1');
}

const CASES: { [what: string]: Broken } = {
  'an archived run is nothing wrong': {
    finds: [],
    breaks: (project) => archived(project).then(() => undefined),
    args: ['--full'],
  },
  'nor where only its reference is asked about': {
    finds: [],
    breaks: (project) => archived(project).then(() => undefined),
    args: ['reference'],
  },
  'its stub was altered': {
    finds: ['archive-stub'],
    async breaks(project) {
      await archived(project);
      project.write(STUB, project.read(STUB).toString().replace('"rows": 20', '"rows": 21'));
    },
    path: STUB,
    message: /was altered since firn wrote it/,
    remedy: /Put it back as it was/,
  },
  'the archive lost a file': {
    finds: ['archive-damaged'],
    breaks: async (project) => rmSync(join(await archived(project), 'embeddings.npy')),
    path: `${RUNS}/A/r1`,
    message: /is not what was archived: embeddings\.npy/,
  },
  'a byte of the archive is another one': {
    finds: ['archive-damaged'],
    args: ['--full'],
    async breaks(project) {
      const path = join(await archived(project), 'embeddings.npy');
      const bytes = readFileSync(path);
      bytes[bytes.length - 1] ^= 1;
      writeFileSync(path, bytes);
    },
  },
  'the archive is somewhere else': {
    finds: ['archive-missing'],
    async breaks(project) {
      const folder = await archived(project);
      renameSync(join(folder, '..'), join(folder, '../../elsewhere'));
    },
    message: /is not there now, and 1 archived run went there: A\/r1/,
    remedy: /`firn runs restore --from DIR`/,
  },
  'an array stands beside the stub': {
    finds: ['archive-unfinished'],
    async breaks(project) {
      await archived(project);
      await project.writeRun('A/r1', { seed: 1 });
      await settle(project);
    },
    path: `${RUNS}/A/r1`,
    remedy: /`firn runs restore A\/r1 --execute`/,
  },
  'a file that was archived is left': {
    finds: ['archive-unfinished'],
    async breaks(project) {
      project.write(`${RUNS}/A/r1/taxonomy.csv`, 'a\n');
      await archived(project);
      project.write(`${RUNS}/A/r1/taxonomy.csv`, 'a\n');
    },
  },
  'the reference is cut short, which has its rows': {
    finds: ['reference-unusable'],
    async breaks(project) {
      await archived(project);
      project.write(ARRAY, project.read(ARRAY).subarray(0, 500));
    },
    remedy:
      /^It has the rows of archived runs \(A\/r1\): first `firn runs restore A\/r1 --execute`, then `firn build reference`/,
  },
};

for (const [what, broken] of Object.entries(CASES)) test(what, () => expectFindings(broken));

test('archived runs are counted', async () => {
  const project = await healthyProject();
  await archived(project);
  const { checked } = await doctor(project);
  assert.equal(
    checked.filter(({ group }) => group === 'archived runs').map(({ text }) => text),
    ['1 run'],
  );
});

test.run();
