/** `firn search` against exact numpy: from Flat and IVF indexes, without one, and when the index is behind or another's. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('search');

const PIPELINE = `targets:
  small: {rule: consolidate, runs: {dataset: [A, B]}, out: data/reference}
  large: {rule: consolidate, runs: all, out: data/large}
  plain: {rule: consolidate, runs: {dataset: [A, B]}, out: data/plain}
  index: {rule: index, from: [small, large]}
`;

interface Found {
  query: { run: string | null; seq_idx: number | null };
  results: {
    rank: number;
    distance: number;
    dataset: string;
    run_id: string;
    seq_idx: number;
    source_file: string;
  }[];
}

/** Every row compared in double precision; equal distances by smaller row. Arguments: reference, run, row, k, exclude. */
const EXACT = `
import json, numpy as np, sys
folder, run, row, k, exclude = sys.argv[1], sys.argv[2], int(sys.argv[3]), int(sys.argv[4]), sys.argv[5] == 'true'
x = np.load(folder + '/consolidated_embeddings.npy').astype('f8')
rows = json.load(open(folder + '/consolidated_metadata.json'))['sequences']
names = [f"{r['dataset']}/{r['run_id']}" for r in rows]
me = next(i for i, r in enumerate(rows) if names[i] == run and r['seq_idx'] == row)
d = ((x - x[me]) ** 2).sum(1)
order = [int(i) for i in np.argsort(d, kind='stable') if not (exclude and names[i] == run)][:k]
print(json.dumps([{'rank': n + 1, 'distance': float(d[i]), **rows[i]} for n, i in enumerate(order)]))
`;

const shared = new TestProject(PIPELINE);
await shared.writeRun('A/r1', { seed: 1, rows: 300, dims: 12 });
await shared.writeRun('A/r2', { seed: 2, rows: 200, dims: 12 });
await shared.writeRun('B/r1', { seed: 3, rows: 100, dims: 12 });
await shared.writeRun('C/r1', { seed: 4, rows: 11_000, dims: 12 });
const built = await shared.build();
assert.is(built.failed, 0, JSON.stringify(built.steps));

function compare(found: Found, expected: Found['results'], what: string): void {
  assert.equal(
    found.results.map(({ distance, ...rest }) => rest),
    expected.map(({ distance, ...rest }) => rest),
    what,
  );
  for (const [i, { distance }] of expected.entries()) {
    assert.ok(
      Math.abs(found.results[i].distance - distance) <= 1e-5 * Math.max(1, distance),
      `${what}: ${found.results[i].distance} for ${distance}`,
    );
  }
}

async function search(project: TestProject, ...args: string[]): Promise<Found> {
  const finished = await project.firn('search', '--json', ...args);
  assert.is(finished.code, 0, finished.stderr);
  return parse<Found>(finished);
}

function exact(
  project: TestProject,
  reference: string,
  run: string,
  row: number,
  k: number,
  exclude = false,
): Found['results'] {
  return JSON.parse(
    python(EXACT, project.path(reference), run, String(row), String(k), String(exclude)),
  ) as Found['results'];
}

for (const [reference, what, more] of [
  ['data/reference', 'Flat', []],
  ['data/large', 'IVF with every list', ['--nprobe', '100000']],
  ['data/plain', 'without an index', []],
] as const) {
  oracleTest(test, ['numpy'], `${what}: the answer of exact numpy`, async () => {
    for (const [run, row, k, exclude] of [
      ['A/r2', 7, 10, false],
      ['B/r1', 99, 25, true],
      ['A/r1', 0, 1, false],
    ] as const) {
      const flags = [
        '--run',
        run,
        '--seq-idx',
        String(row),
        '--top-k',
        String(k),
        '--reference',
        reference,
        ...(exclude ? ['--exclude-same-run'] : []),
        ...more,
      ];
      const found = await search(shared, ...flags);
      assert.equal(found.query, { run, seq_idx: row });
      compare(found, exact(shared, reference, run, row, k, exclude), `${run} ${row}`);
    }
  });
}

