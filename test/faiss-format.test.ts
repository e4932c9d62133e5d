/** Headers of FAISS files: what firn writes it reads, and nothing a file says is believed. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { flatHead, floatBytes, ivfHead, ivfLayout, type Metric } from '../src/faiss/format.js';
import { readIndexHeader } from '../src/faiss/header.js';
import { encodeTrailer, readTrailer } from '../src/faiss/trailer.js';
import { disk } from '../src/files/disk.js';
import { build, clustered, folder, refused } from './faiss-rig.js';
import { holds } from './rig/property.js';

const s = suite('faiss format');

const file = join(folder(), 'index.faiss');
const header = (bytes: Uint8Array) => {
  writeFileSync(file, bytes);
  return readIndexHeader(disk, file);
};

/** A whole IVF,Flat file of rows that are all zero, ids from 0. */
function ivfFile(dims: number, metric: Metric, sizes: number[], nprobe: number): Buffer {
  const layout = ivfLayout(dims, metric, Float64Array.from(sizes));
  const head = ivfHead(layout, nprobe, new Float32Array(sizes.length * dims));
  return Buffer.concat([head, Buffer.alloc(layout.end - head.length)]);
}

const metrics = fc.constantFrom<Metric>('l2', 'ip');

s('every IVF header that is written is read back', async () => {
  const sizes = fc.array(fc.oneof(fc.constant(0), fc.nat(5)), { minLength: 1, maxLength: 40 });
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 9 }),
    metrics,
    sizes,
    async (dims, metric, of) => {
      const bytes = ivfFile(dims, metric, of, 3);
      const read = await header(Buffer.concat([bytes, Buffer.from('behind the end')]));
      if (read.kind !== 'ivf') throw new Error('not read as IVF');
      assert.equal([...read.sizes], of);
      assert.equal(
        [read.dims, read.metric, read.quantizer, read.nprobe, read.end],
        [dims, metric, metric, 3, bytes.length],
      );
      const layout = ivfLayout(dims, metric, Float64Array.from(of));
      assert.equal([...read.offsets], [...layout.offsets]);
    },
  );
  await holds(60, property);
});

s('a Flat header that is written is read back', async () => {
  const property = fc.asyncProperty(
    fc.integer({ min: 1, max: 9 }),
    fc.nat(9),
    metrics,
    async (dims, rows, metric) => {
      const read = await header(Buffer.concat([flatHead(dims, rows, metric), Buffer.alloc(4 * dims * rows)]));
      if (read.kind !== 'flat') throw new Error('not read as Flat');
      assert.equal(
        [read.dims, read.rows, read.metric, read.data, read.end],
        [dims, rows, metric, 45, 45 + 4 * dims * rows],
      );
    },
  );
  await holds(40, property);
});

s('the first list of an index with full sizes starts at 139 + 4 d nlist + 8 nlist', () => {
  assert.is(ivfLayout(7, 'l2', Float64Array.from([1, 2, 3])).offsets[0], 139 + 4 * 7 * 3 + 8 * 3);
});

s('sizes are sparse when half of the lists or more are empty', () => {
  const word = (sizes: number[]): string => {
    const bytes = ivfFile(2, 'l2', sizes, 1);
    const at = 139 + 4 * 2 * sizes.length - 12;
    return bytes.toString('latin1', at, at + 4);
  };
  assert.is(word([1, 1, 1, 0]), 'full');
  assert.is(word([1, 1, 0, 0]), 'sprs');
});

s('a file cut at any byte is refused by name', async () => {
  const flat = Buffer.concat([flatHead(3, 4, 'l2'), Buffer.alloc(48)]);
  for (const bytes of [flat, ivfFile(3, 'ip', [2, 0, 1], 1), ivfFile(3, 'l2', [0, 0, 1, 0, 0], 1)]) {
    await header(bytes);
    for (let length = 0; length < bytes.length; length++) {
      const error = await refused(() => header(bytes.subarray(0, length)), 'input');
      assert.is(error.path, file);
    }
  }
});

s('numbers that lie are refused before memory is taken', async () => {
  const good = ivfFile(2, 'l2', [1, 2, 0], 1);
  const lists = 139 + 4 * 2 * 3; // where the sizes start
  const lies: [string, number, bigint][] = [
    ['nlist 2^40', 37, 1n << 40n],
    ['nlist 2^63', 37, 1n << 63n],
    ['ntotal too large', 8, 4n],
    ['ntotal too small', 8, 2n],
    ['ntotal negative', 8, -1n],
    ['nprobe 0', 45, 0n],
    ['centroids 2^61', 53 + 37, 1n << 61n],
    ['centroids of another nlist', 53 + 8, 2n],
    ['lists of another nlist', lists - 28, 4n],
    ['code size', lists - 20, 12n],
    ['code size too small', lists - 20, 4n],
    ['number of sizes', lists - 8, 2n],
    ['size 2^40', lists, 1n << 40n],
    ['size 2^64 - 1', lists, (1n << 64n) - 1n],
  ];
  await header(good);
  for (const [what, at, value] of lies) {
    const bytes = Buffer.from(good);
    bytes.writeBigUInt64LE(BigInt.asUintN(64, value), at);
    const error = await refused(() => header(bytes), 'input').catch((cause) => {
      throw new Error(what, { cause });
    });
    assert.match(error.message, 'FAISS index');
  }
  const untrained = Buffer.from(good);
  untrained.writeUInt8(0, 32);
  assert.match((await refused(() => header(untrained), 'input')).message, 'trained');
  const flatLie = Buffer.concat([flatHead(2, 3, 'l2'), Buffer.alloc(24)]);
  flatLie.writeBigInt64LE(1n << 50n, 8);
  await refused(() => header(flatLie), 'input');
});

