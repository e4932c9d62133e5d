/** The data manager: runs and their files as Avalanche leaves them, values, search, references and versions. */
import { mkdirSync, symlinkSync, utimesSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { DataManager, FirnError, openProject, openRun, type RunBlock } from '../src/index.js';
import { RUN_FILE_NAMES } from '../src/runs/run-files.js';
import { seededValues, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('data manager');

const RUNS = 'consolidated_data/runs';
const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;

async function failure(promise: Promise<unknown>): Promise<FirnError> {
  try {
    await promise;
  } catch (error) {
    assert.instance(error, FirnError);
    return error as FirnError;
  }
  throw new Error('nothing was thrown');
}

function age(project: TestProject, name: string, days: number): void {
  project.age(`${RUNS}/${name}/embeddings.npy`, days);
}

/** Four runs with embeddings, one with results only, and things that are no runs. */
async function lab(pipeline: string | undefined = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  for (const [i, name] of ['Marine/2024-11-20', 'Marine/2024-12-01', 'Soil/2024-11-21', 'a-b/x'].entries()) {
    await project.writeRun(name, { seed: i + 1, rows: 30 });
    age(project, name, [40, 1, 5, 90][i]);
  }
  project.write(`${RUNS}/Marine/results-only/pipeline_results.json`, '{"summary": {}}');
  utimesSync(project.path(`${RUNS}/Marine/results-only`), new Date(), new Date(Date.now() - 3 * 86_400_000));
  mkdirSync(project.path(`${RUNS}/Soil/empty`));
  project.write(`${RUNS}/Soil/other/notes.txt`, '');
  project.write(`${RUNS}/.hidden/r1/embeddings.npy`, '');
  symlinkSync('2024-12-01', project.path(`${RUNS}/Marine/latest`));
  return project;
}

const names = (runs: readonly { name: string }[]) => runs.map(({ name }) => name);

test('runs come newest first, with what holds them, and what is no run is passed over', async () => {
  const project = await lab();
  const data = new DataManager({ directory: project.root });
  const runs = await data.discoverRuns();
  assert.equal(names(runs), [
    'Marine/2024-12-01',
    'Marine/results-only',
    'Soil/2024-11-21',
    'Marine/2024-11-20',
    'a-b/x',
  ]);
  const [first, second] = runs;
  assert.is(first.path, project.path(`${RUNS}/Marine/2024-12-01`));
  const changed = project.mtime(`${RUNS}/Marine/2024-12-01/embeddings.npy`);
  assert.ok(Math.abs(first.modified.getTime() - changed) < 2, String(first.modified));
  assert.equal(first.containers, ['npy']);
  assert.is(first.bytes, project.read(`${RUNS}/Marine/2024-12-01/embeddings.npy`).length);
  assert.is(first.version, null);
  assert.equal(first.files, {
    embeddings: project.path(`${RUNS}/Marine/2024-12-01/embeddings.npy`),
    visualizations: {},
  });
  assert.equal([second.containers, second.bytes], [[], 0]);
  assert.equal(await data.datasets(), ['Marine', 'Soil', 'a-b']);
});

test('runs are filtered as in pipeline.yaml, by text, and cut off', async () => {
  const project = await lab();
  const data = new DataManager({ directory: project.root });
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'tag-run', 'Soil/2024-11-21', '--version', 'v1');
  const found = async (query: Parameters<DataManager['discoverRuns']>[0]) =>
    names(await data.discoverRuns(query));
  assert.equal(await found({ sort: 'name' }), [
    'Marine/2024-11-20',
    'Marine/2024-12-01',
    'Marine/results-only',
    'Soil/2024-11-21',
    'a-b/x',
  ]);
  assert.equal(await found({ sort: 'oldest', limit: 2 }), ['a-b/x', 'Marine/2024-11-20']);
  assert.equal(await found({ dataset: 'Marine', limit: 1 }), ['Marine/2024-12-01']);
  assert.equal(await found({ dataset: ['S*', 'a-?'] }), ['Soil/2024-11-21', 'a-b/x']);
  assert.equal(await found({ run: 'Marine/2024-*', sort: 'name' }), [
    'Marine/2024-11-20',
    'Marine/2024-12-01',
  ]);
  assert.equal(await found({ olderThan: '30d' }), ['Marine/2024-11-20', 'a-b/x']);
  assert.equal(await found({ version: 'v1' }), ['Soil/2024-11-21']);
  assert.equal(await found({ text: 'MAR' }), [
    'Marine/2024-12-01',
    'Marine/results-only',
    'Marine/2024-11-20',
  ]);
  assert.equal(await found({ text: '11-2', dataset: 'Soil' }), ['Soil/2024-11-21']);
  assert.equal(await found({ text: 'nowhere' }), []);
  assert.is((await data.run('Soil/2024-11-21')).version, 'v1');
  assert.is((await failure(data.discoverRuns({ olderThan: 'soon' }))).kind, 'usage');
  for (const limit of [Number.NaN, -1, 1.5])
    assert.is((await failure(data.discoverRuns({ limit }))).kind, 'usage');
});

test('a run is found by its name and by the path of its folder', async () => {
  const project = await lab();
  const data = new DataManager({ directory: project.root });
  for (const name of [
    'Soil/2024-11-21',
    `${RUNS}/Soil/2024-11-21/`,
    `./${RUNS}/Soil/2024-11-21`,
    project.path(`${RUNS}/Soil/2024-11-21`),
  ]) {
    assert.is((await data.run(name)).name, 'Soil/2024-11-21', name);
  }
  const { kind, advice } = await failure(data.run('Soil/2024-11-12'));
  assert.is(kind, 'usage');
  assert.is(advice, 'Did you mean "Soil/2024-11-21"?');
  for (const name of ['../../etc', 'Marine/latest', 'Marine/..', '/etc/passwd', 'Soil', '']) {
    assert.is((await failure(data.runFiles(name))).kind, 'usage', name);
  }
});

test('every file that an analysis leaves is found by its key, pictures by name, links never', async () => {
  const project = await lab();
  const run = `${RUNS}/Soil/full`;
  for (const paths of Object.values(RUN_FILE_NAMES))
    for (const path of paths) project.write(`${run}/${path}`, '');
  for (const name of ['a.png', 'a.html', 'b.SVG', 'notes.txt', 'c.pdf'])
    project.write(`${run}/visualizations/${name}`, '');
  const files = await new DataManager({ directory: project.root }).runFiles('Soil/full');
  const { visualizations, ...named } = files;
  assert.equal(Object.keys(named), Object.keys(RUN_FILE_NAMES));
  assert.is(files.embeddings, project.path(`${run}/embeddings.npy`));
  assert.is(files.taxonomy_predictions, project.path(`${run}/taxonomy/taxonomy_predictions.csv`));
  assert.equal(Object.keys(visualizations), ['a.html', 'a.png', 'b.SVG', 'c.pdf']);
  project.remove(`${run}/embeddings.npy`);
  project.remove(`${run}/taxonomy`);
  symlinkSync(project.path(`${RUNS}/Soil/2024-11-21`), project.path(`${run}/taxonomy`));
  project.remove(`${run}/pipeline_results.json`);
  symlinkSync('/etc/passwd', project.path(`${run}/pipeline_results.json`));
  const later = await new DataManager({ directory: project.root }).runFiles('Soil/full');
  assert.is(later.embeddings, project.path(`${run}/embeddings.npz`));
  assert.equal([later.taxonomy_predictions, later.pipeline_results], [undefined, undefined]);
});

test('pipeline results are read as Python writes them', async () => {
  const project = await lab();
  const data = new DataManager({ directory: project.root });
  const path = `${RUNS}/Marine/2024-11-20/pipeline_results.json`;
  assert.is(await data.pipelineResults('Marine/2024-11-20'), null);
  project.write(
    path,
    '{"clustering": {"silhouette_score": NaN, "best": -Infinity, "cluster_labels": [-1, 0, 1e2]}, "__proto__": {"x": 1}}',
  );
  const results = (await data.pipelineResults('Marine/2024-11-20')) as Record<string, unknown>;
  assert.equal(results.clustering, {
    silhouette_score: Number.NaN,
    best: Number.NEGATIVE_INFINITY,
    cluster_labels: [-1, 0, 100],
  });
  assert.is(Object.getPrototypeOf(results), Object.prototype);
  project.write(path, '{"clustering": ');
  const { kind, line } = await failure(data.pipelineResults('Marine/2024-11-20'));
  assert.equal([kind, line], ['input', 1]);
});

test('blocks hold every row once and stay as they are, and rows can be asked for', async () => {
  const project = new TestProject();
  const values = await project.writeRun('A/r1', { rows: 103, dims: 5, seed: 9 });
  const run = await openRun(project.path(`${RUNS}/A/r1`));
  assert.equal([run.rows, run.dims, run.dtype], [103, 5, 'f4']);
  const blocks: RunBlock[] = [];
  for await (const block of run.blocks({ blockRows: 10 })) blocks.push(block);
  assert.equal(
    blocks.map(({ start, rows }) => [start, rows]),
    Array.from({ length: 11 }, (_, i) => [i * 10, i < 10 ? 10 : 3]),
  );
  assert.equal(Float32Array.from(blocks.flatMap((block) => [...block.values])), values);
  assert.equal(await run.row(102), values.slice(510));
  const part: number[] = [];
  for await (const block of run.blocks({ from: 7, to: 9 })) part.push(...block.values);
  assert.equal(Float32Array.from(part), values.slice(35, 45));
  for (const wrong of [
    run.row(103),
    run.row(-1),
    run.row(0.5),
    run.blocks({ from: 5, to: 500 })[Symbol.asyncIterator]().next(),
    ...[Number.NaN, 0, 1.5].map((blockRows) => run.blocks({ blockRows })[Symbol.asyncIterator]().next()),
  ]) {
    assert.is((await failure(wrong)).kind, 'usage');
  }
  const stop = new AbortController();
  let seen = 0;
  try {
    for await (const _ of run.blocks({ blockRows: 1, signal: stop.signal })) {
      seen += 1;
      if (seen === 3) stop.abort(new Error('enough'));
    }
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).message, 'enough');
  }
  assert.is(seen, 3);
  await run.close();
  assert.is((await failure(openRun(project.path(RUNS)))).kind, 'missing');
});

