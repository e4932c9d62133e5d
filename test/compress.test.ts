/** Compressing runs: what numpy reads back, which runs are chosen, and what is left alone. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { firnError } from './arrays-rig.js';
import { buildHere } from './rig/build-here.js';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('compress');

const RUNS = 'consolidated_data/runs';

interface CompressJson {
  dryRun: boolean;
  compressed: number;
  kept: number;
  fresh: number;
  failed: number;
  originalBytes: number;
  bytes: number;
  runs: {
    run: string;
    status?: string;
    originalBytes: number;
    bytes: number;
    largestError: number;
    error?: string;
  }[];
}

async function compress(project: TestProject, ...args: string[]): Promise<CompressJson> {
  return parse<CompressJson>(await project.firn('compress', '--json', ...args));
}

/** Arrays as numpy writes them, of every kind a run may be. */
const MAKE = `
import numpy as np, os, sys
runs = sys.argv[1]
rng = np.random.default_rng(1)
x = rng.standard_normal((300, 24))
x[0, :8] = [0.0, -0.0, 1e-8, -6e-8, 65504.0, 2.0**-14, 1 + 2.0**-11, 1 + 2.0**-11 + 2.0**-40]
x[1, :4] = [np.inf, -np.inf, np.nan, 5e-324]
kinds = {
  'f4': x.astype('<f4'), 'f8': x, 'f2': x.clip(-6e4, 6e4).astype('<f2'),
  'big': x.astype('>f4'), 'fortran': np.asfortranarray(x.astype('<f4')),
  'counts': rng.poisson(0.3, (500, 64)).astype('<f4'), 'empty': np.zeros((0, 16), '<f4'),
}
for name, array in kinds.items():
    os.makedirs(f'{runs}/K/{name}')
    np.save(f'{runs}/K/{name}/embeddings.npy', array)
`;

/** Compares each copy with its original rounded by numpy; prints the largest error of each as JSON. */
const CHECK = `
import json, numpy as np, os, sys
runs, precision = sys.argv[1], sys.argv[2]
def rounded(x):
    if precision == 'lossless' or x.dtype.itemsize == 2: return x.astype(x.dtype.newbyteorder('<'))
    if precision == 'float16': return x.astype('<f2')
    kept = int(precision.split(':')[1]); dropped = 23 - kept
    f = np.ascontiguousarray(x).astype('<f4'); bits = f.view('<u4').astype('u8')
    up = (bits + (1 << (dropped - 1)) - 1 + ((bits >> dropped) & 1)) >> dropped << dropped
    return np.where(np.isfinite(f), up.astype('<u4').view('<f4'), f)
errors = {}
for name in sorted(os.listdir(runs + '/K')):
    x = np.load(f'{runs}/K/{name}/embeddings.npy')
    with np.load(f'{runs}/K/{name}/embeddings.npz') as data:
        assert data.files == ['embeddings'], data.files
        y = data['embeddings']
    want = rounded(x)
    assert y.dtype == want.dtype and y.shape == want.shape, (name, y.dtype, want.dtype)
    assert y.tobytes() == np.ascontiguousarray(want).tobytes() or (np.array_equal(y, want, equal_nan=True) and np.array_equal(np.signbit(y), np.signbit(want))), name
    with np.errstate(invalid='ignore'):
        d = np.abs(x.astype('f8') - y.astype('f8'))
    errors[name] = float(np.nanmax(d, initial=0.0))
print(json.dumps(errors))
`;

for (const precision of ['lossless', 'float16', 'mantissa:10', 'mantissa:1', 'mantissa:22']) {
  oracleTest(test, ['numpy'], `${precision} is what numpy makes of it`, async () => {
    const project = new TestProject();
    python(MAKE, project.path(RUNS));
    const made = await compress(project, '--precision', precision, '--execute');
    assert.equal([made.compressed, made.failed], [7, 0], JSON.stringify(made.runs));
    const errors = JSON.parse(python(CHECK, project.path(RUNS), precision)) as Record<string, number>;
    for (const { run, largestError } of made.runs) assert.is(largestError, errors[run.slice(2)], run);
    const again = await compress(project, '--precision', precision, '--execute');
    assert.equal([again.compressed, again.fresh], [0, 7]);
  });
}

oracleTest(test, ['numpy'], 'values that float16 cannot hold are refused, not made infinite', async () => {
  const project = new TestProject();
  await project.writeRun('A/small');
  python(
    `import numpy as np, os, sys\nos.makedirs(sys.argv[1])\nnp.save(sys.argv[1] + '/embeddings.npy', np.array([[1, 70000]], 'f4'))`,
    project.path(`${RUNS}/A/large`),
  );
  const { code, stdout, stderr } = await project.firn(
    'compress',
    '--precision',
    'float16',
    '--execute',
    '--delete-original',
  );
  assert.is(code, 1);
  assert.match(
    stderr,
    /FAILED compress:A\/large: .*A\/large\/embeddings\.npy: holds 70000, which float16 would turn into infinity/,
  );
  assert.ok(project.exists(`${RUNS}/A/large/embeddings.npy`));
  assert.not.ok(project.exists(`${RUNS}/A/large/embeddings.npz`));
  assert.not.ok(project.exists(`${RUNS}/A/small/embeddings.npy`), 'the other run was compressed');
  assert.match(stdout, /the largest change of a value is 0\.000\d+/);
});

test('a dry run by default, which writes nothing', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1', { rows: 100 });
  await project.writeRun('B/r1', { rows: 50 });
  const before = project.snapshot();
  const { code, stdout, stderr } = await project.firn('compress');
  assert.equal([code, stderr], [0, '']);
  assert.is(
    stdout,
    `run     size\nA/r1  3.3 kB\nB/r1  1.7 kB\n2 runs, 5.1 kB, would be compressed\nnothing was written; add --execute to do it\n`,
  );
  const json = await compress(project, 'A/*');
  assert.equal(json, {
    dryRun: true,
    originalBytes: 3328,
    runs: [{ run: 'A/r1', originalBytes: 3328 }],
    failing: [],
  });
  assert.equal(project.snapshot(), before);
});

