/** `delete-original`: the original goes only when the copy is proven equal, and nothing downstream notices. */
import { lstatSync, readFileSync, symlinkSync, utimesSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import compress from '../rules/compress.js';
import type { RunContext, Step } from '../src/engine/types.js';
import { disk } from '../src/files/disk.js';
import { openProject } from '../src/project.js';
import { buildHere } from './rig/build-here.js';
import { idsWith, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('compress and delete');

const RUNS = 'consolidated_data/runs';
const NPY = (run: string) => `${RUNS}/${run}/embeddings.npy`;
/** So many that a copy is smaller. */
const ROWS = 400;
const NPZ = (run: string) => `${RUNS}/${run}/embeddings.npz`;

function pipeline(more: string): string {
  return `targets:
  compressed:
    rule: compress
    ${more}
    with: {delete-original: true}
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`;
}

const LOAD = `
import json, numpy as np, sys
with np.load(sys.argv[1]) as data: print(json.dumps([str(data['embeddings'].dtype), data['embeddings'].ravel().tolist()]))
`;

oracleTest(test, ['numpy'], 'the copy is the run, and a build after the deletion runs nothing', async () => {
  const project = new TestProject(
    pipeline('runs: all').replace('delete-original: true', 'delete-original: false'),
  );
  const values = await project.writeRun('A/r1', { seed: 3, rows: ROWS });
  await project.writeRun('A/r2', { seed: 4, rows: ROWS });
  assert.is((await project.build()).ran, 4);
  const reference = project.digests('data/reference');
  assert.ok(project.exists(NPY('A/r1')));

  project.write('pipeline.yaml', pipeline('runs: all'));
  const second = await project.build();
  // The copies are there already: only the originals go.
  assert.equal(idsWith(second, 'ran'), ['compressed:A/r1', 'compressed:A/r2']);
  assert.not.ok(project.exists(NPY('A/r1')) || project.exists(NPY('A/r2')));
  assert.equal(JSON.parse(python(LOAD, project.path(NPZ('A/r1')))), ['float32', [...values]]);

  const third = await project.build();
  assert.equal([third.ran, third.restored, third.failed], [0, 0, 0]);
  assert.equal(project.digests('data/reference'), reference);
});

test('an original stays where its copy is not smaller, and that is said once', async () => {
  const project = new TestProject(pipeline('runs: all'));
  await project.writeRun('A/tiny', { rows: 1, dims: 1 });
  const before = project.sha256(NPY('A/tiny'));
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.match(
    stderr,
    /warning: compressed:A\/tiny: .*A\/tiny\/embeddings\.npy is kept: its copy is not smaller \(\d+ bytes, and the original has 132\)\n/,
  );
  assert.is(project.sha256(NPY('A/tiny')), before);
  assert.is((await project.build()).fresh, 3);
  assert.equal(idsWith(await project.plan(), 'fresh').length, 3);
});

test('a copy that is larger is said to be larger', async () => {
  const project = new TestProject();
  await project.writeRun('A/tiny', { rows: 1, dims: 1 });
  const { code, stdout, stderr } = await project.firn('compress', '--execute', '--delete-original');
  assert.is(code, 0);
  assert.match(stdout, /132 B became \d+ B \([\d.]+% larger\)/);
  assert.match(stderr, 'is kept: its copy is not smaller');
  assert.ok(project.exists(NPY('A/tiny')));
});

test('the same through `firn compress`', async () => {
  const project = new TestProject(
    'targets:\n  reference: {rule: consolidate, runs: all, out: data/reference}\n',
  );
  await project.writeRun('A/r1', { rows: ROWS });
  await project.writeRun('B/r1', { rows: ROWS });
  await project.build();
  const reference = project.digests('data/reference');
  const { code, stdout } = await project.firn('compress', 'A/*', '--execute', '--delete-original');
  assert.is(code, 0);
  assert.match(stdout, /became .* smaller\)/);
  assert.not.ok(project.exists(NPY('A/r1')));
  assert.ok(project.exists(NPZ('A/r1')) && project.exists(NPY('B/r1')) && !project.exists(NPZ('B/r1')));
  assert.is((await project.build()).ran, 0);
  assert.equal(project.digests('data/reference'), reference);
  assert.match(
    (await project.firn('compress', 'A/*', '--execute', '--delete-original')).stdout,
    /nothing to compress: no run in consolidated_data\/runs that is asked for has an embeddings\.npy\n/,
  );
});

test('what embed made is not embedded again because its original is gone', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 5}}
${pipeline('runs: all').slice('targets:\n'.length)}`);
  project.write('sequences/A/r1.fasta', '>one\nACGTACGTAA\n>two\nTTTTACGA\n');
  project.write('sequences/A/r2.fasta', '>three\nACGACGACGT\n');
  const first = await project.build();
  assert.equal([first.ran, first.failed], [6, 0], JSON.stringify(first.steps));
  assert.not.ok(project.exists(NPY('A/r1')));
  const reference = project.digests('data/reference');
  for (let i = 0; i < 2; i++) {
    const next = await project.build();
    assert.equal([next.ran, next.restored, next.failed], [0, 0, 0], JSON.stringify(next.steps));
  }
  project.write('sequences/A/r2.fasta', '>three\nACGACGACGA\n');
  const changed = await project.build();
  assert.equal(idsWith(changed, 'ran'), ['compressed:A/r2', 'embedded:A/r2', 'index:reference', 'reference']);
  assert.not.ok(project.exists(NPY('A/r2')));
  assert.is.not(
    project.digests('data/reference')['data/reference/consolidated_embeddings.npy'],
    reference['data/reference/consolidated_embeddings.npy'],
  );
  assert.is((await project.build()).ran, 0);
});

oracleTest(test, ['numpy'], 'rounded values are in the reference of the same build', async () => {
  // The reference stands first in the file, and has to wait all the same.
  const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  compressed: {rule: compress, runs: {dataset: A}, with: {precision: float16, delete-original: true}}
`);
  const values = await project.writeRun('A/r1', { seed: 5 });
  await project.writeRun('B/r1', { seed: 6 });
  const first = await project.build();
  assert.equal([first.ran, first.failed], [2, 0], JSON.stringify(first.steps));
  const [dtype, rounded] = JSON.parse(python(LOAD, project.path(NPZ('A/r1')))) as [string, number[]];
  assert.is(dtype, 'float16');
  assert.is.not(rounded[0], values[0]);
  assert.equal([...project.reference().rowsOf('A/r1')], rounded);
  const second = await project.build();
  assert.equal([second.ran, second.restored, second.failed], [0, 0, 0], JSON.stringify(second.steps));
});

