/** Conversions between float kinds agree with numpy's astype in every bit. */
import { readFileSync, writeFileSync } from 'node:fs';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { float16ToFloat32, float32ToFloat16, roundMantissa, toFloat32 } from '../src/arrays/convert.js';
import { newPath } from './arrays-rig.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('conversions');

/** Float32 bit patterns: all around every f2 and every boundary between two, and many at random. */
function patterns(): Uint32Array {
  const found: number[] = [];
  const edges = [0, 1, 0x33000000, 0x33000001, 0x38800000, 0x387fe000, 0x477fe000, 0x477ff000, 0x7f7fffff];
  edges.push(0x7f800000, 0x7f800001, 0x7fc00000, 0x7fffffff, 0x7f801fff, 0x7f802000);
  for (const edge of edges) found.push(edge, edge + 1, Math.max(0, edge - 1));
  const halves = float16ToFloat32(Uint16Array.from({ length: 0x7c00 }, (_, i) => i));
  for (const bits of new Uint32Array(halves.buffer)) {
    // Half a step above an f2 (in its own binade) lies the tie.
    for (const away of [-1, 0, 1, 0xfff, 0x1000, 0x1001]) if (bits + away >= 0) found.push(bits + away);
  }
  // Ties between subnormals: (k + 1/2) 2^-24.
  for (let k = 0; k < 1024; k++) {
    const [tie] = new Uint32Array(Float32Array.of((k + 0.5) * 2 ** -24).buffer);
    found.push(tie - 1, tie, tie + 1);
  }
  let state = 12345;
  for (let i = 0; i < 300_000; i++) {
    state = (Math.imul(state, 1664525) + 1013904223) >>> 0;
    found.push((state & 0x7fffffff) >>> 0);
  }
  return Uint32Array.from(found.flatMap((bits) => [bits, (bits | 0x80000000) >>> 0]));
}

oracleTest(s, ['numpy'], 'float32 to float16 and back, float64 to float32, as numpy does', () => {
  const [input, doubles, output] = [newPath('f4'), newPath('f8'), newPath('out')];
  const bits = patterns();
  writeFileSync(input, bits);
  const wide = Float64Array.from({ length: 100_000 }, (_, i) => Math.tan(i) * 10 ** ((i % 90) - 45));
  writeFileSync(doubles, wide);
  python(
    `import sys, numpy as np
np.seterr(all='ignore')
a = np.fromfile(sys.argv[1], '<f4')
a.astype('<f2').tofile(sys.argv[3] + '.f2')
np.arange(65536, dtype='<u2').view('<f2').astype('<f4').tofile(sys.argv[3] + '.f4')
np.fromfile(sys.argv[2], '<f8').astype('<f4').tofile(sys.argv[3] + '.f8')`,
    input,
    doubles,
    output,
  );
  const floats = new Float32Array(bits.buffer);
  const expected = readFileSync(`${output}.f2`);
  const halves = float32ToFloat16(floats);
  for (let i = 0; i < halves.length; i++) {
    if (halves[i] !== expected.readUInt16LE(2 * i)) {
      assert.unreachable(
        `${bits[i].toString(16)}: ${halves[i].toString(16)}, not ${expected.readUInt16LE(2 * i).toString(16)}`,
      );
    }
  }
  const every = Uint16Array.from({ length: 65536 }, (_, i) => i);
  const widened = Buffer.from(float16ToFloat32(every).buffer);
  const numpys = readFileSync(`${output}.f4`);
  for (let i = 0; i < 65536; i++) {
    assert.is(widened.readUInt32LE(4 * i), numpys.readUInt32LE(4 * i), `half ${i.toString(16)}`);
  }
  const narrowed = toFloat32(Buffer.from(wide.buffer), 'f8');
  assert.ok(Buffer.from(narrowed.buffer).equals(readFileSync(`${output}.f8`)));
});

s('bytes at any offset; aligned float32 is a view', () => {
  const values = Float32Array.of(1, -2.5, 3e38);
  const memory = new Uint8Array(64);
  for (const offset of [0, 1, 2, 3, 4]) {
    for (const bytes of [memory.subarray(offset, offset + 12), Buffer.from(memory.buffer, offset, 12)]) {
      bytes.set(new Uint8Array(values.buffer));
      assert.equal(toFloat32(bytes, 'f4'), values);
      assert.is(toFloat32(bytes, 'f4').buffer === memory.buffer, offset % 4 === 0);
    }
    const halves = memory.subarray(offset, offset + 4);
    halves.set(new Uint8Array(float32ToFloat16(Float32Array.of(0.5, -65504)).buffer));
    assert.equal(toFloat32(halves, 'f2'), Float32Array.of(0.5, -65504));
    const doubles = memory.subarray(offset, offset + 16);
    doubles.set(new Uint8Array(Float64Array.of(0.1, 1e300).buffer));
    assert.equal(toFloat32(doubles, 'f8'), Float32Array.of(0.1, Number.POSITIVE_INFINITY));
  }
});

s('rounding the mantissa: the nearest such number, ties to even', () => {
  const float = fc.float({ noNaN: true, noDefaultInfinity: true, min: -(2 ** 120), max: 2 ** 120 });
  fc.assert(
    fc.property(float, fc.integer({ min: 0, max: 23 }), (value, kept) => {
      const [rounded] = roundMantissa(Float32Array.of(value), kept);
      const [bits] = new Uint32Array(Float32Array.of(rounded).buffer);
      assert.is(bits & (2 ** (23 - kept) - 1), 0, 'dropped bits are zero');
      const step = 2 ** (Math.floor(Math.log2(Math.max(Math.abs(value), 2 ** -126))) - kept);
      const ratio = value / step;
      const below = Math.floor(ratio);
      const nearest = ratio - below > 0.5 || (ratio - below === 0.5 && below % 2 !== 0) ? below + 1 : below;
      assert.is(rounded, nearest * step === 0 ? rounded * 0 : nearest * step);
    }),
    { numRuns: 5000 },
  );
  const special = Float32Array.of(Number.POSITIVE_INFINITY, Number.NEGATIVE_INFINITY, Number.NaN, -0);
  assert.equal(new Uint32Array(roundMantissa(special, 5).buffer), new Uint32Array(special.buffer));
  assert.is(roundMantissa(Float32Array.of(3.4028234663852886e38), 10)[0], Number.POSITIVE_INFINITY);
  assert.throws(() => roundMantissa(special, 24), /expected 0 to 23/);
  const input = Float32Array.of(1 / 3);
  roundMantissa(input, 2);
  assert.is(input[0], Math.fround(1 / 3), 'the input is left as it was');
});

s.run();
