/**
 * Little-endian values from one dtype to another. Widening keeps every value; narrowing rounds to nearest even. NaNs keep
 * their sign and as much of their payload as there is place for, which the processor and the engine do not promise.
 */
import { float32ToFloat16, toFloat32 } from './convert.js';
import { firstNonFinite } from './finite.js';
import type { Dtype } from './types.js';

/** The same bytes when the dtypes agree. What was widened comes back exactly when it is narrowed again. */
export function convertBytes(bytes: Uint8Array, from: Dtype, to: Dtype): Uint8Array {
  if (from === to) return bytes;
  const floats = from === 'f8' ? narrowed(bytes) : toFloat32(bytes, from);
  const converted = to === 'f8' ? widened(floats) : to === 'f2' ? float32ToFloat16(floats) : floats;
  return new Uint8Array(converted.buffer, converted.byteOffset, converted.byteLength);
}

/** float32 in float64, whose payload has 29 bits more. */
function widened(floats: Float32Array): Float64Array {
  const doubles = new Float64Array(floats);
  const bytes = new Uint8Array(floats.buffer, floats.byteOffset, floats.byteLength);
  const first = firstNonFinite(bytes, 'f4');
  if (first === -1) return doubles;
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  const words = new Uint32Array(doubles.buffer);
  for (let i = first; i < bits.length; i++) {
    if ((bits[i] & 0x7fffffff) <= 0x7f800000) continue;
    words[2 * i] = bits[i] << 29;
    words[2 * i + 1] = (bits[i] & 0x80000000) | 0x7ff00000 | ((bits[i] & 0x7fffff) >>> 3);
  }
  return doubles;
}

function narrowed(bytes: Uint8Array): Float32Array {
  const floats = toFloat32(bytes, 'f8');
  const first = firstNonFinite(bytes, 'f8');
  if (first === -1) return floats;
  const aligned = bytes.byteOffset % 8 === 0 ? bytes : new Uint8Array(bytes);
  const words = new Uint32Array(aligned.buffer, aligned.byteOffset, 2 * floats.length);
  const bits = new Uint32Array(floats.buffer, floats.byteOffset, floats.length);
  for (let i = first; i < bits.length; i++) {
    const [low, high] = [words[2 * i], words[2 * i + 1]];
    const isNumberless = (high & 0x7ff00000) === 0x7ff00000 && ((high & 0xfffff) | low) !== 0;
    // A payload that lies in the bits that go would leave an infinity.
    if (isNumberless)
      bits[i] = (high & 0x80000000) | 0x7f800000 | (((high & 0xfffff) << 3) | (low >>> 29) || 0x400000);
  }
  return floats;
}
