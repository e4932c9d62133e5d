/** `firn clean`: what a build makes again goes, the only copy of anything stays. */
import { appendFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { clean as cleanHere } from '../src/clean.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { openProject } from '../src/project.js';
import { parse, TestProject } from './rig/project.js';

const test = suite('clean');

const PIPELINE = `targets:
  compressed: {rule: compress, runs: {dataset: A}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;

interface CleanJson {
  dryRun: boolean;
  bytes: number;
  removed: string[];
  spared: { path: string; spared: string }[];
}

async function builtProject(pipeline = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/r1', { seed: 1, rows: 400 });
  await project.writeRun('B/r1', { seed: 2 });
  assert.is((await project.build()).failed, 0);
  return project;
}

async function clean(project: TestProject, ...args: string[]): Promise<CleanJson> {
  return parse<CleanJson>(await project.firn('clean', '--json', ...args));
}

test('a dry run by default; then what was built goes and comes back the same', async () => {
  const project = await builtProject();
  const before = project.digests('data/reference');
  const whole = project.snapshot('data');
  const planned = await project.firn('clean', 'index');
  assert.is(
    planned.stdout,
    'would remove data/reference/consolidated_index.faiss\n1 file, 13.8 kB; nothing was removed, add --execute to do it\n',
  );
  assert.equal(project.snapshot('data'), whole);

  const all = await clean(project, '--all', '--execute');
  assert.equal(all.removed, [
    'consolidated_data/runs/A/r1/embeddings.npz',
    'data/reference/consolidated_embeddings.npy',
    'data/reference/consolidated_metadata.json',
    'data/reference/consolidated_index.faiss',
  ]);
  assert.equal([all.dryRun, all.spared], [false, []]);
  assert.not.ok(project.exists('data/reference'), 'an empty folder goes too');
  assert.ok(project.exists('consolidated_data/runs/A/r1/embeddings.npy'));
  assert.is((await project.build()).failed, 0);
  assert.equal(project.digests('data/reference'), before);
  project.remove('cache');
  assert.equal((await clean(project, '--all')).removed, [], 'without records nothing is known to be firn’s');
});

test('the order of rows outlives a clean', async () => {
  const project = await builtProject();
  await project.writeRun('A/0-early', { seed: 3 });
  await project.build();
  const { names } = project.reference();
  assert.equal(names, ['A/r1', 'B/r1', 'A/0-early']);
  const before = project.digests('data/reference');
  await clean(project, 'reference', '--execute');
  project.remove('cache/objects');
  await project.build();
  assert.equal(project.digests('data/reference'), before);
});

test('a reference that holds the only copy of a run stays, whether a build has noticed or not', async () => {
  const project = await builtProject();
  project.remove('consolidated_data/runs/B/r1');
  for (const noticed of [false, true]) {
    if (noticed) assert.is((await project.build()).failed, 0);
    const before = project.snapshot('data');
    const { code, stdout, stderr } = await project.firn('clean', 'reference', '--execute');
    assert.is(code, 0);
    assert.match(
      stderr,
      /kept data\/reference\/consolidated_embeddings\.npy: it holds the only copy of B\/r1\n/,
    );
    assert.is(stdout, '0 files, 0 B freed\n');
    assert.equal(project.snapshot('data'), before);
  }
  // One that is there and cannot be read is no copy.
  const other = await builtProject();
  other.write('consolidated_data/runs/B/r1/embeddings.npy', 'not an array');
  assert.equal((await clean(other, 'reference', '--execute')).removed, []);
});

test('a compressed copy that is the run by now stays', async () => {
  const project = await builtProject(
    PIPELINE.replace('{dataset: A}', '{dataset: A}, with: {delete-original: true}'),
  );
  assert.not.ok(project.exists('consolidated_data/runs/A/r1/embeddings.npy'));
  // The step is gone with its original; a build that would make the run again keeps it.
  await clean(project, '--all', '--execute');
  assert.ok(project.exists('consolidated_data/runs/A/r1/embeddings.npz'));

  const embedded = new TestProject(`targets:
  e: {rule: embed, from: "s/*/*.fasta", with: {k: 5}}
  c: {rule: compress, with: {delete-original: true}}
`);
  embedded.write('s/A/r.fasta', '>a\nACGTACGT\n');
  assert.is((await embedded.build()).failed, 0);
  const whole = embedded.snapshot('consolidated_data');
  const { removed, spared } = await clean(embedded, '--all', '--execute');
  assert.equal(removed, []);
  const why = (name: string) =>
    spared.find(({ path }) => path === `consolidated_data/runs/A/r/${name}`)?.spared;
  assert.is(why('embeddings.npz'), 'the original is gone and this copy is the run');
  for (const name of ['sequence_names.txt', 'skipped_sequences.tsv', 'embedding_run.json'])
    assert.is(why(name), 'it belongs to a run whose compressed copy is the run by now');
  assert.equal(embedded.snapshot('consolidated_data'), whole);
});

test('what somebody writes while the others go stays', async () => {
  const project = await builtProject();
  const index = project.path('data/reference/consolidated_index.faiss');
  const port: Port = {
    ...disk,
    async unlink(path) {
      if (path.endsWith('consolidated_embeddings.npy')) appendFileSync(index, 'mine');
      await disk.unlink(path);
    },
  };
  const items = await cleanHere(
    await openProject({ directory: project.root, port }),
    new Set(['reference', 'index']),
    { signal: new AbortController().signal, onWait: () => undefined },
  );
  assert.ok(project.exists('data/reference/consolidated_index.faiss'));
  assert.equal(
    items.map(({ spared }) => spared),
    [undefined, undefined, 'it is not as firn wrote it'],
  );
});

test('what somebody changed stays', async () => {
  const project = await builtProject();
  appendFileSync(project.path('data/reference/consolidated_index.faiss'), 'mine');
  project.write('data/reference/notes.txt', 'mine');
  const { removed, spared } = await clean(project, '--all', '--execute');
  assert.equal(
    spared.map(({ path, spared: why }) => [path, why]),
    [['data/reference/consolidated_index.faiss', 'it is not as firn wrote it']],
  );
  assert.ok(removed.length === 3 && project.exists('data/reference/notes.txt'));
});

test('it has to be told what', async () => {
  const project = await builtProject();
  for (const [args, says] of [
    [[], /name the targets to clean, or give --all/],
    [['indx'], /there is no target "indx"\n {2}Did you mean "index"\?/],
  ] as const) {
    const { code, stdout, stderr } = await project.firn('clean', ...args);
    assert.equal([code, stdout], [2, '']);
    assert.match(stderr, says);
  }
});

test.run();
