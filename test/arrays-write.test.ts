/** What firn writes, np.load reads equal; npy files are np.save's byte for byte; nothing half-written stays. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import * as zlib from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { createNpz } from '../src/arrays/npz-writer.js';
import { ParallelDeflate } from '../src/arrays/parallel-deflate.js';
import type { ArrayWriter, Dtype } from '../src/arrays/types.js';
import { readNpzComment } from '../src/arrays/zip-directory.js';
import { directory, localHeader, needsZip64 } from '../src/arrays/zip-records.js';
import { disk } from '../src/files/disk.js';
import type { Port, WriteHandle } from '../src/files/port.js';
import { fileOf, firnError, newPath, ramp, readAll } from './arrays-rig.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('writing arrays');

/** Bytes with structure that deflate can use, unlike the values of a ramp. */
function values(bytes: number): Buffer {
  return Buffer.from(Uint8Array.from({ length: bytes }, (_, i) => (i * i) >>> (i % 7)));
}

async function writeIn(writer: ArrayWriter, data: Uint8Array, piece: number) {
  for (let at = 0; at < data.length; at += piece) await writer.write(data.subarray(at, at + piece));
  return writer.finish();
}

oracleTest(s, ['numpy'], 'npy files are byte-identical to np.save, whether N was known or not', async () => {
  const made: [Dtype, number, number, string, string][] = [];
  for (const dtype of ['f2', 'f4', 'f8'] as const) {
    for (const [rows, dims] of [
      [0, 4],
      [1, 1],
      [3, 5],
      [1000, 7],
      [12345, 1],
      [2, 100_000],
    ]) {
      const row = dims * Number(dtype[1]);
      const data = values(rows * row);
      const [known, patched] = [newPath('npy'), newPath('npy')];
      const first = await writeIn(await createNpy(disk, known, { dtype, dims, rows }), data, row * 13);
      const second = await writeIn(await createNpy(disk, patched, { dtype, dims }), data, row);
      assert.equal(first, { rows, bytes: readFileSync(known).length });
      assert.equal(second, first);
      made.push([dtype, rows, dims, known, patched]);
    }
  }
  python(
    `import io, json, sys, numpy as np
for dtype, rows, dims, *paths in json.loads(sys.argv[1]):
    for path in paths:
        a = np.load(path)
        assert a.shape == (rows, dims) and a.dtype == np.dtype('<' + dtype), path
        saved = io.BytesIO()
        np.save(saved, a)
        assert saved.getvalue() == open(path, 'rb').read(), (path, dtype, rows, dims)`,
    JSON.stringify(made),
  );
});

oracleTest(s, ['numpy'], 'npz files are read by np.load at every level, and are deterministic', async () => {
  const made: [Dtype, number, number, string, string][] = [];
  for (const level of ['huffman', 'default', 'auto'] as const) {
    for (const [dtype, rows, dims] of [
      ['f2', 3, 5],
      ['f4', 0, 4],
      ['f4', 20_000, 64],
      ['f8', 131_072, 1],
    ] as const) {
      const row = dims * Number(dtype[1]);
      const data = values(rows * row);
      const [path, again, raw] = [newPath('npz'), newPath('npz'), newPath('raw')];
      const options = { dtype, rows, dims, level, comment: 'firn ❄' };
      const done = await writeIn(await createNpz(disk, path, options), data, row * 4001);
      assert.equal(done, { rows, bytes: readFileSync(path).length });
      await writeIn(await createNpz(disk, again, options), data, row * 17);
      assert.ok(
        readFileSync(path).equals(readFileSync(again)),
        `${level} ${dtype}: differs with the pieces written`,
      );
      assert.is(await readNpzComment(disk, path), 'firn ❄');
      assert.ok((await readAll(path)).values.equals(data));
      writeFileSync(raw, data);
      made.push([dtype, rows, dims, path, raw]);
    }
  }
  python(
    `import json, struct, sys, zipfile, numpy as np
for dtype, rows, dims, path, raw in json.loads(sys.argv[1]):
    with np.load(path, allow_pickle=False) as z:
        assert z.files == ['embeddings'], z.files
        a = z['embeddings']
    assert a.shape == (rows, dims) and a.tobytes() == open(raw, 'rb').read() and a.dtype == np.dtype('<' + dtype)
    with zipfile.ZipFile(path) as z:
        assert z.testzip() is None and z.comment.decode() == 'firn ❄'
        assert z.infolist()[0].date_time == (1980, 1, 1, 0, 0, 0)
        info = z.infolist()[0]
        # Readers of streams have only the local header.
        local = struct.unpack('<III', open(path, 'rb').read(26)[14:])
        assert local == (info.CRC, info.compress_size, info.file_size), local`,
    JSON.stringify(made),
  );
});

s('auto looks for repeats only where they pay', async () => {
  const size = async (data: Uint8Array, level: 'huffman' | 'default' | 'auto') => {
    const writer = await createNpz(disk, newPath('npz'), { dtype: 'f4', dims: 256, rows: 1500, level });
    return (await writeIn(writer, data, data.length)).bytes;
  };
  const noise = Float32Array.from({ length: 256 * 1500 }, (_, i) => Math.sin(i * i * 12.9898) * 43758.5453);
  const random = Buffer.from(noise.buffer);
  const counts = Buffer.from(noise.map((x) => Math.round(Math.abs(x)) % 3).buffer);
  assert.is(await size(random, 'auto'), await size(random, 'huffman'));
  assert.is(await size(counts, 'auto'), await size(counts, 'default'));
  assert.ok((await size(counts, 'default')) < (await size(counts, 'huffman')));
});

