/** Everything numpy writes is read equal in every bit; headers made by hand are read or refused by name. */
import { readFileSync, truncateSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openNpz } from '../src/arrays/npz-reader.js';
import { createNpz } from '../src/arrays/npz-writer.js';
import { openArray, readRow } from '../src/arrays/open.js';
import { readNpzComment } from '../src/arrays/zip-directory.js';
import { disk } from '../src/files/disk.js';
import { drain, fileOf, firnError, folder, newPath, npyWith, ramp, readAll } from './arrays-rig.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('reading arrays');

/** Writes files of every kind into a folder; prints [file, member, dtype, rows, dims] and leaves `file.raw` beside each. */
const WRITE_ALL = `
import io, json, os, sys, zipfile
import numpy as np
folder = sys.argv[1]
rng = np.random.default_rng(7)
out = []

def add(name, array, member='embeddings'):
    little = np.ascontiguousarray(array).astype(array.dtype.newbyteorder('<'))
    open(os.path.join(folder, name + '.raw'), 'wb').write(little.tobytes())
    out.append([name, member, little.dtype.str[1:], *array.shape])

def path(name):
    return os.path.join(folder, name)

for dtype in ['<f2', '<f4', '<f8', '>f2', '>f4', '>f8']:
    for shape in [(37, 5), (0, 3), (1, 7), (300, 1)]:
        for order in 'CF':
            bits = rng.integers(0, 256, size=(*shape, int(dtype[2])), dtype=np.uint8)
            # Any bit pattern is a value: NaN payloads and subnormals too.
            array = bits.view(dtype).reshape(shape)
            array = np.asarray(array, order=order)
            stem = f"{'LB'[dtype[0] == '>']}{dtype[1:]}-{shape[0]}x{shape[1]}-{order}"
            for version in [(1, 0), (2, 0), (3, 0)]:
                name = f'{stem}-v{version[0]}.npy'
                with open(path(name), 'wb') as f:
                    np.lib.format.write_array(f, array, version=version)
                add(name, array)
            np.savez(path(stem + '-stored.npz'), embeddings=array)
            add(stem + '-stored.npz', array)
            np.savez_compressed(path(stem + '-deflated.npz'), other=np.arange(3), embeddings=array)
            add(stem + '-deflated.npz', array)
            np.savez(path(stem + '-named.npz'), array, first=array)
            add(stem + '-named.npz', array, 'first')

# The other zip64 dialect: streamed to something that cannot seek, sizes follow in a data descriptor.
class Pipe(io.RawIOBase):
    def __init__(self, f): self.f = f
    def writable(self): return True
    def write(self, b): return self.f.write(b)
array = rng.normal(size=(200, 16)).astype('<f4')
for method in [zipfile.ZIP_STORED, zipfile.ZIP_DEFLATED]:
    for force in [False, True]:
        name = f'pipe-{method}-{force}.npz'
        with open(path(name), 'wb') as f, zipfile.ZipFile(Pipe(f), 'w', method) as z:
            with z.open('embeddings.npy', 'w', force_zip64=force) as member:
                np.lib.format.write_array(member, array)
        add(name, array)

# A zip64 end record and zip64 directory extras although nothing is large.
limit, zipfile.ZIP64_LIMIT, zipfile.ZIP_FILECOUNT_LIMIT = zipfile.ZIP64_LIMIT, 100, 0
with zipfile.ZipFile(path('zip64.npz'), 'w', zipfile.ZIP_DEFLATED) as z:
    with z.open('padding.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, array)
    with z.open('embeddings.npy', 'w', force_zip64=True) as member:
        np.lib.format.write_array(member, array)
add('zip64.npz', array)
zipfile.ZIP64_LIMIT = limit

with zipfile.ZipFile(path('comment.npz'), 'w') as z:
    z.comment = 'snow \\u2744 PK'.encode()
    z.writestr('embeddings.npy', open(path('Lf4-37x5-C-v1.npy'), 'rb').read())
print(json.dumps(out))
`;

