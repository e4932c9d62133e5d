/**
 * What the rest of firn knows of an array of embeddings: rows of little-endian values in C order, whatever the
 * container. Knows no file format.
 */
import type { ReadHandle } from '../files/port.js';

/** numpy kinds and sizes that embeddings come in. */
export type Dtype = 'f2' | 'f4' | 'f8';

export const BYTES_OF: Record<Dtype, number> = { f2: 2, f4: 4, f8: 8 };

/** What an array is, apart from its values: N x D of one dtype. */
export interface ArrayShape {
  readonly dtype: Dtype;
  /** N */
  readonly rows: number;
  /** D, at least 1 */
  readonly dims: number;
}

export interface BlockOptions {
  /** First row (0), and one past the last (all). */
  from?: number;
  to?: number;
  /** Rough size of a block in bytes (4 MiB); a block holds at least one row. */
  blockBytes?: number;
  /** Stops between blocks with the signal's reason. */
  signal?: AbortSignal;
}

export interface RowBlock {
  /** Index of the block's first row. */
  start: number;
  rows: number;
  /**
   * `rows * dims` little-endian values in C order, at the start of their own ArrayBuffer (so that a typed array
   * can view them). Only valid until the next block is asked for.
   */
  bytes: Uint8Array;
}

/** An open N x D array. Memory does not grow with N. */
export interface ArrayReader extends ArrayShape {
  readonly path: string;
  /** Where all values stand one after the other in an open file, little-endian in C order; undefined where they do not. */
  readonly stretch?: { handle: ReadHandle; position: number };
  /** The rows in order. A FirnError of kind `input` when the file does not hold what it promised. */
  blocks(options?: BlockOptions): AsyncIterable<RowBlock>;
  close(): Promise<void>;
}

/** A new array file being written. After a failure the caller calls `abort`; nothing is left then, if the disk lets it go. */
export interface ArrayWriter {
  /** The file, while it is open, and how many bytes were appended to it; only where values stand in it as they were given. */
  readonly file?: { readonly fd?: number | undefined; readonly bytes: number };
  /** Whole rows as little-endian values in C order; the bytes may be reused once it resolves. */
  write(bytes: Uint8Array): Promise<void>;
  /** Checks or fills in N, fsyncs and closes. `bytes` is the size of the file. */
  finish(): Promise<{ rows: number; bytes: number }>;
  /** Closes and deletes the file; does nothing after `finish` succeeded. */
  abort(): Promise<void>;
}

/** Bytes of one row. */
export function rowBytes(shape: ArrayShape): number {
  return shape.dims * BYTES_OF[shape.dtype];
}
