/**
 * The embeddings of one run for other programs: its shape, and its rows as float32 in blocks that are the reader's own.
 * Knows no project. Loads what reads arrays when it is asked for.
 */
import type { ArrayReader } from '../arrays/types.js';

/** Some rows of a run, one after the other. */
export interface RunBlock {
  /** Number of the first row. */
  start: number;
  rows: number;
  /** `rows * dims` values in C order. Yours to keep: the next block has memory of its own. */
  values: Float32Array;
}

/** Which rows, and how many at a time. */
export interface ReadOptions {
  /** First row (0), and one past the last (all). */
  from?: number;
  to?: number;
  /** Rows in a block; as many as take 4 MiB in the file unless told. The last block may be shorter. */
  blockRows?: number;
  /** Stops between blocks: the iteration then throws the signal's reason. */
  signal?: AbortSignal;
}

/** The open embeddings of a run. Close it when you are done. */
export interface RunReader {
  /** The file that is read: `embeddings.npy`, or `embeddings.npz` where there is no other. */
  readonly path: string;
  /** N, sequences */
  readonly rows: number;
  /** D, dimensions */
  readonly dims: number;
  /** As the values are stored: float16, float32 or float64. They are read as float32. */
  readonly dtype: 'f2' | 'f4' | 'f8';
  /**
   * The rows in order. Memory does not grow with their number. Throws FirnError: `usage` for rows that the run does not
   * have and a `blockRows` that is no number of rows, `input` when the file does not hold what it promised.
   */
  blocks(options?: ReadOptions): AsyncIterable<RunBlock>;
  /** One row: one read of an `.npy`, a pass up to that row of a compressed `.npz`. Throws FirnError as `blocks` does. */
  row(index: number): Promise<Float32Array>;
  close(): Promise<void>;
}

/**
 * Opens the embeddings of the run in a folder.
 * @throws FirnError missing when the folder holds none, input when the file is no N x D array of floats
 */
export async function openRun(directory: string): Promise<RunReader> {
  const { disk } = await import('../files/disk.js');
  const array = await import('../runs/run-array.js');
  const { toFloat32 } = await import('../arrays/convert.js');
  const { rowBytes } = await import('../arrays/types.js');
  const { checkWholeNumber } = await import('../check-number.js');
  const reader: ArrayReader = await array.openRun(disk, directory);
  const { path, rows, dims, dtype } = reader;
  const ask = ({ blockRows, ...options }: ReadOptions) => {
    checkWholeNumber('blockRows', blockRows, 1);
    return reader.blocks({
      ...options,
      ...(blockRows === undefined ? {} : { blockBytes: blockRows * rowBytes(reader) }),
    });
  };

  async function* blocks(options: ReadOptions = {}): AsyncGenerator<RunBlock> {
    for await (const block of ask(options)) {
      const values = toFloat32(block.bytes, dtype);
      // Float32 comes back as a view of memory that the next block is read into.
      yield { start: block.start, rows: block.rows, values: dtype === 'f4' ? values.slice() : values };
    }
  }

  return {
    path,
    rows,
    dims,
    dtype,
    blocks,
    async row(index) {
      for await (const { values } of blocks({ from: index, to: index + 1 })) return values;
      throw new Error('a row that is there was not read');
    },
    close: () => reader.close(),
  };
}
