/** What a watch decides: whether an input is written, when to look, when to build. No disk and no clock. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { networkName } from '../src/files/network-file-systems.js';
import { isIgnored } from '../src/watch/own-paths.js';
import {
  delayAfterHint,
  delayOfPolling,
  isAboutToSettle,
  isTimeToBuild,
  nextSettling,
} from '../src/watch/pace.js';
import { Settling, type Sighting } from '../src/watch/settling.js';

const test = suite('watch settling');

const run = (signature: string, more: Partial<Sighting> = {}): Sighting => ({
  id: 'run:R/a',
  path: 'R/a',
  name: 'a',
  signature,
  isOld: false,
  readers: ['reference'],
  ...more,
});

/** Sees it, finds it to lack what `missing` says, and gives what is not settled. */
function at(settling: Settling, time: number, sightings: Sighting[], missing?: string) {
  for (const id of settling.see(sightings, time)) settling.check(id, missing);
  return settling.unsettled(time);
}

test('what has not been written lately counts at the beginning, and only then', () => {
  const settling = new Settling(100);
  assert.equal(at(settling, 0, [run('1', { isOld: true })]), []);
  const other = run('1', { isOld: true, id: 'run:R/b', name: 'b' });
  assert.equal(
    at(settling, 10, [run('1'), other]).map(({ name, until, isKnown }) => [name, until, isKnown]),
    [['b', 110, false]],
  );
  assert.equal(at(settling, 110, [run('1'), other]), []);
});

test('it has to stay the same from the last change on, and is looked into once for each', () => {
  const settling = new Settling(100);
  assert.is(at(settling, 0, [run('1')])[0].until, 100);
  assert.is(at(settling, 90, [run('2')])[0].until, 190);
  assert.equal(settling.see([run('2')], 150), []);
  assert.is(settling.unsettled(189).length, 1);
  assert.equal(at(settling, 190, [run('2')]), []);
  const [changed] = at(settling, 300, [run('3')]);
  assert.ok(changed.isKnown);
  assert.equal([...changed.readers], ['reference']);
});

test('one that lacks something waits as long as it takes, without a time', () => {
  const settling = new Settling(100);
  const [young] = at(settling, 0, [run('1')], 'is empty');
  assert.not.ok(isAboutToSettle(young));
  const [still] = at(settling, 1000, [run('1')]);
  assert.is(still.until, undefined);
  assert.is(still.missing, 'is empty');
  assert.is(nextSettling([still]), Number.POSITIVE_INFINITY);
  const [whole] = at(settling, 1001, [run('2')]);
  assert.is(whole.missing, undefined);
  assert.ok(isAboutToSettle(whole));
  assert.is(nextSettling([still, whole]), 1101);
  assert.equal(at(settling, 1101, [run('2')]), []);
});

test('one that goes away is waited for if it was settled, and is then forgotten', () => {
  const settling = new Settling(100);
  at(settling, 0, [run('1', { isOld: true })]);
  const [gone] = at(settling, 10, []);
  assert.ok(gone.isGone && gone.isKnown);
  assert.is(gone.until, 110);
  assert.equal([...gone.readers], ['reference'], 'those that read it before');
  // Put back as it was, also with the same stat.
  assert.is(at(settling, 50, [run('1')])[0].until, 150);
  at(settling, 200, [run('1')]);
  assert.is(at(settling, 210, []).length, 1);
  assert.equal(at(settling, 310, []), []);
  assert.not.ok(at(settling, 320, [run('1')])[0].isKnown);
  // Never settled: nothing depends on it.
  assert.equal(at(settling, 330, []), []);
});

test('a change of its own is nothing to wait for, and the next one is again', () => {
  const settling = new Settling(100);
  at(settling, 0, [run('1', { isOld: true })]);
  settling.expectChange(['run:R/a', 'run:R/unknown']);
  assert.equal(at(settling, 10, [run('2')]), []);
  assert.is(at(settling, 20, [run('3')]).length, 1);
  at(settling, 120, [run('3')]);
  settling.expectChange(['run:R/a']);
  // It did not come, and does not excuse a later one.
  assert.equal(at(settling, 130, [run('3')]), []);
  assert.is(at(settling, 140, [run('4')]).length, 1);
});

test('a build waits for what is about to settle, but not for ever', () => {
  const times = { at: 0, since: 0, settleMs: 2000, lastBuildMs: 0 };
  assert.ok(isTimeToBuild({ ...times, since: undefined }));
  assert.not.ok(isTimeToBuild({ ...times, at: 9999 }));
  assert.ok(isTimeToBuild({ ...times, at: 10_000 }));
  // Where a build takes long, more is gathered.
  assert.not.ok(isTimeToBuild({ ...times, at: 10_000, lastBuildMs: 60_000 }));
  assert.ok(isTimeToBuild({ ...times, at: 60_000, lastBuildMs: 60_000 }));
});

test('looking takes at most a fifth of the time', () => {
  assert.is(delayAfterHint(1), 100);
  assert.is(delayAfterHint(300), 1200);
  assert.is(delayOfPolling(10_000, 20), 10_000);
  assert.is(delayOfPolling(10_000, 6000), 24_000);
});

test('what firn writes is no sign of a change', () => {
  const ignored = new Set(['data/reference/consolidated_metadata.json', 'R/A/r1']);
  for (const path of [
    'data/reference/consolidated_metadata.json',
    'cache',
    'cache/objects/12',
    'R/A/r2/.firn-0123-4567/embeddings.npy',
    'R/A/r2/.firn-0123-4567',
    'R/A/r1/embeddings.npy',
    'R/A/r1',
  ])
    assert.ok(isIgnored(path, ignored), path);
  for (const path of [
    '',
    'pipeline.yaml',
    'data/cache',
    'R/A',
    'R/A/r1/deeper/x',
    'R/A/r2',
    'data/reference/x',
  ])
    assert.not.ok(isIgnored(path, ignored), path);
});

test('file systems of other machines are told by their number, whatever its sign', () => {
  assert.is(networkName(0x6969), 'NFS');
  assert.is(networkName(0xff534d42), 'CIFS');
  assert.is(networkName(0xff534d42 | 0), 'CIFS');
  assert.is(networkName(0xef53), undefined, 'ext4');
  assert.is(networkName(0x01021994), undefined, 'tmpfs');
});

test.run();
