/** Damaged and hostile files end in a FirnError that names them: no crash, no hang, no memory by a header's word. */
import { readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { isDeepStrictEqual } from 'node:util';
import * as zlib from 'node:zlib';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { createNpz } from '../src/arrays/npz-writer.js';
import { openArray } from '../src/arrays/open.js';
import { readNpzComment } from '../src/arrays/zip-directory.js';
import { directory, localHeader } from '../src/arrays/zip-records.js';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import {
  drain,
  fileOf,
  firnError,
  folder,
  newPath,
  npyWith,
  ramp,
  readAll,
  type Whole,
} from './arrays-rig.js';
import { memoryPort } from './rig/memory-port.js';
import { holds } from './rig/property.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('damaged arrays');

const SHAPE = { dtype: 'f4', rows: 8, dims: 3 } as const;

async function smallNpy(): Promise<Buffer> {
  const path = newPath('npy');
  const writer = await createNpy(disk, path, SHAPE);
  await writer.write(ramp(24));
  await writer.finish();
  return readFileSync(path);
}

async function smallNpz(comment = ''): Promise<Buffer> {
  const path = newPath('npz');
  const writer = await createNpz(disk, path, { ...SHAPE, comment });
  await writer.write(ramp(24));
  await writer.finish();
  return readFileSync(path);
}

/** What reading bytes as a file ends in: the array or a FirnError; anything else is thrown. */
async function outcome(bytes: Uint8Array): Promise<Whole | FirnError> {
  try {
    const reader = await openArray(memoryPort(bytes), 'small');
    const { dtype, rows, dims } = reader;
    return { dtype, rows, dims, values: await drain(reader, { blockBytes: 24 }) };
  } catch (error) {
    if (error instanceof FirnError) return error;
    throw error;
  }
}

/** A zip of one deflated member around `content`, with anything about it changed. */
function zipOf(content: Uint8Array, changes: Partial<Parameters<typeof directory>[0]> = {}): Buffer {
  const compressed = zlib.deflateRawSync(content);
  const honest = { crc32: zlib.crc32(content), compressed: compressed.length, size: content.length };
  const member = { name: 'embeddings.npy', zip64: false, ...honest, ...changes };
  const local = localHeader(member);
  const tail = directory(member, local.length + compressed.length, Buffer.alloc(0));
  return Buffer.concat([local, compressed, tail]);
}

s('cut at every byte', async () => {
  for (const bytes of [await smallNpy(), await smallNpz(), await smallNpz('a comment')]) {
    assert.not.instance(await outcome(bytes), FirnError);
    for (let length = 0; length < bytes.length; length++) {
      const error = await outcome(bytes.subarray(0, length));
      assert.instance(error, FirnError, `${length} of ${bytes.length} bytes passed`);
      assert.is((error as FirnError).path, 'small');
    }
  }
});

oracleTest(s, ['numpy'], 'numpy files cut at every byte', async () => {
  const stem = join(folder, 'cut');
  python(
    `import sys, numpy as np
for order in 'CF':
    a = np.asarray(np.arange(24, dtype='>f8').reshape(8, 3), order=order)
    np.savez(f'{sys.argv[1]}-{order}-stored.npz', embeddings=a)
    np.savez_compressed(f'{sys.argv[1]}-{order}-deflated.npz', embeddings=a)`,
    stem,
  );
  for (const kind of ['C-stored', 'C-deflated', 'F-stored', 'F-deflated']) {
    const bytes = readFileSync(`${stem}-${kind}.npz`);
    const whole = (await outcome(bytes)) as Whole;
    for (let length = 0; length < bytes.length; length++) {
      assert.instance(await outcome(bytes.subarray(0, length)), FirnError, `${kind} cut at ${length}`);
    }
    // Every single bit: what CRC and directory guard comes back unchanged or not at all.
    for (let bit = 0; bit < bytes.length * 8; bit++) {
      const flipped = Buffer.from(bytes);
      flipped[bit >> 3] ^= 1 << (bit & 7);
      const result = await outcome(flipped);
      if (result instanceof FirnError) continue;
      assert.ok(isDeepStrictEqual(result, whole), `${kind}: bit ${bit} changed the array unnoticed`);
    }
  }
});

s('one flipped bit of an npy: refused, or another array', async () => {
  const bytes = await smallNpy();
  const whole = (await outcome(bytes)) as Whole;
  for (let bit = 0; bit < bytes.length * 8; bit++) {
    const flipped = Buffer.from(bytes);
    flipped[bit >> 3] ^= 1 << (bit & 7);
    const result = await outcome(flipped);
    if (result instanceof FirnError) continue;
    // One bit makes '<' into '=' or '|', which mean the same here.
    const same = JSON.stringify(result) === JSON.stringify(whole);
    assert.is(same, /'[=|]f4'/.test(flipped.toString('latin1')), `bit ${bit}`);
  }
});

s('bytes changed, inserted and removed anywhere in an npz: the same values or a FirnError', async () => {
  const files = [await smallNpz('comment'), zipOf(await smallNpy(), { zip64: true })];
  const edit = fc.record({
    at: fc.nat(),
    remove: fc.integer({ min: 0, max: 4 }),
    insert: fc.uint8Array({ maxLength: 4 }),
  });
  await holds(
    3000,
    fc.asyncProperty(
      fc.constantFrom(...files),
      fc.array(edit, { minLength: 1, maxLength: 3 }),
      async (bytes, edits) => {
        let changed = bytes;
        for (const { at, remove, insert } of edits) {
          const place = at % (changed.length + 1);
          changed = Buffer.concat([changed.subarray(0, place), insert, changed.subarray(place + remove)]);
        }
        const result = await outcome(changed);
        if (!(result instanceof FirnError)) assert.ok(result.values.equals(ramp(24)));
      },
    ),
  );
});

s('any bytes after the magic', async () => {
  const start = fc.constantFrom(
    '\x93NUMPY\x01\0',
    '\x93NUMPY\x02\0',
    '\x93NUMPY\x01\0\x20\0{',
    'PK\x03\x04',
    'PK\x05\x06',
  );
  await holds(
    2000,
    fc.asyncProperty(start, fc.uint8Array({ maxLength: 200 }), async (magic, rest) => {
      assert.instance(await outcome(Buffer.concat([Buffer.from(magic, 'latin1'), rest])), FirnError);
    }),
  );
});

s('sizes that no file has take no memory', async () => {
  const header = "{'descr': '<f4', 'fortran_order': True, 'shape': (1000000000000, 256), }";
  const lie = npyWith(header, ramp(6));
  const before = process.memoryUsage().arrayBuffers;
  const refused: [Uint8Array, RegExp][] = [
    [lie, /is truncated: it has \d+ bytes/],
    [zipOf(lie), /is truncated: it has \d+ bytes/],
    [zipOf(lie, { size: lie.length + 256e12, zip64: true }), /cannot inflate from \d+ to 2560\d+ bytes/],
    [zipOf(lie, { compressed: 2 ** 40, zip64: true }), /overlaps what follows/],
    [zipOf(lie, { size: 2 ** 52, zip64: true }), /a size or offset of 4503599627370496 bytes/],
  ];
  for (const [bytes, expected] of refused) {
    assert.match(((await outcome(bytes)) as FirnError).message, expected);
  }
  assert.ok(process.memoryUsage().arrayBuffers - before < 50e6);
});

s('a member that inflates to more or less than it claims', async () => {
  const npy = await smallNpy();
  const bomb = Buffer.concat([npy, Buffer.alloc(200_000_000)]);
  const message = async (bytes: Uint8Array) => ((await outcome(bytes)) as FirnError).message;
  const more = zipOf(bomb, { size: npy.length });
  assert.ok(more.length < 300_000);
  assert.match(await message(more), /holds more than the \d+ bytes it claims/);
  assert.match(await message(zipOf(npy, { size: npy.length + 9 })), /holds 224 bytes and claims 233/);
  assert.match(await message(zipOf(npy, { crc32: 7 })), /CRC-32 is wrong/);
});

s('members that overlap, repeat, are encrypted or packed in another way', async () => {
  const npy = await smallNpy();
  const zip = zipOf(npy);
  const start = zip.indexOf('PK\x01\x02', 0, 'latin1');
  const end = zip.indexOf('PK\x05\x06', 0, 'latin1');
  const message = async (bytes: Uint8Array) => ((await outcome(bytes)) as FirnError).message;
  const twice = (change: (entry: Buffer) => void): Buffer => {
    const entry = Buffer.from(zip.subarray(start, end));
    const second = Buffer.from(entry);
    change(second);
    const last = Buffer.from(zip.subarray(end));
    last.writeUInt16LE(2, 10);
    last.writeUInt32LE(2 * entry.length, 12);
    return Buffer.concat([zip.subarray(0, start), entry, second, last]);
  };
  assert.match(await message(twice(() => {})), /same name/);
  assert.match(await message(twice((entry) => entry.write('x', 46))), /overlaps/);

  const patched = (at: number, value: number): Buffer => {
    const copy = Buffer.from(zip);
    copy.writeUInt16LE(value, at);
    return copy;
  };
  assert.match(await message(patched(start + 8, 1)), /encrypted member "embeddings.npy"/);
  assert.match(await message(patched(start + 10, 12)), /method 12/);
  assert.match(await message(patched(start + 10, 0)), /is stored in \d+ bytes but claims 224/);
  assert.match(await message(patched(8, 0)), /differs from the directory/);
  assert.match(await message(patched(30, 0x7878)), /differs from the directory/);
  assert.match(await message(patched(28, 500)), /reaches into what follows/);
  assert.match(await message(patched(end + 10, 2)), /has 1 entries, its end record says 2/);
  assert.match(await message(patched(end + 4, 1)), /split archive/);
});

s('a comment that looks like the end of the file is a comment', async () => {
  const bytes = await smallNpz('.'.repeat(40));
  const fake = Buffer.from(bytes);
  fake.write('PK\x05\x06', bytes.length - 40, 'latin1');
  const path = fileOf(fake, 'npz');
  assert.ok((await readAll(path)).values.equals(ramp(24)));
  assert.match(await readNpzComment(disk, path), /^PK/);
});

s('a file that is cut while it is read', async () => {
  for (const fortran of ['False', 'True']) {
    const header = `{'descr':'<f4','fortran_order':${fortran},'shape':(100000,16)}`;
    const path = fileOf(npyWith(header, ramp(1_600_000)));
    const reader = await openArray(disk, path);
    truncateSync(path, 1_000_000);
    const error = await firnError(drain(reader, { blockBytes: 100_000 }));
    assert.match(error.message, /ended at byte \d+, before byte/);
    assert.is(error.path, path);
    await reader.close();
  }
});

s.run();
