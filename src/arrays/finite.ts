/** Values that are no numbers: NaN and infinities, told by their bits. Pure; knows no file. */
import { BYTES_OF, type Dtype } from './types.js';

/** The first value that is not finite among little-endian ones; -1 when all are. One pass, of some bytes a cycle. */
export function firstNonFinite(bytes: Uint8Array, dtype: Dtype): number {
  const size = BYTES_OF[dtype];
  const { buffer, byteOffset, byteLength } = bytes.byteOffset % size === 0 ? bytes : new Uint8Array(bytes);
  if (dtype === 'f4') return firstInFloats(new Int32Array(buffer, byteOffset, byteLength / 4));
  if (dtype === 'f8') return firstInDoubles(new Int32Array(buffer, byteOffset, byteLength / 4));
  return firstInHalves(new Uint16Array(buffer, byteOffset, byteLength / 2));
}

// All bits of the exponent are set in infinities and NaNs only; then adding its lowest one carries into the sign. Three
// loops, since one over several kinds of array is many times slower.

function firstInFloats(words: Int32Array): number {
  let carried = 0;
  for (let i = 0; i < words.length; i++) carried |= (words[i] & 0x7f800000) + 0x00800000;
  return carried >= 0 ? -1 : words.findIndex((word) => (word & 0x7f800000) === 0x7f800000);
}

/** By their high words. */
function firstInDoubles(words: Int32Array): number {
  let carried = 0;
  for (let i = 1; i < words.length; i += 2) carried |= (words[i] & 0x7ff00000) + 0x00100000;
  return carried >= 0
    ? -1
    : words.findIndex((word, i) => i % 2 === 1 && (word & 0x7ff00000) === 0x7ff00000) >> 1;
}

function firstInHalves(words: Uint16Array): number {
  let carried = 0;
  for (let i = 0; i < words.length; i++) carried |= (words[i] & 0x7c00) + 0x0400;
  return (carried & 0x8000) === 0 ? -1 : words.findIndex((word) => (word & 0x7c00) === 0x7c00);
}

/** `NaN`, `Infinity` or `-Infinity`: the value at that place among little-endian ones. */
export function nonFiniteName(bytes: Uint8Array, dtype: Dtype, at: number): string {
  const size = BYTES_OF[dtype];
  const view = new DataView(bytes.buffer, bytes.byteOffset + at * size, size);
  if (dtype === 'f8') return String(view.getFloat64(0, true));
  if (dtype === 'f4') return String(view.getFloat32(0, true));
  const bits = view.getUint16(0, true);
  return (bits & 0x3ff) !== 0 ? 'NaN' : bits >= 0x8000 ? '-Infinity' : 'Infinity';
}
