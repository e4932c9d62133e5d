/**
 * Turns "fill this buffer with these rows" into blocks that are read one ahead of their consumer. Knows neither
 * files nor formats: a RowSource does.
 */
import { FirnError } from '../errors.js';
import { giveBack, takeBlock } from '../workers/shared-blocks.js';
import { type ArrayShape, type BlockOptions, BYTES_OF, type RowBlock, rowBytes } from './types.js';

/** Where the rows of one `blocks()` call come from. */
export interface RowSource {
  /** Fills `into` with `rows` rows from `start`. Called in order, each call beginning where the last one ended. */
  fill(start: number, rows: number, into: Uint8Array): Promise<void>;
  /** Called once, when no more rows are wanted. */
  release(): Promise<void>;
}

export interface RowRange {
  from: number;
  /** One past the last. */
  to: number;
}

const BLOCK_BYTES = 4 * 1024 * 1024;

/** The rows asked for. A FirnError of kind `usage` when the array does not have them. */
export function rowRange(shape: ArrayShape, options: BlockOptions, path: string): RowRange {
  const { from = 0, to = shape.rows } = options;
  const valid = Number.isInteger(from) && Number.isInteger(to) && 0 <= from && from <= to && to <= shape.rows;
  if (!valid)
    throw new FirnError('usage', `has rows 0 to ${shape.rows}, asked for ${from} to ${to}`, { path });
  return { from, to };
}

/** The rows of `range` in blocks. Two buffers: while the consumer holds one, the other is being filled. */
export async function* rowBlocks(
  shape: ArrayShape,
  range: RowRange,
  options: BlockOptions,
  source: RowSource,
): AsyncGenerator<RowBlock> {
  const row = rowBytes(shape);
  const total = range.to - range.from;
  const most = Math.min(total, Math.max(1, Math.floor((options.blockBytes ?? BLOCK_BYTES) / row)));
  const buffers = [takeBlock(most * row), takeBlock(most < total ? most * row : 0)];
  const load = async (start: number, buffer: Uint8Array): Promise<RowBlock> => {
    const rows = Math.min(most, range.to - start);
    const bytes = buffer.subarray(0, rows * row);
    await source.fill(start, rows, bytes);
    return { start, rows, bytes };
  };
  let pending: Promise<RowBlock> | undefined;
  try {
    for (let start = range.from, turn = 0; start < range.to; start += most, turn = 1 - turn) {
      options.signal?.throwIfAborted();
      const block = await (pending ?? load(start, buffers[turn]));
      pending = start + most < range.to ? load(start + most, buffers[1 - turn]) : undefined;
      // A failure that comes while the consumer is busy is reported when it asks for that block.
      pending?.catch(() => {});
      yield block;
    }
  } finally {
    await pending?.catch(() => {});
    for (const buffer of buffers) giveBack(buffer);
    await source.release();
  }
}

/** Big-endian values to little-endian ones, in place. */
export function swapToLittleEndian(bytes: Uint8Array, shape: ArrayShape): void {
  const buffer = Buffer.from(bytes.buffer, bytes.byteOffset, bytes.byteLength);
  if (BYTES_OF[shape.dtype] === 2) buffer.swap16();
  else if (BYTES_OF[shape.dtype] === 4) buffer.swap32();
  else buffer.swap64();
}