oracleTest(
  s,
  ['numpy'],
  'every dtype, byte order, memory order, version and container of numpy',
  async () => {
    const files = JSON.parse(python(WRITE_ALL, folder)) as [string, string, string, number, number][];
    assert.ok(files.length > 250);
    for (const [name, member, dtype, rows, dims] of files) {
      const raw = readFileSync(join(folder, `${name}.raw`));
      const whole = await readAll(join(folder, name), { member, blockBytes: 1000 });
      assert.equal([whole.dtype, whole.rows, whole.dims], [dtype, rows, dims], name);
      assert.ok(whole.values.equals(raw), `${name}: values differ`);
      const [from, to] = [Math.floor(rows / 3), Math.ceil(rows / 2)];
      const part = await readAll(join(folder, name), { member, from, to, blockBytes: 1 });
      const row = raw.length / Math.max(rows, 1);
      assert.ok(part.values.equals(raw.subarray(from * row, to * row)), `${name}: rows ${from} to ${to}`);
    }
    const eocd64 = readFileSync(join(folder, 'zip64.npz')).indexOf('PK\x06\x06', 0, 'latin1');
    assert.ok(eocd64 > 0, 'the zip64 fixture has no zip64 end record');
    assert.is(await readNpzComment(disk, join(folder, 'comment.npz')), 'snow ❄ PK');
    assert.is(await readNpzComment(disk, join(folder, 'zip64.npz')), '');
  },
);

oracleTest(s, ['numpy'], 'Fortran order in tiles smaller than the array, stored and deflated', async () => {
  const stem = join(folder, 'tiles');
  python(
    `import sys, numpy as np
a = np.asfortranarray(np.random.default_rng(1).normal(size=(1000, 24)))
np.savez(sys.argv[1] + '-stored.npz', embeddings=a)
np.savez_compressed(sys.argv[1] + '-deflated.npz', embeddings=a)
a.tofile(sys.argv[1] + '.raw')`,
    stem,
  );
  const raw = readFileSync(`${stem}.raw`);
  for (const kind of ['stored', 'deflated']) {
    const handle = await disk.open(`${stem}-${kind}.npz`);
    const reader = await openNpz(handle, 'embeddings', 24 * 8 * 77);
    assert.ok((await drain(reader, { blockBytes: 24 * 8 * 50 })).equals(raw), kind);
    await reader.close();
  }
});

s('headers as no numpy writes them: any alignment, order, quotes, no comma, Python 2 integers', async () => {
  const data = ramp(6);
  const headers = [
    "{'descr':'<f4','fortran_order':False,'shape':(3,2)}",
    "{'shape': (3L, 2L), 'fortran_order': False, 'descr': '<f4', }\n",
    '  { "shape" : ( 3 , 2 , ) , "descr" : "=f4" , "fortran_order" : False } \t \n',
    `{'descr': '|f4', 'fortran_order': False, 'shape': (3, 2), }${' '.repeat(30_001)}`,
    "{'descr': 'f4', 'fortran_order': False, 'shape': (3, 2), }",
  ];
  for (const header of headers) {
    for (const version of [1, 2, 3]) {
      const whole = await readAll(fileOf(npyWith(header, data, version)));
      assert.equal([whole.dtype, whole.rows, whole.dims], ['f4', 3, 2], header);
      assert.ok(whole.values.equals(data));
    }
  }
  const trailing = Buffer.concat([data, Buffer.from('and more')]);
  assert.ok((await readAll(fileOf(npyWith(headers[0], trailing)))).values.equals(data), 'trailing bytes');
});

