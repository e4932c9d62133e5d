/** Exact neighbours, whoever multiplies: onnxruntime, plain JavaScript, or a naive loop as the judge. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { assignLists, chooseScoring, quantizerOf } from '../src/faiss/assignment.js';
import { exactSearch, outside } from '../src/faiss/exact.js';
import type { Metric } from '../src/faiss/format.js';
import { firstCentroids, kmeans } from '../src/faiss/kmeans.js';
import { candidatesFor, loadEngine, plainEngine } from '../src/faiss/matrix.js';
import { NearestRows, type Neighbour } from '../src/faiss/nearest.js';
import { codesOf, fitGrid, type Grid, type Scorer, scorerOf } from '../src/faiss/quantize.js';
import { openIndex } from '../src/faiss/search.js';
import { disk } from '../src/files/disk.js';
import { Workers } from '../src/workers/pool.js';
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

s('clusters that are split stay among their rows, however far from the origin these are', async () => {
  const dims = 8;
  const workers = new Workers(2);
  for (const away of [0, 1e5]) {
    // One row many times: most centroids begin there, and have no rows of their own.
    const rows = new Float32Array(new SharedArrayBuffer(4 * 3000 * dims));
    rows.set(clustered(3000, dims, 1).map((value, i) => (i < 1500 * dims ? 0 : value) + away));
    const grid = fitGrid(rows, dims);
    const first = firstCentroids(rows, dims, 64, 'l2');
    const centroids = await kmeans({ rows, grid, first, metric: 'l2', workers });
    const lists = new Int32Array(3000);
    const scoring = await chooseScoring(plainEngine, { centroids, grid, metric: 'l2' }, rows);
    await assignLists(plainEngine, quantizerOf({ centroids, grid, metric: 'l2' }, scoring), rows, lists);
    const used = new Set(lists).size;
    assert.ok(used > 50, `${used} of 64 lists hold something, ${away} from the origin`);
  }
  await workers.close();
});

s('values whose squares are too small for float32 are compared as any others', async () => {
  const dims = 16;
  for (const scale of [1e-26, 1e-22, 1e-20]) {
    const rows = clustered(3000, dims, 1).map((value) => value * scale);
    for (const metric of ['l2', 'ip'] as const) {
      const [product, direct] = await Promise.all(
        [engine, plainEngine].map(async (by) => {
          const nearest = new NearestRows(rows.subarray(0, 40 * dims), dims, 10, metric, by);
          // Larger ids first, as lists may have them.
          for (const start of [2000, 1000, 0]) {
            const data = rows.subarray(start * dims, (start + 1000) * dims);
            await nearest.add({ data, count: 1000, id: (row) => start + row });
          }
          return nearest.results();
        }),
      );
      assert.equal(product, direct, `${metric} ${scale}`);
    }
  }
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

/** The four centroids that this engine proposes for each row. */
async function proposed(by: typeof engine, rows: Float32Array | Uint8Array, grid: Grid, scorer: Scorer) {
  const found = candidatesFor(rows.length / scorer.dims, Math.min(4, scorer.nlist));
  await by.candidates(rows, grid, scorer, found);
  return found;
}

s('by codes the engines agree to the bit, ties to the first', async () => {
  for (const [dims, nlist, metric, size] of [
    [10, 50, 'l2', 1],
    [33, 300, 'ip', 1],
    [256, 1024, 'l2', 1e-3],
    [7, 3, 'l2', 1e30],
    [64, 1, 'ip', 1e-30],
  ] as const) {
    const [rows, centroids] = [clustered(400, dims, 1), clustered(nlist, dims, 2)].map((values) =>
      values.map((value) => value * size),
    );
    if (nlist === 50) centroids.copyWithin(dims * 30, 0, dims * 5);
    const grid = fitGrid(rows, dims);
    const scorer = scorerOf('codes', centroids, grid, metric);
    const one = await proposed(engine, rows, grid, scorer);
    assert.equal(await proposed(plainEngine, rows, grid, scorer), one, `${dims} ${nlist} ${metric} ${size}`);
    const codes = new Uint8Array(rows.length);
    codesOf(rows, grid, codes);
    assert.equal(await proposed(engine, codes, grid, scorer), one);
    assert.equal(await proposed(plainEngine, codes, grid, scorer), one);
    if (nlist === 50) assert.ok(one.lists.every((list, i) => i % 4 > 0 || list < 30 || list >= 35));
  }
});

s('by floats the engines agree up to rounding', async () => {
  const [rows, centroids] = [clustered(400, 24, 1), clustered(60, 24, 2)];
  const grid = fitGrid(rows, 24);
  const codes = new Uint8Array(rows.length);
  codesOf(rows, grid, codes);
  for (const metric of ['l2', 'ip'] as const) {
    const scorer = scorerOf('floats', centroids, grid, metric);
    for (const of of [rows, codes]) {
      const one = await proposed(engine, of, grid, scorer);
      const other = await proposed(plainEngine, of, grid, scorer);
      assert.ok(one.scores.every((score, i) => Math.abs(score - other.scores[i]) < 1e-3));
    }
  }
});

