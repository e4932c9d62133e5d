/**
 * The decisions about training an index: on how many rows, into how many lists, and when what was trained no longer
 * fits. Pure; knows no file and no vector.
 */

/** Up to this many rows an index is Flat: a complete scan takes milliseconds and is exact. */
export const FLAT_ROWS = 10_000;

/** FAISS warns below 39 training rows a list; they suffice when there are many lists. */
export const ROWS_PER_LIST = 39;
/** Small collections are trained on whole. */
const SAMPLE_ROWS = 65_536;
/** The sample is held in memory: at most 256 MiB of float32. */
const SAMPLE_VALUES = 64 * 1024 * 1024;

/** Growth and drift up to which centroids are kept. */
export const GROWTH = 2;
export const DRIFT = 1.5;

/** What an index says about its own training. */
export interface Training {
  /** The centroids are a function of the first so many rows. */
  trainedRows: number;
  /** Rows of the index. */
  rows: number;
  /** nlist * sum(n^2) / (sum n)^2 over the list sizes n: 1 when all are equal. Over all rows... */
  imbalance: number;
  /** ...and over the rows trained on: what the data itself brings, such as many equal sequences. */
  trainedImbalance: number;
}

/**
 * On how many of `rows` rows the next index is trained. The earlier training is kept, so that appending costs no
 * retraining, until the collection has more than twice the rows trained on, or the imbalance of the lists is more
 * than 1.5 times what it was on those rows; then, and without an earlier index, all rows are trained on.
 */
export function pickTrainedRows(prior: Training | undefined, rows: number): number {
  if (prior === undefined || prior.trainedRows < 1 || prior.trainedRows > rows) return rows;
  if (rows > GROWTH * prior.trainedRows) return rows;
  if (prior.imbalance > DRIFT * prior.trainedImbalance) return rows;
  return prior.trainedRows;
}

/** Rows of the training sample for so many lists. */
export function sampleRows(nlist: number, dims: number, rowsPerList = ROWS_PER_LIST): number {
  const wanted = Math.max(SAMPLE_ROWS, rowsPerList * nlist);
  return Math.max(nlist, Math.min(wanted, Math.floor(SAMPLE_VALUES / dims)));
}

/**
 * Lists for an index trained on so many rows: the power of two nearest to their square root, where comparing with the
 * centroids and looking into one or two lists cost about the same; fewer where the training sample could not fill them.
 */
export function pickLists(trainedRows: number, eligibleRows: number, dims: number): number {
  const near = 2 ** Math.round(Math.log2(Math.sqrt(trainedRows)));
  const held = Math.min(eligibleRows, Math.floor(SAMPLE_VALUES / dims));
  return Math.max(1, Math.min(near, Math.floor(held / ROWS_PER_LIST)));
}

/** nlist * sum(n^2) / (sum n)^2: 1 for equal lists, nlist when one list holds everything. */
export function imbalanceOf(sizes: Float64Array): number {
  let sum = 0;
  let squares = 0;
  for (const size of sizes) {
    sum += size;
    squares += size * size;
  }
  return sum === 0 ? 1 : (sizes.length * squares) / (sum * sum);
}
