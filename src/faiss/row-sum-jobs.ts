/** The sum of digests of rows, in a worker thread. Called through row-sums.ts. */
import { hash } from 'node:crypto';

export interface RowBatch {
  /** rows * dims values */
  data: Float32Array;
  rows: number;
  dims: number;
  /** Of each row; `first`, `first + 1`, ... when undefined. */
  ids?: Float64Array;
  first: number;
}

/** Digests are added up lane by lane, modulo 2^32. */
export const LANES = 4;

/** Of SHA-256 over id (float64) and values of each row, the first 16 bytes as four little-endian numbers, added up. */
export function sumRows({ data, rows, dims, ids, first }: RowBatch): number[] {
  const bytes = Buffer.from(data.buffer, data.byteOffset, data.byteLength);
  const row = Buffer.alloc(8 + 4 * dims);
  const sum = new Uint32Array(LANES);
  for (let i = 0; i < rows; i++) {
    row.writeDoubleLE(ids === undefined ? first + i : ids[i], 0);
    bytes.copy(row, 8, 4 * dims * i, 4 * dims * (i + 1));
    const digest = hash('sha256', row, 'buffer');
    for (let lane = 0; lane < LANES; lane++) sum[lane] += digest.readUInt32LE(4 * lane);
  }
  return [...sum];
}
