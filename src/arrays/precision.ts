/**
 * How a copy of an array may round its values to become smaller: not at all, to float16, or to fewer bits of mantissa.
 * Pure; knows no file.
 */
import { float32ToFloat16, roundMantissa, toFloat32 } from './convert.js';
import { BYTES_OF, type Dtype } from './types.js';

/** For JSON Schema and command line: what `precisionOf` understands. */
export const PRECISION_PATTERN = '^(lossless|float16|mantissa:([1-9]|1[0-9]|2[0-2]))$';

export interface Precision {
  /** Of the copy, for a source of this dtype. */
  dtype(source: Dtype): Dtype;
  /** Little-endian values as the copy holds them; the same bytes when nothing is rounded. */
  apply(bytes: Uint8Array, source: Dtype): Uint8Array;
}

/** `lossless`, `float16` or `mantissa:BITS`. float16 values are never rounded; rounded float64 become float32. */
export function precisionOf(name: string): Precision {
  if (!new RegExp(PRECISION_PATTERN).test(name)) throw new RangeError(`${name} is no precision`);
  if (name === 'lossless') return { dtype: (source) => source, apply: (bytes) => bytes };
  if (name === 'float16') {
    return {
      dtype: () => 'f2',
      apply: (bytes, source) =>
        source === 'f2' ? bytes : bytesOf(float32ToFloat16(towardsFloat16(bytes, source))),
    };
  }
  const bits = Number(name.split(':')[1]);
  return {
    dtype: (source) => (source === 'f2' ? 'f2' : 'f4'),
    apply: (bytes, source) =>
      source === 'f2' ? bytes : bytesOf(roundMantissa(toFloat32(bytes, source), bits)),
  };
}

export interface RoundingError {
  /** The largest |original - copy| among finite values. */
  largest: number;
  /** The largest finite |original| that became infinite; undefined when none did. */
  overflow: number | undefined;
}

/** What rounding did to a block: `bytes` of dtype `source` became `rounded` of dtype `copy`. */
export function roundingError(
  bytes: Uint8Array,
  source: Dtype,
  rounded: Uint8Array,
  copy: Dtype,
): RoundingError {
  const before = source === 'f8' ? doublesOf(bytes) : toFloat32(bytes, source);
  const after = toFloat32(rounded, copy);
  const error: RoundingError = { largest: 0, overflow: undefined };
  for (let i = 0; i < before.length; i++) {
    const difference = Math.abs(before[i] - after[i]);
    if (difference === Number.POSITIVE_INFINITY)
      error.overflow = Math.max(error.overflow ?? 0, Math.abs(before[i]));
    else if (difference > error.largest) error.largest = difference;
  }
  return error;
}

/**
 * float32 values that round to the float16 that the originals round to. Rounding float64 to the nearest float32 first
 * could round a tie the wrong way; rounded to odd (inexact values get an odd last bit) they stay on their side of it.
 * S. Boldo, G. Melquiond: Emulation of FMA and correctly rounded sums, IEEE Trans. Computers 57 (2008).
 */
function towardsFloat16(bytes: Uint8Array, source: Dtype): Float32Array {
  if (source !== 'f8') return toFloat32(bytes, source);
  const doubles = doublesOf(bytes);
  const floats = Float32Array.from(doubles);
  const bits = new Uint32Array(floats.buffer);
  for (let i = 0; i < floats.length; i++) {
    // Even and inexact: one of the two neighbours is odd and on the other side of the original.
    if ((bits[i] & 1) === 1 || floats[i] === doubles[i] || Number.isNaN(doubles[i])) continue;
    bits[i] += Math.abs(floats[i]) > Math.abs(doubles[i]) ? -1 : 1;
  }
  return floats;
}

function doublesOf(bytes: Uint8Array): Float64Array {
  const aligned = bytes.byteOffset % BYTES_OF.f8 === 0 ? bytes : new Uint8Array(bytes);
  return new Float64Array(aligned.buffer, aligned.byteOffset, aligned.byteLength / BYTES_OF.f8);
}

function bytesOf(values: Uint16Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}
