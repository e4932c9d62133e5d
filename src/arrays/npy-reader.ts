/**
 * Reads an npy file, or an npy file that stands uncompressed inside another file, by position. Knows nothing of zip.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle } from '../files/port.js';
import { columnTiles, type TileLoader } from './column-tiles.js';
import {
  NPY_PREAMBLE_BYTES,
  type NpyHeader,
  npyDataStart,
  parseNpyHeader,
  requireData,
} from './npy-header.js';
import { readExactly } from './read-exactly.js';
import { type RowSource, rowBlocks, rowRange, swapToLittleEndian } from './row-blocks.js';
import { type ArrayReader, type BlockOptions, BYTES_OF, type RowBlock, rowBytes } from './types.js';

/** Reads of column pieces that are under way at a time. */
const PARALLEL_READS = 8;

/** Opens the npy file behind `handle`, which the reader then owns; the caller closes the handle if this throws. */
export async function openNpy(handle: ReadHandle): Promise<ArrayReader> {
  const { path, size } = handle;
  const preamble = new Uint8Array(Math.min(size, NPY_PREAMBLE_BYTES));
  await readExactly(handle, preamble, 0);
  const dataStart = npyDataStart(preamble, path);
  if (dataStart > size) {
    throw new FirnError('input', `is truncated: its header ends at byte ${dataStart}, the file at ${size}`, {
      path,
      advice: 'It was cut short while it was written or copied: write or copy it again.',
    });
  }
  const head = new Uint8Array(dataStart);
  await readExactly(handle, head, 0);
  const header = parseNpyHeader(head, path);
  requireData(header, size, path);
  const { dtype, rows, dims } = header;
  const inOrder = !header.fortran && !header.bigEndian;
  return {
    path,
    dtype,
    rows,
    dims,
    ...(inOrder ? { stretch: { handle, position: dataStart } } : {}),
    blocks(options: BlockOptions = {}): AsyncGenerator<RowBlock> {
      const range = rowRange(header, options, path);
      const source = header.fortran
        ? columnTiles(header, range, columnLoader(handle, header, dataStart))
        : rowsAt(handle, header, dataStart);
      return rowBlocks(header, range, options, littleEndian(source, header));
    },
    close: () => handle.close(),
  };
}

/** Rows of a C-order array whose values begin at byte `dataStart` of the file. */
export function rowsAt(handle: ReadHandle, header: NpyHeader, dataStart: number): RowSource {
  const row = rowBytes(header);
  return {
    fill: (start, _rows, into) => readExactly(handle, into, dataStart + start * row),
    release: async () => {},
  };
}

/** Loads tiles of a Fortran-order array whose values begin at byte `dataStart` of the file: one read a column. */
export function columnLoader(handle: ReadHandle, header: NpyHeader, dataStart: number): TileLoader {
  const size = BYTES_OF[header.dtype];
  return async (start, rows, tile) => {
    let column = 0;
    const work = async (): Promise<void> => {
      for (let mine = column++; mine < header.dims; mine = column++) {
        const piece = tile.subarray(mine * rows * size, (mine + 1) * rows * size);
        await readExactly(handle, piece, dataStart + (mine * header.rows + start) * size);
      }
    };
    const settled = await Promise.allSettled(Array.from({ length: PARALLEL_READS }, work));
    for (const one of settled) if (one.status === 'rejected') throw one.reason;
  };
}

/** The same rows with little-endian values. */
export function littleEndian(source: RowSource, header: NpyHeader): RowSource {
  if (!header.bigEndian) return source;
  return {
    async fill(start, rows, into) {
      await source.fill(start, rows, into);
      swapToLittleEndian(into, header);
    },
    release: () => source.release(),
  };
}
