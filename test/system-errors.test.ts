/** What the system refuses is told with the paths that people know, and what to do. */
import { symlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

const test = suite('system errors');

const PIPELINE = 'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n';
const RIGHTS =
  '`ls -ld` of it and of the folders above shows whose they are: change that, or run firn as that user.';

/** Refuses one call on paths that match, as the system does where the user has no right: tests may run as root. */
const REFUSES = `
const fs = require('node:fs');
const pattern = new RegExp(process.env.REFUSED);
const refusing = (syscall, real) => (path, ...rest) => {
  if (!pattern.test(syscall + ' ' + path)) return real(path, ...rest);
  const error = new Error("EACCES: permission denied, " + syscall + " '" + path + "'");
  throw Object.assign(error, { errno: -13, code: 'EACCES', syscall, path });
};
fs.readdirSync = refusing('scandir', fs.readdirSync);
for (const [name, syscall] of [['mkdir', 'mkdir'], ['open', 'open']]) {
  const real = refusing(syscall, fs.promises[name]);
  fs.promises[name] = async (...args) => real(...args);
}
require('node:module').syncBuiltinESMExports();
`;

async function projectWhere(refused: string): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1');
  project.write('refuse.cjs', REFUSES);
  project.env = { NODE_OPTIONS: `--require=${project.path('refuse.cjs')}`, REFUSED: refused };
  return project;
}

test('a folder that a reference may not be written to', async () => {
  const project = await projectWhere('mkdir .*/data/reference/\\.firn-');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(
    stderr,
    `FAILED reference: data/reference: cannot be written to: permission denied (EACCES)\n  ${RIGHTS}\n`,
  );
  const result = await project.build();
  assert.match(String(result.steps[0].error), /data\/reference: cannot be written to: permission denied/);
});

test('an output that may not be made', async () => {
  const project = await projectWhere('open .*/\\.firn-.*/consolidated_embeddings.npy$');
  const { stderr } = await project.firn('build');
  assert.match(stderr, /FAILED reference: data\/reference\/consolidated_embeddings\.npy: cannot be written/);
});

test('an array that may not be made is told without the words of the system', async () => {
  const project = await projectWhere('open .*/\\.firn-.*/embeddings.npz$');
  const { code, stderr } = await project.firn('compress', '--execute');
  assert.is(code, 1);
  assert.match(
    stderr,
    `consolidated_data/runs/A/r1/embeddings.npz: cannot be written: permission denied (EACCES)\n  ${RIGHTS}\n`,
  );
  assert.not.match(stderr, 'EACCES: permission');
});

test('a large file that the disk cannot read, which a thread finds out', async () => {
  const project = new TestProject(
    'targets:\n  copy: {rule: command, from: big.bin, run: [cp, "{in}", "{out}"], out: copy.bin}\n',
  );
  project.write('big.bin', new Uint8Array(3_000_000));
  project.write(
    'broken.cjs',
    `const fs = require('node:fs');
if (!require('node:worker_threads').isMainThread) {
  const error = Object.assign(new Error('EIO: i/o error, read'), { errno: -5, code: 'EIO', syscall: 'read' });
  fs.readSync = () => { throw error; };
  require('node:module').syncBuiltinESMExports();
}`,
  );
  project.env = { NODE_OPTIONS: `--require=${project.path('broken.cjs')}` };
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(stderr, 'FAILED copy: big.bin: cannot be read: the disk reports an error (EIO)\n');
  const planned = await project.plan();
  assert.equal(
    planned.steps.map(({ status }) => status),
    ['blocked'],
  );
});

test('a folder of runs that may not be read', async () => {
  const project = await projectWhere('scandir .*/runs/A/r1$');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.is(
    stderr,
    `firn: consolidated_data/runs/A/r1: cannot be read: permission denied (EACCES)\n  ${RIGHTS}\n`,
  );
});

test('a lock that may not be made', async () => {
  const project = await projectWhere('mkdir .*/cache/\\.firn-');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.is(stderr, `firn: cache: cannot be written to: permission denied (EACCES)\n  ${RIGHTS}\n`);
});

test('a cache on a disk that is not there', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1');
  symlinkSync('nowhere', project.path('cache'));
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(
    stderr,
    'firn: cache: is a link that leads nowhere, expected a folder\n  Make the folder that it leads to',
  );
});

test('an answer that is to go into a folder that is not there', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1');
  await project.build();
  const search = ['search', '--run', 'A/r1', '--seq-idx', '0', '--output'];
  const { code, stderr } = await project.firn(...search, '/nonexistent/dir/x.json');
  assert.is(code, 1);
  assert.match(
    stderr,
    'firn: /nonexistent/dir/x.json: could not be written: there is no such file or folder (ENOENT)\n  Make the folder, or name another place.\n',
  );
});

test('a string that is no kind of index is told under the name of the index', async () => {
  const project = new TestProject(
    `${PIPELINE}  index: {rule: index, from: reference, with: {factory: nonsense}}\n`,
  );
  await project.writeRun('A/r1');
  const { steps } = parse<{ steps: { id: string; error?: string }[] }>(await project.firn('build', '--json'));
  assert.not.match(String(steps.find(({ id }) => id === 'index:reference')?.error), '.firn-');
});

test.run();