oracleTest(
  s,
  ['numpy'],
  'zip64 records, forced on a small file, are read by Python and by firn',
  async () => {
    const npy = newPath('npy');
    await writeIn(await createNpy(disk, npy, { dtype: 'f4', dims: 4, rows: 6 }), ramp(24), 16);
    const content = readFileSync(npy);
    const compressed = zlib.deflateRawSync(content);
    const member = {
      name: 'embeddings.npy',
      crc32: zlib.crc32(content),
      compressed: compressed.length,
      size: content.length,
      zip64: true,
    };
    const local = localHeader(member);
    const tail = directory(member, local.length + compressed.length, Buffer.from('wide'));
    const path = fileOf(Buffer.concat([local, compressed, tail]), 'npz');
    assert.ok((await readAll(path)).values.equals(ramp(24)));
    assert.is(await readNpzComment(disk, path), 'wide');
    python(
      `import sys, zipfile, numpy as np
assert np.load(sys.argv[1])['embeddings'].tolist() == (np.arange(24) / 2).reshape(6, 4).tolist()
z = zipfile.ZipFile(sys.argv[1])
assert z.testzip() is None and z.infolist()[0].extract_version == 45`,
      path,
    );
    assert.equal([needsZip64(2 ** 31), needsZip64(2 ** 32 - 1), needsZip64(2 ** 40)], [false, true, true]);
  },
);

s('blocks deflated side by side are one stream, in order', async () => {
  const parts: Buffer[] = [];
  const deflate = new ParallelDeflate('default', async (bytes) => {
    parts.push(Buffer.from(bytes));
  });
  const data = values(7_500_001);
  // The caller may reuse its memory as soon as a write resolves.
  const reused = new Uint8Array(600_000);
  for (let at = 0; at < data.length; at += reused.length) {
    const piece = reused.subarray(0, Math.min(reused.length, data.length - at));
    piece.set(data.subarray(at, at + piece.length));
    await deflate.write(piece);
    piece.fill(0xaa);
  }
  await deflate.finish();
  assert.is(parts.length, 8);
  assert.ok(zlib.inflateRawSync(Buffer.concat(parts)).equals(data));
});

s('writers hold to what they were told and leave nothing when aborted', async () => {
  for (const create of [createNpy, createNpz]) {
    const path = newPath('out');
    const fresh = () => create(disk, path, { dtype: 'f4', dims: 4, rows: 3 });
    let writer = await fresh();
    assert.match((await firnError(writer.write(ramp(3)))).message, /12 bytes, expected rows of 16/);
    await writer.abort();
    assert.not(existsSync(path));

    writer = await fresh();
    await writer.write(ramp(8));
    assert.match((await firnError(writer.finish())).message, /2 rows, expected 3/);
    assert.match((await firnError(writer.write(ramp(8)))).message, /4 rows, expected 3/);
    await writer.abort();
    await writer.abort();
    assert.not(existsSync(path));

    await writeIn(await fresh(), ramp(12), 16);
    assert.is((await firnError(fresh())).kind, 'conflict');
    assert.ok((await readAll(path)).values.equals(ramp(12)), 'the file in the way is intact');
  }
  const comment = 'x'.repeat(65_536);
  const path = newPath('npz');
  const options = { dtype: 'f4', dims: 1, rows: 1 } as const;
  assert.is((await firnError(createNpz(disk, path, { ...options, comment }))).kind, 'usage');
  assert.is((await firnError(createNpz(disk, path, { ...options, comment: 'PK\x05\x06' }))).kind, 'usage');
  assert.not(existsSync(path));
});

s('a half-written npy of unknown N is no npy file', async () => {
  const path = newPath('npy');
  const writer = await createNpy(disk, path, { dtype: 'f4', dims: 4 });
  await writer.write(ramp(400));
  assert.match((await firnError(readAll(path))).message, /neither/);
  await writer.abort();
});

s('a finished file survives a late abort', async () => {
  const path = newPath('npy');
  const writer = await createNpy(disk, path, { dtype: 'f4', dims: 4 });
  await writeIn(writer, ramp(8), 32);
  await writer.abort();
  assert.is((await readAll(path)).rows, 2);
});

/** The disk, whose n-th write or sync fails as a full disk does. */
function failingAt(n: number): Port {
  let count = 0;
  const step = async (run: () => Promise<void>): Promise<void> => {
    count += 1;
    if (count === n) throw Object.assign(new Error('ENOSPC: no space left on device'), { code: 'ENOSPC' });
    await run();
  };
  const wrap = (handle: WriteHandle): WriteHandle => ({
    path: handle.path,
    write: (data, position) => step(() => handle.write(data, position)),
    sync: () => step(() => handle.sync()),
    close: () => handle.close(),
  });
  return { ...disk, create: async (path) => wrap(await disk.create(path)) };
}

s('a disk that fills up at any operation: a FirnError, and nothing left after abort', async () => {
  const data = values(1500 * 4096);
  for (const create of [createNpy, createNpz]) {
    let failures = 0;
    for (let n = 1; ; n++) {
      const path = newPath('out');
      let writer: ArrayWriter | undefined;
      try {
        writer = await create(failingAt(n), path, { dtype: 'f4', dims: 1024, rows: 1500 });
        await writeIn(writer, data, 4096 * 500);
        break;
      } catch (caught) {
        const error = await firnError(Promise.reject(caught));
        assert.is(error.path, path);
        assert.match(error.message, /disk is full \(ENOSPC\): at least \d+ bytes/);
        await writer?.abort();
        assert.not(existsSync(path), `operation ${n} left a file`);
        failures += 1;
      }
    }
    assert.ok(failures >= 4, `${failures} operations failed`);
  }
});

s.run();