s('headers that are refused, each by name', async () => {
  const shape = (text: string) => `{'descr': '<f4', 'fortran_order': False, 'shape': ${text}, }`;
  const dtype = (text: string) => `{'descr': ${text}, 'fortran_order': False, 'shape': (3, 2), }`;
  const refused: [string, RegExp][] = [
    [dtype("'|O'"), /pickled Python objects/],
    [dtype("'<i8'"), /dtype "<i8"/],
    [dtype("'|u1'"), /dtype "\|u1"/],
    [dtype("'<c8'"), /dtype "<c8"/],
    [dtype("'|b1'"), /dtype "\|b1"/],
    [dtype("'<f16'"), /dtype "<f16"/],
    [dtype("[('a', '<f4'), ('b', '<f4')]"), /structured dtype/],
    [dtype("[('it\\'s', '<f4')]"), /structured dtype/],
    [dtype('3'), /structured dtype/],
    [shape('(0,)'), /shape \(0,\), expected N x D/],
    [shape('(6,)'), /shape \(6,\), expected N x D/],
    [shape('()'), /shape \(\), expected N x D/],
    [shape('(1, 2, 3)'), /shape \(1, 2, 3\), expected N x D/],
    [shape('(-3, 2)'), /shape \(-3, 2\)/],
    [shape('(3, 0)'), /expected N x D/],
    [shape('(3)'), /not a tuple of integers/],
    [shape('[3, 2]'), /not a tuple of integers/],
    [shape('(True, 2)'), /not a tuple of integers/],
    [shape('(3.0, 2)'), /cannot be read/],
    [shape('(3, 02)'), /"02" is not a value/],
    [shape(`(${'9'.repeat(30)}, 2)`), /more values than any file/],
    [shape(`(${'9'.repeat(3000)}, 2)`), /is not a value/],
    [shape('(2, 99999999999)'), /a row is more than/],
    [shape('(9007199254740991, 2)'), /more values than any file/],
    [shape('(4, 2)'), /is truncated: it has \d+ bytes, and 4 x 2 f4 needs \d+/],
    [shape('(1000000000000, 256)'), /is truncated/],
    ["{'descr': '<f4', 'fortran_order': False}", /its keys are \["descr","fortran_order"\]/],
    ["{'descr': '<f4', 'fortran_order': 1, 'shape': (3, 2)}", /fortran_order/],
    ["('descr', '<f4')", /not a dictionary/],
    ["{'descr': '<f4', 'fortran_order': False, 'shape': (3, 2)} {}", /more text after the end/],
    ["{'descr': '<f4', 'fortran_order': False, 'shäpe': (3, 2)}", /keys/],
    ["{'descr': '<f4', 'fortran_order': Falsch, 'shape': (3, 2)}", /Falsch/],
    ['('.repeat(60_000), /nested too deeply/],
    ['', /truncated|header/],
  ];
  for (const [header, expected] of refused) {
    for (const version of [1, 3]) {
      const error = await firnError(readAll(fileOf(npyWith(header, ramp(6), version))));
      assert.match(error.message, expected, header);
      assert.is(error.kind, 'input');
      assert.ok(error.path?.startsWith(folder));
    }
  }
  const huge = npyWith('{}', ramp(1), 2);
  huge.writeUInt32LE(0xfffffff0, 8);
  assert.match((await firnError(readAll(fileOf(huge)))).message, /claims a header of 4294967292 bytes/);
  huge[6] = 4;
  assert.match((await firnError(readAll(fileOf(huge)))).message, /version 4.0/);
});

oracleTest(s, ['numpy'], 'pickles are refused with advice, in both containers', async () => {
  const stem = join(folder, 'pickle');
  python(
    `import sys, pickle, numpy as np
a = np.array([[1, 'x'], [None, {}]], dtype=object)
np.save(sys.argv[1] + '.npy', a); np.savez(sys.argv[1] + '.npz', embeddings=a)
pickle.dump(a, open(sys.argv[1] + '.pkl', 'wb'))`,
    stem,
  );
  for (const extension of ['npy', 'npz', 'pkl']) {
    const error = await firnError(readAll(`${stem}.${extension}`));
    assert.match(error.message, /pickle/);
    assert.match(error.advice ?? '', /numpy\.save|allow_pickle=False/);
  }
});