oracleTest(
  test,
  ['numpy'],
  'values are those that numpy reads, whatever dtype, order and container',
  async () => {
    const project = new TestProject();
    python(
      `
import numpy as np, os, sys
a = np.random.default_rng(5).normal(size=(57, 6))
for name, array in {'f2': a.astype('<f2'), 'f4': a.astype('<f4'), 'f8': a, 'big': a.astype('>f4'), 'fortran': np.asfortranarray(a.astype('f4'))}.items():
    for kind in ('npy', 'npz'):
        folder = f'{sys.argv[1]}/{kind}/{name}'
        os.makedirs(folder)
        if kind == 'npy': np.save(folder + '/embeddings.npy', array)
        else: np.savez_compressed(folder + '/embeddings.npz', embeddings=array)
        array.astype('<f4').tofile(folder + '/expected')
`,
      project.path(RUNS),
    );
    const data = new DataManager({ directory: project.root });
    const runs = await data.discoverRuns();
    assert.is(runs.length, 10);
    for (const { name, path } of runs) {
      const run = await data.openRun(name);
      const values: number[] = [];
      for await (const block of run.blocks({ blockRows: 7 })) values.push(...block.values);
      const bytes = Buffer.from(Float32Array.from(values).buffer);
      assert.ok(bytes.equals(project.read(`${path.slice(project.root.length + 1)}/expected`)), name);
      await run.close();
    }
  },
);

