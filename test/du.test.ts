/** `firn du`: sizes that add up, savings that were measured, and a projection that says when it cannot be made. */
import { execFileSync } from 'node:child_process';
import { mkdirSync, statSync, truncateSync } from 'node:fs';
import { dirname } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { disk } from '../src/files/disk.js';
import { temporaryFolder } from './rig/folder.js';
import { parse, seededValues, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { builtProject, life, RUNS } from './run-life-rig.js';

const test = suite('du');

interface Du {
  runs: {
    count: number;
    npyOnly: number;
    npzOnly: number;
    both: number;
    npy: number;
    npz: number;
    other: number;
  };
  references: {
    target: string;
    rows?: number;
    embeddings: number;
    metadata: number;
    index: number;
    other: number;
  }[];
  releases: { path: string; bytes: number }[];
  cache: { objects: number; records: number; limit: number };
  archives: { directory: string; runs: number; bytes: number; reachable: number }[];
  compressing: {
    runs: number;
    bytes: number;
    sampledBytes: number;
    sampledRuns: number;
    lossless: number;
    float16: number;
    tooLarge: number;
    unreadable: number;
  } | null;
  garbage: number | null;
  originals: { runs: number; bytes: number };
  disks: { free: number; total: number; holds: string[] }[];
  rate: {
    tooFewRuns?: true;
    dated?: number;
    runs?: number;
    runsPerMonth?: number;
    sequencesPerRun?: number;
    sequencesPerMonth?: number;
  };
  projection: { sequences: number; bytesPerSequence: number; full: string | null } | null;
}

async function du(project: TestProject): Promise<Du> {
  const finished = await project.firn('du', '--json');
  assert.is(finished.code, 0, finished.stderr);
  return parse<Du>(finished);
}

/** Bytes of the files below a folder, as find and awk count them. */
function bytesBelow(folder: string): number {
  const sizes = execFileSync('find', [folder, '-type', 'f', '-printf', '%s\n'], { encoding: 'utf8' });
  return sizes.split('\n').reduce((sum, size) => sum + Number(size), 0);
}

test('what it counts is what find counts', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.is((await project.firn('release', '2024-11')).code, 0);
  const before = project.snapshot();
  const report = await du(project);
  assert.equal(project.snapshot(), before);
  const { runs, references, releases, cache } = report;
  assert.equal([runs.count, runs.npyOnly, runs.npzOnly, runs.both], [2, 0, 0, 2]);
  assert.is(runs.npy + runs.npz + runs.other, bytesBelow(project.path(RUNS)));
  const [reference] = references;
  const size = (name: string) => statSync(project.path(`data/reference/consolidated_${name}`)).size;
  assert.equal(
    [references.length, reference.rows, reference.embeddings, reference.metadata, reference.index],
    [1, 90, size('embeddings.npy'), size('metadata.json'), size('index.faiss')],
  );
  assert.is(
    releases.reduce((sum, { bytes }) => sum + bytes, 0),
    bytesBelow(project.path('data/reference/releases')),
  );
  assert.is(cache.objects + cache.records, bytesBelow(project.path('cache')));
  assert.equal(report.archives, [{ directory: archive, runs: 1, bytes: bytesBelow(archive), reachable: 1 }]);
  const [{ free, total }] = report.disks;
  const [, wanted] = execFileSync('df', ['-B1', '--output=size', project.root], { encoding: 'utf8' })
    .trim()
    .split('\n');
  assert.is(total, Number(wanted));
  assert.ok(free > 0 && free <= total);
});

test('an archive that cannot be reached is said to be so', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  execFileSync('rm', ['-r', `${archive}/B`]);
  const { stdout } = await project.firn('du');
  assert.match(stdout, /archive \/.* 768 B +1 run, 1 of them not reachable now/);
});

test('what cache gc would remove is what it removes', async () => {
  const project = await builtProject();
  // What is there still is proven to be firn's by its record, which is kept with all that it names.
  project.write('pipeline.yaml', 'targets: {compressed: {rule: compress}}');
  project.remove('data/reference');
  const { garbage } = await du(project);
  assert.ok(garbage !== null && garbage > 0);
  const before = bytesBelow(project.path('cache/objects'));
  assert.is((await project.firn('cache', 'gc')).code, 0);
  assert.is(before - bytesBelow(project.path('cache/objects')), garbage);
  assert.is((await du(project)).garbage, 0);
});

test('originals beside lossless copies are known exactly', async () => {
  const project = new TestProject('targets: {compressed: {rule: compress}}');
  for (const [seed, run] of ['A/r1', 'A/r2', 'A/r3'].entries())
    await project.writeRun(run, { seed, rows: 400 });
  await project.build();
  // A rounded copy is none of them.
  project.remove(`${RUNS}/A/r3/embeddings.npz`);
  await project.firn('compress', 'A/r3', '--precision', 'float16', '--execute');
  const size = statSync(project.path(`${RUNS}/A/r1/embeddings.npy`)).size;
  assert.equal((await du(project)).originals, { runs: 2, bytes: 2 * size });
  // The copy of a run that was made anew since is of other values.
  await project.writeRun('A/r2', { seed: 22, rows: 400 });
  assert.equal((await du(project)).originals, { runs: 1, bytes: size });
});

