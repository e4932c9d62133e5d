/** FAISS as the judge: it reads what firn builds, and firn searches what it writes. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BuildRequest } from '../src/faiss/build.js';
import { exactSearch } from '../src/faiss/exact.js';
import type { Metric } from '../src/faiss/format.js';
import type { Neighbour } from '../src/faiss/nearest.js';
import { openIndex } from '../src/faiss/search.js';
import { disk } from '../src/files/disk.js';
import { arrayOf, build, clustered, floatsFile, folder } from './faiss-rig.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('faiss oracle');
const K = 10;

/** Reads an index, searches it with its own nprobe and with all lists; checks assignment and every stored vector. */
const READ = `
import faiss, json, numpy as np, sys
path, values, queries, dims, k = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
index = faiss.read_index(path)
x = np.fromfile(values, 'f4').reshape(-1, dims)
q = np.fromfile(queries, 'f4').reshape(-1, dims)
out = {'type': type(index).__name__, 'ntotal': index.ntotal, 'metric': index.metric_type, 'd': index.d}
def search(index):
    # An empty Flat index of FAISS 1.7.3 answers with memory it never wrote.
    if index.ntotal == 0: return np.zeros((len(q), k)), np.full((len(q), k), -1)
    return index.search(q, k)
D, I = search(index)
out['stored'] = {'D': D.tolist(), 'I': I.tolist()}
if hasattr(index, 'nlist'):
    out.update(nlist=index.nlist, nprobe=index.nprobe)
    index.nprobe = index.nlist
    D, I = search(index)
    out['all'] = {'D': D.tolist(), 'I': I.tolist()}
    list_of = np.full(len(x), -1)
    same = True
    for l in range(index.nlist):
        n = index.invlists.list_size(l)
        if n == 0: continue
        ids = faiss.rev_swig_ptr(index.invlists.get_ids(l), n)
        codes = faiss.rev_swig_ptr(index.invlists.get_codes(l), n * 4 * dims).tobytes()
        same = same and np.array_equal(np.frombuffer(codes, 'f4').reshape(n, dims), x[ids]) and (np.diff(ids) > 0).all()
        list_of[ids] = l
    _, nearest = index.quantizer.search(x, 1)
    out['vectors'] = bool(same)
    out['misplaced'] = int((list_of != nearest[:, 0]).sum())
print(json.dumps(out))
`;

interface Found {
  D: number[][];
  I: number[][];
}

interface Verdict {
  type: string;
  ntotal: number;
  metric: number;
  d: number;
  stored: Found;
  nlist: number;
  nprobe: number;
  all: Found;
  vectors: boolean;
  misplaced: number;
}

function judge(path: string, values: Float32Array, queries: Float32Array, dims: number): Verdict {
  const [v, q] = [floatsFile(values), floatsFile(queries)];
  return JSON.parse(python(READ, path, v, q, String(dims), String(K))) as Verdict;
}

/** Distances to 1e-5 of the largest; ids equal wherever the distances there are not. */
function assertSame(mine: Neighbour[][], theirs: Found): void {
  assert.is(mine.length, theirs.I.length);
  for (const [query, neighbours] of mine.entries()) {
    const ids = theirs.I[query].filter((id) => id >= 0);
    assert.is(neighbours.length, ids.length);
    const distances = theirs.D[query];
    const tolerance = 1e-5 * Math.max(...distances.slice(0, ids.length).map(Math.abs)) + 1e-6;
    for (const [i, { id, distance }] of neighbours.entries()) {
      assert.ok(Math.abs(distance - distances[i]) <= tolerance, `${distance} is not ${distances[i]}`);
      const tied = (j: number): boolean => j in ids && Math.abs(distances[i] - distances[j]) <= 2 * tolerance;
      if (!tied(i - 1) && !tied(i + 1) && i + 1 < K) assert.is(id, ids[i]);
    }
  }
}

