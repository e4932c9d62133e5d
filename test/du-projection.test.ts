/** How fast runs come, and how many more sequences fit: pure. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { samplePlaces, stretchesOf } from '../src/du/compressing.js';
import { type GrowingDisk, project, sequencesThatFit } from '../src/du/projection.js';
import { type Arrival, dateInName, median, rateOf } from '../src/du/rate.js';

const test = suite('projection');

const DAY = 86_400_000;
const START = Date.UTC(2024, 0, 1);

function arrivals(days: readonly number[], rows: (i: number) => number = () => 100): Arrival[] {
  return days.map((day, i) => ({ name: `A/r${i}`, dateMs: START + day * DAY, rows: rows(i), bytes: 1000 }));
}

test('a steady pace is found, whatever the order', () => {
  const weekly = arrivals([...Array(10).keys()].map((i) => 7 * i));
  for (const runs of [weekly, [...weekly].reverse()]) {
    const rate = rateOf(runs);
    assert.ok(Math.abs((rate?.runsPerDay as number) - 1 / 7) < 1e-9);
    assert.equal([rate?.rowsPerRun, rate?.runs], [100, 10]);
  }
});

test('one enormous run and one long pause mislead nobody', () => {
  const days = [...Array(20).keys()].map((i) => 7 * i + (i > 9 ? 200 : 0));
  const rate = rateOf(arrivals(days, (i) => (i === 5 ? 1e9 : 100)));
  assert.is(rate?.rowsPerRun, 100);
  const perWeek = (rate?.runsPerDay as number) * 7;
  assert.ok(perWeek > 0.3 && perWeek < 1.1, String(perWeek));
});

test('many on one day count as what they are', () => {
  // Ten runs every thirty days.
  const days = [...Array(30).keys()].map((i) => 30 * Math.floor(i / 10));
  const perMonth = (rateOf(arrivals(days))?.runsPerDay as number) * 30;
  assert.ok(perMonth > 8 && perMonth < 14, String(perMonth));
});

test('too few runs, on too few days, over too short a time', () => {
  assert.is(rateOf([]), undefined);
  assert.is(rateOf(arrivals([0, 10, 20, 30])), undefined);
  assert.is(rateOf(arrivals([0, 0, 0, 0, 0, 0, 90])), undefined);
  assert.is(rateOf(arrivals([0, 1, 2, 3, 4, 5])), undefined);
  assert.is(rateOf(arrivals([0, 10, 20, 30, 40], () => 0)), undefined);
  assert.ok(rateOf(arrivals([0, 2, 4, 6, 8])) !== undefined);
});

test('only the last thirty runs tell', () => {
  const days = [...Array(40).keys(), ...[...Array(30).keys()].map((i) => 100 + 10 * i)];
  assert.ok(Math.abs((rateOf(arrivals(days))?.runsPerDay as number) - 0.1) < 1e-9);
});

test('the median', () => {
  assert.equal([median([3]), median([4, 1]), median([9, 1, 5])], [3, 2.5, 5]);
});

test('dates in names', () => {
  const now = Date.UTC(2026, 0, 1);
  const local = (...parts: [number, number, number, number?, number?, number?]) =>
    new Date(parts[0], parts[1] - 1, ...(parts.slice(2) as [number])).getTime();
  assert.is(dateInName('2024-11-20_10-30-00', now), local(2024, 11, 20, 10, 30, 0));
  assert.is(dateInName('run_2024-11-20', now), local(2024, 11, 20));
  assert.is(dateInName('20241120', now), local(2024, 11, 20));
  assert.is(dateInName('20241120T103005', now), local(2024, 11, 20, 10, 30, 5));
  assert.is(dateInName('reads-2024-11', now), local(2024, 11, 1));
  for (const name of [
    'r1',
    'part-7',
    '202411',
    '2024-13-01',
    '9920241120',
    'v2.0',
    '2099-01-01',
    '1999-01-01',
    '2024-11-2019',
  ])
    assert.is(dateInName(name, now), undefined, name);
});

test('what fits is written, and one more is not', () => {
  fc.assert(
    fc.property(
      fc.nat({ max: 1e9 }),
      fc.nat({ max: 1e6 }),
      fc.integer({ min: 1, max: 1000 }),
      fc.array(fc.record({ bytes: fc.nat({ max: 1e7 }), perSequence: fc.integer({ min: 0, max: 500 }) }), {
        maxLength: 3,
      }),
      (available, reserved, perSequence, rewritten) => {
        const disk: GrowingDisk = { holds: [], available, reserved, perSequence, rewritten };
        const needs = (sequences: number) =>
          reserved +
          sequences * perSequence +
          Math.max(0, ...rewritten.map((file) => file.bytes + sequences * file.perSequence));
        const fit = sequencesThatFit(disk);
        assert.ok(fit === 0 || needs(fit) <= available);
        assert.ok(needs(fit + 1) > available);
      },
    ),
  );
});

test('the disk that is full first counts', () => {
  const disk = (available: number, perSequence: number): GrowingDisk => ({
    holds: [],
    available,
    reserved: 0,
    perSequence,
    rewritten: [],
  });
  const disks = [disk(1e6, 100), disk(1e6, 1000), disk(1e6, 0)];
  const found = project(disks, rateOf(arrivals([0, 10, 20, 30, 40])), START);
  assert.equal([found?.sequences, found?.disk], [1000, disks[1]]);
  // 10 sequences a day.
  assert.is(Math.round(((found?.fullMs as number) - START) / DAY), 100);
  assert.is(project(disks, undefined, START)?.fullMs, undefined);
  assert.is(project([disk(1e6, 0)], undefined, START), undefined);
});

test('samples lie all over the runs, each byte as likely as the other', () => {
  fc.assert(
    fc.property(fc.array(fc.nat({ max: 1e9 }), { minLength: 1, maxLength: 50 }), (sizes) => {
      const places = samplePlaces(sizes, 32);
      const total = sizes.reduce((sum, size) => sum + size, 0);
      assert.is(
        places.reduce((sum, { offsets }) => sum + offsets.length, 0),
        total === 0 ? 0 : 32,
      );
      for (const { index, offsets } of places) {
        assert.ok(sizes[index] > 0 && offsets.every((offset) => offset >= 0 && offset < 1));
        assert.ok(Math.abs(offsets.length - (32 * sizes[index]) / total) <= 1);
      }
    }),
  );
});

test('stretches of rows are in the array and have none in common', () => {
  fc.assert(
    fc.property(
      fc.array(fc.double({ min: 0, max: 0.999, noNaN: true })),
      fc.nat({ max: 1000 }),
      fc.integer({ min: 1, max: 300 }),
      (parts, rows, length) => {
        let last = 0;
        for (const { from, to } of stretchesOf(parts, rows, length)) {
          assert.ok(from >= last && to > from && to <= rows && to - from <= length);
          last = to;
        }
        assert.is(last > 0, parts.length > 0 && rows > 0);
      },
    ),
  );
});

test.run();
