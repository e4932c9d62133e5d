/** The decisions about training: pure functions of row numbers and counts. */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type QueryRanks, recallOf, smallestNprobe } from '../src/faiss/calibrate.js';
import { eligibleRows, queryRows, trainingSample } from '../src/faiss/sample.js';
import { imbalanceOf, pickLists, pickTrainedRows, sampleRows } from '../src/faiss/training.js';

const s = suite('faiss training');
const prior = { trainedRows: 1000, rows: 1500, imbalance: 1.4, trainedImbalance: 1.2 };

s('training is kept up to twice the rows and one and a half times the imbalance', () => {
  assert.is(pickTrainedRows(prior, 1600), 1000);
  assert.is(pickTrainedRows(prior, 2000), 1000);
  assert.is(pickTrainedRows(prior, 2001), 2001);
  assert.is(pickTrainedRows({ ...prior, imbalance: 1.79 }, 1600), 1000);
  assert.is(pickTrainedRows({ ...prior, imbalance: 1.81 }, 1600), 1600);
  assert.is(pickTrainedRows({ ...prior, imbalance: 200, trainedImbalance: 190 }, 1600), 1000);
});

s('without an earlier index, or with fewer rows than it was trained on, all rows are trained on', () => {
  assert.is(pickTrainedRows(undefined, 700), 700);
  assert.is(pickTrainedRows(prior, 999), 999);
});

s('lists are near the square root of the rows, and can be filled', () => {
  for (const rows of [10_001, 50_000, 300_000, 1_000_000, 10_000_000]) {
    const lists = pickLists(rows, eligibleRows(Math.min(rows, 100_000)), 256);
    const ratio = lists / Math.sqrt(rows);
    assert.ok(ratio >= 0.7 || lists * 39 > 90_000, `${lists} lists of ${rows} rows`);
    assert.ok(ratio <= 1.42);
  }
  assert.is(pickLists(1_000_000, 968_750, 256), 1024);
  assert.is(pickLists(20, 20, 4), 1);
});

s('the sample fits into 256 MiB', () => {
  assert.ok(sampleRows(2048, 256) * 256 * 4 <= 256 * 1024 * 1024);
  assert.ok(sampleRows(65_536, 1024) * 1024 * 4 <= 256 * 1024 * 1024);
});

s('imbalance is 1 for equal lists and nlist when one holds all', () => {
  assert.is(imbalanceOf(Float64Array.of(5, 5, 5)), 1);
  assert.is(imbalanceOf(Float64Array.of(0, 9, 0)), 3);
  assert.is(imbalanceOf(Float64Array.of(0, 0)), 1);
});

s('the training sample is ascending, of the wanted size, and shares no row with the queries', () => {
  const property = fc.property(
    fc.integer({ min: 1, max: 9000 }),
    fc.integer({ min: 1, max: 900 }),
    (rows, wanted) => {
      const sample = trainingSample(rows, wanted, 1234);
      assert.is(sample.length, Math.min(wanted, eligibleRows(rows)));
      assert.ok(sample.every((row, i) => row < rows && (i === 0 || row > sample[i - 1])));
      const queries = queryRows(rows + 100, rows, 64);
      assert.ok(queries.length > 0);
      assert.ok(queries.every((row, i) => row < rows + 100 && (i === 0 || row > queries[i - 1])));
      if (rows >= 2048) {
        const trained = new Set(sample);
        assert.not(queries.some((row) => trained.has(row)));
      }
    },
  );
  fc.assert(property, { numRuns: 100 });
});

s('the sample of the first rows does not change when rows are added', () => {
  assert.equal(trainingSample(5000, 300, 1), trainingSample(5000, 300, 1));
  assert.not.equal(trainingSample(5000, 300, 1), trainingSample(9000, 300, 1));
});

s('queries come from the whole collection', () => {
  const queries = queryRows(100_000, 20_000, 100);
  assert.is(queries.length, 100);
  for (let tenth = 0; tenth < 10; tenth++) {
    assert.ok(queries.some((row) => Math.floor(row / 10_000) === tenth));
  }
});

/** A query with a nearest list of its own. */
function ofList(ranks: Int32Array, nearest: number): QueryRanks {
  return { nearest, ranks };
}

s('queries of one list count as one observation', () => {
  const ranks = Array.from({ length: 400 }, (_, query) => Int32Array.of(query % 40 === 0 ? 5 : 0));
  const apart = recallOf(ranks.map(ofList), 1);
  const together = recallOf(
    ranks.map((of, query) => ofList(of, query % 40)),
    1,
  );
  assert.is(together.mean, apart.mean);
  assert.ok(together.assured < apart.assured - 0.01);
});

s('recall at nprobe counts the neighbours whose lists rank before it', () => {
  const ranks = [Int32Array.of(0, 0, 1, 5), Int32Array.of(0, 0, 0, 0)].map(ofList);
  assert.is(recallOf(ranks, 1).mean, 0.75);
  assert.is(recallOf(ranks, 2).mean, 0.875);
  assert.equal(recallOf(ranks, 6), { mean: 1, assured: 1 });
  assert.ok(recallOf(ranks, 1).assured < 0.75);
});

s('the smallest nprobe that is assured of the goal is taken', () => {
  const ranks = Array.from({ length: 400 }, (_, query) =>
    ofList(Int32Array.of(0, 1, 2, query % 10 === 0 ? 7 : 3), query),
  );
  assert.is(smallestNprobe(ranks, 0.5, 64), 2);
  assert.is(smallestNprobe(ranks, 0.74, 64), 3);
  assert.is(smallestNprobe(ranks, 0.96, 64), 4);
  assert.is(smallestNprobe(ranks, 0.99, 64), 8);
  assert.is(smallestNprobe(ranks, 1, 64), 8);
  assert.is(smallestNprobe([], 0.95, 64), 1);
});

s.run();
