/**
 * The list of a row: that of the nearest centroid. A product proposes a few, and where its rounding leaves a doubt between
 * them, exact distances decide. So nearly every row gets the list that FAISS would give it, and by codes the same one
 * whoever multiplies. Knows no file.
 */
import type { Metric } from './format.js';
import { type Candidates, candidatesFor, type MatrixEngine } from './matrix.js';
import { NearestRows } from './nearest.js';
import { type Grid, type Scorer, scorerOf } from './quantize.js';
import { dot, squaredL2 } from './vector-math.js';

/** Centroids that a product proposes. */
const PROPOSED = 4;
/** The share of rows that must get their nearest centroid by codes; below, floats are used. */
const AGREEMENT = 0.99;

/** How candidates come about, and by how much two scores may differ that could be the other way round. */
export interface Scoring {
  by: Scorer['kind'];
  margin: number;
}

export interface Quantizer {
  /** nlist * dims values */
  centroids: Float32Array;
  grid: Grid;
  metric: Metric;
  scorer: Scorer;
  margin: number;
}

/** What a quantizer is made of, before it is decided how rows are scored. */
export type Place = Pick<Quantizer, 'centroids' | 'grid' | 'metric'>;

/** In memory that threads share, since every batch is sent with it. */
export function quantizerOf({ centroids, grid, metric }: Place, { by, margin }: Scoring): Quantizer {
  const scorer = scorerOf(by, centroids, grid, metric);
  const shared: Scorer =
    scorer.kind === 'codes'
      ? { ...scorer, codes: sharedBytes(scorer.codes), bias: sharedFloats(scorer.bias) }
      : { ...scorer, values: sharedFloats(scorer.values), bias: sharedFloats(scorer.bias) };
  return { centroids: sharedFloats(centroids), grid, metric, margin, scorer: shared };
}

function sharedFloats(values: Float32Array): Float32Array {
  const copy = new Float32Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}

function sharedBytes(values: Int8Array): Int8Array {
  const copy = new Int8Array(new SharedArrayBuffer(values.byteLength));
  copy.set(values);
  return copy;
}

/** Finds the lists of rows (n * dims values). */
export async function assignLists(
  engine: MatrixEngine,
  { centroids, grid, metric, scorer, margin }: Quantizer,
  rows: Float32Array,
  into: Uint16Array | Int32Array,
): Promise<void> {
  const candidates = candidatesFor(into.length, Math.min(PROPOSED, scorer.nlist));
  await engine.candidates(rows, grid, scorer, candidates);
  for (let row = 0; row < into.length; row++) {
    into[row] = settle(rows, row, candidates, centroids, metric, margin);
  }
}

/** The first candidate, or of those that come close to it the exactly nearest; of equal ones the smaller number. */
function settle(
  rows: Float32Array,
  row: number,
  { each, lists, scores }: Candidates,
  centroids: Float32Array,
  metric: Metric,
  margin: number,
): number {
  const first = row * each;
  const least = scores[first] - margin;
  let best = lists[first];
  if (each === 1 || !(scores[first + 1] >= least)) return best;
  const dims = rows.length / (lists.length / each);
  let most = exactScore(rows, row, centroids, best, dims, metric);
  for (let i = first + 1; i < first + each && scores[i] >= least; i++) {
    const score = exactScore(rows, row, centroids, lists[i], dims, metric);
    if (score > most || (score === most && lists[i] < best)) {
      most = score;
      best = lists[i];
    }
  }
  return best;
}

/** Larger is nearer. For L2 half the squared distance, so that differences are those of scores. */
function exactScore(
  rows: Float32Array,
  row: number,
  centroids: Float32Array,
  list: number,
  dims: number,
  metric: Metric,
): number {
  return metric === 'l2'
    ? -squaredL2(rows, row * dims, centroids, list * dims, dims) / 2
    : dot(rows, row * dims, centroids, list * dims, dims);
}

/** Tries codes on some rows against exact distances, and takes floats where codes are too coarse to tell centroids apart. */
export async function chooseScoring(
  engine: MatrixEngine,
  place: Place,
  rows: Float32Array,
): Promise<Scoring> {
  const { centroids, grid, metric } = place;
  const dims = grid.centre.length;
  const exact = new NearestRows(rows, dims, 1, metric, engine);
  await exact.add({ data: centroids, count: centroids.length / dims, id: (list) => list });
  const nearest = exact.results();
  const byCodes: Scoring = { by: 'codes', margin: await marginOfCodes(engine, place, rows) };
  const lists = new Int32Array(nearest.length);
  await assignLists(engine, quantizerOf(place, byCodes), rows, lists);
  const agreeing = nearest.filter(([best], row) => best?.id === lists[row]).length;
  if (agreeing >= AGREEMENT * nearest.length) return byCodes;
  return { by: 'floats', margin: marginOfFloats(place, rows) };
}

/** Twice the largest error of codes that is seen in the difference of two scores; the same from every engine. */
async function marginOfCodes(
  engine: MatrixEngine,
  { centroids, grid, metric }: Place,
  rows: Float32Array,
): Promise<number> {
  const dims = grid.centre.length;
  const scorer = scorerOf('codes', centroids, grid, metric);
  const each = Math.min(PROPOSED, scorer.nlist);
  const found = candidatesFor(rows.length / dims, each);
  await engine.candidates(rows, grid, scorer, found);
  const { lists, scores } = found;
  let largest = 0;
  for (let row = 0; row < rows.length / dims; row++) {
    const first = exactScore(rows, row, centroids, lists[row * each], dims, metric);
    for (let i = row * each + 1; i < (row + 1) * each; i++) {
      const exact = first - exactScore(rows, row, centroids, lists[i], dims, metric);
      largest = Math.max(largest, Math.abs(scores[row * each] - scores[i] - exact));
    }
  }
  return finite(2 * largest);
}

/** Rounding of float32: half a unit in the last place. */
const ROUNDING = 2 ** -24;

/**
 * What rounding may do to the difference of two scores of rows like these: sums of d products are off by at most d roundings
 * of |x||c| and of |c|^2 / 2, in each of the two; twice that.
 */
function marginOfFloats({ centroids, grid, metric }: Place, rows: Float32Array): number {
  const dims = grid.centre.length;
  const origin = metric === 'l2' ? grid.centre : new Float32Array(dims);
  const x = longest(rows, grid.centre);
  const c = longest(centroids, origin);
  return finite(4 * (dims + 4) * ROUNDING * (x * c + (c * c) / 2));
}

function longest(rows: Float32Array, origin: Float32Array): number {
  const dims = origin.length;
  let most = 0;
  for (let row = 0; row < rows.length; row += dims) {
    let squares = 0;
    for (let i = 0; i < dims; i++) squares += (rows[row + i] - origin[i]) ** 2;
    most = Math.max(most, squares);
  }
  return Math.sqrt(most);
}

/** JSON has no other numbers. */
function finite(margin: number): number {
  return Number.isFinite(margin) ? margin : Number.MAX_VALUE;
}
