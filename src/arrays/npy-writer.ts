/** Writes an npy file row block by row block, byte for byte what np.save makes of the same array. */
import type { WritePort } from '../files/port.js';
import type { StreamHash } from '../workers/hashing.js';
import { TrailingHash } from '../workers/trailing-hash.js';
import { formatNpyHeader } from './npy-header.js';
import { OutputFile } from './output-file.js';
import { RowCount } from './row-count.js';
import type { ArrayWriter, Dtype } from './types.js';

export interface NpyOptions {
  dtype: Dtype;
  /** D */
  dims: number;
  /** N, when it is known; `finish` then checks it. */
  rows?: number;
  /** Is given every byte of the file in order, and all by the end of `finish`; only with `rows`. */
  hash?: StreamHash;
}

/**
 * Creates the npy file `path`, which must not exist. Without `rows` the header stays blank until `finish` knows N,
 * so that a half-written file is no npy file.
 */
export async function createNpy(port: WritePort, path: string, options: NpyOptions): Promise<ArrayWriter> {
  const { dtype, dims, rows, hash } = options;
  if (hash !== undefined && rows === undefined) throw new Error('the header of an array is hashed first');
  const shape = { dtype, dims, rows: rows ?? 0 };
  const count = new RowCount(path, shape, rows);
  const header = formatNpyHeader(shape);
  const file = await OutputFile.create(port, path);
  const trail = hash === undefined ? undefined : new TrailingHash(hash, file, 0);
  const append = async (bytes: Uint8Array): Promise<void> => {
    await file.write(bytes);
    await trail?.follow(bytes);
  };
  const abort = async (): Promise<void> => {
    await trail?.stop();
    await file.abort();
  };
  try {
    await append(rows === undefined ? new Uint8Array(header.length) : header);
  } catch (error) {
    await abort();
    throw error;
  }
  return {
    file,
    async write(bytes) {
      count.add(bytes.length);
      await append(bytes);
    },
    async finish() {
      count.check();
      if (rows === undefined) await file.write(formatNpyHeader({ ...shape, rows: count.rows }), 0);
      await file.finish(trail?.finish());
      return { rows: count.rows, bytes: file.bytes };
    },
    abort,
  };
}
