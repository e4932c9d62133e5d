/**
 * Fortran order to C order with bounded memory: a tile holds the same rows of every column, and blocks of rows are
 * transposed out of it. Knows no file: who makes a tile loads it.
 */
import type { RowRange, RowSource } from './row-blocks.js';
import { type ArrayShape, BYTES_OF, rowBytes } from './types.js';

/** Memory for one tile. Larger tiles mean fewer, longer reads a column. */
export const TILE_BYTES = 64 * 1024 * 1024;

/**
 * Fills `tile` with rows `start` to `start + rows` of every column, one column after the other: column j stands at
 * `j * rows` values.
 */
export type TileLoader = (start: number, rows: number, tile: Uint8Array) => Promise<void>;

/** Rows in C order out of column tiles. Values keep the byte order they have. */
export function columnTiles(
  shape: ArrayShape,
  range: RowRange,
  load: TileLoader,
  tileBytes = TILE_BYTES,
): RowSource {
  const row = rowBytes(shape);
  const most = Math.min(range.to - range.from, Math.max(1, Math.floor(tileBytes / row)));
  let memory = new Uint8Array(0);
  let tile = memory;
  let tileStart = 0;
  let tileRows = 0;
  return {
    async fill(start, rows, into) {
      for (let done = 0; done < rows; ) {
        const at = start + done;
        if (at >= tileStart + tileRows) {
          if (memory.length === 0) memory = new Uint8Array(most * row);
          tileStart = at;
          tileRows = Math.min(most, range.to - at);
          tile = memory.subarray(0, tileRows * row);
          await load(tileStart, tileRows, tile);
        }
        const take = Math.min(rows - done, tileStart + tileRows - at);
        const out = into.subarray(done * row, (done + take) * row);
        transpose(shape, tile, tileRows, at - tileStart, take, out);
        done += take;
      }
    },
    async release() {
      memory = new Uint8Array(0);
      tile = memory;
    },
  };
}

/** Copies `take` rows from row `skip` of a column-major tile of `tileRows` rows into row-major `out`. */
function transpose(
  shape: ArrayShape,
  tile: Uint8Array,
  tileRows: number,
  skip: number,
  take: number,
  out: Uint8Array,
): void {
  const { dims } = shape;
  const size = BYTES_OF[shape.dtype];
  // Integers, never floats: an engine may change the payload of a NaN that it copies. Eight bytes are two words.
  const from = size === 2 ? words16(tile) : words32(tile);
  const to = size === 2 ? words16(out) : words32(out);
  const words = size === 8 ? 2 : 1;
  for (let column = 0; column < dims; column++) {
    for (let word = 0; word < words; word++) {
      let source = (column * tileRows + skip) * words + word;
      let target = column * words + word;
      for (let row = 0; row < take; row++) {
        to[target] = from[source];
        source += words;
        target += dims * words;
      }
    }
  }
}

function words16(bytes: Uint8Array): Uint16Array {
  return new Uint16Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 2);
}

function words32(bytes: Uint8Array): Uint32Array {
  return new Uint32Array(bytes.buffer, bytes.byteOffset, bytes.byteLength / 4);
}