oracleTest(test, ['numpy'], 'a search finds what comparing every run in Python finds', async () => {
  const project = await lab();
  const data = (await openProject({ directory: project.root })).data;
  assert.is((await failure(data.searchAcrossEmbeddings({ run: 'a-b/x', seqIdx: 0 }))).kind, 'missing');
  await project.build();
  for (const excludeSameRun of [true, false]) {
    const request = { run: 'Soil/2024-11-21', seqIdx: 4, topK: 7, excludeSameRun };
    const { results, query, method } = await data.searchAcrossEmbeddings(request);
    const expected = JSON.parse(
      python(
        `
import json, numpy as np, os, sys
root, exclude = sys.argv[1], sys.argv[2] == 'true'
query = np.load(f'{root}/Soil/2024-11-21/embeddings.npy')[4]
found = []
for dataset in os.listdir(root):
    for run in os.listdir(f'{root}/{dataset}'):
        path = f'{root}/{dataset}/{run}/embeddings.npy'
        if dataset.startswith('.') or os.path.islink(f'{root}/{dataset}/{run}') or not os.path.exists(path): continue
        if exclude and (dataset, run) == ('Soil', '2024-11-21'): continue
        d = ((np.load(path).astype('f8') - query) ** 2).sum(1)
        found += [(float(x), dataset, run, i) for i, x in enumerate(d)]
print(json.dumps(sorted(found)[:7]))
`,
        project.path(RUNS),
        String(excludeSameRun),
      ),
    ) as [number, string, string, number][];
    assert.equal(
      results.map(({ dataset, run_id, seq_idx }) => [dataset, run_id, seq_idx]),
      expected.map(([, ...place]) => place),
    );
    for (const [i, { distance }] of results.entries()) assert.ok(Math.abs(distance - expected[i][0]) < 1e-5);
    assert.equal([query.run, query.seq_idx, method], ['Soil/2024-11-21', 4, 'index']);
  }
  // Without anything said, rows of the run itself are left out, and there are ten.
  const usual = await data.searchAcrossEmbeddings({
    run: project.path(`${RUNS}/Soil/2024-11-21`),
    seqIdx: 4,
  });
  assert.is(usual.results.length, 10);
  assert.ok(usual.results.every(({ dataset }) => dataset !== 'Soil'));
});

