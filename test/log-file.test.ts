/** The append-only log: whatever is cut off or altered costs the lines it hits, and no others. */
import { readFileSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Digests } from '../src/engine/digests.js';
import { FileClock } from '../src/engine/file-clock.js';
import { LogWriter, readLog, rewriteLog } from '../src/engine/log-file.js';
import { Records } from '../src/engine/records.js';
import type { StepRecord } from '../src/engine/types.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { temporaryFolder } from './rig/folder.js';
import { holds } from './rig/property.js';

const test = suite('log file');

const folder = temporaryFolder();
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));
const path = join(folder, 'log.jsonl');

const VALUES = [{ a: 1 }, 'text with \n and "quotes"', [1, 2, { b: 'ü' }], null, 42];

async function written(): Promise<Buffer> {
  rmSync(path, { force: true });
  const log = new LogWriter(disk, path);
  for (const value of VALUES) await log.append(value);
  await log.close();
  return readFileSync(path);
}

test('what was appended is read, also by several writers one after the other', async () => {
  await written();
  assert.equal(readLog(disk, path), { entries: VALUES, lost: 0 });
  const again = new LogWriter(disk, path);
  await Promise.all([again.append('more'), again.append('and more')]);
  await again.close();
  assert.equal(readLog(disk, path).entries, [...VALUES, 'more', 'and more']);
  await rewriteLog(disk, path, ['only this']);
  assert.equal(readLog(disk, path).entries, ['only this']);
  assert.equal(readLog(disk, join(folder, 'none')), { entries: [], lost: 0 });
});

test('cut at every byte, a prefix is left and the next line is not swallowed', async () => {
  const whole = await written();
  for (let cut = 0; cut <= whole.length; cut++) {
    writeFileSync(path, whole.subarray(0, cut));
    const { entries, lost } = readLog(disk, path);
    assert.equal(entries, VALUES.slice(0, entries.length), `cut at ${cut}`);
    const complete = whole.subarray(0, cut).toString('latin1').split('\n').slice(1, -1).length;
    // A line is whole without its line end.
    assert.ok(entries.length === complete || entries.length === complete + 1, `cut at ${cut}`);
    assert.ok(lost <= 1);
    const log = new LogWriter(disk, path);
    await log.append('after the crash');
    await log.close();
    assert.equal(readLog(disk, path).entries, [...entries, 'after the crash'], `cut at ${cut}`);
  }
});

test('any byte altered costs the line it stands in, at most with its neighbour', async () => {
  const whole = await written();
  await holds(
    300,
    fc.property(fc.nat(whole.length - 1), fc.integer({ min: 1, max: 255 }), (at, flip) => {
      const bytes = Buffer.from(whole);
      bytes[at] ^= flip;
      writeFileSync(path, bytes);
      const left = readLog(disk, path).entries.map((entry) => JSON.stringify(entry));
      const all = VALUES.map((value) => JSON.stringify(value));
      assert.ok(left.every((entry) => all.includes(entry)));
      assert.ok(left.length >= all.length - 2);
    }),
  );
});

test('a line that found the disk full does not keep the next from being written', async () => {
  rmSync(path, { force: true });
  let full = false;
  const port: Port = {
    ...disk,
    async append(file) {
      const handle = await disk.append(file);
      return {
        path: file,
        async write(data, position) {
          if (!full) return handle.write(data, position);
          await handle.write(data.subarray(0, 5), position);
          throw Object.assign(new Error('ENOSPC'), { code: 'ENOSPC' });
        },
        sync: () => handle.sync(),
        close: () => handle.close(),
      };
    },
  };
  const log = new LogWriter(port, path);
  await log.append('one');
  full = true;
  let failed = '';
  await log.append('two').catch((error: Error) => {
    failed = error.message;
  });
  assert.is(failed, 'ENOSPC');
  full = false;
  await log.append('three');
  await log.close();
  assert.equal(readLog(disk, path), { entries: ['one', 'three'], lost: 1 });
});

const record = (step: string, key: string): StepRecord => ({
  step,
  key,
  manifest: [['k', key]],
  outputs: [{ kind: 'file', path: `${step}.out`, digest: `sha256:${'0'.repeat(63)}${key}` }],
  seconds: 0,
});

