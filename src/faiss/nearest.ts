/**
 * The k nearest of many rows to each of several queries, rows coming in blocks. Distances are computed as they are
 * defined, in double precision, and rounded once to float32; a matrix product may only say which rows are worth
 * that. So the answer does not depend on who multiplies. Knows no file and no index.
 */
import type { Metric } from './format.js';
import { type MatrixEngine, type Products, plainEngine } from './matrix.js';
import { dot, squaredL2 } from './vector-math.js';

export interface Neighbour {
  id: number;
  /** Squared Euclidean distance, or the inner product: a float32, as FAISS reports it. */
  distance: number;
}

/** Whether the row with this id may answer the query with this number. */
export type Accept = (id: number, query: number) => boolean;

/** The k nearest of answers that were found among different rows. */
export function mergeNeighbours(parts: Neighbour[][], k: number, metric: Metric): Neighbour[] {
  const sign = metric === 'l2' ? 1 : -1;
  return parts
    .flat()
    .sort((a, b) => sign * (a.distance - b.distance) || a.id - b.id)
    .slice(0, k);
}

/** The smallest k keys seen so far, equal keys by smaller id: a heap whose first is the one to go next. */
class Best {
  private count = 0;
  private readonly keys: Float32Array;
  private readonly ids: Float64Array;

  constructor(private readonly k: number) {
    this.keys = new Float32Array(k);
    this.ids = new Float64Array(k);
  }

  /** No key above this one can enter. */
  get limit(): number {
    return this.count < this.k ? Infinity : this.keys[0];
  }

  enters(key: number, id: number): boolean {
    // Negated so that NaN never enters.
    if (!(key <= this.limit)) return false;
    return this.count < this.k || key < this.keys[0] || id < this.ids[0];
  }

  /** A key that enters. */
  add(key: number, id: number): void {
    if (this.count < this.k) this.raise(this.count++, key, id);
    else this.lower(key, id);
  }

  private raise(from: number, key: number, id: number): void {
    let at = from;
    while (at > 0) {
      const parent = (at - 1) >>> 1;
      if (!this.isBefore(parent, key, id)) break;
      this.put(at, this.keys[parent], this.ids[parent]);
      at = parent;
    }
    this.put(at, key, id);
  }

  /** In the place of the first. */
  private lower(key: number, id: number): void {
    let at = 0;
    for (let child = 1; child < this.k; child = 2 * at + 1) {
      const other = child + 1;
      if (other < this.k && this.isBefore(child, this.keys[other], this.ids[other])) child = other;
      if (this.isBefore(child, key, id)) break;
      this.put(at, this.keys[child], this.ids[child]);
      at = child;
    }
    this.put(at, key, id);
  }

  private isBefore(at: number, key: number, id: number): boolean {
    return this.keys[at] < key || (this.keys[at] === key && this.ids[at] < id);
  }

  private put(at: number, key: number, id: number): void {
    this.keys[at] = key;
    this.ids[at] = id;
  }

  /** Nearest first. */
  neighbours(metric: Metric): Neighbour[] {
    const { keys, ids } = this;
    const order = Uint32Array.from({ length: this.count }, (_, i) => i);
    order.sort((a, b) => keys[a] - keys[b] || ids[a] - ids[b]);
    return Array.from(order, (i) => ({ id: ids[i], distance: metric === 'l2' ? keys[i] : 0 - keys[i] }));
  }
}

/** A block of rows and the id of each. */
export interface Rows {
  /** count * dims values */
  data: Float32Array;
  count: number;
  id(row: number): number;
}

/** Below this many multiplications a block is compared directly: preparing a product would cost more. */
const PRODUCT_FROM = 1 << 19;
/** Queries and rows in one product: the scores stay in the cache of a core. */
const QUERIES_AT_ONCE = 256;
const ROWS_AT_ONCE = 1024;
/** Rounding of float32: half a unit in the last place. */
const ROUNDING = 2 ** -24;
/** Beyond this squares overflow float32, and below the other they lose bits: a product says nothing. */
const LARGE = 1e18;
const SMALL = 1e-15;

export class NearestRows {
  private readonly best: Best[];
  private readonly norms: Float64Array;
  /** Memory of products, made for the first. */
  private piece = new Float32Array(0);
  private found: Products | undefined;

  /** @param queries n * dims values @param accept asked only about rows that would otherwise be an answer */
  constructor(
    private readonly queries: Float32Array,
    private readonly dims: number,
    k: number,
    private readonly metric: Metric,
    private readonly engine: MatrixEngine = plainEngine,
    private readonly accept?: Accept,
  ) {
    const count = queries.length / dims;
    this.best = Array.from({ length: count }, () => new Best(k));
    this.norms = Float64Array.from({ length: count }, (_, q) =>
      dot(queries, q * dims, queries, q * dims, dims),
    );
  }

