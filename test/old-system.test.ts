/** The search of the older Python system on what firn builds: it runs unchanged, and firn gives the same rows. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('the older system');

const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;

/** As such scripts are written: numpy for the array, json for the rows, FAISS for the index; knows nothing of firn. */
const SEARCH = `
import json, sys
from pathlib import Path
import faiss
import numpy as np

reference, run, seq_idx, top_k = Path(sys.argv[1]), sys.argv[2], int(sys.argv[3]), int(sys.argv[4])
embeddings = np.load(reference / 'consolidated_embeddings.npy', mmap_mode='r')
with open(reference / 'consolidated_metadata.json') as f:
    info = json.load(f)
metadata = info['sequences']
assert embeddings.shape == (info['total_sequences'], info['embedding_dim']) and len(metadata) == len(embeddings)
assert info['datasets'] == sorted({m['dataset'] for m in metadata})
assert info['total_runs'] == len({(m['dataset'], m['run_id']) for m in metadata})
row = next(i for i, m in enumerate(metadata) if f"{m['dataset']}/{m['run_id']}" == run and m['seq_idx'] == seq_idx)
index = faiss.read_index(str(reference / 'consolidated_index.faiss'))
assert index.ntotal == len(metadata)
distances, indices = index.search(np.ascontiguousarray(embeddings[row:row + 1], dtype='float32'), top_k)
results = []
for rank, (distance, i) in enumerate(zip(distances[0], indices[0]), 1):
    results.append({'rank': rank, 'distance': float(distance), **metadata[i]})
print(json.dumps({'query': {'run': run, 'seq_idx': seq_idx}, 'results': results}, indent=2))
`;

interface Answer {
  query: { run: string; seq_idx: number };
  results: {
    rank: number;
    distance: number;
    dataset: string;
    run_id: string;
    seq_idx: number;
    source_file: string;
  }[];
}

const QUERIES: [run: string, row: number, k: number][] = [
  ['Marine/2024-11-20', 3, 10],
  ['Soil/2024-11-21', 59, 25],
];

async function expectSame(project: TestProject): Promise<void> {
  for (const [run, row, k] of QUERIES) {
    const theirs = JSON.parse(
      python(SEARCH, project.path('data/reference'), run, String(row), String(k)),
    ) as Answer;
    const finished = await project.firn(
      ...['search', '--run', run, '--seq-idx', String(row), '--top-k', String(k), '--json'],
    );
    assert.is(finished.code, 0, finished.stderr);
    const ours = parse<Answer>(finished);
    assert.equal(ours.query, theirs.query);
    const fields = ['rank', 'dataset', 'run_id', 'seq_idx', 'source_file'] as const;
    const rows = (answer: Answer) => answer.results.map((hit) => fields.map((field) => hit[field]));
    assert.equal(rows(ours), rows(theirs), run);
    for (const [i, { distance }] of theirs.results.entries()) {
      const off = Math.abs(ours.results[i].distance - distance);
      assert.ok(off <= 1e-4 * Math.max(1, distance), `${ours.results[i].distance} for ${distance}`);
    }
  }
}

async function built(rows: [number, number, number]): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('Marine/2024-11-20', { seed: 1, rows: rows[0] });
  await project.writeRun('Marine/2024-12-01', { seed: 2, rows: rows[1] });
  await project.writeRun('Soil/2024-11-21', { seed: 3, rows: rows[2] });
  const result = await project.build();
  assert.is(result.failed, 0, JSON.stringify(result.steps));
  return project;
}

oracleTest(
  test,
  ['numpy', 'faiss'],
  'its search runs unchanged on a Flat index, after runs came and after one was deleted',
  async () => {
    const project = await built([80, 70, 60]);
    await expectSame(project);
    await project.writeRun('Lake/2025-01-02', { seed: 4, rows: 40 });
    assert.is((await project.build()).failed, 0);
    await expectSame(project);
    project.remove('consolidated_data/runs/Soil/2024-11-21');
    assert.is((await project.build()).failed, 0);
    assert.equal(project.reference().retained, ['Soil/2024-11-21']);
    await expectSame(project);
  },
);

oracleTest(test, ['numpy', 'faiss'], 'and after the originals were compressed and deleted', async () => {
  const project = await built([400, 350, 300]);
  const before = project.digests('data/reference');
  const compressed = await project.firn('compress', '--execute', '--delete-original');
  assert.is(compressed.code, 0, compressed.stderr);
  for (const [run] of QUERIES) {
    assert.not(project.exists(`consolidated_data/runs/${run}/embeddings.npy`));
    assert.ok(project.exists(`consolidated_data/runs/${run}/embeddings.npz`));
  }
  assert.is((await project.build()).failed, 0);
  assert.equal(project.digests('data/reference'), before);
  await expectSame(project);
});

oracleTest(test, ['numpy', 'faiss'], 'and on an IVF index, with the nprobe that stands in it', async () => {
  await expectSame(await built([6000, 4600, 60]));
});

test.run();