test('rounding the original away is refused where it would be made again', async () => {
  const project = new TestProject(
    'targets:\n  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 5}}\n',
  );
  project.write('sequences/A/r1.fasta', '>one\nACGTACGTAA\n');
  await project.build();
  await project.writeRun('B/own', { dims: 16 });
  const refused = await project.firn('compress', '--precision', 'float16', '--execute', '--delete-original');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /embedded:A\/r1 makes .*A\/r1\/embeddings\.npy, and would make it again/);
  assert.ok(project.exists(NPY('A/r1')) && project.exists(NPY('B/own')));
  assert.is(
    (await project.firn('compress', 'B/*', '--precision', 'float16', '--execute', '--delete-original')).code,
    0,
  );
  assert.is((await project.firn('compress', 'A/*', '--execute', '--delete-original')).code, 0);
  assert.not.ok(project.exists(NPY('A/r1')) || project.exists(NPY('B/own')));
  assert.is((await project.build()).ran, 0);
});

test('the copy is as old as the run, so filters by age select it as before', async () => {
  const aged = `targets:
  compressed: {rule: compress, runs: all, with: {delete-original: true}}
  reference: {rule: consolidate, runs: {older-than: 30d}, out: data/reference}
`;
  const project = new TestProject(aged.replace('delete-original: true', 'delete-original: false'));
  await project.writeRun('A/r1', { seed: 1, rows: ROWS });
  await project.writeRun('A/r2', { seed: 2, rows: ROWS });
  project.age(NPY('A/r1'), 40);
  const before = project.mtime(NPY('A/r1'));
  assert.is((await project.build()).ran, 3);
  assert.is(Math.round(project.mtime(NPZ('A/r1'))), Math.round(before));
  const reference = project.digests('data/reference');
  assert.equal(project.reference().names, ['A/r1']);

  // Of an old copy, too, what was written in place under the same date is noticed.
  flip(project.path(NPZ('A/r1')), 150);
  utimesSync(project.path(NPZ('A/r1')), before / 1000, before / 1000);
  assert.equal(idsWith(await project.build(), 'ran'), ['compressed:A/r1']);

  project.write('pipeline.yaml', aged);
  assert.equal(idsWith(await project.build(), 'ran'), ['compressed:A/r1', 'compressed:A/r2']);
  assert.not.ok(project.exists(NPY('A/r1')));
  assert.is(Math.round(project.mtime(NPZ('A/r1'))), Math.round(before));
  const after = await project.build();
  assert.equal([after.ran, after.failed], [0, 0], JSON.stringify(after.steps));
  assert.equal(project.digests('data/reference'), reference);
});

const SAVE_ELSEWHERE =
  'import numpy as np, sys; np.savez_compressed(sys.argv[2], embeddings=np.load(sys.argv[1]))';

