/**
 * Rows that come in order, written to where their lists stand in the file. A window of rows is sorted by list in
 * memory first, so that a write covers all of the window's rows of one list; while it is written the next one fills.
 * Threads do the copying. Knows no distance.
 */
import { atOnce } from '../at-once.js';
import type { WriteHandle } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import type { Batch } from './batches.js';
import { floatBytes, ID_BYTES, type IvfLayout } from './format.js';
import type { Scatter } from './scatter-jobs.js';

/** Writes under way at a time. */
const WRITES = 8;
const WINDOW_BYTES = 32 * 1024 * 1024;
/** Rows whose ids are put in order at once. */
const IDS_AT_ONCE = 1024 * 1024;

const SCATTER = new URL('./scatter-jobs.js', import.meta.url);

interface Window {
  /** In memory that threads can share. */
  codes: Float32Array;
  /** Where the rows of each list start in the window (nlist + 1 entries), and how many have come. */
  starts: Int32Array;
  come: Int32Array;
  /** Copies under way. */
  copies: Promise<void>[];
}

export interface ListWriterOptions {
  /** The first row that comes; earlier ones are in the file already (0). */
  firstRow?: number;
  /** Bytes of vectors sorted at once (32 MiB, or half of `memory` where that is more). */
  windowBytes?: number;
  /** Shared memory for windows; what it does not hold is made. */
  memory?: Float32Array;
}

/** Of one batch that was taken over: when its memory is free again. */
interface Taken {
  copied: Promise<unknown>;
}

export class ListWriter {
  private readonly windowRows: number;
  private readonly firstRow: number;
  /** Rows of each list that are in the file, and those that were before any came. */
  private readonly written: Float64Array;
  private readonly before: Float64Array;
  private window: Window;
  private spare: Window | undefined;
  private writing: Promise<void> = Promise.resolve();
  private taking: Promise<unknown> = Promise.resolve();
  private first: number;
  private filled = 0;

  /** @param lists the list of every row, from row 0; counted in `layout.sizes` */
  constructor(
    private readonly out: WriteHandle,
    private readonly layout: IvfLayout,
    private readonly lists: Uint16Array | Int32Array,
    private readonly workers: Workers,
    { firstRow = 0, windowBytes, memory }: ListWriterOptions = {},
  ) {
    const { dims, rows, sizes } = layout;
    this.firstRow = firstRow;
    this.first = firstRow;
    const bytes = windowBytes ?? Math.max(WINDOW_BYTES, (memory?.byteLength ?? 0) / 2);
    this.windowRows = Math.max(1, Math.min(rows - firstRow, Math.floor(bytes / (4 * dims))));
    this.before = Float64Array.from(sizes);
    for (let row = firstRow; row < rows; row++) this.before[lists[row]] -= 1;
    this.written = Float64Array.from(this.before);
    const [one, other] = this.windowMemory(memory);
    this.window = this.newWindow(one);
    this.spare = this.windowRows < rows - firstRow ? this.newWindow(other) : undefined;
    this.countWindow();
  }

  /**
   * The next rows, in shared memory that may be used again once it resolves. The next batch may be added before that:
   * they are taken in the order of the calls.
   */
  async add(batch: Batch): Promise<void> {
    const taken = this.taking.then(() => this.take(batch));
    this.taking = taken;
    taken.catch(() => {});
    await (await taken).copied;
  }

  private async take({ start, rows, data }: Batch): Promise<Taken> {
    const { dims, rows: end } = this.layout;
    const copies: Promise<void>[] = [];
    for (let row = 0; row < rows; ) {
      const left = Math.min(this.windowRows, end - this.first) - this.filled;
      const count = Math.min(left, rows - row);
      const slots = this.slotsOf(start + row, count);
      const part = data.subarray(row * dims, (row + count) * dims);
      const work: Scatter = { rows: part, slots, dims, into: this.window.codes };
      const copy = this.workers.idlest().call<void>(SCATTER, 'scatter', work);
      // Where a write has failed nobody may come to wait for it.
      copy.catch(() => {});
      copies.push(copy);
      this.window.copies.push(copy);
      this.filled += count;
      row += count;
      if (count === left) await this.turn();
    }
    return { copied: Promise.all(copies) };
  }