test('many questions to one reference, sequences among them, by target or directory', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2}}
  all: {rule: consolidate, runs: all, out: data/all}
`);
  project.write('sequences/A/r1.fasta', '>one\nACGTACGT\n>two\nGGGGCCCC\n>three\nATATATAT\n');
  await project.build();
  const data = new DataManager({ directory: project.root });
  for (const reference of ['all', 'data/all', project.path('data/all')]) {
    const searcher = await data.openSearch({ reference, topK: 1, excludeSameRun: false });
    const hits = [];
    for (const sequence of ['acg uac gu', 'GGGG-CCCC'])
      hits.push((await searcher.search({ sequence, name: 'q' })).results[0]);
    hits.push((await searcher.search({ run: 'A/r1', seqIdx: 2 })).results[0]);
    assert.equal(
      hits.map(({ name, distance }) => [name, distance]),
      [
        ['one', 0],
        ['two', 0],
        ['three', 0],
      ],
    );
    assert.match((await searcher.search({ sequence: 'A' })).problem ?? '', /too short to embed/);
    assert.is((await failure(searcher.search({ sequence: 'ACGT!' }))).kind, 'usage');
    assert.is((await failure(searcher.search({ run: 'A/r1', seqIdx: 3 }))).kind, 'usage');
    await searcher.close();
  }
});

test('references say what they hold, and how their index stands', async () => {
  const project =
    await lab(`${PIPELINE}  marine: {rule: consolidate, runs: {dataset: Marine}, out: data/marine}
  later: {rule: consolidate, runs: {version: v9}, out: data/later}
`);
  const data = new DataManager({ directory: project.root });
  assert.equal(
    (await data.references()).map(({ target, contents, problem }) => [target, contents, problem]),
    [
      ['reference', null, null],
      ['marine', null, null],
      ['later', null, null],
    ],
  );
  await project.build();
  project.remove(`${RUNS}/a-b/x`);
  await project.build();
  const [reference, marine, later] = await data.references();
  assert.is(later.contents, null);
  assert.is(marine.contents?.index, null);
  assert.is(marine.directory, project.path('data/marine'));
  const { runs, index, ...facts } = await data.reference('reference');
  const sizes = ['embeddings.npy', 'metadata.json', 'index.faiss'].map(
    (name) => project.read(`data/reference/consolidated_${name}`).length,
  );
  assert.equal(facts, {
    directory: project.path('data/reference'),
    rows: 120,
    dims: 8,
    dtype: 'f4',
    bytes: sizes.reduce((sum, size) => sum + size),
    datasets: ['Marine', 'Soil', 'a-b'],
    writtenByFirn: true,
  });
  assert.equal(
    runs.map(({ name, start, rows, retained }) => [name, start, rows, retained]),
    [
      ['Marine/2024-11-20', 0, 30, false],
      ['Marine/2024-12-01', 30, 30, false],
      ['Soil/2024-11-21', 60, 30, false],
      ['a-b/x', 90, 30, true],
    ],
  );
  assert.equal(index, {
    path: project.path('data/reference/consolidated_index.faiss'),
    bytes: sizes[2],
    state: 'current',
    kind: 'flat',
    rows: 120,
    metric: 'l2',
    nlist: null,
    nprobe: null,
    recall: null,
    note: null,
  });
  assert.equal(reference.contents, await data.reference());
  const states: (string | undefined)[] = [];
  const look = async () => states.push((await data.reference()).index?.state);
  await project.writeRun('Soil/new', { seed: 7, rows: 11 });
  await project.build('reference');
  await look();
  assert.is((await data.reference()).index?.rows, 120);
  await project.writeRun('Marine/2024-11-20', { seed: 8, rows: 30 });
  await project.build('reference');
  await look();
  project.write(
    'data/reference/consolidated_index.faiss',
    project.read('data/reference/consolidated_index.faiss').subarray(0, 60),
  );
  await look();
  assert.match((await data.reference()).index?.note ?? '', /consolidated_index\.faiss/);
  assert.equal(states, ['behind', 'unusable', 'unusable']);
  project.write('data/marine/consolidated_metadata.json', '{}');
  const [, broken] = await data.references();
  assert.is(broken.contents, null);
  assert.ok(broken.problem);
});

test('an index in lists says how it was tuned', async () => {
  const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference, with: {nlist: 8, recall: 0.9}}
`);
  await project.writeRun('A/r1', { rows: 2000 });
  await project.build();
  const { index } = await new DataManager({ directory: project.root }).reference();
  assert.equal([index?.kind, index?.state, index?.nlist], ['ivf', 'current', 8]);
  assert.ok((index?.nprobe ?? 0) >= 1 && (index?.recall ?? 0) >= 0.9, JSON.stringify(index));
});

