/** Opens an array by what the file holds, whatever its name ends in. Knows both containers only by their first bytes. */
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { isNpy } from './npy-header.js';
import { openNpy } from './npy-reader.js';
import { openNpz } from './npz-reader.js';
import { readExactly } from './read-exactly.js';
import { type ArrayReader, type Dtype, rowBytes } from './types.js';
import { isZip } from './zip-directory.js';

export interface OpenOptions {
  /** The array's name inside an npz file (`embeddings`). */
  member?: string;
}

const ADVICE = 'Save it with numpy.save(path, array) or numpy.savez_compressed(path, embeddings=array).';

/**
 * Opens the N x D array in the npy or npz file at `path`. A FirnError of kind `missing` when nothing is there, of
 * kind `input` when it is not such an array.
 */
export async function openArray(
  port: ReadPort,
  path: string,
  options: OpenOptions = {},
): Promise<ArrayReader> {
  // Before opening: a named pipe would wait for its writer.
  const stat = port.stat(path);
  if (stat === undefined) throw new FirnError('missing', 'is not there', { path });
  if (stat.kind !== 'file') throw new FirnError('input', 'is not a file', { path, advice: ADVICE });
  const handle = await port.open(path);
  try {
    return await openByContent(handle, options.member ?? 'embeddings');
  } catch (error) {
    await handle.close();
    throw error;
  }
}

/** Row `index` of the array at `path`: one read from an npy file, a pass up to that row of a compressed npz. */
export async function readRow(
  port: ReadPort,
  path: string,
  index: number,
  options: OpenOptions = {},
): Promise<{ dtype: Dtype; dims: number; bytes: Uint8Array }> {
  const reader = await openArray(port, path, options);
  try {
    const { dtype, dims, rows } = reader;
    if (!Number.isInteger(index) || index < 0 || index >= rows) {
      const message =
        rows === 0
          ? `has no rows, asked for row ${index}`
          : `has rows 0 to ${rows - 1}, asked for row ${index}`;
      throw new FirnError('usage', message, { path });
    }
    const bytes = new Uint8Array(rowBytes(reader));
    for await (const block of reader.blocks({ from: index, to: index + 1 })) bytes.set(block.bytes);
    return { dtype, dims, bytes };
  } finally {
    await reader.close();
  }
}

async function openByContent(handle: ReadHandle, member: string): Promise<ArrayReader> {
  const { path, size } = handle;
  const start = new Uint8Array(Math.min(size, 6));
  await readExactly(handle, start, 0);
  if (isNpy(start)) return openNpy(handle);
  if (isZip(start)) return openNpz(handle, member);
  if (size === 0)
    throw new FirnError('input', 'is empty (0 bytes), expected an npy or npz file', { path, advice: ADVICE });
  const problem =
    start[0] === 0x80 ? 'is a Python pickle, which is never loaded' : 'is neither an npy nor an npz file';
  throw new FirnError('input', problem, { path, advice: ADVICE });
}
