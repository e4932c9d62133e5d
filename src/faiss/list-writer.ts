/**
 * Rows that come in order, written to where their lists stand in the file. A window of rows is sorted by list in
 * memory first, so that a write covers all of the window's rows of one list. Knows no distance.
 */
import type { WriteHandle } from '../files/port.js';
import type { Batch } from './batches.js';
import { floatBytes, ID_BYTES, type IvfLayout } from './format.js';

export class ListWriter {
  private readonly windowRows: number;
  private readonly codes: Float32Array;
  private readonly ids: BigInt64Array;
  /** Rows of each list that are in the file. */
  private readonly written: Float64Array;
  /** Where the window's rows of each list start in the window (nlist + 1 entries), and how many have come. */
  private readonly starts: Int32Array;
  private readonly come: Int32Array;
  private first = 0;
  private filled = 0;

  /** @param lists the list of every row, counted in `layout.sizes` @param windowBytes of vectors sorted at once */
  constructor(
    private readonly out: WriteHandle,
    private readonly layout: IvfLayout,
    private readonly lists: Uint16Array | Int32Array,
    windowBytes = 64 * 1024 * 1024,
  ) {
    const { dims, rows, nlist } = layout;
    this.windowRows = Math.max(1, Math.min(rows, Math.floor(windowBytes / (4 * dims))));
    this.codes = new Float32Array(this.windowRows * dims);
    this.ids = new BigInt64Array(this.windowRows);
    this.written = new Float64Array(nlist);
    this.starts = new Int32Array(nlist + 1);
    this.come = new Int32Array(nlist);
    this.openWindow();
  }

  /** The next rows. After the last row of the index everything is written. */
  async add(batch: Batch): Promise<void> {
    const { dims, rows } = this.layout;
    for (let i = 0; i < batch.rows; i++) {
      const list = this.lists[batch.start + i];
      const slot = this.starts[list] + this.come[list];
      this.come[list] += 1;
      this.codes.set(batch.data.subarray(i * dims, (i + 1) * dims), slot * dims);
      this.ids[slot] = BigInt(batch.start + i);
      this.filled += 1;
      if (this.filled === Math.min(this.windowRows, rows - this.first)) await this.writeWindow();
    }
  }

  /** Counts the rows of each list among the window's rows. */
  private openWindow(): void {
    const end = Math.min(this.layout.rows, this.first + this.windowRows);
    this.starts.fill(0);
    this.come.fill(0);
    for (let row = this.first; row < end; row++) this.starts[this.lists[row] + 1] += 1;
    for (let list = 0; list < this.layout.nlist; list++) this.starts[list + 1] += this.starts[list];
  }

  private async writeWindow(): Promise<void> {
    const { dims, nlist, sizes, offsets } = this.layout;
    for (let list = 0; list < nlist; list++) {
      const [from, to] = [this.starts[list], this.starts[list + 1]];
      if (from === to) continue;
      const codes = floatBytes(this.codes.subarray(from * dims, to * dims));
      const ids = this.ids.subarray(from, to);
      const idsAt = offsets[list] + sizes[list] * 4 * dims;
      await this.out.write(codes, offsets[list] + this.written[list] * 4 * dims);
      await this.out.write(
        Buffer.from(ids.buffer, ids.byteOffset, ids.byteLength),
        idsAt + this.written[list] * ID_BYTES,
      );
      this.written[list] += to - from;
    }
    this.first += this.filled;
    this.filled = 0;
    this.openWindow();
  }
}