s('sparse sizes that repeat a list or name one that is not there are refused', async () => {
  const good = ivfFile(2, 'l2', [0, 0, 1, 0, 1, 0], 1);
  const pairs = 139 + 4 * 2 * 6;
  for (const list of [4n, 6n]) {
    const bytes = Buffer.from(good);
    bytes.writeBigUInt64LE(list, pairs);
    assert.match((await refused(() => header(bytes), 'input')).message, `list ${list}`);
  }
});

s('any flipped byte of a header is read or refused, never a crash', async () => {
  const good = ivfFile(2, 'l2', [1, 2, 0], 1);
  for (let at = 0; at < good.length; at++) {
    for (const flip of [0x01, 0x80, 0xff]) {
      const bytes = Buffer.from(good);
      bytes[at] ^= flip;
      await header(bytes).catch((error) => assert.is(error.kind, 'input', String(error.stack)));
    }
  }
});

s('a direct map is skipped, one of an unknown type refused', async () => {
  const good = ivfFile(2, 'l2', [1, 2, 0], 1);
  const at = 53 + 45 + 4 * 2 * 3;
  const withMap = (type: number, entries: number, more: Buffer): Buffer => {
    const map = Buffer.alloc(9 + 8 * entries);
    map.writeUInt8(type, 0);
    map.writeBigUInt64LE(BigInt(entries), 1);
    return Buffer.concat([good.subarray(0, at), map, more, good.subarray(at + 9)]);
  };
  assert.is((await header(withMap(1, 3, Buffer.alloc(0)))).kind, 'ivf');
  const pairs = Buffer.alloc(8 + 16 * 2);
  pairs.writeBigUInt64LE(2n, 0);
  assert.is((await header(withMap(2, 0, pairs))).kind, 'ivf');
  assert.match((await refused(() => header(withMap(3, 0, Buffer.alloc(0))), 'input')).message, 'type 3');
});

s('other kinds of index are told apart from what is no index', async () => {
  const other = await header(Buffer.concat([Buffer.from('IHNf'), Buffer.alloc(60)]));
  assert.equal([other.kind, other.fourcc], ['other', 'IHNf']);
  await refused(() => header(Buffer.from([0x93, 0x4e, 0x55, 0x4d, 0x50, 0x59])), 'input');
  await refused(() => readIndexHeader(disk, join(folder(), 'nothing')), 'missing');
});

s('a trailer comes back, with equal bytes whatever the order of its keys', async () => {
  const facts = { b: [1, { z: 'ä', a: null }], a: 'x' };
  assert.equal(encodeTrailer(facts), encodeTrailer({ a: 'x', b: [1, { a: null, z: 'ä' }] }));
  writeFileSync(file, Buffer.concat([Buffer.from('index'), encodeTrailer(facts)]));
  assert.equal(await readTrailer(disk, file), facts);
});

s('a trailer that is cut, flipped, foreign or absent is no trailer', async () => {
  const bytes = Buffer.concat([Buffer.from('index'), encodeTrailer({ a: 'b' })]);
  for (let length = 0; length < bytes.length; length++) {
    writeFileSync(file, bytes.subarray(0, length));
    assert.is(await readTrailer(disk, file), undefined);
  }
  for (let at = 5; at < bytes.length; at++) {
    const flipped = Buffer.from(bytes);
    flipped[at] ^= 0x10;
    writeFileSync(file, flipped);
    assert.is(await readTrailer(disk, file), undefined);
  }
  assert.is(await readTrailer(disk, join(folder(), 'nothing')), undefined);
});

s('a built file ends with its trailer right behind the index', async () => {
  const { path, report } = await build(clustered(300, 5, 1), 5, { nlist: 4, trailer: { embeddings: 'abc' } });
  const read = await readIndexHeader(disk, path);
  if (read.kind !== 'ivf') throw new Error('not IVF');
  const bytes = readFileSync(path);
  assert.is(bytes.length, report.bytes);
  assert.is(bytes[read.end], '{'.charCodeAt(0));
  const trailer = await readTrailer(disk, path);
  assert.is(trailer?.embeddings, 'abc');
  assert.equal(trailer?.index, { kind: 'ivf', rows: 300, dims: 5, metric: 'l2', ...report.ivf });
});

s('floats keep their bytes', () => {
  assert.equal(floatBytes(Float32Array.of(0, 1).subarray(1)), Buffer.from([0, 0, 0x80, 0x3f]));
});

s.run();