test('an IVF index answers with the nprobe it was calibrated to, and with fewer lists finds less', async () => {
  const found = await search(shared, '--run', 'C/r1', '--seq-idx', '42', '--reference', 'data/large');
  assert.equal([found.results[0].dataset, found.results[0].seq_idx, found.results[0].distance], ['C', 42, 0]);
  const one = await search(
    shared,
    '--run',
    'C/r1',
    '--seq-idx',
    '42',
    '--reference',
    'data/large',
    '--nprobe',
    '1',
    '--top-k',
    '11300',
  );
  assert.ok(one.results.length < 5000, `${one.results.length} of 11600 rows are in one list`);
  assert.is(one.results[0].seq_idx, 42);
});

test('lists that are full of rows left out, or hold too few, make room for more of them', async () => {
  const asked = ['--run', 'C/r1', '--seq-idx', '42', '--reference', 'data/large'];
  const all = await search(shared, ...asked, '-k', '20000');
  assert.is(all.results.length, 11_600);
  const others = await search(shared, ...asked, '-k', '550', '--exclude-same-run');
  assert.is(others.results.length, 550);
  assert.not.ok(others.results.some(({ dataset }) => dataset === 'C'));
});

test('--json and --output hold the fields of the older system and no others', async () => {
  const args = ['search', '--run', 'consolidated_data/runs/A/r1/', '--seq-idx', '5', '--top-k', '2'];
  const printed = await shared.firn(...args, '--json', '--output', 'answer.json');
  assert.equal([printed.code, printed.stderr], [0, '']);
  assert.is(shared.read('answer.json').toString(), printed.stdout);
  const found = parse<Found>(printed);
  assert.equal(Object.keys(found), ['query', 'results']);
  assert.equal(found.query, { run: 'A/r1', seq_idx: 5 });
  assert.equal(
    found.results.map((hit) => Object.keys(hit)),
    Array(2).fill(['rank', 'distance', 'dataset', 'run_id', 'seq_idx', 'source_file']),
  );
  assert.equal(found.results[0], {
    rank: 1,
    distance: 0,
    dataset: 'A',
    run_id: 'r1',
    seq_idx: 5,
    source_file: 'A/r1/embeddings.npy',
  });
  const text = await shared.firn(...args);
  assert.match(
    text.stdout,
    /^nearest to A\/r1 row 5:\nrank {2}distance {2}dataset {2}run {2}row {2}sequence\n {3}1 {4}0\.0000 {2}A {8}r1 +5\n/,
  );
});

test('more than there is gives all there is', async () => {
  for (const reference of ['data/reference', 'data/plain']) {
    const all = await search(
      shared,
      '--run',
      'A/r1',
      '--seq-idx',
      '0',
      '--top-k',
      '1000000',
      '--reference',
      reference,
    );
    assert.is(all.results.length, 600);
    const others = await search(
      shared,
      '--run',
      'A/r1',
      '--seq-idx',
      '0',
      '--top-k',
      '1000000',
      '--exclude-same-run',
      '--reference',
      reference,
    );
    assert.is(others.results.length, 300);
    assert.not.ok(others.results.some((hit) => `${hit.dataset}/${hit.run_id}` === 'A/r1'));
  }
});

oracleTest(
  test,
  ['numpy'],
  'an index that is behind: the rows it lacks are compared, and that is said',
  async () => {
    const project = shared.clone();
    await project.writeRun('B/r2', { seed: 9, rows: 50, dims: 12 });
    assert.is((await project.build('small')).ran, 1);
    const finished = await project.firn('search', '--run', 'B/r2', '--seq-idx', '3', '--json', '-k', '20');
    assert.match(
      finished.stderr,
      /^note: the index is behind by 50 rows, which were compared one by one; `firn build index` mends that\n$/,
    );
    const found = parse<Found>(finished);
    compare(found, exact(project, 'data/reference', 'B/r2', 3, 20), 'behind');
    assert.equal(found.results[0].run_id, 'r2');
    assert.is((await project.build('index')).failed, 0);
    assert.is((await project.firn('search', '--run', 'B/r2', '--seq-idx', '3', '--json')).stderr, '');
  },
);

