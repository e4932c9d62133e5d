/** Exact neighbours, whoever multiplies: onnxruntime, plain JavaScript, or a naive loop as the judge. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { exactSearch, outside } from '../src/faiss/exact.js';
import type { Metric } from '../src/faiss/format.js';
import { kmeans } from '../src/faiss/kmeans.js';
import { engineName, halfNorms, loadEngine, plainEngine } from '../src/faiss/matrix.js';
import { NearestRows, type Neighbour } from '../src/faiss/nearest.js';
import { openIndex } from '../src/faiss/search.js';
import { disk } from '../src/files/disk.js';
import { arrayOf, build, clustered, refused } from './faiss-rig.js';

const s = suite('faiss nearest');
const engine = await loadEngine();

function naive(
  rows: Float32Array,
  queries: Float32Array,
  dims: number,
  k: number,
  metric: Metric,
): Neighbour[][] {
  return Array.from({ length: queries.length / dims }, (_, q) => {
    const all = Array.from({ length: rows.length / dims }, (_, id) => {
      let sum = 0;
      for (let i = 0; i < dims; i++) {
        const [a, b] = [queries[q * dims + i], rows[id * dims + i]];
        sum += metric === 'l2' ? (a - b) ** 2 : a * b;
      }
      return { id, distance: Math.fround(sum) };
    });
    const sign = metric === 'l2' ? 1 : -1;
    return all.sort((a, b) => sign * (a.distance - b.distance) || a.id - b.id).slice(0, k);
  });
}

// Whole numbers: every sum is exact, so that ties are ties.
const numbers = (max: number) => fc.array(fc.integer({ min: -3, max: 3 }), { minLength: 1, maxLength: max });

s('exact search is the naive loop, ties by smaller row', async () => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 4 }),
    numbers(80),
    numbers(20),
    fc.integer({ min: 1, max: 30 }),
    fc.constantFrom<Metric>('l2', 'ip'),
    async (dims, r, q, k, metric) => {
      const whole = (of: number[]): Float32Array =>
        Float32Array.from(of.slice(0, of.length - (of.length % dims)));
      const [rows, queries] = [whole(r), whole(q)];
      const found = await exactSearch(arrayOf(rows, dims, 3), queries, k, metric);
      assert.equal(found, naive(rows, queries, dims, k, metric));
    },
  );
  await fc.assert(property, { numRuns: 200 });
});

for (const metric of ['l2', 'ip'] as const) {
  s(`a matrix product changes no answer (${metric})`, async () => {
    const dims = 32;
    // Far from the origin, where |x|^2 - 2 x.y cancels, and with every row twice.
    const rows = clustered(4000, dims, 1).map((value) => value / 10 + 30);
    rows.copyWithin(2000 * dims, 0, 2000 * dims);
    const queries = Float32Array.from(rows.subarray(100 * dims, 140 * dims));
    const ask = async (by: typeof engine): Promise<Neighbour[][]> => {
      const nearest = new NearestRows(queries, dims, 10, metric, by);
      await nearest.add({ data: rows, count: 4000, id: (row) => row });
      return nearest.results();
    };
    const direct = await ask(plainEngine);
    assert.equal(await ask(engine), direct);
    if (metric === 'l2') {
      assert.equal(direct[0].slice(0, 2), [
        { id: 100, distance: 0 },
        { id: 2100, distance: 0 },
      ]);
    }
  });
}

s('equal distances go to the smaller id in whatever order rows come', async () => {
  const property = fc.asyncProperty(
    fc.uniqueArray(fc.nat(50), { minLength: 6, maxLength: 30 }),
    async (ids) => {
      const nearest = new NearestRows(Float32Array.of(0), 1, 5, 'l2');
      const data = Float32Array.from(ids, (id) => id % 3);
      await nearest.add({ data, count: ids.length, id: (row) => ids[row] });
      const expected = ids.map((id) => ({ id, distance: (id % 3) ** 2 }));
      expected.sort((a, b) => a.distance - b.distance || a.id - b.id);
      assert.equal(nearest.results()[0], expected.slice(0, 5));
    },
  );
  await fc.assert(property);
});

s('values whose squares overflow are still compared', async () => {
  const rows = new Float32Array(4096 * 64);
  for (let row = 0; row < 4096; row++) rows[row * 64] = row * 1e16;
  const queries = new Float32Array(8 * 64);
  queries.fill(0);
  const nearest = new NearestRows(queries, 64, 2, 'l2', engine);
  await nearest.add({ data: rows, count: 4096, id: (row) => row });
  assert.equal(
    nearest.results()[0].map(({ id }) => id),
    [0, 1],
  );
});

s('excluded ranges and rows outside from and to do not answer', async () => {
  const rows = Float32Array.from({ length: 20 }, (_, row) => row);
  const at = async (options: object): Promise<number[]> => {
    const [found] = await exactSearch(arrayOf(rows, 1), Float32Array.of(9), 3, 'l2', options);
    return found.map(({ id }) => id);
  };
  assert.equal(await at({}), [9, 8, 10]);
  const ranges = [
    { from: 8, to: 10 },
    { from: 12, to: 13 },
  ];
  assert.equal(await at({ accept: outside(ranges) }), [10, 7, 11]);
  assert.equal(await at({ from: 11 }), [11, 12, 13]);
  assert.equal(await at({ to: 2 }), [1, 0]);
  assert.equal(await at({ from: 5, to: 5 }), []);
});

s('excluded rows make room for others in an index as well', async () => {
  const values = clustered(11_000, 6, 1);
  for (const nlist of [undefined, 16]) {
    const { path } = await build(
      values.subarray(0, 6 * 9000),
      6,
      nlist === undefined ? {} : { nlist, nprobe: 16 },
    );
    const index = await openIndex(disk, path);
    const query = values.subarray(0, 6);
    const [all] = await index.search(query, 20);
    const gone = new Set(all.slice(0, 10).map(({ id }) => id));
    const [rest] = await index.search(query, 10, { accept: (id) => !gone.has(id) });
    assert.equal(rest, all.slice(10));
    await index.close();
  }
});

s('queries and k that do not fit are refused', async () => {
  const { path } = await build(clustered(50, 4, 1), 4);
  const index = await openIndex(disk, path);
  await refused(() => index.search(new Float32Array(6), 3), 'usage');
  await refused(() => index.search(new Float32Array(4), 0), 'usage');
  assert.is((await index.search(new Float32Array(4), 99))[0].length, 50);
  assert.equal(await index.search(new Float32Array(0), 3), []);
  await index.close();
});

s('the engines agree on the nearest centroid, ties to the first', async () => {
  const [a, b] = [clustered(300, 10, 1), clustered(50, 10, 2)];
  b.copyWithin(10 * 30, 0, 10 * 5);
  const [one, other] = [new Int32Array(300), new Int32Array(300)];
  await engine.nearest(a, b, halfNorms(b, 10), 10, one);
  await plainEngine.nearest(a, b, halfNorms(b, 10), 10, other);
  assert.equal(one, other);
  assert.ok(one.every((list) => list < 30 || list >= 35));
  const scores = new Float32Array(300 * 50);
  await engine.products(a, b, new Float32Array(50).fill(2), 10, scores);
  const expected = new Float32Array(300 * 50);
  await plainEngine.products(a, b, new Float32Array(50).fill(2), 10, expected);
  assert.ok(scores.every((score, i) => Math.abs(score - expected[i]) < 1e-3));
});

s('the number of threads changes no bit', async () => {
  const single = await loadEngine(1);
  const [a, b] = [clustered(3000, 33, 1), clustered(700, 33, 2)];
  const [one, many] = [new Float32Array(3000 * 700), new Float32Array(3000 * 700)];
  await single.products(a, b, halfNorms(b, 33), 33, one);
  await engine.products(a, b, halfNorms(b, 33), 33, many);
  assert.ok(Buffer.from(one.buffer).equals(Buffer.from(many.buffer)));
  await single.close();
});

s('the engine is the one that was announced', () => {
  assert.is(engine.name, engineName());
});

s('k-means leaves no list empty while there are different rows', async () => {
  // Two far groups of many equal rows, and few others: random choice alone would give equal centroids.
  const sample = new Float32Array(400);
  for (let row = 0; row < 200; row++) sample[row * 2] = row < 190 ? row % 2 : row;
  for (const by of [engine, plainEngine]) {
    const centroids = await kmeans(sample, 2, 8, 'l2', { engine: by });
    const lists = new Int32Array(200);
    await by.nearest(sample, centroids, halfNorms(centroids, 2), 2, lists);
    assert.ok(new Set(lists).size >= 6, `${new Set(lists).size} lists are used`);
    assert.ok(centroids.every(Number.isFinite));
  }
});

s('centroids for the inner product have length 1', async () => {
  const centroids = await kmeans(clustered(500, 5, 1), 5, 10, 'ip', { engine });
  for (let list = 0; list < 10; list++) {
    const length = Math.hypot(...centroids.subarray(list * 5, list * 5 + 5));
    assert.ok(Math.abs(length - 1) < 1e-6);
  }
});

s.run();
