/** Little-endian values from one dtype to another. Widening keeps every value; narrowing rounds to nearest even. */
import { float32ToFloat16, toFloat32 } from './convert.js';
import type { Dtype } from './types.js';

/** The same bytes when the dtypes agree. What was widened comes back exactly when it is narrowed again. */
export function convertBytes(bytes: Uint8Array, from: Dtype, to: Dtype): Uint8Array {
  if (from === to) return bytes;
  const values = to === 'f8' ? new Float64Array(toFloat32(bytes, from)) : toFloat32(bytes, from);
  const converted = to === 'f2' ? float32ToFloat16(values as Float32Array) : values;
  return new Uint8Array(converted.buffer, converted.byteOffset, converted.byteLength);
}