test('records: the latest of each step, earlier ones by key, and all of it after reading again', async () => {
  rmSync(path, { force: true });
  const records = new Records(disk, path);
  await records.add(record('a', '1'));
  await records.add(record('b', '2'));
  await records.add(record('a', '3'));
  await records.close();
  const again = new Records(disk, path);
  assert.is(again.of('a')?.key, '3');
  assert.is(again.withKey('a', '1')?.step, 'a');
  assert.is(again.forOutput('b.out')?.key, '2');
  assert.is(again.of('c'), undefined);
});

test('who wrote a file last is the same after the log was rewritten, also where two steps did in turns', async () => {
  rmSync(path, { force: true });
  const records = new Records(disk, path);
  const shared = (step: string, key: string): StepRecord => ({
    ...record(step, key),
    outputs: record('x', key).outputs,
  });
  for (const [step, key] of [
    ['old', '1'],
    ['new', '1'],
    ['old', '2'],
  ])
    await records.add(shared(step, key));
  const expected = (known: Records): void => {
    assert.equal([known.forOutput('x.out')?.step, known.forOutput('x.out')?.key], ['old', '2']);
    assert.equal(
      ['old', 'new'].map((step) => known.withKey(step, '1')?.step),
      ['old', 'new'],
      'a key that two steps had is of both',
    );
    assert.equal(
      [...known.histories().values()].flat().map((each) => known.isWriter(each)),
      [false, true, false],
    );
  };
  expected(records);
  await records.drop([]);
  await records.close();
  expected(new Records(disk, path));
});

test('records of steps that end side by side are all kept, also where the log begins with them', async () => {
  for (const before of [[], [{ firn: 'records', format: 0 }]]) {
    rmSync(path, { force: true });
    if (before.length > 0) await rewriteLog(disk, path, before);
    // A second beginning, if there is one, comes when the first record is written.
    let written = (): void => undefined;
    const first = new Promise<void>((resolve) => {
      written = resolve;
    });
    let renames = 0;
    const port: Port = {
      ...disk,
      async rename(from, to) {
        renames += 1;
        if (renames > 1) await first;
        await disk.rename(from, to);
      },
      async append(file) {
        const handle = await disk.append(file);
        return {
          path: file,
          write: (data, position) => handle.write(data, position).then(written),
          sync: () => handle.sync(),
          close: () => handle.close(),
        };
      },
    };
    const records = new Records(port, path);
    await Promise.all(['a', 'b', 'c'].map((step) => records.add(record(step, step))));
    await records.close();
    const again = new Records(disk, path);
    assert.equal(
      ['a', 'b', 'c'].map((step) => again.of(step)?.key),
      ['a', 'b', 'c'],
    );
  }
});

test('a log that cannot be rewritten for want of room stays as it is, and nothing else fails for it', async () => {
  rmSync(path, { force: true });
  const full: Port = {
    ...disk,
    create: (file) => Promise.reject(Object.assign(new Error('ENOSPC'), { code: 'ENOSPC', path: file })),
  };
  const records = new Records(disk, path);
  for (let i = 0; i < 1200; i++) await records.add(record('a', String(i % 2)));
  await records.close();
  const lines = readLog(disk, path).entries.length;
  assert.ok(lines < 100, 'it is rewritten where there is room');
  for (let i = 0; i < 1200; i++) await records.add(record('a', String(i % 2)));
  await new LogWriter(disk, path).close();
  const again = new Records(full, path);
  await again.close();
  assert.is(new Records(disk, path).of('a')?.key, '1');

  const remembered = join(folder, 'digests.jsonl');
  const line = { id: 'file:x', signature: '1|x', at: '1', digest: { digest: `sha256:${'0'.repeat(64)}` } };
  await rewriteLog(
    disk,
    remembered,
    Array.from({ length: 1200 }, () => line),
  );
  const clock = new FileClock(disk, folder);
  await new Digests(full, folder, new Map(), remembered, { save: true, clock }).close();
  assert.is(readLog(disk, remembered).entries.length, 1200);
});

test('records of a newer firn are refused, of an older one dropped', async () => {
  await rewriteLog(disk, path, [{ firn: 'records', format: 99 }, record('a', '1')]);
  assert.throws(() => new Records(disk, path), /written by a newer firn/);
  await rewriteLog(disk, path, [{ firn: 'records', format: 0 }, record('a', '1')]);
  const records = new Records(disk, path);
  assert.is(records.of('a'), undefined);
  await records.add(record('b', '2'));
  await records.close();
  assert.is(new Records(disk, path).of('b')?.key, '2');
});

test.run();
