/** What the tests of indexes share: clustered vectors, arrays in memory, indexes in temporary folders. */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import type { ArrayReader, Dtype } from '../src/arrays/types.js';
import { BYTES_OF } from '../src/arrays/types.js';
import { FirnError } from '../src/errors.js';
import { type BuildReport, type BuildRequest, buildIndex } from '../src/faiss/build.js';
import { Random } from '../src/faiss/sample.js';
import { disk } from '../src/files/disk.js';
import type { ReadPort } from '../src/files/port.js';
import { Workers } from '../src/workers/pool.js';
import { temporaryFolder } from './rig/folder.js';

export function folder(): string {
  return temporaryFolder();
}

/** A standard normal number (Box and Muller). */
export function normal(random: Random): number {
  return Math.sqrt(-2 * Math.log(1 - random.next())) * Math.cos(2 * Math.PI * random.next());
}

/**
 * rows * dims values like those of embeddings: `clusters` of unequal size, each spread along 4 directions of its
 * own, plus a little noise. Rows of different seeds come from the same clusters.
 */
export function clustered(rows: number, dims: number, seed: number, clusters = 60): Float32Array {
  const shape = new Random(7);
  const centres = Float32Array.from({ length: clusters * dims }, () => normal(shape));
  const directions = Float32Array.from({ length: clusters * 4 * dims }, () => normal(shape) / 3);
  const random = new Random(seed);
  const values = new Float32Array(rows * dims);
  for (let row = 0; row < rows; row++) {
    const cluster = Math.floor(random.next() ** 2 * clusters);
    const along = Array.from({ length: 4 }, () => normal(random));
    for (let i = 0; i < dims; i++) {
      let value = centres[cluster * dims + i] + 0.02 * normal(random);
      for (let j = 0; j < 4; j++) value += along[j] * directions[(cluster * 4 + j) * dims + i];
      values[row * dims + i] = value;
    }
  }
  return values;
}

/** An array in memory, handed out in blocks of `blockRows` rows. */
export function arrayOf(
  values: Float32Array | Float64Array | Uint16Array,
  dims: number,
  blockRows = 1000,
): ArrayReader {
  const dtype: Dtype = values instanceof Float64Array ? 'f8' : values instanceof Uint16Array ? 'f2' : 'f4';
  const rows = values.length / dims;
  const width = dims * BYTES_OF[dtype];
  const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
  return {
    path: 'memory.npy',
    dtype,
    rows,
    dims,
    async *blocks({ from = 0, to = rows } = {}) {
      for (let start = from; start < to; start += blockRows) {
        const end = Math.min(to, start + blockRows);
        yield { start, rows: end - start, bytes: bytes.slice(start * width, end * width) };
      }
    },
    async close() {},
  };
}

export interface Built {
  path: string;
  report: BuildReport;
}

/** For every build of a test file: threads take a moment to start. */
export const workers = new Workers(2);

/** Builds an index of these values in a new folder. */
export async function build(
  values: Float32Array,
  dims: number,
  options: Partial<BuildRequest> = {},
): Promise<Built> {
  const path = join(folder(), 'index.faiss');
  const embeddings = arrayOf(values, dims);
  const request = { port: disk, embeddings, out: path, metric: 'l2' as const, workers, ...options };
  return { path, report: await buildIndex(request) };
}

/** Raw little-endian float32, for Python's np.fromfile. */
export function floatsFile(values: Float32Array): string {
  const path = join(folder(), 'values.f4');
  writeFileSync(path, new Uint8Array(values.buffer, values.byteOffset, values.byteLength));
  return path;
}

/** The FirnError of that kind that `run` fails with; anything else fails the test. */
export async function refused(run: () => Promise<unknown>, kind: string): Promise<FirnError> {
  try {
    await run();
  } catch (error) {
    if (error instanceof FirnError && error.kind === kind) return error;
    throw error;
  }
  throw new Error(`was not refused as ${kind}`);
}

/** The disk, counting the bytes read through it. */
export function countingPort(): { port: ReadPort; bytes(): number } {
  let bytes = 0;
  const open: ReadPort['open'] = async (path) => {
    const handle = await disk.open(path);
    return {
      path: handle.path,
      size: handle.size,
      stat: () => handle.stat(),
      close: () => handle.close(),
      async read(into, position) {
        const got = await handle.read(into, position);
        bytes += got;
        return got;
      },
    };
  };
  return { port: { ...disk, open }, bytes: () => bytes };
}
