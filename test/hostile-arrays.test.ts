/**
 * Arrays that somebody made to be read wrongly: headers that lie about shape and dtype, archives that lie about their
 * members. They end in the values that are really there or in a FirnError, and take no memory on a header's word.
 */
import * as zlib from 'node:zlib';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { openArray } from '../src/arrays/open.js';
import { FirnError } from '../src/errors.js';
import { drain, npyWith, ramp, type Whole } from './arrays-rig.js';
import { memoryPort } from './rig/memory-port.js';
import { damaged, holds } from './rig/property.js';

const s = suite('hostile arrays');

/** The array, or the FirnError that reading it ends in; anything else is thrown. */
async function outcome(bytes: Uint8Array): Promise<Whole | FirnError> {
  try {
    const reader = await openArray(memoryPort(bytes), 'small');
    const { dtype, rows, dims } = reader;
    return { dtype, rows, dims, values: await drain(reader, { blockBytes: 64 }) };
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    assert.equal([error.kind, error.path], ['input', 'small'], error.message);
    return error;
  }
}

const size = fc.oneof(
  fc.bigInt({ min: -2n, max: 9n }),
  fc.constantFrom(
    ...[31n, 32n, 53n, 61n, 62n, 63n, 64n, 127n].flatMap((bits) => [1n << bits, (1n << bits) - 1n]),
  ),
);
/** As it stands in the header, and its meaning where it has one. */
const shape = fc.oneof(
  { weight: 6, arbitrary: fc.tuple(size, size).map((sizes) => ({ text: `(${sizes.join(', ')})`, sizes })) },
  {
    weight: 1,
    arbitrary: fc
      .constantFrom(
        '(2.0, 3)',
        '(2,)',
        '2',
        '(2, 3, 1)',
        '()',
        "('2', 3)",
        '[2, 3]',
        '(2e3, 3)',
        '(0x2, 3)',
        '(True, 3)',
        '(2, 3',
        'None',
        '(٢, 3)',
        '(02, 3)',
        `(${'9'.repeat(60)}, 1)`,
      )
      .map((text) => ({ text, sizes: undefined })),
  },
);
const descr = fc.oneof(
  { weight: 6, arbitrary: fc.constantFrom("'<f4'", "'>f4'", "'<f2'", "'<f8'", "'>f8'", "'=f4'") },
  {
    weight: 2,
    arbitrary: fc.constantFrom(
      "'|O'",
      "'O'",
      "'<f16'",
      "'<i4'",
      "'<c8'",
      "'|V4'",
      "'|S4'",
      "'<U1'",
      "'<M8[ns]'",
      "[('a', '<f4')]",
      "[('a', '|O')]",
      '4',
      'None',
      "'f4 '",
      "''",
      "'<f4<f4'",
      "('<f4', (2,))",
    ),
  },
);
const BYTES: { [descr: string]: number } = { f2: 2, f4: 4, f8: 8 };

