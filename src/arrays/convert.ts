/**
 * Conversions between the float kinds of numpy, bit for bit as numpy's astype does them, and the rounding that makes
 * floats compress. Pure; knows no file. Layouts: IEEE 754 binary16, binary32 and binary64.
 */
import { BYTES_OF, type Dtype } from './types.js';

/** f2 has 5 exponent bits (bias 15) and 10 mantissa bits, f4 has 8 (bias 127) and 23. */
const F4_INFINITY = 0x7f800000;
const F2_INFINITY = 0x7c00;

/**
 * Little-endian values as float32: f2 is widened exactly, f8 rounded to the nearest. Aligned f4 comes back as a view of
 * `bytes`, everything else as a copy; `bytes` may stand anywhere in its ArrayBuffer.
 */
export function toFloat32(bytes: Uint8Array, dtype: Dtype): Float32Array {
  const size = BYTES_OF[dtype];
  const aligned = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  const count = bytes.byteLength / size;
  if (dtype === 'f2') return float16ToFloat32(new Uint16Array(aligned.buffer, aligned.byteOffset, count));
  if (dtype === 'f4') return new Float32Array(aligned.buffer, aligned.byteOffset, count);
  return new Float32Array(new Float64Array(aligned.buffer, aligned.byteOffset, count));
}

/** Binary16 bit patterns, widened exactly. */
export function float16ToFloat32(halves: Uint16Array): Float32Array {
  table ??= Uint32Array.from({ length: 0x10000 }, (_, half) => widen(half));
  const bits = new Uint32Array(halves.length);
  for (let i = 0; i < bits.length; i++) bits[i] = table[halves[i]];
  return new Float32Array(bits.buffer);
}

/** Binary16 bit patterns, rounded to nearest, ties to even; beyond 65519 infinity, NaN stays NaN. */
export function float32ToFloat16(values: Float32Array): Uint16Array {
  const bits = bitsOf(values);
  const halves = new Uint16Array(bits.length);
  for (let i = 0; i < bits.length; i++) halves[i] = narrow(bits[i]);
  return halves;
}

/**
 * The values with `kept` of the 23 explicit mantissa bits, rounded to nearest, ties to even; the rest are zero, which
 * deflate likes. Relative error at most 2^-(kept + 1) for normal numbers. Infinities and NaNs are kept; a finite value
 * within that error of 2^128 becomes infinity.
 */
export function roundMantissa(values: Float32Array, kept: number): Float32Array {
  if (!Number.isInteger(kept) || kept < 0 || kept > 23)
    throw new RangeError(`${kept} mantissa bits, expected 0 to 23`);
  const rounded = Uint32Array.from(bitsOf(values));
  const dropped = 23 - kept;
  if (dropped > 0) {
    const mask = -(2 ** dropped);
    const belowHalf = 2 ** (dropped - 1) - 1;
    for (let i = 0; i < rounded.length; i++) {
      const bits = rounded[i];
      if ((bits & F4_INFINITY) === F4_INFINITY) continue;
      // A carry out of the mantissa raises the exponent, which is the right next number.
      rounded[i] = (bits + belowHalf + ((bits >>> dropped) & 1)) & mask;
    }
  }
  return new Float32Array(rounded.buffer);
}

let table: Uint32Array | undefined;

function bitsOf(values: Float32Array): Uint32Array {
  return new Uint32Array(values.buffer, values.byteOffset, values.length);
}

function widen(half: number): number {
  const sign = (half & 0x8000) << 16;
  const magnitude = half & 0x7fff;
  if (magnitude >= F2_INFINITY) return (sign | F4_INFINITY | ((magnitude & 0x3ff) << 13)) >>> 0;
  if (magnitude >= 0x400) return (sign | ((magnitude << 13) + ((127 - 15) << 23))) >>> 0;
  if (magnitude === 0) return sign >>> 0;
  // Subnormal: its leading bit becomes the hidden one.
  const shift = Math.clz32(magnitude) - 21;
  return (sign | ((113 - shift) << 23) | (((magnitude << shift) & 0x3ff) << 13)) >>> 0;
}

function narrow(bits: number): number {
  const sign = (bits >>> 16) & 0x8000;
  const magnitude = bits & 0x7fffffff;
  if (magnitude > F4_INFINITY) return sign | F2_INFINITY | ((magnitude >>> 13) & 0x3ff || 1);
  // 65520, halfway between the largest f2 and the next power of two, rounds to infinity with all above.
  if (magnitude >= 0x477ff000) return sign | F2_INFINITY;
  if (magnitude >= 0x38800000) {
    const rebased = magnitude - ((127 - 15) << 23);
    return sign | ((rebased + 0xfff + ((rebased >>> 13) & 1)) >>> 13);
  }
  // Below 2^-14 an f2 counts in steps of 2^-24; at or below half a step it is zero.
  if (magnitude <= 0x33000000) return sign;
  const mantissa = (magnitude & 0x7fffff) | 0x800000;
  const dropped = 126 - (magnitude >>> 23);
  const belowHalf = 2 ** (dropped - 1) - 1;
  return sign | ((mantissa + belowHalf + ((mantissa >>> dropped) & 1)) >>> dropped);
}