const NEEDS = ['faiss', 'numpy'];

const builds: [string, number, number, Partial<BuildRequest>][] = [
  ['Flat L2', 500, 8, {}],
  ['Flat IP', 500, 7, { metric: 'ip' }],
  ['Flat of no row', 0, 3, {}],
  ['Flat of one row', 1, 1, {}],
  ['IVF L2', 11_000, 17, {}],
  ['IVF IP', 11_000, 16, { metric: 'ip' }],
  ['IVF with more lists than half of its rows fill', 300, 5, { nlist: 250, trainedRows: 250 }],
  ['IVF of one list', 60, 3, { nlist: 1 }],
];

for (const [name, rows, dims, options] of builds) {
  oracleTest(s, NEEDS, `FAISS reads ${name} and finds what exact search finds`, async () => {
    const values = clustered(rows, dims, 1);
    const queries = clustered(50, dims, 2);
    const { path, report } = await build(values, dims, options);
    const verdict = judge(path, values, queries, dims);
    const metric: Metric = options.metric ?? 'l2';
    assert.equal([verdict.ntotal, verdict.d, verdict.metric], [rows, dims, metric === 'l2' ? 1 : 0]);
    const exact = await exactSearch(arrayOf(values, dims), queries, K, metric);
    const index = await openIndex(disk, path);
    const mine = await index.search(queries, K);
    if (report.ivf === undefined) {
      assertSame(exact, verdict.stored);
      assert.equal(mine, exact);
    } else {
      assert.equal([verdict.nlist, verdict.nprobe], [report.ivf.nlist, report.ivf.nprobe]);
      assert.ok(verdict.vectors, 'every vector stands in its list');
      assert.ok(verdict.misplaced <= rows / 1000, `${verdict.misplaced} rows are not in FAISS's list`);
      assertSame(exact, verdict.all);
      assert.equal(await index.search(queries, K, { nprobe: report.ivf.nlist }), exact);
      assertSame(mine, verdict.stored);
    }
    await index.close();
  });
}

for (const metric of ['l2', 'ip'] as const) {
  oracleTest(s, NEEDS, `the stored nprobe reaches the recall on other queries (${metric})`, async () => {
    const dims = 24;
    const values = clustered(20_000, dims, 1, 400);
    const queries = clustered(8000, dims, 3, 400);
    const { path, report } = await build(values, dims, { metric, recall: 0.95 });
    const verdict = judge(path, values, queries, dims);
    const exact = await exactSearch(arrayOf(values, dims), queries, K, metric);
    let found = 0;
    for (const [query, neighbours] of exact.entries()) {
      found += neighbours.filter(({ id }) => verdict.stored.I[query].includes(id)).length;
    }
    const recall = found / (K * exact.length);
    // nprobe reaches the goal with 95 % confidence: it may fall short once in twenty times, and then by little.
    assert.ok(recall >= 0.945, `recall ${recall} with nprobe ${verdict.nprobe}`);
    assert.ok(report.ivf!.recall.measured >= 0.95);
    assert.ok(
      verdict.nprobe < verdict.nlist / 4,
      `nprobe ${verdict.nprobe} of ${verdict.nlist} saves little`,
    );
  });
}