oracleTest(test, ['numpy', 'faiss'], 'an index of other rows is not used', async () => {
  const notes: [what: string, spoil: (project: TestProject) => Promise<void>, says: RegExp][] = [
    [
      'a run replaced in place',
      async (project) => {
        await project.writeRun('A/r1', { seed: 77, rows: 300, dims: 12 });
        assert.is((await project.build('small')).ran, 1);
      },
      /note: the index is of other rows and was not used, every row was compared/,
    ],
    [
      'more rows than the reference',
      async (project) => {
        project.write(
          'data/reference/consolidated_index.faiss',
          project.read('data/large/consolidated_index.faiss'),
        );
      },
      /note: the index holds more rows than the reference and was not used/,
    ],
    [
      'other dimensions',
      async (project) => {
        python(
          'import faiss, numpy as np, sys; i = faiss.IndexFlatL2(5); i.add(np.ones((600, 5), "f4")); faiss.write_index(i, sys.argv[1])',
          project.path('data/reference/consolidated_index.faiss'),
        );
      },
      /note: the index has 5 dimensions and was not used/,
    ],
  ];
  for (const [what, spoil, says] of notes) {
    const project = shared.clone();
    await spoil(project);
    const finished = await project.firn('search', '--run', 'A/r1', '--seq-idx', '3', '--json');
    assert.match(finished.stderr, says);
    compare(parse<Found>(finished), exact(project, 'data/reference', 'A/r1', 3, 10), what);
  }
});

oracleTest(test, ['numpy'], 'a run that is gone is found, and can be asked for', async () => {
  const project = shared.clone();
  project.remove('consolidated_data/runs/A/r2');
  assert.is((await project.build('small')).failed, 0);
  assert.equal(project.reference().retained, ['A/r2']);
  compare(
    await search(project, '--run', 'A/r2', '--seq-idx', '11'),
    exact(project, 'data/reference', 'A/r2', 11, 10),
    'gone',
  );
});

test('a run that is not in the reference can be asked for too', async () => {
  const project = shared.clone();
  const values = await project.writeRun('New/r1', { seed: 2, rows: 5, dims: 12 });
  const found = await search(project, '--run', 'New/r1', '--seq-idx', '3');
  // The same seed gives the same rows as A/r2 begins with.
  assert.equal([found.results[0].run_id, found.results[0].seq_idx, found.results[0].distance], ['r2', 3, 0]);
  assert.is(values.length, 60);
});

test('mistakes are named', async () => {
  const project = shared.clone();
  await project.writeRun('Other/r1', { dims: 5 });
  await project.writeRun('Empty/r1', { rows: 0, dims: 12 });
  const ask = ['--seq-idx', '0'];
  const cases: [args: string[], code: number, says: RegExp][] = [
    [['--run', 'A/r1', '--seq-idx', '300'], 2, /run A\/r1 has rows 0 to 299, asked for row 300/],
    [
      ['--run', 'Other/r1', '--seq-idx', '20'],
      2,
      /Other\/r1\/embeddings\.npy: has rows 0 to 19, asked for row 20/,
    ],
    [['--run', 'Empty/r1', ...ask], 2, /has no rows, asked for row 0/],
    [['--run', 'A/r1', '--seq-idx', '-1'], 2, /--seq-idx must be a whole number of at least 0, found "-1"/],
    [['--run', 'A/r1', '--seq-idx', '1.5'], 2, /--seq-idx must be a whole number/],
    [
      ['--run', 'A/r3', ...ask],
      2,
      /there is no run A\/r3, neither in the reference nor in consolidated_data\/runs\n {2}Did you mean "A\/r1"\?/,
    ],
    [['--run', 'r1', ...ask], 2, /there is no run r1.*\n {2}Write it as dataset\/run\./],
    [['--run', '../../data/plain', ...ask], 2, /there is no run .*\n {2}Write it as dataset\/run\./],
    [
      ['--run', 'Other/r1', ...ask],
      2,
      /data\/reference: the query has 5 dimensions, the reference 12\n {2}Search a reference of the same model version/,
    ],
    [
      ['--run', 'A/r1', ...ask, '--reference', 'data/nothing'],
      1,
      /data\/nothing: there is no reference here\n {2}Expected consolidated_embeddings\.npy/,
    ],
    [['--run', 'A/r1', ...ask, '--top-k', '0'], 2, /--top-k must be a whole number of at least 1/],
    [['--run', 'A/r1', ...ask, '--nprobe', '0'], 2, /--nprobe must be a whole number of at least 1/],
    [['--run', 'A/r1'], 2, /--run needs --seq-idx/],
    [ask, 2, /a search needs exactly one of --run \(with --seq-idx\), --query and --query-file/],
    [['--query', 'ACGT', ...ask], 2, /--seq-idx goes with --run/],
    [['--query', 'ACGT', '--run', 'A/r1', ...ask], 2, /needs exactly one of/],
    [['--query', 'ACGTACGT'], 2, /data\/reference: no run of this reference says how it was embedded/],
  ];
  for (const [args, code, says] of cases) {
    const finished = await project.firn('search', ...args);
    assert.match(finished.stderr, says);
    assert.not.match(finished.stderr, /\n\s+at /);
    assert.equal([finished.code, finished.stdout], [code, ''], args.join(' '));
  }
  project.remove('data/reference/consolidated_metadata.json');
  const missing = await project.firn('search', '--run', 'A/r1', ...ask);
  assert.is(missing.code, 1);
  assert.match(missing.stderr, /consolidated_metadata\.json: the metadata of this reference is not there/);
});

