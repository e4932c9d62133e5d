/**
 * Reads one array out of an npz file. Stored members are read by position where that is enough, deflated ones are
 * inflated in order; every read of a whole array also checks its CRC-32. A deflated Fortran-order array has no random
 * access: each 64 MiB tile of it takes one pass over the member, so memory stays bounded at the price of time.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle } from '../files/port.js';
import { columnTiles, TILE_BYTES, type TileLoader } from './column-tiles.js';
import {
  NPY_PREAMBLE_BYTES,
  type NpyHeader,
  npyDataStart,
  parseNpyHeader,
  requireData,
} from './npy-header.js';
import { columnLoader, littleEndian, rowsAt } from './npy-reader.js';
import { type RowRange, type RowSource, rowBlocks, rowRange } from './row-blocks.js';
import { type ArrayReader, type BlockOptions, BYTES_OF, type RowBlock, rowBytes } from './types.js';
import { findZipEntry, readZipNames, type ZipEntry } from './zip-directory.js';
import { MemberStream } from './zip-member.js';

const NAMES_SHOWN = 10;

/**
 * Opens the array `member` of the npz file behind `handle`, which the reader then owns; the caller closes the handle
 * if this throws. `tileBytes` bounds the memory for arrays in Fortran order.
 */
export async function openNpz(
  handle: ReadHandle,
  member: string,
  tileBytes = TILE_BYTES,
): Promise<ArrayReader> {
  const { path } = handle;
  const entry = await findZipEntry(handle, `${member}.npy`);
  if (entry === undefined) throw await noSuchArray(handle, member);
  const header = await readHeader(handle, entry);
  requireData(header, entry.size, path);
  // No rows, no read that would check the CRC-32: a damaged header must not make an array empty unnoticed.
  if (header.rows === 0) await checkMember(handle, entry);
  const { dtype, rows, dims } = header;
  return {
    path,
    dtype,
    rows,
    dims,
    blocks(options: BlockOptions = {}): AsyncGenerator<RowBlock> {
      const range = rowRange(header, options, path);
      const source = littleEndian(sourceFor(handle, entry, header, range, tileBytes), header);
      return rowBlocks(header, range, options, source);
    },
    close: () => handle.close(),
  };
}

function sourceFor(
  handle: ReadHandle,
  entry: ZipEntry,
  header: NpyHeader,
  range: RowRange,
  tileBytes: number,
): RowSource {
  const stored = entry.method === 'stored';
  const whole = range.from === 0 && range.to === header.rows;
  const dataStart = entry.dataStart + header.dataStart;
  if (!header.fortran) {
    return stored && !whole ? rowsAt(handle, header, dataStart) : rowsInOrder(handle, entry, header);
  }
  if (!stored) return columnTiles(header, range, passLoader(handle, entry, header), tileBytes);
  const load = columnLoader(handle, header, dataStart);
  const checkFirst: TileLoader = async (start, rows, tile) => {
    if (whole && start === 0) await checkMember(handle, entry);
    await load(start, rows, tile);
  };
  return columnTiles(header, range, checkFirst, tileBytes);
}

/** Rows of a C-order member, streamed; the rows before the first one wanted are inflated and dropped. */
function rowsInOrder(handle: ReadHandle, entry: ZipEntry, header: NpyHeader): RowSource {
  const stream = new MemberStream(handle, entry);
  const row = rowBytes(header);
  return {
    async fill(start, rows, into) {
      await stream.skipTo(header.dataStart + start * row);
      await stream.readInto(into);
      if (start + rows === header.rows) await stream.finish();
    },
    release: () => stream.close(),
  };
}

/** Loads a tile of a deflated Fortran-order member in one pass over it. */
function passLoader(handle: ReadHandle, entry: ZipEntry, header: NpyHeader): TileLoader {
  const size = BYTES_OF[header.dtype];
  return async (start, rows, tile) => {
    const stream = new MemberStream(handle, entry);
    try {
      for (let column = 0; column < header.dims; column++) {
        await stream.skipTo(header.dataStart + (column * header.rows + start) * size);
        await stream.readInto(tile.subarray(column * rows * size, (column + 1) * rows * size));
      }
      await stream.finish();
    } finally {
      await stream.close();
    }
  };
}

async function readHeader(handle: ReadHandle, entry: ZipEntry): Promise<NpyHeader> {
  const { path } = handle;
  const stream = new MemberStream(handle, entry);
  try {
    const preamble = new Uint8Array(Math.min(entry.size, NPY_PREAMBLE_BYTES));
    await stream.readInto(preamble);
    const end = npyDataStart(preamble, path);
    if (end > entry.size) {
      throw new FirnError('input', `its array ${JSON.stringify(entry.name)} ends within its npy header`, {
        path,
      });
    }
    const head = new Uint8Array(end);
    head.set(preamble.subarray(0, end));
    await stream.readInto(head.subarray(preamble.length));
    return parseNpyHeader(head, path);
  } finally {
    await stream.close();
  }
}

async function checkMember(handle: ReadHandle, entry: ZipEntry): Promise<void> {
  const stream = new MemberStream(handle, entry);
  try {
    await stream.finish();
  } finally {
    await stream.close();
  }
}

async function noSuchArray(handle: ReadHandle, member: string): Promise<FirnError> {
  const names = (await readZipNames(handle)).map((name) => JSON.stringify(name.replace(/\.npy$/, '')));
  const more = names.length > NAMES_SHOWN ? ` and ${names.length - NAMES_SHOWN} more` : '';
  const held =
    names.length === 0 ? 'it is empty' : `it holds ${names.slice(0, NAMES_SHOWN).join(', ')}${more}`;
  return new FirnError('input', `has no array ${JSON.stringify(member)}: ${held}`, {
    path: handle.path,
    advice: `Name the array when saving it: numpy.savez_compressed(path, ${member}=array).`,
  });
}