/** What happens to the copy between its making and the removal of the original. */
const TAMPERED: [name: string, tamper: (project: TestProject) => void][] = [
  [
    'cut short',
    (project) => writeFileSync(project.path(NPZ('A/r1')), project.read(NPZ('A/r1')).subarray(0, 400)),
  ],
  ['a flipped bit in the data', (project) => flip(project.path(NPZ('A/r1')), 150)],
  ['empty', (project) => writeFileSync(project.path(NPZ('A/r1')), '')],
  [
    'of another run',
    (project) => writeFileSync(project.path(NPZ('A/r1')), readFileSync(project.path(NPZ('A/r2')))),
  ],
  [
    'a link to somebody else’s',
    (project) => {
      python(SAVE_ELSEWHERE, project.path(NPY('A/r1')), project.path('elsewhere.npz'));
      project.remove(NPZ('A/r1'));
      symlinkSync(project.path('elsewhere.npz'), project.path(NPZ('A/r1')));
    },
  ],
];

function flip(path: string, at: number): void {
  const bytes = readFileSync(path);
  bytes[at] ^= 4;
  writeFileSync(path, bytes);
}

for (const [name, tamper] of TAMPERED) {
  test(`a copy that is ${name} never costs the original`, async () => {
    const project = new TestProject(
      pipeline('runs: all').replace('delete-original: true', 'delete-original: false'),
    );
    const values = await project.writeRun('A/r1', { seed: 7, rows: ROWS });
    await project.writeRun('A/r2', { seed: 8, rows: ROWS });
    await project.build();
    project.remove('cache');
    tamper(project);
    project.write('pipeline.yaml', pipeline('runs: all'));
    const { steps } = await project.build('--keep-going');
    const step = steps.find(({ id }) => id === 'compressed:A/r1');
    // Either the copy is made anew and proven, or the original stays and the step says why.
    if (project.exists(NPY('A/r1'))) {
      assert.is(step?.status, 'failed');
      assert.match(step?.error ?? '', /A\/r1\/embeddings\.np[yz]/);
    } else {
      assert.is(step?.status, 'ran');
      assert.ok(lstatSync(project.path(NPZ('A/r1'))).isFile(), 'the run is a file of its own');
      assert.equal(JSON.parse(python(LOAD, project.path(NPZ('A/r1')))), ['float32', [...values]]);
    }
    assert.equal([...project.reference().rowsOf('A/r1')], [...values]);
  });
}

test('a copy that may not be written is proven, and synced all the same', async () => {
  const project = new TestProject(pipeline('runs: all'));
  await project.writeRun('A/r1', { seed: 7, rows: ROWS });
  await buildHere(project, disk);
  await project.writeRun('A/r1', { seed: 7, rows: ROWS });
  const synced: string[] = [];
  const port = {
    ...disk,
    append: (path: string) =>
      path.endsWith('.npz')
        ? Promise.reject(Object.assign(new Error('EACCES'), { code: 'EACCES', path }))
        : disk.append(path),
    sync: async (path: string) => {
      synced.push(path);
      await disk.sync(path);
    },
    unlink: async (path: string) => {
      if (path.endsWith('.npy')) synced.push(path);
      await disk.unlink(path);
    },
  };
  await buildHere(project, port);
  assert.not.ok(project.exists(NPY('A/r1')));
  assert.equal(synced.slice(-2), [project.path(NPZ('A/r1')), project.path(NPY('A/r1'))]);
});

test('the last proof before the removal reads both files to their end', async () => {
  const project = new TestProject(
    pipeline('runs: all').replace('delete-original: true', 'delete-original: false'),
  );
  await project.writeRun('A/r1', { seed: 7, rows: 100 });
  await project.writeRun('A/r2', { seed: 8, rows: 100 });
  await project.writeRun('A/r3', { seed: 7, rows: 99 });
  assert.is((await project.build()).failed, 0);
  const { graph } = await openProject({ directory: project.root });
  const step = graph.order.find(({ id }) => id === 'compressed:A/r1') as Step;
  const context = {
    port: disk,
    resolve: (path: string) => project.path(path),
    signal: new AbortController().signal,
  };
  const prove = () => compress.mayRemove?.(step, NPY('A/r1'), context as unknown as RunContext);
  const original = project.read(NPY('A/r1'));
  const copy = project.read(NPZ('A/r1'));
  await prove();

  const spoilt: [what: string, spoil: () => void][] = [
    ['another run', () => project.write(NPZ('A/r1'), project.read(NPZ('A/r2')))],
    ['a row less', () => project.write(NPZ('A/r1'), project.read(NPZ('A/r3')))],
    ['cut', () => project.write(NPZ('A/r1'), copy.subarray(0, copy.length - 1))],
    ['gone', () => project.remove(NPZ('A/r1'))],
    ['an original that changed since', () => flip(project.path(NPY('A/r1')), original.length - 1)],
  ];
  for (let at = 60; at < copy.length - 200; at += 97)
    spoilt.push([`bit at ${at}`, () => flip(project.path(NPZ('A/r1')), at)]);
  for (const [what, spoil] of spoilt) {
    project.write(NPY('A/r1'), original);
    project.write(NPZ('A/r1'), copy);
    spoil();
    let refused: unknown;
    try {
      await prove();
    } catch (error) {
      refused = error;
    }
    assert.ok(refused instanceof Error, what);
  }
});

test.run();
