/** What a search reads: of an index the lists it looks into, of metadata the ranges, and never the whole. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { ReadPort } from '../src/files/port.js';
import { openReference } from '../src/reference/open.js';
import { openReferenceIndex, searchReference } from '../src/reference/search.js';
import { openSearch } from '../src/search.js';
import { TestProject } from './rig/project.js';

const test = suite('what a search reads');

/** Bytes read from each file, by the last part of its name. */
function countingPort(): { port: ReadPort; read: Map<string, number> } {
  const read = new Map<string, number>();
  const count = (path: string, bytes: number) => {
    const name = path.slice(path.lastIndexOf('/') + 1);
    read.set(name, (read.get(name) ?? 0) + bytes);
  };
  const port: ReadPort = {
    ...disk,
    readText(path, limit) {
      const text = disk.readText(path, limit);
      count(path, text?.length ?? 0);
      return text;
    },
    async open(path) {
      const handle = await disk.open(path);
      return {
        path: handle.path,
        size: handle.size,
        stat: () => handle.stat(),
        close: () => handle.close(),
        async read(into, position) {
          const bytes = await handle.read(into, position);
          count(path, bytes);
          return bytes;
        },
      };
    },
  };
  return { port, read };
}

const ROWS = 40_000;
const DIMS = 32;
const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference], with: {nlist: 200, nprobe: 4}}
`);
await project.writeRun('A/r1', { seed: 1, rows: ROWS / 2, dims: DIMS });
await project.writeRun('B/r1', { seed: 2, rows: ROWS / 2, dims: DIMS });
const built = await project.build();
assert.is(built.failed, 0, JSON.stringify(built.steps));

const sizeOf = (name: string) => disk.stat(project.path(`data/reference/${name}`))?.size ?? 0;

test('a search with four of two hundred lists reads a small part of each file', async () => {
  const { port, read } = countingPort();
  const place = {
    port,
    reference: project.path('data/reference'),
    runsDir: project.path('consolidated_data/runs'),
  };
  const searcher = await openSearch(place, { topK: 10 });
  try {
    const { results, method } = await searcher.search({ run: 'B/r1', seqIdx: 17 });
    assert.equal([results.length, results[0].dataset, results[0].seq_idx, method], [10, 'B', 17, 'index']);
  } finally {
    await searcher.close();
  }
  const index = read.get('consolidated_index.faiss') ?? 0;
  assert.ok(
    index > 0 && index < sizeOf('consolidated_index.faiss') / 10,
    `${index} of ${sizeOf('consolidated_index.faiss')}`,
  );
  const embeddings = read.get('consolidated_embeddings.npy') ?? 0;
  assert.ok(
    embeddings > 0 && embeddings < 50_000,
    `${embeddings} of ${sizeOf('consolidated_embeddings.npy')}`,
  );
  const metadata = read.get('consolidated_metadata.json') ?? 0;
  assert.ok(sizeOf('consolidated_metadata.json') > 3_000_000);
  assert.ok(
    metadata > 0 && metadata <= 1024 * 1024,
    `${metadata} of ${sizeOf('consolidated_metadata.json')}`,
  );
  assert.equal([...read.keys()].sort(), [
    'consolidated_embeddings.npy',
    'consolidated_index.faiss',
    'consolidated_metadata.json',
  ]);
});

test('opening reads the header of the index, and a second question no header again', async () => {
  const { port, read } = countingPort();
  const reference = await openReference(port, project.path('data/reference'));
  const index = await openReferenceIndex(port, reference);
  try {
    const opened = read.get('consolidated_index.faiss') ?? 0;
    assert.ok(opened < 50_000, `${opened}`);
    const ask = async () => {
      const before = read.get('consolidated_index.faiss') ?? 0;
      await searchReference(reference, index, { query: new Float32Array(DIMS).fill(0.1), k: 5 });
      return (read.get('consolidated_index.faiss') ?? 0) - before;
    };
    const first = await ask();
    const second = await ask();
    // Centroids are kept: 200 lists of 32 float32.
    assert.is(first - second, 200 * DIMS * 4);
  } finally {
    await index.close();
    await reference.close();
  }
});

test('rows that the index lacks are compared, and no others but what it found', async () => {
  const { port, read } = countingPort();
  const behind = project.clone();
  await behind.writeRun('C/r1', { seed: 3, rows: 100, dims: DIMS });
  assert.is((await behind.build('reference')).ran, 1);
  const reference = await openReference(port, behind.path('data/reference'));
  const index = await openReferenceIndex(port, reference);
  try {
    const before = read.get('consolidated_embeddings.npy') ?? 0;
    const answer = await searchReference(reference, index, { query: new Float32Array(DIMS), k: 5 });
    assert.is(answer.method, 'both');
    // And the five that the index found, to see that it is of these rows.
    assert.is((read.get('consolidated_embeddings.npy') ?? 0) - before, (100 + 5) * DIMS * 4);
  } finally {
    await index.close();
    await reference.close();
  }
});

test.run();