s('what is not an array file is named', async () => {
  assert.is((await firnError(readAll(join(folder, 'nothing.npy')))).kind, 'missing');
  assert.match((await firnError(readAll(folder))).message, /not a file/);
  assert.match((await firnError(readAll(fileOf(Buffer.alloc(0))))).message, /empty \(0 bytes\)/);
  assert.match((await firnError(readAll(fileOf(Buffer.from('hello world'))))).message, /neither/);
  const npz = newPath('npz');
  const writer = await createNpz(disk, npz, { dtype: 'f4', dims: 2, rows: 0 });
  await writer.finish();
  const error = await firnError(readAll(npz, { member: 'other' }));
  assert.match(error.message, /no array "other": it holds "embeddings"/);
});

s('the container is known by content, not by name', async () => {
  const npyAsNpz = fileOf(npyWith("{'descr':'<f4','fortran_order':False,'shape':(3,2)}", ramp(6)), 'npz');
  assert.ok((await readAll(npyAsNpz)).values.equals(ramp(6)));
  const npzAsNpy = newPath('npy');
  const writer = await createNpz(disk, npzAsNpy, { dtype: 'f4', dims: 2, rows: 3 });
  await writer.write(ramp(6));
  await writer.finish();
  assert.ok((await readAll(npzAsNpy)).values.equals(ramp(6)));
});

s('one row; rows that are not there', async () => {
  const path = fileOf(npyWith("{'descr':'<f4','fortran_order':False,'shape':(4,3)}", ramp(12)));
  const row = await readRow(disk, path, 2);
  assert.equal([row.dtype, row.dims], ['f4', 3]);
  assert.ok(Buffer.from(row.bytes).equals(ramp(12).subarray(24, 36)));
  assert.match((await firnError(readRow(disk, path, 4))).message, /rows 0 to 3, asked for row 4/);
  assert.is((await firnError(readAll(path, { from: 1, to: 5 }))).kind, 'usage');
});

s('offsets beyond 4 GiB', async () => {
  const rows = 5_000_000;
  const path = fileOf(npyWith(`{'descr':'<f4','fortran_order':False,'shape':(${rows},256)}`, ramp(256)));
  const size = readFileSync(path).length - 1024 + rows * 1024;
  truncateSync(path, size);
  const last = ramp(256).map((byte) => byte ^ 0x55);
  const handle = await disk.append(path);
  await handle.write(last, size - 1024);
  await handle.close();
  const { values } = await readAll(path, { from: rows - 2 });
  assert.ok(values.equals(Buffer.concat([Buffer.alloc(1024), last])));
  assert.ok(Buffer.from((await readRow(disk, path, 0)).bytes).equals(ramp(256)));
});

s('leaving early, an abort and a slow consumer', async () => {
  const npz = newPath('npz');
  const writer = await createNpz(disk, npz, { dtype: 'f4', dims: 64, rows: 20_000 });
  await writer.write(ramp(64 * 20_000));
  await writer.finish();
  const reader = await openArray(disk, npz);
  for await (const block of reader.blocks({ blockBytes: 1000 })) if (block.start > 10) break;
  const stop = new AbortController();
  let blocks = 0;
  try {
    for await (const _ of reader.blocks({ blockBytes: 1000, signal: stop.signal })) {
      blocks += 1;
      if (blocks === 3) stop.abort(new Error('enough'));
    }
    assert.unreachable();
  } catch (error) {
    assert.is((error as Error).message, 'enough');
  }
  assert.is(blocks, 3);
  // While a block is held, the one being read ahead must not touch it.
  for await (const block of reader.blocks({ blockBytes: 1_000_000 })) {
    const before = Buffer.from(block.bytes);
    await new Promise((resolve) => setImmediate(resolve));
    assert.ok(before.equals(block.bytes));
  }
  await reader.close();
});

s.run();
