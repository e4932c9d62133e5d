/** `firn doctor` on the runs folder and its arrays: each way to be broken is found, and nothing else. */
import { cpSync, mkdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import { createNpz } from '../src/arrays/npz-writer.js';
import { readLog, rewriteLog } from '../src/engine/log-file.js';
import { disk } from '../src/files/disk.js';
import { type Broken, expectFindings, healthyProject, lie, PIPELINE, RUNS } from './rig/doctor.js';
import { TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('doctor: runs');

const NPY = `${RUNS}/A/r1/embeddings.npy`;
const NPZ = `${RUNS}/A/r1/embeddings.npz`;

/** Not built: nothing hangs on what is broken. */
async function unbuilt(pipeline: string | undefined = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/r1');
  return project;
}

const move = (project: TestProject, from: string, to: string): void => {
  mkdirSync(join(project.path(to), '..'), { recursive: true });
  renameSync(project.path(from), project.path(to));
};

const CASES: { [what: string]: Broken } = {
  'there is no runs folder': {
    finds: ['runs-missing', 'pipeline-invalid'],
    breaks: () => new TestProject(PIPELINE),
    path: RUNS,
    remedy: /Expected <runs>\/<dataset>\/<run>\/embeddings\.npy/,
  },
  'a file stands in its place': {
    finds: ['runs-missing', 'pipeline-invalid'],
    breaks() {
      const project = new TestProject(PIPELINE);
      project.write(RUNS, 'x');
      return project;
    },
    message: /is no folder/,
  },
  'it is empty': {
    finds: ['runs-empty', 'pipeline-invalid'],
    breaks() {
      const project = new TestProject(PIPELINE);
      mkdirSync(project.path(RUNS), { recursive: true });
      return project;
    },
    path: RUNS,
  },
  'a target will make the runs: nothing is wrong': {
    finds: [],
    breaks() {
      const project = new TestProject(
        `${PIPELINE}  e: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}\n`,
      );
      project.write('sequences/A/r1.fasta', '>x\nACGT\n');
      return project;
    },
  },
  'an array lies flat in the runs folder': {
    finds: ['run-misplaced'],
    async breaks(project) {
      await project.writeRun('C/r1');
      move(project, `${RUNS}/C/r1/embeddings.npy`, `${RUNS}/embeddings.npy`);
      project.remove(`${RUNS}/C`);
    },
    path: `${RUNS}/embeddings.npy`,
    remedy: /`mv -- consolidated_data\/runs\/embeddings\.npy consolidated_data\/runs\/DATASET\/RUN\/`/,
  },
  'an array lies beside the runs of its dataset': {
    finds: ['run-misplaced'],
    breaks: (project) => cpSync(project.path(NPY), project.path(`${RUNS}/A/embeddings.npy`)),
    remedy: /A\/RUN/,
  },
  'an array lies a folder too deep': {
    finds: ['run-misplaced'],
    async breaks(project) {
      await project.writeRun('C/r1');
      move(project, `${RUNS}/C/r1/embeddings.npy`, `${RUNS}/C/r1/out/embeddings.npy`);
    },
    path: `${RUNS}/C/r1/out/embeddings.npy`,
    remedy: /^`mv -- consolidated_data\/runs\/C\/r1\/out\/embeddings\.npy consolidated_data\/runs\/C\/r1\/`$/,
  },
  'the file is called embedding.npy': {
    finds: ['run-misnamed'],
    async breaks(project) {
      await project.writeRun('C/r1');
      move(project, `${RUNS}/C/r1/embeddings.npy`, `${RUNS}/C/r1/embedding.npy`);
    },
    path: `${RUNS}/C/r1/embedding.npy`,
    remedy:
      /^`mv -- consolidated_data\/runs\/C\/r1\/embedding\.npy consolidated_data\/runs\/C\/r1\/embeddings\.npy`$/,
  },
  'the analysis left no array': {
    finds: ['run-without-array'],
    breaks: (project) => project.write(`${RUNS}/C/r1/pipeline_results.json`, '{}'),
    path: `${RUNS}/C/r1`,
    remedy: /analysis ended well/,
  },
  'a run is a link': {
    finds: ['run-ignored'],
    breaks: (project) => symlinkSync('r1', project.path(`${RUNS}/A/latest`)),
    path: `${RUNS}/A/latest`,
  },
  'a folder may not be read': {
    finds: ['unreadable'],
    breaks: (project) =>
      lie(
        project,
        `const real = fs.readdirSync;
fs.readdirSync = (path, ...rest) => {
  if (!String(path).endsWith('/runs/B')) return real(path, ...rest);
  throw Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'scandir', path });
};`,
      ),
    path: `${RUNS}/B`,
    remedy: /chmod -R u\+rX -- consolidated_data\/runs\/B/,
  },
  'an array may not be read': {
    finds: ['unreadable'],
    breaks: (project) =>
      lie(
        project,
        `const refuse = (real) => (path, ...rest) => {
  if (!String(path).endsWith('/A/r2/embeddings.npy')) return real(path, ...rest);
  throw Object.assign(new Error('EACCES'), { code: 'EACCES', syscall: 'open', path });
};
fs.accessSync = refuse(fs.accessSync);
const open = refuse(fs.promises.open);
fs.promises.open = async (...args) => open(...args);`,
      ),
    path: `${RUNS}/A/r2/embeddings.npy`,
  },
  'an array is cut short': {
    finds: ['run-unusable'],
    breaks: (project) => project.write(NPY, project.read(NPY).subarray(0, 300)),
    path: NPY,
    message: /is truncated/,
  },
  'an array is empty': {
    finds: ['run-unusable'],
    breaks: (project) => project.write(NPY, ''),
    message: /0 bytes/,
  },
  'an array is a pickle': {
    finds: ['run-unusable'],
    breaks: (project) => project.write(NPY, Buffer.from([0x80, 4, 0x95, 0, 0, 0])),
    message: /pickle/,
  },
  'a run has no rows': {
    finds: ['run-no-rows'],
    breaks: async (project) => {
      await project.writeRun('C/r1', { rows: 0 });
    },
    path: `${RUNS}/C/r1/embeddings.npy`,
  },
  'two runs have the same values': {
    finds: ['run-duplicate'],
    breaks: async (project) => {
      await project.writeRun('C/r1', { seed: 2 });
    },
    args: ['--full'],
    path: `${RUNS}/C/r1`,
    message: /very values of A\/r2/,
    remedy: /prune: \["C\/r1"\]/,
  },
  'the same, known from the build': {
    finds: ['run-duplicate'],
    breaks: async (project) => {
      await project.writeRun('C/r1', { seed: 2 });
      await project.build();
    },
  },
  'an npz of another shape stands beside an npy': {
    finds: ['run-conflict'],
    breaks: (project) => writeNpz(project, NPZ, 3),
    path: NPY,
    remedy: /`rm -- consolidated_data\/runs\/A\/r1\/embeddings\.npz`/,
  },
  'an npz of other values stands beside an npy': {
    finds: ['run-conflict'],
    breaks: (project) => writeNpz(project, NPZ, 20),
    args: ['--full'],
    path: NPY,
  },
  'a compressed copy is damaged at its end': {
    finds: ['copy-unusable'],
    async breaks(project) {
      await project.firn('compress', 'A/r1', '--execute');
      project.write(NPZ, project.read(NPZ).subarray(0, -30));
    },
    path: NPZ,
    remedy: /^`rm -- consolidated_data\/runs\/A\/r1\/embeddings\.npz`/,
  },
  'a bit of a compressed copy has flipped': {
    finds: ['copy-unusable'],
    async breaks(project) {
      await project.firn('compress', 'A/r1', '--execute');
      const bytes = project.read(NPZ);
      bytes[300] ^= 1;
      project.write(NPZ, bytes);
      project.remove('cache');
    },
    args: ['--full'],
    path: NPZ,
  },
  'a compressed copy that is right: nothing is wrong': {
    finds: [],
    breaks: async (project) => {
      await project.firn('compress', '--execute', '--precision', 'float16');
    },
    args: ['--full'],
  },
  'a file changed, and its stat did not': {
    finds: ['content-changed'],
    async breaks(project) {
      const file = project.path('cache/digests.jsonl');
      const { entries } = readLog(disk, file);
      await rewriteLog(
        disk,
        file,
        entries.map((entry) => {
          const { id, digest } = entry as { id: string; digest: object };
          const other = { ...digest, digest: `sha256:${'0'.repeat(64)}` };
          return id === `run:${RUNS}/A/r1` ? { ...(entry as object), digest: other } : entry;
        }),
      );
    },
    args: ['--full'],
    path: NPY,
    remedy: /smartctl/,
  },
  'runs of one reference have different dimensions': {
    finds: ['dims-differ'],
    breaks: async (project) => {
      await project.writeRun('C/r1', { dims: 5 });
    },
    path: 'data/reference/consolidated_embeddings.npy',
    message: /8 dimensions: A\/r1, A\/r2, B\/r1\n {2}5 dimensions: C\/r1/,
    remedy: /runs: \{version: V\}/,
  },
  'a run is tagged with the version of another model': {
    finds: ['version-dims'],
    async breaks() {
      const project = await unbuilt(
        'targets: {r: {rule: consolidate, runs: {dataset: A}, out: data/reference}}',
      );
      await project.writeRun('A/r2');
      await project.writeRun('B/r1', { dims: 4 });
      await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
      await project.firn('versions', 'auto-tag', '--version', 'v1');
      return project;
    },
    path: `${RUNS}/B/r1`,
    remedy: /`firn versions tag-run B\/r1 --version RIGHT_VERSION --force`/,
  },
  'registry and run name two versions': {
    finds: ['version-conflict'],
    async breaks() {
      const project = await unbuilt(
        'targets: {r: {rule: consolidate, runs: {version: v2}, out: data/reference}}',
      );
      await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
      await project.firn('versions', 'auto-tag', '--version', 'v1');
      project.write(`${RUNS}/A/r1/embedding_run.json`, '{"firn": 1, "version": "v2"}');
      return project;
    },
    path: `${RUNS}/A/r1`,
    remedy: /^`firn versions tag-run A\/r1 --version v2 --force`$/,
  },
  'the file that says how a run was embedded was cut short': {
    finds: ['run-facts-damaged'],
    breaks: (project) => project.write(`${RUNS}/A/r1/embedding_run.json`, '{"firn": 1, "version": "v'),
    path: `${RUNS}/A/r1/embedding_run.json`,
    remedy: /move it away, and tag the run: `firn versions tag-run A\/r1 --version VERSION`/,
  },
  'runs without a version, and a target that filters by it': {
    finds: ['version-missing'],
    async breaks() {
      const project = await unbuilt(
        'targets: {r: {rule: consolidate, runs: {version: v1}, out: data/reference}}',
      );
      await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
      await project.firn('versions', 'auto-tag', '--version', 'v1');
      await project.writeRun('A/new');
      return project;
    },
    message: /1 run has no version.*A\/new; the targets are r \(v1\)/,
    remedy: /^`firn versions tag-run A\/new --version v1`$/,
  },
  'the registry is no JSON': {
    finds: ['registry-invalid'],
    breaks: (project) => project.write('data/reference/embedding_versions.json', '{"versions": '),
    path: 'data/reference/embedding_versions.json',
  },
  'a file of a killed program was left in a run': {
    finds: ['temporary-left'],
    breaks: (project) => project.write(`${RUNS}/A/r1/.firn-tmp-0123456789ab`, 'half'),
    path: `${RUNS}/A/r1/.firn-tmp-0123456789ab`,
    remedy: /^`rm -r -- consolidated_data\/runs\/A\/r1\/\.firn-tmp-0123456789ab`$/,
  },
  'a run was written in the future': {
    finds: ['time-future'],
    breaks: (project) => project.age(NPY, -3),
    path: NPY,
    message: /3 days from now/,
    remedy: /`touch -- consolidated_data\/runs\/A\/r1\/embeddings\.npy`/,
  },
};

async function writeNpz(project: TestProject, path: string, rows: number): Promise<void> {
  const writer = await createNpz(disk, project.path(path), { dtype: 'f4', dims: 8, rows });
  await writer.write(new Uint8Array(4 * 8 * rows));
  await writer.finish();
}

for (const [what, broken] of Object.entries(CASES)) test(what, () => expectFindings(broken));

/** Made by numpy at `sys.argv[1]`, the folder of a run. */
const BY_NUMPY: { [what: string]: Pick<Broken, 'finds' | 'message' | 'args'> & { make: string } } = {
  'numpy saved objects': {
    make: "np.save(p + '/embeddings.npy', np.array([{'a': 1}], dtype=object), allow_pickle=True)",
    finds: ['run-unusable'],
    message: /pickled Python objects/,
  },
  'numpy saved one dimension': {
    make: "np.save(p + '/embeddings.npy', np.zeros(5, 'f4'))",
    finds: ['run-unusable'],
    message: /has shape \(5,\)/,
  },
  'numpy saved integers': {
    make: "np.save(p + '/embeddings.npy', np.zeros((5, 8), 'i8'))",
    finds: ['run-unusable'],
    message: /dtype/,
  },
  'numpy saved an npz under another name of the array': {
    make: "np.savez(p + '/embeddings.npz', vectors=np.ones((5, 8), 'f4'))",
    finds: ['run-unusable'],
    message: /has no array "embeddings": it holds "vectors"/,
  },
  'numpy saved NaN in float16, Fortran order': {
    make: "x = np.ones((300, 8), 'f2', order='F'); x[7, 3] = np.nan; x[290, 0] = -np.inf; np.save(p + '/embeddings.npy', x)",
    finds: ['run-not-finite'],
    args: ['--full'],
    message: /^2 rows hold NaN or infinity, the first is row 7/,
  },
  'numpy saved NaN in big-endian float64, compressed': {
    make: "x = np.ones((9, 8), '>f8'); x[8, 7] = np.nan; np.savez_compressed(p + '/embeddings.npz', embeddings=x)",
    finds: ['run-not-finite'],
    args: ['--full'],
    message: /^1 row holds NaN or infinity, the first is row 8/,
  },
  'numpy saved the largest and smallest numbers there are: nothing is wrong': {
    make: "f = np.finfo('f4'); x = np.full((9, 8), f.max, 'f4'); x[1] = f.tiny / 2; x[2] = -f.max; np.save(p + '/embeddings.npy', x)",
    finds: [],
    args: ['--full'],
  },
};

for (const [what, { make, ...broken }] of Object.entries(BY_NUMPY)) {
  oracleTest(test, ['numpy'], what, () =>
    expectFindings({
      ...broken,
      breaks(project) {
        python(
          `import numpy as np, os, sys\np = sys.argv[1]; os.makedirs(p)\n${make}`,
          project.path(`${RUNS}/C/r1`),
        );
      },
    }),
  );
}

oracleTest(test, ['numpy'], 'NaN that its reference allows: nothing is wrong', () =>
  expectFindings({
    finds: [],
    breaks() {
      const project = new TestProject(
        'targets:\n  r: {rule: consolidate, runs: all, out: data/reference, with: {non-finite: allow}}\n',
      );
      python(
        "import numpy as np, os, sys\nos.makedirs(sys.argv[1]); np.save(sys.argv[1] + '/embeddings.npy', np.full((3, 2), np.nan, 'f4'))",
        project.path(`${RUNS}/A/r1`),
      );
      return project;
    },
    args: ['--full'],
  }),
);

test('the healthy project is healthy', async () => {
  for (const mode of ['--quick', '--full'])
    await expectFindings({ finds: [], breaks: () => healthyProject(), args: [mode] });
});

test.run();
