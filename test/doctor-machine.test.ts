/**
 * `firn doctor` on the disk and the machine. What a test cannot break (a full disk, an older Node) is told to the program by
 * a system that lies; limits that a shell can set are set.
 */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { peakOf } from '../src/doctor/space-needed.js';
import { type Broken, doctor, expectFindings, healthyProject, lie, PIPELINE, RUNS } from './rig/doctor.js';
import { temporaryFolder } from './rig/folder.js';
import { PROGRAM, TestProject } from './rig/project.js';
import { shell } from './rig/running.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('doctor: machine');

/** What statfs says, changed. */
const space = (facts: object) => (project: TestProject) =>
  lie(
    project,
    `const real = fs.statfsSync;
fs.statfsSync = (path) => ({ ...real(path), ...${JSON.stringify(facts)} });`,
  );

/** How the system answers when asked whether a path may be written to. */
const refuses = (pattern: string, code: string) => (project: TestProject) =>
  lie(
    project,
    `const real = fs.accessSync;
fs.accessSync = (path, mode) => {
  if (mode !== fs.constants.W_OK || !new RegExp(${JSON.stringify(pattern)}).test(path)) return real(path, mode);
  throw Object.assign(new Error('${code}'), { code: '${code}', syscall: 'access', path });
};`,
  );

/** Two runs of which one is old, not built. */
async function unbuilt(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/old', { rows: 1000 });
  await project.writeRun('A/new', { rows: 1000, seed: 2 });
  project.age(`${RUNS}/A/old/embeddings.npy`, 40);
  return project;
}

const CASES: { [what: string]: Broken } = {
  'the disk cannot hold what the next build writes': {
    finds: ['disk-full', 'storage-compress'],
    async breaks() {
      const project = await unbuilt();
      space({ bsize: 1, blocks: 10_000_000, bavail: 100_000 })(project);
      return project;
    },
    path: '.',
    message: /the next build needs about (3\d\d) kB here, and 100 kB are free/,
    remedy: /Make room for 2\d\d kB: `df -h \.`/,
  },
  'the disk is nearly full, and all is built': {
    finds: ['storage-archive', 'storage-compress'],
    async breaks(project) {
      project.age(`${RUNS}/A/r1/embeddings.npy`, 200);
      project.age(`${RUNS}/A/r2/embeddings.npy`, 40);
      await project.build();
      space({ bsize: 1, blocks: 10_000_000, bavail: 400_000 })(project);
    },
    path: RUNS,
    message: /room is short, and 1 run older than 180 days is in a reference: A\/r1/,
  },
  'what to compress then': {
    finds: ['storage-compress'],
    async breaks(project) {
      project.age(`${RUNS}/A/r2/embeddings.npy`, 40);
      await project.build();
      space({ bsize: 1, blocks: 10_000_000, bavail: 400_000 })(project);
    },
    remedy: /^`firn compress --older-than 30 --execute --delete-original`/,
  },
  'no more files fit on the disk': {
    finds: ['disk-inodes'],
    breaks: space({ files: 100_000, ffree: 12 }),
    remedy: /`df -i \.`/,
  },
  'the disk is mounted read-only': {
    finds: ['disk-read-only'],
    breaks: refuses('.', 'EROFS'),
    path: 'cache',
    message: /and so are others: data\/reference/,
  },
  'the folder of a reference belongs to somebody else': {
    finds: ['disk-permission'],
    breaks: refuses('/data/reference$', 'EACCES'),
    path: 'data/reference',
    remedy: /^`ls -ld data\/reference`/,
  },
  'a file stands where cache/ belongs': {
    finds: ['folder-blocked'],
    breaks(project) {
      project.remove('cache');
      project.write('cache', 'x');
    },
    path: 'cache',
    remedy: /^`mv -- cache cache\.away`/,
  },
  'a file stands where the output of a target belongs': {
    finds: ['folder-blocked'],
    breaks(project) {
      project.write('reports', 'x');
      project.write(
        'pipeline.yaml',
        `${PIPELINE}  report: {rule: command, run: [touch, "{out}"], out: reports/x.txt}\n`,
      );
    },
    path: 'reports',
    message: /a file stands where a folder is needed/,
  },
  'a network file system': {
    finds: ['disk-network'],
    breaks: space({ type: 0x6969 }),
    path: '.',
    message: /\(NFS\)/,
  },
  'one whose number is negative': {
    finds: ['disk-network'],
    breaks: space({ type: 0xff534d42 | 0 }),
    message: /\(CIFS\)/,
  },
  'an older Node': {
    finds: ['node-old'],
    breaks: (project) =>
      lie(
        project,
        "Object.defineProperty(process, 'versions', { value: { ...process.versions, node: '18.9.1' } });",
      ),
    path: null,
    message: /this is Node 18\.9\.1, and firn needs 20\.19 or newer/,
  },
  'little memory': {
    finds: ['memory-short'],
    breaks: (project) => lie(project, 'process.availableMemory = () => 50e6;'),
    path: null,
    message: /firn needs about 200 MB of memory, and 50\.0 MB are available/,
  },
  'a small container, and an index in memory': {
    finds: ['memory-short'],
    async breaks() {
      const project = new TestProject(
        PIPELINE.replace('from: [reference]', 'from: [reference], with: {nlist: 100}'),
      );
      await project.writeRun('A/r1', { rows: 12_000, dims: 64 });
      lie(project, 'process.availableMemory = () => 205e6; process.constrainedMemory = () => 256e6;');
      return project;
    },
    message: /building index:reference needs about 212 MB.*; this job or container may have 256 MB/,
    remedy: /--mem/,
  },
  'onnxruntime-node is not installed': {
    finds: ['onnxruntime-missing'],
    breaks: (project) =>
      lie(
        project,
        `const Module = require('node:module');
const real = Module._resolveFilename;
Module._resolveFilename = (name, ...rest) => {
  if (name === 'onnxruntime-node') throw Object.assign(new Error('not found'), { code: 'MODULE_NOT_FOUND' });
  return real(name, ...rest);
};`,
      ),
    path: null,
    message: /does not load \(it is not installed\)/,
    remedy: /`npm ci`/,
  },
  'onnxruntime-node does not fit the machine': {
    finds: ['onnxruntime-missing'],
    breaks: (project) =>
      lie(
        project,
        `const Module = require('node:module');
const real = Module._load;
Module._load = (name, ...rest) => {
  if (String(name).includes('onnxruntime')) throw new Error('libonnxruntime.so.1: cannot open shared object file');
  return real(name, ...rest);
};`,
      ),
    message: /does not load \(libonnxruntime\.so\.1: cannot open shared object file\)/,
  },
  'it ends the process that loads it': {
    finds: ['onnxruntime-missing'],
    breaks: (project) =>
      lie(
        project,
        `const Module = require('node:module');
const real = Module._load;
Module._load = (name, ...rest) => {
  if (String(name).includes('onnxruntime')) process.kill(process.pid, 'SIGILL');
  return real(name, ...rest);
};`,
      ),
    message: /it ended with SIGILL/,
  },
  'fewer folders are watched than there are': {
    finds: ['inotify-few'],
    breaks(project) {
      project.write('limit', '5\n');
      const limit = JSON.stringify(project.path('limit'));
      lie(
        project,
        `const real = fs.openSync;
fs.openSync = (path, ...rest) => real(path === '/proc/sys/user/max_inotify_watches' ? ${limit} : path, ...rest);`,
      );
    },
    path: null,
    message: /announces changes in 5 folders at most, and the runs are in 6/,
  },
  'a check that fails by itself': {
    finds: ['check-failed'],
    breaks: (project) =>
      lie(project, 'const error = new TypeError("a mistake"); fs.statfsSync = () => { throw error; };'),
    path: null,
    message: /^the check of room for the next build failed: a mistake$/,
  },
};