test('what a disk refused is told, also where what was begun cannot be removed', async () => {
  const project = new TestProject('targets: {c: {rule: compress}}');
  await project.writeRun('A/r1');
  const refuse = (code: string, path: string) =>
    Promise.reject(Object.assign(new Error(code), { code, path }));
  const port: Port = {
    ...disk,
    async create(path) {
      const handle = await disk.create(path);
      if (!path.endsWith('.npz')) return handle;
      return {
        path,
        write: () => refuse('EIO', path),
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
    unlink: (path) => (path.endsWith('.npz') ? refuse('EROFS', path) : disk.unlink(path)),
  };
  const error = await firnError(buildHere(project, port));
  assert.match(error.message, /cannot be written: the disk reports an error \(EIO\)/);
});

test('runs are chosen by the age of their array and by name', async () => {
  const project = new TestProject();
  for (const [name, days] of [
    ['A/new', 1],
    ['A/old', 40],
    ['B/older', 100],
  ] as const) {
    await project.writeRun(name);
    project.write(`${RUNS}/${name}/fresh-notes.txt`, 'written today');
    project.age(`${RUNS}/${name}/embeddings.npy`, days);
  }
  const chosen = async (...args: string[]) => (await compress(project, ...args)).runs.map(({ run }) => run);
  assert.equal(await chosen(), ['A/new', 'A/old', 'B/older']);
  assert.equal(await chosen('--older-than', '30'), ['A/old', 'B/older']);
  assert.equal(await chosen('--older-than', '8w'), ['B/older']);
  assert.equal(await chosen('--older-than', '30', 'A/*'), ['A/old']);
  assert.equal(await chosen('--older-than', '1000'), []);
  assert.equal(await chosen('old*'), ['A/old', 'B/older']);
  assert.equal(await chosen('B/older', 'new'), ['A/new', 'B/older']);

  project.write('pipeline.yaml', 'targets:\n  c: {rule: compress, runs: {older-than: 30d}}\n');
  assert.equal(
    (await project.plan()).steps.map(({ id }) => id),
    ['c:A/old', 'c:B/older'],
  );
  project.age(`${RUNS}/A/old/embeddings.npy`, 20);
  assert.equal(
    (await project.plan()).steps.map(({ id }) => id),
    ['c:B/older'],
  );
});

test('flags that cannot be meant are refused', async () => {
  const project = new TestProject();
  await project.writeRun('Marine/2024-11-20');
  const cases: [args: string[], says: RegExp][] = [
    [['--precision', 'float8'], /--precision cannot be "float8"\n {2}Use lossless, float16 or mantissa:BITS/],
    [['--older-than', '-3'], /"-3" is no duration/],
    [['--older-than', '3x'], /"3x" is no duration/],
    [['Marin/2024-11-20'], /no run is called Marin\/2024-11-20\n {2}Did you mean "Marine\/2024-11-20"\?/],
    [['2025*'], /no run is called 2025\*/],
  ];
  for (const [args, says] of cases) {
    const { code, stdout, stderr } = await project.firn('compress', ...args);
    assert.equal([code, stdout], [2, ''], args.join(' '));
    assert.match(stderr, says);
  }
  assert.match((await new TestProject().firn('compress')).stdout, /nothing to compress/);
});

const SAVE = `
import numpy as np, sys
folder, change = sys.argv[1], float(sys.argv[2])
x = np.load(folder + '/embeddings.npy')
x[0, 0] += change
np.savez_compressed(folder + '/embeddings.npz', embeddings=x)
`;

oracleTest(test, ['numpy'], 'a copy that numpy made of equal values is kept as it is', async () => {
  const project = new TestProject(
    'targets:\n  c: {rule: compress}\n  r: {rule: consolidate, runs: all, out: ref}\n',
  );
  await project.writeRun('A/r1');
  await project.writeRun('A/r2');
  python(SAVE, project.path(`${RUNS}/A/r2`), '0');
  const copy = project.sha256(`${RUNS}/A/r2/embeddings.npz`);
  const { failed, steps } = await project.build();
  assert.is(failed, 0);
  assert.equal(steps.find(({ id }) => id === 'c:A/r2')?.stats, { kept: true });
  assert.is(project.sha256(`${RUNS}/A/r2/embeddings.npz`), copy);
  assert.is((await project.build()).ran, 0);

  const other = new TestProject();
  await other.writeRun('A/r1');
  python(SAVE, other.path(`${RUNS}/A/r1`), '0');
  const json = await compress(other, '--execute');
  assert.equal([json.compressed, json.kept], [0, 1]);
});

oracleTest(test, ['numpy'], 'a copy of other values is a conflict that names both files', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1');
  await project.writeRun('A/r2');
  python(SAVE, project.path(`${RUNS}/A/r1`), '1');
  const before = project.snapshot(RUNS);
  for (const args of [
    [],
    ['--execute'],
    ['--execute', '--delete-original', 'A/r1'],
    ['--execute', '--precision', 'float16', 'A/r1'],
  ]) {
    const { code, stderr } = await project.firn('compress', ...args);
    assert.is(code, 1);
    assert.match(
      stderr,
      /A\/r1\/embeddings\.npy: differs from .*A\/r1\/embeddings\.npz, and nothing says that firn made/,
    );
  }
  const after = project.snapshot(RUNS);
  for (const [path, state] of before) if (path.includes('r1/')) assert.is(after.get(path), state, path);
});

test.run();
