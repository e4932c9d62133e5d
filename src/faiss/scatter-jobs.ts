/** Copies rows to their places in a window, in a worker thread. Called through list-writer.ts. */

export interface Scatter {
  /** slots.length * dims values */
  rows: Float32Array;
  /** The place of each row. */
  slots: Int32Array;
  dims: number;
  into: Float32Array;
}

export function scatter({ rows, slots, dims, into }: Scatter): void {
  for (let row = 0; row < slots.length; row++) {
    into.set(rows.subarray(row * dims, (row + 1) * dims), slots[row] * dims);
  }
}