test('sequences are embedded as the runs of the reference were', async () => {
  const project = new TestProject(`targets:
  e: {rule: embed, from: "sequences/*/*.fasta", with: {k: 3, reverse-complement: true}}
  r: {rule: consolidate, runs: all, out: data/reference}
`);
  project.write(
    'sequences/A/r1.fasta',
    '>first\nACGTTGCAAGCTTGCATGCC\n>second\nGGGGATCCTCTAGAGTCGAC\n>third\nTTTTTAAAAACCCCCTTTTT\n',
  );
  assert.is((await project.build()).failed, 0);
  // The opposite strand of the second, in lower case and as RNA.
  const one = parse<Found & { results: { name: string }[] }>(
    await project.firn('search', '--json', '--query', 'gucgacucuagaggaucccc', '-k', '1'),
  );
  assert.equal(one.query, { run: null, seq_idx: null });
  assert.equal([one.results[0].name, one.results[0].seq_idx, one.results[0].distance], ['second', 1, 0]);

  project.write('queries.fasta', '>q1 x\nTTTTTAAAAACCCCCTTTTT\n>q2\nACGTTGCAAGCTTGCATGCC\n');
  const many = parse<{ query: { name: string }; results: { name: string }[] }[]>(
    await project.firn('search', '--json', '--query-file', 'queries.fasta', '-k', '1'),
  );
  assert.equal(
    many.map(({ query, results }) => [query.name, results[0].name]),
    [
      ['q1', 'third'],
      ['q2', 'first'],
    ],
  );
  const text = await project.firn('search', '--query-file', 'queries.fasta', '-k', '1');
  assert.match(text.stdout, /nearest to q1:\n.*\n.* third\nnearest to q2:\n/);
  assert.is(
    text.stderr,
    'note: there is no index here: every row was compared; to mend that, add the target `index: {rule: index, from: ["r"]}` to pipeline.yaml and type `firn build`\n',
    'said once',
  );

  for (const [args, says] of [
    [['--query', 'AC'], /the sequence is too short to embed: it needs at least 3/],
    [['--query', 'ACGTX'], /'X' is no nucleotide letter/],
    [['--query-file', 'none.fasta'], /none\.fasta/],
    [['--query-file', 'empty.fasta'], /empty\.fasta: holds no sequence/],
  ] as const) {
    project.write('empty.fasta', '');
    const finished = await project.firn('search', ...args);
    assert.is.not(finished.code, 0);
    assert.match(finished.stderr, says);
  }
});

test.run();
