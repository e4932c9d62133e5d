/**
 * What the rest of firn knows of an array of embeddings: rows of little-endian values in C order, whatever the
 * container. Knows no file format.
 */

/** numpy kinds and sizes that embeddings come in. */
export type Dtype = 'f2' | 'f4' | 'f8';

export const BYTES_OF: Record<Dtype, number> = { f2: 2, f4: 4, f8: 8 };

export interface BlockOptions {
  /** First row (0), and one past the last (all). */
  from?: number;
  to?: number;
  /** Rough size of a block in bytes (4 MiB). */
  blockBytes?: number;
  signal?: AbortSignal;
}

export interface RowBlock {
  /** Index of the block's first row. */
  start: number;
  rows: number;
  /** `rows * dims` little-endian values in C order. Only valid until the next block is asked for. */
  bytes: Uint8Array;
}

/** An open N x D array. Memory does not grow with N. */
export interface ArrayReader {
  readonly path: string;
  readonly dtype: Dtype;
  /** N */
  readonly rows: number;
  /** D */
  readonly dims: number;
  blocks(options?: BlockOptions): AsyncIterable<RowBlock>;
  close(): Promise<void>;
}