oracleTest(
  test,
  ['numpy'],
  'a reference of the older system, and a project without pipeline.yaml',
  async () => {
    const project = await lab();
    project.remove('pipeline.yaml');
    const data = new DataManager({ directory: project.root });
    assert.equal(await data.references(), []);
    python(
      `
import json, numpy as np, os, sys
root = sys.argv[1]
os.makedirs(root + '/data/reference')
arrays, rows = [], []
for run in ['Soil/2024-11-21', 'Marine/2024-12-01']:
    a = np.load(f'{root}/consolidated_data/runs/{run}/embeddings.npy')
    dataset, run_id = run.split('/')
    rows += [{'dataset': dataset, 'run_id': run_id, 'seq_idx': i, 'source_file': run} for i in range(len(a))]
    arrays.append(a)
np.save(root + '/data/reference/reference_embeddings.npy', np.vstack(arrays))
json.dump({'total_sequences': len(rows), 'sequences': rows}, open(root + '/data/reference/reference_metadata.json', 'w'))
`,
      project.root,
    );
    const [info, ...others] = await data.references();
    assert.equal(others, []);
    assert.is(info.target, null);
    assert.equal(
      [info.contents?.rows, info.contents?.writtenByFirn, info.contents?.index],
      [60, false, null],
    );
    assert.equal(
      info.contents?.runs.map(({ name, start, rows, version }) => [name, start, rows, version]),
      [
        ['Soil/2024-11-21', 0, 30, null],
        ['Marine/2024-12-01', 30, 30, null],
      ],
    );
    const { results, notes } = await data.searchAcrossEmbeddings({
      run: 'Soil/2024-11-21',
      seqIdx: 1,
      topK: 2,
      excludeSameRun: false,
    });
    assert.equal([results[0].run_id, results[0].distance], ['2024-11-21', 0]);
    assert.match(notes[0], /no index/);
  },
);

test('the registry is that of `firn versions`, and changes at once do not undo each other', async () => {
  const project = await lab();
  const data = new DataManager({ directory: project.root });
  assert.equal(await data.versions(), []);
  assert.is((await failure(data.tagRun('a-b/x', 'v1'))).kind, 'usage');
  const register = (description?: string) =>
    data.registerVersion({
      version: 'v1',
      model: 'm',
      ...(description === undefined ? {} : { description }),
    });
  assert.equal(
    [await register(), await register(), await register('better')],
    ['added', 'unchanged', 'described'],
  );
  assert.is((await failure(data.registerVersion({ version: 'v1', model: 'other' }))).kind, 'conflict');
  await Promise.all(
    Array.from({ length: 8 }, (_, i) => data.registerVersion({ version: `w${i}`, model: 'm' })),
  );
  assert.is((await data.versions()).length, 9);
  await data.tagRun(project.path(`${RUNS}/a-b/x`), 'v1');
  assert.is((await failure(data.tagRun('a-b/x', 'w0'))).kind, 'conflict');
  await data.tagRun('a-b/x', 'w0', { force: true });
  assert.equal(await data.autoTag('v1'), ['Marine/2024-11-20', 'Marine/2024-12-01', 'Soil/2024-11-21']);
  const { sides, common, onlySecond } = await data.compareVersions('v1', 'w0');
  assert.equal([sides[0].rows, sides[1].rows, common, onlySecond], [90, 30, [], ['a-b']]);
  const listed = JSON.parse((await project.firn('versions', 'list', '--json')).stdout) as {
    versions: unknown;
  };
  assert.equal(await data.versions(), listed.versions);
  assert.equal(project.leftovers(), []);
});

test('thousands of runs are looked at once each', async () => {
  const project = new TestProject();
  const bytes = Buffer.from(seededValues(1, 8).buffer);
  for (let i = 0; i < 3000; i++) project.write(`${RUNS}/D${i % 30}/r${i}/embeddings.npy`, bytes);
  const data = new DataManager({ directory: project.root });
  assert.is((await data.discoverRuns()).length, 3000);
  assert.is((await data.discoverRuns({ dataset: 'D7', limit: 5 })).length, 5);
});

test.run();
