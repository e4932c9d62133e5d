/** Vectors and ids from an open index file. Knows where nothing is: positions come from the header. */
import { FirnError } from '../errors.js';
import type { ReadHandle } from '../files/port.js';
import { floatBytes, ID_BYTES } from './format.js';

/** `count` float32 from `position`, which need not be aligned. */
export async function readFloats(handle: ReadHandle, position: number, count: number): Promise<Float32Array> {
  const values = new Float32Array(count);
  await readAll(handle, floatBytes(values), position);
  return values;
}

/** Vector ids: i64 in the file; those beyond 2^53 are refused. */
export async function readIds(handle: ReadHandle, position: number, count: number): Promise<Float64Array> {
  const bytes = Buffer.alloc(ID_BYTES * count);
  await readAll(handle, bytes, position);
  const ids = new Float64Array(count);
  for (let i = 0; i < count; i++) {
    const id = bytes.readInt32LE(ID_BYTES * i + 4) * 2 ** 32 + bytes.readUInt32LE(ID_BYTES * i);
    if (!Number.isSafeInteger(id)) {
      throw new FirnError('input', `holds the id ${id}, larger than 2^53`, { path: handle.path });
    }
    ids[i] = id;
  }
  return ids;
}

/** Fills `into`, or throws. */
export async function readAll(handle: ReadHandle, into: Uint8Array, position: number): Promise<void> {
  if ((await handle.read(into, position)) === into.byteLength) return;
  throw new FirnError('input', 'became shorter while it was read', {
    path: handle.path,
    advice: 'Search again; if it stays so, build the index again.',
  });
}