  /** Where the next `count` rows go in the window. */
  private slotsOf(row: number, count: number): Int32Array {
    const { starts, come } = this.window;
    const slots = new Int32Array(count);
    for (let i = 0; i < count; i++) {
      const list = this.lists[row + i];
      slots[i] = starts[list] + come[list];
      come[list] += 1;
    }
    return slots;
  }

  /** After the last row: everything is written, the ids too. */
  async finish(signal?: AbortSignal): Promise<void> {
    await this.taking;
    await this.writing;
    const { nlist } = this.layout;
    for (let from = 0; from < nlist; ) {
      let to = from;
      let rows = 0;
      for (; to < nlist && (to === from || rows + this.come(to) <= IDS_AT_ONCE); to++) rows += this.come(to);
      signal?.throwIfAborted();
      await this.writeIds(from, to, rows);
      from = to;
    }
  }

  private come(list: number): number {
    return this.layout.sizes[list] - this.before[list];
  }

  private windowMemory(memory: Float32Array | undefined): (Float32Array | undefined)[] {
    const values = this.windowRows * this.layout.dims;
    return [0, values].map((from) =>
      memory === undefined || memory.length < from + values
        ? undefined
        : memory.subarray(from, from + values),
    );
  }

  private newWindow(memory: Float32Array | undefined): Window {
    const { dims, nlist } = this.layout;
    return {
      codes: memory ?? new Float32Array(new SharedArrayBuffer(4 * this.windowRows * dims)),
      starts: new Int32Array(nlist + 1),
      come: new Int32Array(nlist),
      copies: [],
    };
  }

  /** Counts the rows of each list among the window's rows. */
  private countWindow(): void {
    const { starts, come } = this.window;
    const end = Math.min(this.layout.rows, this.first + this.windowRows);
    starts.fill(0);
    come.fill(0);
    for (let row = this.first; row < end; row++) starts[this.lists[row] + 1] += 1;
    for (let list = 0; list < come.length; list++) starts[list + 1] += starts[list];
  }

  /** Writes the full window in the background, once the one before is written, and goes on with the other. */
  private async turn(): Promise<void> {
    await this.writing;
    const full = this.window;
    this.first += this.filled;
    this.filled = 0;
    this.writing = Promise.all(full.copies.splice(0)).then(() => this.writeWindow(full));
    // A failure is thrown where the window is waited for.
    this.writing.catch(() => {});
    if (this.spare === undefined) {
      await this.writing;
    } else {
      this.window = this.spare;
      this.spare = full;
    }
    this.countWindow();
  }

  private async writeWindow({ codes, starts }: Window): Promise<void> {
    const { dims, nlist, offsets } = this.layout;
    await atOnce(WRITES, Array(nlist).keys(), async (list) => {
      const [from, to] = [starts[list], starts[list + 1]];
      if (from === to) return;
      const bytes = floatBytes(codes.subarray(from * dims, to * dims));
      await this.out.write(bytes, offsets[list] + this.written[list] * 4 * dims);
      this.written[list] += to - from;
    });
  }

  /** The ids of the rows of lists `from` up to, not including, `to`, `rows` of them. */
  private async writeIds(from: number, to: number, rows: number): Promise<void> {
    const { dims, sizes, offsets, rows: end } = this.layout;
    const ids = new BigInt64Array(rows);
    const next = new Float64Array(to - from);
    for (let list = from + 1; list < to; list++)
      next[list - from] = next[list - 1 - from] + this.come(list - 1);
    const starts = next.slice();
    for (let row = this.firstRow; row < end; row++) {
      const list = this.lists[row];
      if (list >= from && list < to) ids[next[list - from]++] = BigInt(row);
    }
    await atOnce(WRITES, Array(to - from).keys(), async (i) => {
      if (starts[i] === next[i]) return;
      const piece = ids.subarray(starts[i], next[i]);
      const list = from + i;
      const at = offsets[list] + sizes[list] * 4 * dims + this.before[list] * ID_BYTES;
      await this.out.write(Buffer.from(piece.buffer, piece.byteOffset, piece.byteLength), at);
    });
  }
}