s('rows get the list that exact distances give them', async () => {
  for (const metric of ['l2', 'ip'] as const) {
    // Much of it in one place, as abundant species are: there codes cannot tell centroids apart.
    for (const spread of [1, 1e-3]) {
      const narrow = (values: Float32Array): Float32Array =>
        values.map((value, i) => (i < values.length / 2 ? value * spread : value));
      const [rows, centroids] = [narrow(clustered(2000, 64, 1)), narrow(clustered(100, 64, 2))];
      const place = { centroids, grid: fitGrid(rows, 64), metric };
      const scoring = await chooseScoring(engine, place, rows.subarray(0, 512 * 64));
      assert.is(scoring.by, spread === 1 ? 'codes' : 'floats');
      const lists = new Int32Array(2000);
      await assignLists(engine, quantizerOf(place, scoring), rows, lists);
      const exact = await exactSearch(arrayOf(centroids, 64), rows, 1, metric);
      const same = exact.filter(([nearest], row) => nearest.id === lists[row]).length;
      assert.ok(same >= 1998, `${same} of 2000`);
    }
  }
});

/** The products of these as one engine computes them. */
async function productsBy(by: typeof engine, a: Float32Array, b: Float32Array, d: number, metric: Metric) {
  const [n, m] = [a.length / d, b.length / d];
  const found = {
    scores: new Float32Array(n * m),
    most: new Float32Array(n),
    halves: new Float32Array(m),
  };
  await by.products(a, b, d, metric, found);
  return found;
}

s('rows that are no numbers hide no neighbour', async () => {
  const rows = clustered(4096, 16, 1);
  for (let row = 3; row < 4096; row += 14) rows[row * 16 + 5] = Number.NaN;
  const queries = clustered(64, 16, 2);
  for (const metric of ['l2', 'ip'] as const) {
    const answers: Neighbour[][][] = [];
    for (const by of [engine, plainEngine]) {
      const nearest = new NearestRows(queries, 16, 5, metric, by);
      await nearest.add({ data: rows, count: 4096, id: (row) => row });
      answers.push(nearest.results());
    }
    assert.equal(answers[0], answers[1]);
  }
});

s('products of floats agree', async () => {
  const [a, b] = [clustered(300, 10, 1), clustered(50, 10, 2)];
  for (const metric of ['l2', 'ip'] as const) {
    const one = await productsBy(engine, a, b, 10, metric);
    const other = await productsBy(plainEngine, a, b, 10, metric);
    for (const part of ['scores', 'most', 'halves'] as const) {
      assert.ok(
        one[part].every((value, i) => Math.abs(value - other[part][i]) < 1e-3),
        `${metric} ${part}`,
      );
    }
    assert.ok(one.most.every((most, i) => most === Math.max(...one.scores.subarray(i * 50, i * 50 + 50))));
  }
});

s('the number of threads changes no bit', async () => {
  const single = await loadEngine(1);
  const [a, b] = [clustered(3000, 33, 1), clustered(700, 33, 2)];
  assert.equal(await productsBy(single, a, b, 33, 'l2'), await productsBy(engine, a, b, 33, 'l2'));
  await single.close();
});

/** k-means of float rows, as an index trains it. */
async function centroidsOf(
  rows: Float32Array,
  dims: number,
  nlist: number,
  metric: Metric,
  { threads = 2, by = 'codes' as Scorer['kind'] } = {},
) {
  const workers = new Workers(threads);
  const grid = fitGrid(rows, dims);
  const codes = new Uint8Array(new SharedArrayBuffer(rows.length));
  codesOf(rows, grid, codes);
  const shared = new Float32Array(new SharedArrayBuffer(4 * rows.length));
  shared.set(rows);
  const of = by === 'codes' ? codes : shared;
  const first = firstCentroids(rows, dims, nlist, metric);
  const centroids = await kmeans({ rows: of, grid, first, metric, workers });
  await workers.close();
  return { centroids, grid, codes };
}

s('k-means leaves no list empty while there are different rows', async () => {
  // Two far groups of many equal rows, and few others: random choice alone would give equal centroids.
  const sample = new Float32Array(400);
  for (let row = 0; row < 200; row++) sample[row * 2] = row < 190 ? row % 2 : row;
  const { centroids, grid, codes } = await centroidsOf(sample, 2, 8, 'l2', { by: 'floats' });
  const { lists } = await proposed(engine, codes, grid, scorerOf('floats', centroids, grid, 'l2'));
  const used = new Set(lists.filter((_, i) => i % 4 === 0)).size;
  assert.ok(used >= 6, `${used} lists are used`);
  assert.ok(centroids.every(Number.isFinite));
});

s('the number of threads changes no centroid', async () => {
  const rows = clustered(3000, 16, 3);
  for (const by of ['codes', 'floats'] as const) {
    const [one, three] = [
      await centroidsOf(rows, 16, 40, 'l2', { threads: 1, by }),
      await centroidsOf(rows, 16, 40, 'l2', { threads: 3, by }),
    ];
    assert.equal(one.centroids, three.centroids);
  }
});

s('centroids for the inner product have length 1', async () => {
  const { centroids } = await centroidsOf(clustered(500, 5, 1), 5, 10, 'ip');
  for (let list = 0; list < 10; list++) {
    const length = Math.hypot(...centroids.subarray(list * 5, list * 5 + 5));
    assert.ok(Math.abs(length - 1) < 1e-6);
  }
});

s('one value far out does not make all others equal', () => {
  const rows = clustered(3000, 16, 3);
  const { step } = fitGrid(rows, 16);
  rows[77] = 100;
  assert.ok(fitGrid(rows, 16).step <= 2 * step);
});

s('codes round halves to even and stay within a byte', () => {
  const codes = new Uint8Array(6);
  codesOf(Float32Array.of(0.5, 1.5, -0.5, -2.5, 1e9, -1e9), { centre: Float32Array.of(0), step: 1 }, codes);
  assert.equal([...codes], [128, 130, 128, 126, 255, 0]);
});

s.run();