/** Writes an index of each kind and what it finds. */
const WRITE = `
import faiss, json, numpy as np, sys
folder, values, queries, dims, k = sys.argv[1], sys.argv[2], sys.argv[3], int(sys.argv[4]), int(sys.argv[5])
x = np.fromfile(values, 'f4').reshape(-1, dims)
q = np.fromfile(queries, 'f4').reshape(-1, dims)
kept = []
L2, IP = faiss.METRIC_L2, faiss.METRIC_INNER_PRODUCT
def ivf(nlist, metric, rows=x, nprobe=1, ids=None, direct=None):
    quantizer = faiss.IndexFlatL2(dims) if metric == L2 else faiss.IndexFlatIP(dims)
    index = faiss.IndexIVFFlat(quantizer, dims, nlist, metric)
    index.train(x)
    if direct is not None: index.set_direct_map_type(direct)
    if ids is None: index.add(rows)
    else: index.add_with_ids(rows, ids)
    index.nprobe = nprobe
    index.own_fields = False
    kept.append(quantizer)
    return index
flat_l2, flat_ip = faiss.IndexFlatL2(dims), faiss.IndexFlatIP(dims)
flat_l2.add(x); flat_ip.add(x)
plain = faiss.IndexFlat(dims, L2); plain.add(x)
kinds = {
  'flat l2': flat_l2, 'flat ip': flat_ip, 'flat by metric': plain, 'flat, empty': faiss.IndexFlatL2(dims),
  'ivf l2': ivf(20, L2), 'ivf ip': ivf(20, IP), 'ivf l2 nprobe 6': ivf(20, L2, nprobe=6),
  'ivf ip nprobe 50': ivf(20, IP, nprobe=50),
  'ivf l2 sparse': ivf(60, L2, rows=x[:9], nprobe=60), 'ivf ip sparse': ivf(60, IP, rows=x[:9], nprobe=3),
  'ivf, empty': ivf(20, L2, rows=x[:0]),
  'ivf l2 direct map': ivf(20, L2, nprobe=4, direct=faiss.DirectMap.Array),
  'ivf l2 hash map': ivf(20, L2, nprobe=4, direct=faiss.DirectMap.Hashtable),
  'ivf l2 own ids': ivf(20, L2, nprobe=4, ids=np.arange(len(x)) * 3000000000 + 5),
}
out = {}
for name, index in kinds.items():
    path = folder + '/' + name + '.faiss'
    faiss.write_index(index, path)
    if index.ntotal > 0: D, I = index.search(q, k)
    else: D, I = np.zeros((len(q), k)), np.full((len(q), k), -1)
    out[name] = {'path': path, 'found': {'D': D.tolist(), 'I': I.tolist()}, 'ntotal': index.ntotal}
print(json.dumps(out))
`;

oracleTest(s, NEEDS, 'firn searches what FAISS writes and finds the same', async () => {
  const dims = 9;
  const values = clustered(2000, dims, 1);
  const queries = clustered(40, dims, 2);
  const [v, q] = [floatsFile(values), floatsFile(queries)];
  const answer = python(WRITE, folder(), v, q, String(dims), String(K));
  const kinds = JSON.parse(answer) as Record<string, { path: string; found: Found; ntotal: number }>;
  for (const [name, { path, found, ntotal }] of Object.entries(kinds)) {
    try {
      const index = await openIndex(disk, path);
      if (index.header.kind === 'other') throw new Error('read as another kind');
      assert.is(index.header.rows, ntotal);
      assertSame(await index.search(queries, K), found);
      await index.close();
    } catch (error) {
      throw new Error(`${name}: ${(error as Error).message}`, { cause: error });
    }
  }
});

oracleTest(s, NEEDS, 'firn reads the header of everything else as another kind', async () => {
  const path = join(folder(), 'other.faiss');
  const script = `
import faiss, numpy as np, sys
index = faiss.index_factory(8, sys.argv[2])
x = np.random.default_rng(1).normal(size=(400, 8)).astype('f4')
index.train(x)
if 'IDMap' in sys.argv[2]: index.add_with_ids(x, np.arange(400))
else: index.add(x)
faiss.write_index(index, sys.argv[1])
`;
  for (const factory of ['HNSW8', 'SQ8', 'PQ4x4', 'IVF4,SQ8', 'IVF4_HNSW4,Flat', 'PCA4,Flat', 'IDMap,Flat']) {
    python(script, path, factory);
    const index = await openIndex(disk, path);
    assert.is(index.header.kind, 'other', factory);
    await index.close();
  }
});

s.run();