test('what compressing saves is what it saved in the end', async () => {
  const project = new TestProject();
  // Noise hardly shrinks, and counts do.
  await project.writeRun('A/noise', { seed: 1, rows: 3000, dims: 32 });
  await writeArray(project, 'A/counts', 3000, 32, (i) => (i % 7 === 0 ? 1 : 0));
  const { compressing } = await du(project);
  assert.ok(compressing !== null);
  assert.equal([compressing.runs, compressing.sampledRuns, compressing.tooLarge], [2, 2, 0]);
  assert.ok(compressing.sampledBytes >= 0.9 * compressing.bytes);
  for (const [precision, estimate] of [
    ['lossless', compressing.lossless],
    ['float16', compressing.float16],
  ] as const) {
    const copy = project.clone();
    const result = parse<{ originalBytes: number; bytes: number }>(
      await copy.firn('compress', '--precision', precision, '--execute', '--json'),
    );
    const saved = result.originalBytes - result.bytes;
    assert.ok(Math.abs(saved - estimate) < 0.02 * compressing.bytes, `${precision}: ${estimate} of ${saved}`);
  }
});

oracleTest(
  test,
  ['numpy'],
  'a sample of a large run in Fortran order and big endian tells the same',
  async () => {
    const project = new TestProject();
    const path = project.path(`${RUNS}/A/r1/embeddings.npy`);
    mkdirSync(dirname(path), { recursive: true });
    python(
      `
import numpy as np, sys
rng = np.random.default_rng(3)
np.save(sys.argv[1], np.asfortranarray(rng.normal(size=(120000, 96)).astype('>f4')))
`,
      path,
    );
    const { compressing } = await du(project);
    assert.ok(compressing !== null);
    assert.ok(compressing.sampledBytes <= 33 * 2 ** 20 && compressing.sampledBytes >= 31 * 2 ** 20);
    const saved = compressing.lossless / compressing.bytes;
    assert.ok(saved > 0.05 && saved < 0.1, String(saved));
    const half = compressing.float16 / compressing.bytes;
    assert.ok(half > 0.5 && half < 0.6, String(half));
  },
);

test('values that float16 cannot hold, and runs that cannot be read, are told', async () => {
  const project = new TestProject();
  await writeArray(project, 'A/large', 100, 8, () => 1e6);
  await project.writeRun('A/cut', { seed: 1, rows: 100 });
  truncateSync(project.path(`${RUNS}/A/cut/embeddings.npy`), 2000);
  const { compressing } = await du(project);
  assert.equal([compressing?.tooLarge, compressing?.unreadable], [1, 1]);
  const { stdout } = await project.firn('du');
  assert.match(stdout, /float16 cannot hold values of 1 run in the sample/);
  assert.match(stdout, /1 run in the sample cannot be read/);
});

test('runs that came at a known pace, by the dates in their names', async () => {
  const project = new TestProject(
    'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n  index: {rule: index, from: [reference]}\n',
  );
  for (let week = 0; week < 8; week++) {
    const day = new Date(Date.now() - (week + 1) * 7 * 86_400_000).toISOString().slice(0, 10);
    await project.writeRun(`Sea/${day}_10-30-00`, { seed: week, rows: 100 });
  }
  await project.build();
  const { rate, projection } = await du(project);
  assert.equal([rate.runs, rate.sequencesPerRun], [8, 100]);
  assert.ok(Math.abs((rate.runsPerMonth as number) - 4.35) < 0.05, String(rate.runsPerMonth));
  const reference = project.digests('data');
  const bytes = Object.keys(reference).reduce((sum, path) => sum + statSync(project.path(path)).size, 0);
  const each = (bytes + bytesBelow(project.path(RUNS))) / 800;
  assert.ok(
    Math.abs((projection?.bytesPerSequence as number) - each) < 0.01,
    `${projection?.bytesPerSequence} ${each}`,
  );
  const { stdout } = await project.firn('du');
  assert.match(
    stdout,
    /as fast as the last 8 runs came \(4\.3 runs and 435 sequences a month, the last [67] d ago\), the disk is full in/,
  );
});

test('too few runs say nothing of when the disk is full', async () => {
  const project = await builtProject();
  const report = await du(project);
  assert.is(report.rate.tooFewRuns, true);
  assert.is(report.projection?.full, null);
  assert.ok((report.projection?.sequences as number) > 0);
  assert.match(
    (await project.firn('du')).stdout,
    /when it is full cannot be said: too few runs \(3 with a date; 5 over a week are needed\)/,
  );
});

test('an empty folder, and a reference of another program', async () => {
  const project = new TestProject();
  const { code, stdout } = await project.firn('du');
  assert.is(code, 0);
  assert.match(stdout, /no run and no reference to tell from how much a sequence takes/);
  project.write('data/reference/reference_embeddings.npy', 'x'.repeat(1000));
  project.write('data/reference/reference_index.faiss', 'x'.repeat(500));
  const [reference] = (await du(project)).references;
  assert.equal([reference.target, reference.embeddings, reference.index], ['data/reference', 1000, 500]);
});

async function writeArray(
  project: TestProject,
  run: string,
  rows: number,
  dims: number,
  value: (i: number) => number,
) {
  const path = project.path(`${RUNS}/${run}/embeddings.npy`);
  mkdirSync(dirname(path), { recursive: true });
  const writer = await createNpy(disk, path, { dtype: 'f4', dims, rows });
  const values = seededValues(1, rows * dims).map((_, i) => value(i));
  await writer.write(new Uint8Array(values.buffer));
  await writer.finish();
}

test.run();
