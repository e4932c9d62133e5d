/** Where rows stand in a reference: what holds for every history of runs that come, change and go. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import {
  type CurrentRun,
  layoutDigest,
  mergeLayout,
  type Range,
  rangeAt,
  runName,
  startsOf,
} from '../src/reference/layout.js';

const test = suite('layout');

const NAMES = ['a', 'b', 'c', 'd', 'e', 'f'];

const run = (name: string, seed: number): CurrentRun => ({
  dataset: 'D',
  run_id: name,
  count: seed,
  digest: `sha256:${seed}`,
  dtype: 'f4',
  version: null,
});
const named = (name: string) => `D/${name}`;

/** Some of the names, in any order, each with a content. */
const runs = fc
  .uniqueArray(fc.constantFrom(...NAMES), { maxLength: NAMES.length })
  .chain((names) =>
    fc.tuple(...names.map((name) => fc.integer({ min: 0, max: 3 }).map((seed) => run(name, seed)))),
  );

const priors = runs.chain((some) =>
  fc.tuple(...some.map((one) => fc.boolean().map((retained): Range => ({ ...one, retained })))),
);

/** Runs on disk, of which some are asked for. */
const changes = fc.record({
  prior: priors,
  current: runs,
  alsoThere: fc.subarray(NAMES),
  pruned: fc.subarray(NAMES),
});

type Change = typeof changes extends fc.Arbitrary<infer T> ? T : never;

function merge({ prior, current, alsoThere, pruned }: Change): Range[] {
  const there = new Set([...current.map(runName), ...alsoThere.map(named)]);
  return mergeLayout({
    prior,
    current,
    isPresent: (name) => there.has(name),
    pruned: new Set(pruned.map(named)),
  });
}

function holds(check: (change: Change, merged: Range[]) => void): void {
  fc.assert(
    fc.property(changes, (change) => check(change, merge(change))),
    { numRuns: 2000 },
  );
}

test('merged again it is the same', () => {
  holds((change, merged) => assert.equal(merge({ ...change, prior: merged }), merged));
});

test('no name stands there twice', () => {
  holds((_change, merged) => assert.is(new Set(merged.map(runName)).size, merged.length));
});

test('rows of a run that is gone stay with count and digest, retained, unless pruned', () => {
  holds((change, merged) => {
    const there = new Set([...change.current.map(runName), ...change.alsoThere.map(named)]);
    for (const range of change.prior) {
      const name = runName(range);
      if (there.has(name)) continue;
      const kept = merged.find((other) => runName(other) === name);
      if (change.pruned.map(named).includes(name)) assert.is(kept, undefined);
      else assert.equal(kept, { ...range, retained: true });
    }
  });
});

test('it holds what is asked for and what is gone, and nothing else', () => {
  holds((change, merged) => {
    const pruned = new Set(change.pruned.map(named));
    for (const one of change.current) {
      const found = merged.find((other) => runName(other) === runName(one));
      assert.equal(found, pruned.has(runName(one)) ? undefined : { ...one, retained: false });
    }
    const there = new Set(change.alsoThere.map(named));
    const asked = new Set(change.current.map(runName));
    for (const range of merged) assert.ok(asked.has(runName(range)) || !there.has(runName(range)));
  });
});

test('known runs keep their order, and new ones follow in the order given', () => {
  holds((change, merged) => {
    const names = merged.map(runName);
    const known = change.prior.map(runName).filter((name) => names.includes(name));
    const added = change.current.map(runName).filter((name) => names.includes(name) && !known.includes(name));
    assert.equal(names, [...known, ...added]);
  });
});

test('of a run that stands twice in a reference of another program the first counts', () => {
  const prior = [run('a', 1), run('b', 2), run('a', 3)].map((one) => ({ ...one, retained: false }));
  const merged = mergeLayout({ prior, current: [], isPresent: () => false, pruned: new Set() });
  assert.equal(
    merged.map(({ run_id, count }) => [run_id, count]),
    [
      ['a', 1],
      ['b', 2],
    ],
  );
});

test('the range of a row is the one that holds it, also beside empty ones', () => {
  const counts = fc.array(fc.record({ count: fc.integer({ min: 0, max: 4 }) }), { maxLength: 12 });
  fc.assert(
    fc.property(counts, (ranges) => {
      const starts = startsOf(ranges);
      const expected = ranges.flatMap(({ count }, i) => Array.from({ length: count }, () => i));
      const total = starts[starts.length - 1];
      assert.is(total, expected.length);
      for (const [row, range] of expected.entries()) assert.is(rangeAt(starts, row), range);
      for (const outside of [-1, total, total + 1]) assert.is(rangeAt(starts, outside), undefined);
    }),
  );
});

test('the digest of a layout is of counts, contents and order, and of nothing else', () => {
  const ranges = [run('a', 1), run('b', 2)];
  const digest = layoutDigest(ranges);
  assert.is(layoutDigest(ranges.map((range) => ({ ...range, retained: true, version: 'v9' }))), digest);
  assert.is.not(layoutDigest([...ranges].reverse()), digest);
  assert.is.not(layoutDigest([{ ...ranges[0], count: 9 }, ranges[1]]), digest);
  assert.is.not(layoutDigest([{ ...ranges[0], digest: 'other' }, ranges[1]]), digest);
});

test.run();
