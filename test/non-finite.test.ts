/**
 * NaN and infinity in embeddings: refused in a reference, naming run and row, unless the target allows them; then every
 * bit of them survives, and no search or other row suffers from them.
 */
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { convertBytes } from '../src/arrays/convert-bytes.js';
import { firstNonFinite, nonFiniteName } from '../src/arrays/finite.js';
import { createNpy } from '../src/arrays/npy-writer.js';
import type { Dtype } from '../src/arrays/types.js';
import { BYTES_OF } from '../src/arrays/types.js';
import { disk } from '../src/files/disk.js';
import { parse, seededValues, stepOf, TestProject } from './rig/project.js';
import { holds } from './rig/property.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('non-finite values');

const pipeline = (more = '') => `targets:
  reference: {rule: consolidate, runs: all, out: data/reference, with: {sequences: false${more}}}
`;
const ALLOW = ', non-finite: allow';

/** NaN quiet and signalling, with payloads and signs, and both infinities, as float32. */
const F4 = [0x7f800000, 0xff800000, 0x7fc00000, 0x7f800001, 0xffa12345, 0x7fffffff, 0xff800001, 0x7fbfffff];
const F2 = [0x7c00, 0xfc00, 0x7e00, 0x7c01, 0xfd23, 0x7fff];
const F8 = [
  0x7ff0000000000000n,
  0xfff0000000000000n,
  0x7ff8000000000000n,
  0x7ff0000000000001n,
  0xfff4000012345678n,
];

async function writeArray(
  project: TestProject,
  run: string,
  dtype: Dtype,
  dims: number,
  bytes: Uint8Array,
): Promise<void> {
  project.write(`consolidated_data/runs/${run}/x`, '');
  const writer = await createNpy(disk, project.path(`consolidated_data/runs/${run}/embeddings.npy`), {
    dtype,
    dims,
  });
  await writer.write(bytes);
  await writer.finish();
}

/** Ordinary values, and these bits at the end of the row of that number. */
function floats(rows: number, dims: number, row: number, bits: number): Uint8Array {
  const values = seededValues(7, rows * dims);
  new Uint32Array(values.buffer)[row * dims + dims - 1] = bits;
  return new Uint8Array(values.buffer);
}

test('a run that holds one is refused by name and row, and nothing is written', async () => {
  const project = new TestProject(pipeline());
  await project.writeRun('A/good', { dims: 4 });
  const cases: [Dtype, Uint8Array, string, number][] = [
    ['f4', floats(3000, 4, 2345, 0x7f800001), 'NaN', 2345],
    ['f4', floats(3, 4, 0, 0xff800000), '-Infinity', 0],
    ['f8', new Uint8Array(Float64Array.of(1, 2, 3, 4, 5, 6, Infinity, NaN).buffer), 'Infinity', 1],
    ['f2', new Uint8Array(Uint16Array.of(0, 1, 2, 0x7bff, 0x7e00, 0, 0, 0).buffer), 'NaN', 1],
  ];
  for (const [dtype, bytes, value, row] of cases) {
    await writeArray(project, 'B/bad', dtype, 4, bytes);
    const result = await project.build();
    assert.is(result.failed, 1);
    const { error = '' } = stepOf(result, 'reference');
    assert.match(
      error,
      `runs/B/bad/embeddings.npy: B/bad holds ${value} in row ${row}, and nothing is near to that\n`,
    );
    assert.match(error, '`non-finite: allow`');
    assert.not.ok(project.exists('data'));
    assert.equal(project.leftovers(), []);
    project.remove('consolidated_data/runs/B');
  }
  assert.is((await project.build()).ran, 1);
});

test('beside a reference that is there already it stays as it was', async () => {
  const project = new TestProject(pipeline());
  await project.writeRun('A/r1', { dims: 4, seed: 1 });
  await project.build();
  const before = project.digests('data');
  await writeArray(project, 'A/r2', 'f4', 4, floats(2, 4, 1, F4[3]));
  assert.is((await project.build()).failed, 1);
  assert.equal(project.digests('data'), before);
  // A word that is none is refused with its place.
  project.write('pipeline.yaml', pipeline(', non-finite: keep'));
  const { code, stderr } = await project.firn('build');
  assert.equal([code, /pipeline\.yaml:2:\d+: "non-finite" cannot be "keep"/.test(stderr)], [2, true], stderr);
});

test('allowed, every bit survives: in the array, when rows are retained, and when the run comes back from it', async () => {
  const project = new TestProject(pipeline(ALLOW));
  const bits = Uint32Array.from([...F4, ...F4.map((one) => one ^ 0x80000000)]);
  await writeArray(project, 'A/odd', 'f4', 4, new Uint8Array(bits.buffer));
  await project.writeRun('B/r', { dims: 4, rows: 5 });
  assert.is((await project.build()).ran, 1);
  const odd = () => {
    const { rowsOf } = project.reference();
    return [...new Uint32Array(rowsOf('A/odd').buffer)];
  };
  // Through the bytes of the file: a float that is read as a number may change.
  const { data } = project.reference();
  assert.ok(data.subarray(0, bits.byteLength).equals(Buffer.from(bits.buffer)));
  project.remove('consolidated_data/runs/A/odd');
  await project.writeRun('C/new', { dims: 4, rows: 5 });
  assert.is((await project.build()).ran, 1);
  assert.equal(project.reference().retained, ['A/odd']);
  assert.ok(project.reference().data.subarray(0, bits.byteLength).equals(Buffer.from(bits.buffer)));
  assert.is(odd().length, bits.length);
});

