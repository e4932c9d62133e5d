/** What a search is asked with: runs in any container, sequences of a file, and what cannot be asked. */
import { readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('what a search is asked with');

interface Answer {
  query: { run: string | null; seq_idx: number | null; name?: string };
  results: { distance: number; dataset: string; run_id: string; seq_idx: number; name?: string }[];
  error?: string;
}

oracleTest(test, ['numpy'], 'a run that is compressed only, and not in the reference', async () => {
  const project = new TestProject(
    'targets:\n  r: {rule: consolidate, runs: {dataset: A}, out: data/reference}\n',
  );
  await project.writeRun('A/r1', { seed: 1, rows: 30 });
  assert.is((await project.build()).failed, 0);
  await project.writeRun('B/new', { seed: 1, rows: 30 });
  python(
    'import numpy as np, os, sys\nx = np.load(sys.argv[1] + ".npy"); np.savez_compressed(sys.argv[1] + ".npz", embeddings=x); os.unlink(sys.argv[1] + ".npy")',
    project.path('consolidated_data/runs/B/new/embeddings'),
  );
  const answer = parse<Answer>(await project.firn('search', '--run', 'B/new', '--seq-idx', '29', '--json'));
  const [first] = answer.results;
  assert.equal([first.dataset, first.run_id, first.seq_idx, first.distance], ['A', 'r1', 29, 0]);
});

test('a sequence asked of runs that were embedded in different ways', async () => {
  const project = new TestProject(`
targets:
  one: {rule: embed, from: one/A/*.fasta, with: {k: 2}}
  both: {rule: embed, from: two/A/*.fasta, with: {k: 2, reverse-complement: true}}
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  for (const file of ['one/A/r1', 'one/A/r2', 'two/A/r3']) project.write(`${file}.fasta`, '>a\nACGTTGCA\n');
  assert.is((await project.build()).failed, 0);
  const asked = await project.firn('search', '--query', 'ACGTTGCA', '--top-k', '1');
  assert.is(asked.code, 0, asked.stderr);
  assert.match(
    asked.stderr,
    'note: the query was embedded as A/r1 was, and other runs were not (A/r3): distances to their rows say nothing\n',
  );
  project.remove('consolidated_data/runs/A/r3/embedding_run.json');
  assert.not.match((await project.firn('search', '--query', 'ACGTTGCA')).stderr, 'other runs');
  // What a program of its own says beside its run is passed over.
  for (const facts of [
    { embedder: 'nt-500m' },
    { embedder: 'kmer', k: 1e9 },
    { embedder: '__proto__' },
    { embedder: 'kmer', k: -1 },
  ]) {
    project.write('consolidated_data/runs/A/r1/embedding_run.json', JSON.stringify(facts));
    const other = await project.firn('search', '--query', 'ACGTTGCA', '--top-k', '1');
    assert.is(other.code, 0, other.stderr);
  }
});

test('a run behind a link is not read', async () => {
  const project = new TestProject(
    'targets:\n  r: {rule: consolidate, runs: {dataset: A}, out: data/reference}\n',
  );
  await project.writeRun('A/r1', { rows: 3 });
  assert.is((await project.build()).failed, 0);
  const outside = new TestProject();
  await outside.writeRun('X/r', { rows: 3 });
  const { symlinkSync } = await import('node:fs');
  symlinkSync(outside.path('consolidated_data/runs/X/r'), project.path('consolidated_data/runs/A/latest'));
  const refused = await project.firn('search', '--run', 'A/latest', '--seq-idx', '0');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /there is no run A\/latest/);
});

oracleTest(test, ['numpy'], 'a row that is not finite is named, not answered with nothing', async () => {
  const project = new TestProject();
  python(
    `
import json, numpy as np, os, sys
os.makedirs(sys.argv[1])
x = np.ones((3, 4), 'f4'); x[1, 2] = np.nan; np.save(sys.argv[1] + '/consolidated_embeddings.npy', x)
json.dump([{'dataset': 'A', 'run_id': 'r', 'seq_idx': i} for i in range(3)], open(sys.argv[1] + '/consolidated_metadata.json', 'w'))
`,
    project.path('ref'),
  );
  const refused = await project.firn(
    'search',
    '--reference',
    'ref',
    '--run',
    'A/r',
    '--seq-idx',
    '1',
    '--json',
  );
  assert.equal([refused.code, refused.stdout], [1, '']);
  assert.match(refused.stderr, /the query holds values that are not finite/);
  const others = parse<Answer>(
    await project.firn('search', '--reference', 'ref', '--run', 'A/r', '--seq-idx', '0', '--json'),
  );
  assert.equal(
    others.results.map(({ seq_idx }) => seq_idx),
    [0, 2],
  );
});

oracleTest(
  test,
  ['numpy'],
  'rows at an infinite distance do not answer, and are said to be there',
  async () => {
    const project = new TestProject('targets:\n  r: {rule: consolidate, runs: all, out: data/reference}\n');
    python(
      "import numpy as np, os, sys\nos.makedirs(sys.argv[1]); np.save(sys.argv[1] + '/embeddings.npy', np.array([[1, 1], [2, 2], [3e38, 3e38]], 'f4'))",
      project.path('consolidated_data/runs/A/r1'),
    );
    assert.is((await project.build()).failed, 0);
    const asked = await project.firn('search', '--run', 'A/r1', '--seq-idx', '0', '--json');
    assert.equal(
      parse<Answer>(asked).results.map(({ seq_idx, distance }) => [seq_idx, distance]),
      [
        [0, 0],
        [1, 2],
      ],
    );
    assert.match(asked.stderr, 'note: 1 row at an infinite distance is left out\n');
  },
);

const SEQUENCES = '>first\nACGTTGCAAGCTTGCATGCC\n>second\nGGGGATCCTCTAGAGTCGAC\n';

test('a sequence of a file that cannot be embedded is named, and the others are answered', async () => {
  const project = new TestProject(`targets:
  e: {rule: embed, from: "sequences/*/*.fasta", with: {k: 3}}
  r: {rule: consolidate, runs: all, out: data/reference}
`);
  project.write('sequences/A/r1.fasta', SEQUENCES);
  assert.is((await project.build()).failed, 0);
  project.write('queries.fasta', '>q1\nACGTTGCAAGCTTGCATGCC\n>tiny\nAC\n>q3\nGGGGATCCTCTAGAGTCGAC\n');
  const args = ['search', '--query-file', 'queries.fasta', '-k', '1'];
  const says =
    /^firn: the sequence tiny is too short to embed: it needs at least 3 unambiguous bases in a row$/m;

  const asJson = await project.firn(...args, '--json', '--output', 'answers.json');
  assert.is(asJson.code, 1);
  assert.match(asJson.stderr, says);
  const answers = parse<Answer[]>(asJson);
  assert.equal(
    answers.map(({ query, results, error }) => [query.name, results[0]?.name, error !== undefined]),
    [
      ['q1', 'first', false],
      ['tiny', undefined, true],
      ['q3', 'second', false],
    ],
  );
  assert.is(project.read('answers.json').toString(), asJson.stdout);

  const asText = await project.firn(...args);
  assert.is(asText.code, 1);
  assert.match(asText.stderr, says);
  assert.match(asText.stdout, /nearest to q1:\n.*\n.* first\nnearest to q3:\n.*\n.* second\n$/);

  const single = await project.firn('search', '--query', 'AC', '--json');
  assert.equal([single.code, single.stdout], [2, '']);
  assert.match(single.stderr, /^firn: the sequence is too short to embed/);
});

test('sequences are embedded as a run of the same dimensions was', async () => {
  const project = new TestProject(`targets:
  old: {rule: embed, from: "sequences/old/*.fasta", with: {k: 2, version: k2}}
  new: {rule: embed, from: "sequences/new/*.fasta", with: {k: 3, version: k3}}
  r: {rule: consolidate, runs: {version: k2}, out: data/reference}
`);
  project.write('sequences/old/r1.fasta', SEQUENCES);
  assert.is((await project.build()).failed, 0);
  // The run of the reference is made anew by another model; the reference is still of the older one.
  project.write('sequences/old/r2.fasta', SEQUENCES);
  assert.is((await project.build()).failed, 0);
  project.write(
    'consolidated_data/runs/old/r1/embedding_run.json',
    '{"firn": 1, "embedder": "kmer", "k": 3, "version": "k2"}',
  );
  const answer = parse<Answer>(
    await project.firn('search', '--query', 'GGGGATCCTCTAGAGTCGAC', '--json', '-k', '1'),
  );
  assert.equal([answer.results[0].name, answer.results[0].distance], ['second', 0]);
});

test('the file of answers replaces earlier answers, and nothing else', async () => {
  const project = new TestProject(
    'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}',
  );
  await project.writeRun('A/r1');
  assert.is((await project.build()).failed, 0);
  const ask = (output: string) =>
    project.firn('search', '--run', 'A/r1', '--seq-idx', '0', '--output', output);
  const array = 'consolidated_data/runs/A/r1/embeddings.npy';
  const before = readFileSync(project.path(array));
  for (const path of [array, 'pipeline.yaml', 'data/reference/consolidated_metadata.json']) {
    const refused = await ask(path);
    assert.is(refused.code, 1, path);
    assert.ok(
      refused.stderr.startsWith(`firn: ${path}: is there already and is no answer of a search\n`),
      refused.stderr,
    );
    assert.is(refused.stdout, '', 'said before the work');
  }
  assert.equal(readFileSync(project.path(array)), before);
  assert.match((await ask('data')).stderr, /^firn: data: is no regular file\n/);
  project.write('empty.json', '');
  project.write('old.json', '[\n  {\n    "query": {"run": "A/r1"}}]');
  for (const path of ['empty.json', 'old.json', 'new.json', 'new.json']) {
    assert.is((await ask(path)).code, 0, path);
    assert.is((JSON.parse(readFileSync(project.path(path), 'utf8')) as Answer).query.run, 'A/r1');
  }
});

test.run();
