/** A build stays in its project: no file in the home or the temporary folder, as libraries like to leave there. */
import { mkdirSync, readdirSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { temporaryFolder } from './rig/folder.js';
import { TestProject } from './rig/project.js';

const test = suite('outside');

test('an index is built and searched without a file outside the project', async () => {
  const elsewhere = temporaryFolder();
  const project = new TestProject(`
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`);
  for (const name of ['home', 'tmp']) mkdirSync(join(elsewhere, name));
  project.env = {
    HOME: join(elsewhere, 'home'),
    USERPROFILE: join(elsewhere, 'home'),
    TMPDIR: join(elsewhere, 'tmp'),
    XDG_CACHE_HOME: join(elsewhere, 'home'),
  };
  await project.writeRun('A/r1', { seed: 1, rows: 12_000 });
  const { ran, steps } = await project.build();
  assert.is(ran, 2, JSON.stringify(steps));
  assert.is((await project.firn('search', '--run', 'A/r1', '--seq-idx', '7')).code, 0);
  assert.equal(readdirSync(elsewhere, { recursive: true }).sort(), ['home', 'tmp']);
});

test.run();