test('widened for a run of another dtype, a NaN that is retained is still what it was', async () => {
  for (const [dtype, odd] of [
    ['f4', new Uint8Array(Uint32Array.from(F4).buffer)],
    ['f2', new Uint8Array(Uint16Array.from([...F2, 0x3c00, 0]).buffer)],
  ] as const) {
    const project = new TestProject(pipeline(ALLOW));
    await writeArray(project, 'A/odd', dtype, 4, odd);
    await writeArray(project, 'B/wide', 'f8', 4, new Uint8Array(Float64Array.of(1, 2, 3, 4).buffer));
    assert.is((await project.build()).ran, 1);
    project.remove('consolidated_data/runs/A');
    // Built on from its own rows, and again from nothing but them.
    for (let i = 0; i < 2; i++) {
      await project.writeRun(`C/r${i}`, { dims: 4 });
      const result = await project.build();
      assert.is(result.ran, 1, stepOf(result, 'reference').error);
    }
    assert.equal(project.reference().retained, ['A/odd']);
    // Put back, the run is the very same.
    await writeArray(project, 'A/odd', dtype, 4, odd);
    const result = await project.build();
    assert.is(result.failed, 0, stepOf(result, 'reference').error);
    assert.equal(project.reference().retained, []);
  }
});

test('rows that hold them keep no other row out of an answer, and no index is made of them', async () => {
  const project = new TestProject(`${pipeline(ALLOW)}  index: {rule: index, from: [reference]}\n`);
  await writeArray(project, 'A/odd', 'f4', 4, floats(30, 4, 3, 0x7fc00000));
  await project.writeRun('B/r', { dims: 4, rows: 20 });
  const result = await project.build('--keep-going');
  assert.equal(
    [stepOf(result, 'reference').status, stepOf(result, 'index:reference').status],
    ['ran', 'failed'],
  );
  assert.match(
    stepOf(result, 'index:reference').error ?? '',
    /row 3 holds a value that is not a finite float32/,
  );
  const found = parse<{ results: { run_id: string; seq_idx: number }[] }>(
    await project.firn('search', '--run', 'B/r', '--seq-idx', '7', '--top-k', '100', '--json'),
  );
  assert.is(found.results.length, 49);
  assert.equal([found.results[0].run_id, found.results[0].seq_idx], ['r', 7]);
  assert.not.ok(found.results.some(({ run_id, seq_idx }) => run_id === 'odd' && seq_idx === 3));
  const asked = await project.firn('search', '--run', 'A/odd', '--seq-idx', '3');
  assert.match(asked.stderr, /not finite, and nothing is near to it/);
});

const dtype = fc.constantFrom<Dtype>('f2', 'f4', 'f8');

test('the first value that is not finite, wherever it stands', async () => {
  const bytes = dtype.chain((type) =>
    fc.tuple(
      fc.constant(type),
      fc.uint8Array({ maxLength: 60 }),
      fc.nat(60),
      fc.constantFrom(...F2),
      fc.nat(7),
    ),
  );
  await holds(
    6000,
    fc.property(bytes, ([type, raw, place, special, offset]) => {
      const size = BYTES_OF[type];
      const values = Buffer.alloc(offset + raw.length - (raw.length % size)).subarray(offset);
      values.set(raw.subarray(0, values.length));
      // The bits of a float16 at the top make others not finite, too.
      if (values.length >= size)
        values.writeUInt16LE(special, (place % (values.length / size)) * size + size - 2);
      const numbers = Array.from({ length: values.length / size }, (_, i) => {
        if (type === 'f8') return values.readDoubleLE(i * 8);
        if (type === 'f4') return values.readFloatLE(i * 4);
        return (values.readUInt16LE(i * 2) & 0x7c00) === 0x7c00 ? NaN : 0;
      });
      const expected = numbers.findIndex((value) => !Number.isFinite(value));
      assert.is(firstNonFinite(values, type), expected);
      if (expected >= 0 && type !== 'f2')
        assert.is(nonFiniteName(values, type, expected), String(numbers[expected]));
    }),
  );
});

test('what is widened comes back bit for bit, NaNs and all', async () => {
  const pairs = fc.constantFrom<[Dtype, Dtype]>(['f2', 'f4'], ['f2', 'f8'], ['f4', 'f8']);
  const raw = fc.oneof(
    fc.uint8Array({ minLength: 8, maxLength: 8 }),
    fc.constantFrom(...F4).map((bits) => new Uint8Array(Uint32Array.of(bits, bits ^ 1).buffer)),
    fc.constantFrom(...F2).map((bits) => new Uint8Array(Uint16Array.of(bits, bits ^ 1, 0, bits).buffer)),
  );
  await holds(
    6000,
    fc.property(pairs, fc.array(raw, { minLength: 1, maxLength: 4 }), ([from, to], parts) => {
      const bytes = Buffer.concat(parts);
      const there = convertBytes(Uint8Array.from(bytes), from, to);
      assert.ok(
        Buffer.from(convertBytes(there, to, from)).equals(bytes),
        `${bytes.toString('hex')} ${from} ${to}`,
      );
    }),
  );
});

oracleTest(test, ['numpy'], 'numbers are converted as numpy does it, and NaN stays NaN', () => {
  const wide = new Uint8Array(BigUint64Array.from(F8).buffer);
  const narrow = convertBytes(wide, 'f8', 'f4');
  const said = python(
    'import numpy as np, sys\na = np.frombuffer(bytes.fromhex(sys.argv[1]), "<f8"); b = np.frombuffer(bytes.fromhex(sys.argv[2]), "<f4")\nprint([(np.isnan(x), np.isinf(x), np.signbit(x)) for x in a] == [(np.isnan(x), np.isinf(x), np.signbit(x)) for x in b])',
    Buffer.from(wide).toString('hex'),
    Buffer.from(narrow).toString('hex'),
  );
  assert.is(said, 'True\n');
});

test.run();