s('the shape that a header claims is there, or it is refused', async () => {
  const seen = { read: 0, refused: 0 };
  const header = fc.record({
    descr,
    fortran: fc.constantFrom('False', 'True', '0', 'None'),
    shape,
    version: fc.integer({ min: 1, max: 3 }),
    data: fc.nat(120),
  });
  await holds(
    20_000,
    fc.asyncProperty(header, async ({ descr: type, fortran, shape: { text, sizes }, version, data }) => {
      const bytes = npyWith(
        `{'descr': ${type}, 'fortran_order': ${fortran}, 'shape': ${text}, }\n`,
        ramp(30).subarray(0, data),
        version,
      );
      const item = BYTES[type.replace(/['<>=]/g, '')];
      const [rows, dims] = sizes ?? [-1n, -1n];
      const isThere =
        item !== undefined &&
        /False|True/.test(fortran) &&
        rows >= 0n &&
        dims >= 1n &&
        rows * dims * BigInt(item) <= BigInt(data);
      // No row is too long and no count too large where there are rows; of none, the header alone is left.
      const isSane = dims * BigInt(item ?? 1) <= 64n * 1024n * 1024n;
      const found = await outcome(bytes);
      assert.is(
        found instanceof FirnError,
        !(isThere && isSane),
        found instanceof FirnError ? found.message : text,
      );
      seen[found instanceof FirnError ? 'refused' : 'read'] += 1;
      if (!(found instanceof FirnError)) assert.equal([found.rows, found.dims], [Number(rows), Number(dims)]);
    }),
  );
  assert.ok(seen.read > 200 && seen.refused > 200, JSON.stringify(seen));
});

s('an npy with anything changed: a FirnError, or an array that is there', async () => {
  const forms = ["'<f4'", "'>f8'", "'<f2'"].flatMap((type) =>
    ['False', 'True'].map((fortran) =>
      npyWith(`{'descr': ${type}, 'fortran_order': ${fortran}, 'shape': (5, 3), }          \n`, ramp(30)),
    ),
  );
  await holds(
    10_000,
    fc.asyncProperty(fc.constantFrom(...forms).chain(damaged), async (bytes) => {
      const found = await outcome(bytes);
      if (!(found instanceof FirnError)) assert.ok(found.values.length <= bytes.length);
    }),
  );
});

interface Member {
  name: string;
  content: Buffer;
  method: number;
  /** What directory and local header say of it, where that is not the truth. */
  crc32?: number;
  size?: number;
  compressed?: number;
  localName?: string;
  /** Where it says that it begins. */
  at?: number;
}

/** A zip of these members, as they say they are. */
function zipOf(members: readonly Member[], entries = members.length): Buffer {
  const parts: Buffer[] = [];
  const records: Buffer[] = [];
  let at = 0;
  for (const member of members) {
    const { content, method } = member;
    const data = method === 8 ? zlib.deflateRawSync(content) : content;
    const {
      crc32 = zlib.crc32(content),
      size = content.length,
      compressed = data.length,
      localName = member.name,
    } = member;
    const common = Buffer.alloc(26);
    common.writeUInt16LE(20, 0);
    common.writeUInt16LE(method, 4);
    common.writeUInt32LE(crc32, 10);
    common.writeUInt32LE(compressed, 14);
    common.writeUInt32LE(size, 18);
    const local = Buffer.alloc(30);
    local.writeUInt32LE(0x04034b50, 0);
    common.copy(local, 4);
    const localBytes = Buffer.from(localName);
    local.writeUInt16LE(localBytes.length, 26);
    const record = Buffer.alloc(46);
    record.writeUInt32LE(0x02014b50, 0);
    common.copy(record, 6);
    const nameBytes = Buffer.from(member.name);
    record.writeUInt16LE(nameBytes.length, 28);
    record.writeUInt32LE(member.at ?? at, 42);
    records.push(record, nameBytes);
    parts.push(local, localBytes, data);
    at += local.length + localBytes.length + data.length;
  }
  const directory = Buffer.concat(records);
  const end = Buffer.alloc(22);
  end.writeUInt32LE(0x06054b50, 0);
  end.writeUInt16LE(entries, 8);
  end.writeUInt16LE(entries, 10);
  end.writeUInt32LE(directory.length, 12);
  end.writeUInt32LE(at, 16);
  return Buffer.concat([...parts, directory, end]);
}

const NPY = npyWith("{'descr': '<f4', 'fortran_order': False, 'shape': (5, 3), }\n", ramp(15));
const OTHER = npyWith("{'descr': '<f4', 'fortran_order': False, 'shape': (1, 3), }\n", ramp(3));

const lie = fc.constantFrom(0, 1, NPY.length - 1, NPY.length + 1, 2 ** 31, 2 ** 32 - 1);
const member: fc.Arbitrary<Member> = fc
  .record({
    name: fc.constantFrom(
      'embeddings.npy',
      'embeddings.npy',
      'embeddings',
      '../embeddings.npy',
      '/etc/x.npy',
      'a/../../x',
      'b.npy',
      'EMBEDDINGS.NPY',
      '',
      'embeddings.npy/',
    ),
    content: fc.constantFrom(NPY, NPY, OTHER, Buffer.alloc(0), Buffer.from('\x80\x04}.', 'latin1')),
    method: fc.constantFrom(8, 8, 8, 8, 8, 0, 0, 0, 9),
    lies: fc.record(
      { crc32: lie, size: lie, compressed: lie, localName: fc.constantFrom('b.npy', '', '../x'), at: lie },
      { requiredKeys: [] },
    ),
    lying: fc.constantFrom(false, false, false, true),
  })
  .map(({ lies, lying, ...rest }) => ({ ...rest, ...(lying ? lies : {}) }));

s('members that lie, repeat, overlap and climb: the very member, or a FirnError', async () => {
  const seen = { read: 0, refused: 0 };
  await holds(
    10_000,
    fc.asyncProperty(
      fc.array(member, { maxLength: 4 }),
      fc.constantFrom(0, 0, 0, 0, 0, 0, 1, -1, 65_530),
      async (members, more) => {
        const count = Math.min(0xffff, Math.max(0, members.length + more));
        const found = await outcome(zipOf(members, count));
        seen[found instanceof FirnError ? 'refused' : 'read'] += 1;
        if (found instanceof FirnError) return;
        const read = members.filter(({ name }) => name === 'embeddings.npy');
        assert.is(read.length, 1);
        assert.ok(read[0].content.subarray(-found.values.length).equals(found.values));
        assert.is(count, members.length);
      },
    ),
  );
  assert.ok(seen.read > 200 && seen.refused > 200, JSON.stringify(seen));
});

s('a name that climbs out of the archive is a name, and nothing is unpacked', async () => {
  const climbing = zipOf([
    { name: '../../x', content: OTHER, method: 8 },
    { name: 'embeddings.npy', content: NPY, method: 8 },
  ]);
  assert.ok(((await outcome(climbing)) as Whole).values.equals(ramp(15)));
  const alone = (await outcome(zipOf([{ name: '../embeddings.npy', content: NPY, method: 8 }]))) as FirnError;
  assert.match(alone.message, 'has no array "embeddings": it holds "../embeddings"');
});

s('a directory of hundreds of thousands of members', async () => {
  const members = Array.from({ length: 250_000 }, (_, i) =>
    Buffer.from(i === 0 ? 'embeddings.npy' : i.toString(36)),
  );
  const record = (bytes: number, signature: number): Buffer => {
    const buffer = Buffer.alloc(bytes);
    buffer.writeUInt32LE(signature, 0);
    return buffer;
  };
  const parts: Buffer[] = [];
  const records: Buffer[] = [];
  let at = 0;
  for (const name of members) {
    const local = record(30, 0x04034b50);
    local.writeUInt16LE(name.length, 26);
    const entry = record(46, 0x02014b50);
    entry.writeUInt16LE(name.length, 28);
    entry.writeUInt32LE(at, 42);
    parts.push(local, name);
    records.push(entry, name);
    at += 30 + name.length;
  }
  const directory = Buffer.concat(records);
  const wide = record(76, 0x06064b50);
  wide.writeBigUInt64LE(BigInt(members.length), 32);
  wide.writeBigUInt64LE(BigInt(directory.length), 40);
  wide.writeBigUInt64LE(BigInt(at), 48);
  wide.writeUInt32LE(0x07064b50, 56);
  wide.writeBigUInt64LE(BigInt(at + directory.length), 64);
  const end = record(22, 0x06054b50);
  end.fill(0xff, 8, 20);
  const found = await outcome(Buffer.concat([...parts, directory, wide, end]));
  assert.match((found as FirnError).message, 'is not an npy file');
});

s('pickles, wherever they stand', async () => {
  const pickle = Buffer.from('\x80\x04\x95cos\nsystem\n(S"touch owned"\ntR.', 'latin1');
  const objects = npyWith("{'descr': '|O', 'fortran_order': False, 'shape': (5, 3), }\n", pickle);
  const inside: [Uint8Array, RegExp][] = [
    [pickle, /is a Python pickle, which is never loaded/],
    [objects, /holds pickled Python objects \(dtype \|O\), which are never loaded/],
    [zipOf([{ name: 'embeddings.npy', content: objects, method: 8 }]), /pickled Python objects/],
    [zipOf([{ name: 'embeddings.npy', content: pickle, method: 0 }]), /is not an npy file/],
  ];
  for (const [bytes, says] of inside) {
    const error = (await outcome(bytes)) as FirnError;
    assert.match(error.message, says);
    assert.ok(error.advice === undefined || /save/i.test(error.advice));
  }
});

s.run();
