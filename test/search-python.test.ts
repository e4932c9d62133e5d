/** References that Python wrote, with numpy, json and FAISS alone: firn searches them as they are. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('search and Python');

interface Found {
  results: { distance: number; dataset: string; run_id: string; seq_idx: number; source_file: string }[];
}

/**
 * A reference wholly by numpy, json and faiss. Arguments: folder, prefix of the names, shape of the metadata, kind of
 * index. Prints the answer to row 2 of its second run.
 */
const WRITE = `
import faiss, json, numpy as np, os, sys
folder, prefix, shape, kind = sys.argv[1:5]
os.makedirs(folder)
rng = np.random.default_rng(5)
parts = [('Marine', '2024-11-20_10-30-00', 40), ('Sø "il"', 'run,1', 30), ('Marine', '2024-11-22', 50)]
sequences, arrays = [], []
for dataset, run, n in parts:
    arrays.append(rng.standard_normal((n, 16)).astype('f4'))
    sequences += [{'dataset': dataset, 'run_id': run, 'seq_idx': i, 'source_file': f'/lab/runs/{dataset}/{run}/embeddings.npy'} for i in range(n)]
x = np.vstack(arrays)
np.save(f'{folder}/{prefix}_embeddings.npy', x)
head = {'total_sequences': len(x), 'total_runs': 3, 'datasets': ['Marine', 'Sø "il"'], 'embedding_dim': 16, 'nested': {'sequences': [1, 2], 'list': [{'dataset': 'x'}]}}
metadata = {'last': {**head, 'sequences': sequences}, 'first': {'sequences': sequences, **head}, 'bare': sequences, 'compact': {**head, 'sequences': sequences}}[shape]
with open(f'{folder}/{prefix}_metadata.json', 'w') as out:
    json.dump(metadata, out, indent=None if shape == 'compact' else 2)
index = None
if kind == 'flat': index = faiss.IndexFlatL2(16)
if kind == 'ip': index = faiss.IndexFlatIP(16)
if kind == 'ivf': index = faiss.index_factory(16, 'IVF8,Flat')
if index is not None:
    index.train(x); index.add(x[:100] if kind == 'flat' else x)
    if kind == 'ivf': index.nprobe = 8
    faiss.write_index(index, f'{folder}/{prefix}_index.faiss')
q = x[42]
score = x.astype('f8') @ q if kind == 'ip' else -((x.astype('f8') - q) ** 2).sum(1)
order = np.argsort(-score, kind='stable')[:9]
print(json.dumps([{'distance': float(abs(score[i]) if kind != 'ip' else score[i]), **sequences[i]} for i in order]))
`;

for (const [prefix, shape, kind] of [
  ['consolidated', 'last', 'ivf'],
  ['consolidated', 'first', 'none'],
  ['consolidated', 'compact', 'ip'],
  ['reference', 'last', 'flat'],
  ['reference', 'bare', 'ivf'],
] as const) {
  oracleTest(
    test,
    ['numpy', 'faiss'],
    `written by Python: ${prefix}_*, sequences ${shape}, index ${kind}`,
    async () => {
      const project = new TestProject();
      const expected = JSON.parse(
        python(WRITE, project.path('reference'), prefix, shape, kind),
      ) as Found['results'];
      const finished = await project.firn(
        'search',
        '--reference',
        'reference',
        '--run',
        'Sø "il"/run,1',
        '--seq-idx',
        '2',
        '-k',
        '9',
        '--json',
      );
      assert.is(finished.code, 0, finished.stderr);
      const { results } = parse<Found & { metric?: string }>(finished);
      const place = ({ dataset, run_id, seq_idx, source_file }: Found['results'][number]) => ({
        dataset,
        run_id,
        seq_idx,
        source_file,
      });
      assert.equal(results.map(place), expected.map(place));
      for (const [i, { distance }] of expected.entries())
        assert.ok(Math.abs(results[i].distance - distance) < 1e-4);
      assert.is(parse<{ metric?: string }>(finished).metric, kind === 'ip' ? 'ip' : undefined);
      if (kind === 'flat') assert.match(finished.stderr, /the index is behind by 20 rows/);
      if (kind === 'ivf') assert.is(finished.stderr, '');
      // A row of the run that stands in two pieces of nothing: the runs stay apart.
      const last = await project.firn(
        'search',
        '--reference',
        'reference',
        '--run',
        'Marine/2024-11-22',
        '--seq-idx',
        '49',
        '-k',
        '1',
        '--json',
      );
      assert.equal(parse<Found>(last).results.map(place)[0].seq_idx, 49);
    },
  );
}

oracleTest(test, ['numpy'], 'rows of a run in several pieces and out of order', async () => {
  const project = new TestProject();
  python(
    `
import json, numpy as np, os, sys
os.makedirs(sys.argv[1])
x = np.arange(24, dtype='f4').reshape(12, 2) ** 2
np.save(sys.argv[1] + '/reference_embeddings.npy', x)
order = [5, 4, 3, 0, 1, 2]
rows = [{'dataset': 'A', 'run_id': r, 'seq_idx': i, 'source_file': ''} for i in order for r in ('one', 'two')]
json.dump({'sequences': rows}, open(sys.argv[1] + '/reference_metadata.json', 'w'), indent=2)
`,
    project.path('ref'),
  );
  for (const [run, row, at] of [
    ['A/one', 0, 6],
    ['A/two', 5, 1],
    ['A/two', 2, 11],
  ] as const) {
    const { results } = parse<Found>(
      await project.firn(
        'search',
        '--reference',
        'ref',
        '--run',
        run,
        '--seq-idx',
        String(row),
        '-k',
        '1',
        '--json',
      ),
    );
    assert.equal(
      [`${results[0].dataset}/${results[0].run_id}`, results[0].seq_idx, results[0].distance],
      [run, row, 0],
      String(at),
    );
  }
  const others = parse<Found>(
    await project.firn(
      'search',
      '--reference',
      'ref',
      '--run',
      'A/one',
      '--seq-idx',
      '0',
      '--exclude-same-run',
      '--json',
    ),
  );
  assert.equal(
    others.results.map(({ run_id }) => run_id),
    Array(6).fill('two'),
  );
});

test('metadata that is none is named', async () => {
  const good = '{"dataset": "A", "run_id": "r", "seq_idx": 0}';
  for (const metadata of [
    '',
    'hello',
    '{"sequences": [',
    '{"sequences": []}',
    '[1, 2, 3]',
    `[${good}]`,
    `{"sequences": [${good}`,
  ]) {
    const project = new TestProject();
    await project.writeRun('A/r', { rows: 3 });
    project.write('ref/reference_embeddings.npy', project.read('consolidated_data/runs/A/r/embeddings.npy'));
    project.write('ref/reference_metadata.json', metadata);
    const { code, stderr } = await project.firn(
      'search',
      '--reference',
      'ref',
      '--run',
      'A/r',
      '--seq-idx',
      '0',
    );
    assert.is(code, 1, metadata);
    assert.match(stderr, /^firn: ref\/reference_metadata\.json: /);
    assert.not.match(stderr, /\n\s+at /);
  }
});

test.run();
