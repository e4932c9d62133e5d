/** The digest of an array is that of its values, whatever file they stand in, and Python can recompute it. */
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { ArrayHasher, arrayDigest } from '../src/arrays/digest.js';
import { openArray } from '../src/arrays/open.js';
import { fileDigest } from '../src/engine/store.js';
import { disk } from '../src/files/disk.js';
import { Workers } from '../src/workers/pool.js';
import { fileOf, folder, npyWith, ramp } from './arrays-rig.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('digests of arrays');

async function digestOf(path: string, onBytes?: (bytes: number) => void): Promise<string> {
  const reader = await openArray(disk, path);
  try {
    return await arrayDigest(reader, { onBytes });
  } finally {
    await reader.close();
  }
}

/** Writes the same values in many containers; prints {dtype: digest} as hashlib computes it. */
const CONTAINERS = `
import hashlib, json, sys, numpy as np
def digest(a):
    fields = ['firn array 1', '<' + a.dtype.str[1:], str(a.shape[0]), str(a.shape[1])]
    h = hashlib.sha256(''.join(f'{len(f)}:{f},' for f in fields).encode())
    h.update(np.ascontiguousarray(a, fields[1]).tobytes())
    return 'sha256:' + h.hexdigest()
base = np.random.default_rng(3).normal(size=(500, 33))
base[0, :4] = [np.nan, np.inf, -np.inf, -0.0]
found = {}
for kind in ['f2', 'f4', 'f8']:
    for order in 'CF':
        for endian in '<>':
            a = np.array(base, dtype=endian + kind, order=order)
            stem = f"{sys.argv[1]}/{kind}-{order}-{'LB'[endian == '>']}"
            for version in [1, 2, 3]:
                with open(f'{stem}-{version}.npy', 'wb') as f:
                    np.lib.format.write_array(f, a, version=(version, 0))
            np.savez(stem + '-stored.npz', embeddings=a)
            np.savez_compressed(stem + '-deflated.npz', embeddings=a)
            assert found.setdefault(kind, digest(a)) == digest(a)
print(json.dumps(found))
`;

oracleTest(
  s,
  ['numpy'],
  'one digest for the same values in every container, as hashlib computes it',
  async () => {
    const expected = JSON.parse(python(CONTAINERS, folder)) as Record<string, string>;
    assert.is(new Set(Object.values(expected)).size, 3, 'the dtype counts');
    for (const [kind, digest] of Object.entries(expected)) {
      for (const order of ['C', 'F']) {
        for (const endian of ['L', 'B']) {
          for (const container of ['1.npy', '2.npy', '3.npy', 'stored.npz', 'deflated.npz']) {
            const name = `${kind}-${order}-${endian}-${container}`;
            assert.is(await digestOf(join(folder, name)), digest, name);
          }
        }
      }
    }
  },
);

s('shape, dtype and every value count', async () => {
  const file = (shape: string, dtype: string, data: Uint8Array) =>
    digestOf(fileOf(npyWith(`{'descr':'<${dtype}','fortran_order':False,'shape':${shape}}`, data)));
  const changed = Buffer.from(ramp(12));
  changed[47] ^= 0x80;
  const digests = [
    await file('(3,4)', 'f4', ramp(12)),
    await file('(4,3)', 'f4', ramp(12)),
    await file('(6,4)', 'f2', ramp(12)),
    await file('(3,4)', 'f4', changed),
    await file('(0,4)', 'f4', ramp(0)),
    await file('(0,3)', 'f4', ramp(0)),
  ];
  assert.is(new Set(digests).size, digests.length);
});

s('incremental hashing: any split, the same digest; a missing byte is noticed', async () => {
  const path = fileOf(npyWith("{'descr':'<f4','fortran_order':False,'shape':(100,3)}", ramp(300)));
  let seen = 0;
  const whole = await digestOf(path, (bytes) => {
    seen += bytes;
  });
  assert.is(seen, 1200);
  const hasher = new ArrayHasher({ dtype: 'f4', rows: 100, dims: 3 });
  for (let at = 0; at < 1200; at += 7) await hasher.update(ramp(300).subarray(at, at + 7));
  assert.is(await hasher.digest(), whole);
  const short = new ArrayHasher({ dtype: 'f4', rows: 100, dims: 3 });
  await short.update(ramp(299));
  try {
    await short.digest();
    assert.unreachable();
  } catch (error) {
    assert.match((error as Error).message, /lacks 4 bytes/);
  }
});

s('worker threads give the same digests', async () => {
  const path = fileOf(
    npyWith("{'descr': '<f4', 'fortran_order': False, 'shape': (1000000, 3)}\n", ramp(3_000_000)),
  );
  const workers = new Workers(2);
  const reader = await openArray(disk, path);
  assert.is(await arrayDigest(reader, { workers }), await digestOf(path));
  await reader.close();
  assert.is(await fileDigest(disk, path, { workers }), await fileDigest(disk, path));
  await workers.close();
});

s.run();