for (const [what, broken] of Object.entries(CASES)) test(what, () => expectFindings(broken));

test('few files may be open', async () => {
  const project = await healthyProject();
  const { code, stdout } = shell(project, 'ulimit -n 100; firn doctor');
  assert.is(code, 1);
  assert.match(stdout, /warning open-files: only 100 files may be open at a time/);
  assert.match(stdout, /-> `ulimit -n 1024`/);
});

/** In a mount namespace: a folder that cannot be written to from then on. */
const READ_ONLY = `mount --bind "$1" "$1" && mount -o remount,ro,bind "$1"`;
/** In a user namespace with a limit of its own. */
const FEW_WATCHED = 'echo 5 > /proc/sys/user/max_inotify_watches';

testWhere(
  test,
  programLacks('unshare', '-Urm', 'sh', '-c', READ_ONLY, 'sh', temporaryFolder()),
  'a file system that really is read-only',
  async () => {
    const project = await healthyProject();
    const inside = `${READ_ONLY} && "$2" "$3" -C "$1" doctor --json`;
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['-Urm', 'sh', '-c', inside, 'sh', project.root, process.execPath, PROGRAM],
      { encoding: 'utf8' },
    );
    assert.is(status, 1, stderr);
    assert.match(stdout, '"code": "disk-read-only"');
  },
);

testWhere(
  test,
  programLacks('unshare', '-Ur', 'sh', '-c', FEW_WATCHED),
  'the limit of watched folders, as the system has it',
  async () => {
    const project = await healthyProject();
    const inside = `${FEW_WATCHED} && "$2" "$3" -C "$1" doctor --json`;
    const { status, stdout, stderr } = spawnSync(
      'unshare',
      ['-Ur', 'sh', '-c', inside, 'sh', project.root, process.execPath, PROGRAM],
      { encoding: 'utf8' },
    );
    assert.is(status, 0, stderr);
    assert.match(stdout, '"code": "inotify-few"');
  },
);

test('room is needed for the new files while the old ones stand', () => {
  assert.is(peakOf([]), 0);
  assert.is(peakOf([{ before: 0, after: 10 }]), 10);
  assert.is(
    peakOf([
      { before: 10, after: 10 },
      { before: 5, after: 5 },
    ]),
    10,
  );
  assert.is(
    peakOf([
      { before: 0, after: 10 },
      { before: 0, after: 5 },
    ]),
    15,
  );
  assert.is(
    peakOf([
      { before: 8, after: 2 },
      { before: 0, after: 3 },
    ]),
    2,
  );
});

test('a project without anything on a disk without anything', async () => {
  const { findings } = await doctor(new TestProject());
  assert.equal(findings.map(({ code }) => code).sort(), ['pipeline-missing', 'runs-missing']);
});

test.run();
