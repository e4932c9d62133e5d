/** Whether an array file is still being written: cut at every byte it is, whole or wrong in another way it is not. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { whatIsMissing } from '../src/arrays/incomplete.js';
import { disk } from '../src/files/disk.js';
import { temporaryFolder } from './rig/folder.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('incomplete arrays');
const folder = temporaryFolder();
const path = join(folder, 'array');

function missing(bytes: Uint8Array): Promise<string | undefined> {
  writeFileSync(path, bytes);
  return whatIsMissing(disk, path);
}

const WRITERS: { [name: string]: string } = {
  npy: 'np.save(f, a)',
  'npy 3.0': 'np.lib.format.write_array(f, a, version=(3, 0))',
  'npy in Fortran order': 'np.save(f, np.asfortranarray(a.astype(">f8")))',
  npz: 'np.savez(f, embeddings=a)',
  'npz with more': 'np.savez_compressed(f, other=a * 2, embeddings=a)',
};

for (const [name, writer] of Object.entries(WRITERS)) {
  oracleTest(test, ['numpy'], `${name}, cut at every byte`, async () => {
    python(
      `import numpy as np, sys
a = np.random.default_rng(1).random((9, 4), dtype=np.float32)
with open(sys.argv[1], 'wb') as f: ${writer}`,
      path,
    );
    const whole = readFileSync(path);
    for (let end = 0; end < whole.length; end++) {
      assert.ok(await missing(whole.subarray(0, end)), `cut at ${end} of ${whole.length}`);
      // As with room made for it beforehand. The first four bytes and the record at the end come in one go.
      const room = Buffer.alloc(whole.length);
      whole.copy(room, 0, 0, end);
      if (name.startsWith('npz') && end >= 4 && end <= whole.length - 22)
        assert.ok(await missing(room), `zeros from ${end} on`);
    }
    assert.is(await missing(whole), undefined);
    if (name.startsWith('npy')) assert.is(await missing(Buffer.concat([whole, whole])), undefined);
  });
}

test('room that was made and nothing yet in it', async () => {
  assert.is(await missing(Buffer.alloc(0)), 'is empty');
  assert.is(await missing(Buffer.alloc(100_000)), 'has no header');
});

test('what will never be an array is for others to say', async () => {
  for (const text of [
    '\x80\x05pickle of something',
    'sequence,1,2,3\n',
    '\x93NUMPY\x09\x00 of the future .....',
  ]) {
    assert.is(await missing(Buffer.from(text, 'latin1')), undefined, text);
  }
  assert.is(await whatIsMissing(disk, folder), undefined, 'a folder');
  assert.is(await whatIsMissing(disk, join(folder, 'nothing')), undefined, 'nothing');
});

test.run();
