/** Rows that hold NaN or infinity. Looks at bits, so that every dtype is judged as it is stored. Pure; knows no file. */
import type { ArrayShape, RowBlock } from './types.js';

/** Row numbers, ascending, of the rows in a block that hold a value which is not finite. */
export function rowsNotFinite({ start, rows, bytes }: RowBlock, { dtype, dims }: ArrayShape): number[] {
  const found: number[] = [];
  const note = (value: number): void => {
    const row = start + Math.floor(value / dims);
    if (found[found.length - 1] !== row) found.push(row);
  };
  const count = rows * dims;
  // A value is not finite exactly when all bits of its exponent are set.
  if (dtype === 'f2') {
    const values = new Uint16Array(bytes.buffer, bytes.byteOffset, count);
    for (let i = 0; i < count; i++) if ((values[i] & 0x7c00) === 0x7c00) note(i);
  } else if (dtype === 'f4') {
    const values = new Uint32Array(bytes.buffer, bytes.byteOffset, count);
    for (let i = 0; i < count; i++) if ((values[i] & 0x7f800000) === 0x7f800000) note(i);
  } else {
    const words = new Uint32Array(bytes.buffer, bytes.byteOffset, 2 * count);
    for (let i = 0; i < count; i++) if ((words[2 * i + 1] & 0x7ff00000) === 0x7ff00000) note(i);
  }
  return found;
}