  /** Nearest first, one array a query; fewer than k where fewer rows were seen or accepted. */
  results(): Neighbour[][] {
    return this.best.map((best) => best.neighbours(this.metric));
  }

  /** Compares rows with the queries of these numbers (all of them unless told). */
  async add(rows: Rows, which?: Int32Array): Promise<void> {
    const asked = which ?? Int32Array.from(this.best, (_, query) => query);
    const work = asked.length * rows.count * this.dims;
    if (this.engine === plainEngine || asked.length < 2 || work < PRODUCT_FROM) {
      for (const query of asked) {
        for (let row = 0; row < rows.count; row++) this.offer(query, rows, row);
      }
    } else {
      await this.addByProduct(rows, asked);
    }
  }

  private offer(query: number, rows: Rows, row: number): void {
    const { dims, queries } = this;
    const at = query * dims;
    const key = Math.fround(
      this.metric === 'l2'
        ? squaredL2(queries, at, rows.data, row * dims, dims)
        : -dot(queries, at, rows.data, row * dims, dims),
    );
    const best = this.best[query];
    const id = rows.id(row);
    if (best.enters(key, id) && (this.accept === undefined || this.accept(id, query))) best.add(key, id);
  }

  private async addByProduct(rows: Rows, asked: Int32Array): Promise<void> {
    const { dims } = this;
    if (this.piece.length === 0) this.piece = new Float32Array(ROWS_AT_ONCE * dims);
    for (let from = 0; from < rows.count; from += ROWS_AT_ONCE) {
      const to = Math.min(rows.count, from + ROWS_AT_ONCE);
      // Copied, since the runtime takes no shared memory.
      const data = this.piece.subarray(0, (to - from) * dims);
      data.set(rows.data.subarray(from * dims, to * dims));
      const piece: Rows = {
        data,
        count: to - from,
        id: (row) => rows.id(from + row),
      };
      await this.addPiece(piece, asked);
    }
  }

  private async addPiece(rows: Rows, asked: Int32Array): Promise<void> {
    this.found ??= {
      scores: new Float32Array(Math.min(this.best.length, QUERIES_AT_ONCE) * ROWS_AT_ONCE),
      most: new Float32Array(QUERIES_AT_ONCE),
      halves: new Float32Array(ROWS_AT_ONCE),
    };
    const { found, dims, metric } = this;
    for (let from = 0; from < asked.length; from += QUERIES_AT_ONCE) {
      const part = asked.subarray(from, from + QUERIES_AT_ONCE);
      await this.engine.products(this.gather(part), rows.data, dims, metric, found);
      const length = Math.sqrt(2 * largest(found.halves.subarray(0, rows.count)));
      for (let i = 0; i < part.length; i++) {
        const scores = found.scores.subarray(i * rows.count, (i + 1) * rows.count);
        this.offerPromising(part[i], rows, scores, found.most[i], length);
      }
    }
  }

  /** The queries of these numbers, one after the other. */
  private gather(which: Int32Array): Float32Array {
    const { dims, queries } = this;
    const [first, last] = [which[0], which[which.length - 1]];
    // Mostly a stretch as it stands.
    if (last - first === which.length - 1) return queries.subarray(first * dims, (last + 1) * dims);
    const gathered = new Float32Array(which.length * dims);
    for (const [i, query] of which.entries()) {
      gathered.set(queries.subarray(query * dims, (query + 1) * dims), i * dims);
    }
    return gathered;
  }

  /** Offers every row whose score, given its rounding error, allows a key that enters. */
  private offerPromising(
    query: number,
    rows: Rows,
    scores: Float32Array,
    most: number,
    length: number,
  ): void {
    const norm = Math.sqrt(this.norms[query]);
    if (!(length > SMALL && length < LARGE && norm < LARGE)) {
      for (let row = 0; row < rows.count; row++) this.offer(query, rows, row);
      return;
    }
    // Sums of d products are off by at most d roundings of |q||x| and of |x|^2 / 2; twice that is safe.
    const slack = 2 * (this.dims + 4) * ROUNDING * (norm * length + (length * length) / 2);
    const best = this.best[query];
    const lowest = (): number => {
      const limit = best.limit + Math.abs(best.limit) * 2 * ROUNDING;
      if (limit === Infinity) return -Infinity;
      return (this.metric === 'l2' ? (this.norms[query] - limit) / 2 : -limit) - slack;
    };
    let threshold = lowest();
    // Mostly none comes near.
    if (most < threshold) return;
    for (let row = 0; row < rows.count; row++) {
      if (scores[row] >= threshold) {
        this.offer(query, rows, row);
        threshold = lowest();
      }
    }
  }
}

/** NaN where any value is: of such rows a product says nothing. */
function largest(values: Float32Array): number {
  let most = 0;
  for (const value of values) {
    if (Number.isNaN(value)) return value;
    if (value > most) most = value;
  }
  return most;
}
