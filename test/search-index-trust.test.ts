/** Which index a search trusts: firn's says of which rows it is; another program's is compared with what it finds. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import { openReference } from '../src/reference/open.js';
import { openReferenceIndex, searchReference } from '../src/reference/search.js';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('which index is trusted');

interface Found {
  results: { distance: number; run_id: string; seq_idx: number }[];
  metric?: string;
}

/** A reference of 60 rows by numpy and json, and an index beside it that `make` gives for its array x. */
function pythonReference(project: TestProject, make: string): void {
  python(
    `
import faiss, json, numpy as np, os, sys
os.makedirs(sys.argv[1])
x = np.random.default_rng(3).standard_normal((60, 8)).astype('f4')
np.save(sys.argv[1] + '/consolidated_embeddings.npy', x)
rows = [{'dataset': 'A', 'run_id': f'r{i // 30}', 'seq_idx': i % 30, 'source_file': ''} for i in range(60)]
json.dump({'sequences': rows}, open(sys.argv[1] + '/consolidated_metadata.json', 'w'), indent=2)
${make}
faiss.write_index(index, sys.argv[1] + '/consolidated_index.faiss')
`,
    project.path('ref'),
  );
}

/** The rows nearest to row 3 of A/r1, all compared. */
const EXACT = `
import json, numpy as np, sys
x = np.load(sys.argv[1] + '/consolidated_embeddings.npy').astype('f8')
score = x @ x[33] if sys.argv[2] == 'ip' else -((x - x[33]) ** 2).sum(1)
print(json.dumps([[f'r{i // 30}', int(i % 30)] for i in np.argsort(-score, kind='stable')[:10]]))
`;

function exact(project: TestProject, metric: 'l2' | 'ip'): unknown {
  return JSON.parse(python(EXACT, project.path('ref'), metric));
}

async function ask(
  project: TestProject,
  reference: string,
  run: string,
): Promise<{ rows: unknown; note: string; metric: string }> {
  const finished = await project.firn(
    ...['search', '--reference', reference, '--run', run, '--seq-idx', '3', '--json'],
  );
  assert.is(finished.code, 0, finished.stderr);
  const { results, metric = 'l2' } = parse<Found>(finished);
  return { rows: results.map(({ run_id, seq_idx }) => [run_id, seq_idx]), note: finished.stderr, metric };
}

const OTHER = /^note: the index is of other rows and was not used, every row was compared/;
const MADE: [what: string, make: string, note: RegExp, metric: 'l2' | 'ip'][] = [
  ['of these rows', 'index = faiss.IndexFlatL2(8); index.add(x)', /^$/, 'l2'],
  ['of as many other rows', 'index = faiss.IndexFlatL2(8); index.add(x[::-1].copy())', OTHER, 'l2'],
  [
    'of the first of these rows, scaled',
    'index = faiss.IndexFlatIP(8); index.add(x[:50] / np.linalg.norm(x[:50], axis=1, keepdims=True))',
    OTHER,
    'ip',
  ],
  [
    'with numbers of its own for the rows',
    "index = faiss.index_factory(8, 'IVF2,Flat'); index.train(x); index.nprobe = 2; index.add_with_ids(x, np.arange(1000, 1060))",
    OTHER,
    'l2',
  ],
];

for (const [what, make, note, metric] of MADE) {
  oracleTest(test, ['numpy', 'faiss'], `an index by Python, ${what}`, async () => {
    const project = new TestProject();
    pythonReference(project, make);
    const found = await ask(project, 'ref', 'A/r1');
    assert.match(found.note, note);
    assert.is(found.metric, metric);
    assert.equal(found.rows, exact(project, metric));
  });
}

oracleTest(
  test,
  ['numpy', 'faiss'],
  'beside a reference of firn an index that says nothing is not used',
  async () => {
    const project = new TestProject(`targets:
  r: {rule: consolidate, runs: all, out: ref}
  i: {rule: index, from: [r], with: {metric: ip}}
`);
    await project.writeRun('A/r0', { seed: 1, rows: 30 });
    await project.writeRun('A/r1', { seed: 2, rows: 30 });
    assert.is((await project.build()).failed, 0);
    const own = await ask(project, 'ref', 'A/r1');
    assert.equal([own.note, own.metric, own.rows], ['', 'ip', exact(project, 'ip')], 'by inner product');
    await project.writeRun('A/r2', { seed: 3, rows: 30 });
    assert.is((await project.build('r')).failed, 0);
    const behind = await ask(project, 'ref', 'A/r1');
    assert.match(behind.note, /^note: the index is behind by 30 rows/);
    assert.equal([behind.metric, behind.rows], ['ip', exact(project, 'ip')], 'the larger product is nearer');
    python(
      "import faiss, sys, numpy as np\nx = np.load(sys.argv[1] + '/consolidated_embeddings.npy')\nindex = faiss.IndexFlatL2(8); index.add(x); faiss.write_index(index, sys.argv[1] + '/consolidated_index.faiss')",
      project.path('ref'),
    );
    const foreign = await ask(project, 'ref', 'A/r1');
    assert.match(foreign.note, /^note: the index does not say of which rows it is and was not used/);
    assert.equal(foreign.rows, exact(project, 'l2'));
  },
);

oracleTest(
  test,
  ['numpy', 'faiss'],
  'a kind of index that nothing here can read does not stop a search',
  async () => {
    const project = new TestProject();
    pythonReference(project, "index = faiss.index_factory(8, 'HNSW8'); index.add(x)");
    const reference = await openReference(disk, project.path('ref'));
    const opened = await openReferenceIndex(disk, reference);
    try {
      assert.is(opened.index?.header.kind, 'other');
      const lacking = {
        ...opened,
        index: {
          ...opened.index!,
          search: () => Promise.reject(new FirnError('missing', 'the package faiss-node is needed here')),
        },
      };
      const query = new Float32Array(8).fill(0.5);
      const answer = await searchReference(reference, lacking, { query, k: 4 });
      assert.equal([answer.neighbours.length, answer.method], [4, 'exact']);
      assert.match(answer.note ?? '', /every row was compared: the package faiss-node is needed here/);
    } finally {
      await opened.close();
      await reference.close();
    }
  },
);

test.run();
