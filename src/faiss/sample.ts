/**
 * Which rows an index is trained on and which it is measured with: both are functions of row numbers alone, so that
 * the same rows are chosen again years later. Knows no values.
 */

/** A small generator (mulberry32, public domain): 32-bit state, the same numbers on every machine. */
export class Random {
  constructor(private state: number) {}

  /** A number in [0, 1). */
  next(): number {
    this.state = (this.state + 0x6d2b79f5) | 0;
    let x = Math.imul(this.state ^ (this.state >>> 15), this.state | 1);
    x ^= x + Math.imul(x ^ (x >>> 7), x | 61);
    return ((x ^ (x >>> 14)) >>> 0) / 4294967296;
  }

  /** A whole number in [0, limit). */
  below(limit: number): number {
    return Math.floor(this.next() * limit);
  }
}

/** Fewer trained rows than this are all used for training; the measurement then asks with trained rows. */
const HOLD_OUT_FROM = 2048;
const HOLD_OUT_ONE_IN = 32;

/** Whether a row is kept out of training, so that recall is measured on vectors the centroids never saw. */
function isHeldOut(row: number): boolean {
  let x = Math.imul(row ^ 0x9e3779b9, 0x85ebca6b);
  x = Math.imul(x ^ (x >>> 13), 0xc2b2ae35);
  return ((x ^ (x >>> 16)) >>> 0) % HOLD_OUT_ONE_IN === 0;
}

/** How many of the first `trainedRows` rows may be trained on. */
export function eligibleRows(trainedRows: number): number {
  if (trainedRows < HOLD_OUT_FROM) return trainedRows;
  let count = 0;
  for (let row = 0; row < trainedRows; row++) if (!isHeldOut(row)) count += 1;
  return count;
}

/**
 * `wanted` of the first `trainedRows` rows, ascending, every eligible row equally likely (selection sampling:
 * Knuth, The Art of Computer Programming, volume 2, 3.4.2, algorithm S). All of them when there are fewer.
 */
export function trainingSample(trainedRows: number, wanted: number, seed: number): Float64Array {
  let remaining = eligibleRows(trainedRows);
  const sample = new Float64Array(Math.min(wanted, remaining));
  const random = new Random(seed);
  let taken = 0;
  for (let row = 0; taken < sample.length; row++) {
    if (trainedRows >= HOLD_OUT_FROM && isHeldOut(row)) continue;
    if (random.next() * remaining < sample.length - taken) sample[taken++] = row;
    remaining -= 1;
  }
  return sample;
}

/** At most `wanted` rows spread evenly over all `rows`, ascending, none of them trained on where that is possible. */
export function queryRows(rows: number, trainedRows: number, wanted: number): Float64Array {
  const heldOut = trainedRows >= HOLD_OUT_FROM;
  let total = rows;
  if (heldOut) {
    total = 0;
    for (let row = 0; row < rows; row++) if (isHeldOut(row)) total += 1;
  }
  const chosen = new Float64Array(Math.min(wanted, total));
  let taken = 0;
  let seen = 0;
  for (let row = 0; row < rows && taken < chosen.length; row++) {
    if (heldOut && !isHeldOut(row)) continue;
    if (seen === Math.floor((taken * total) / chosen.length)) chosen[taken++] = row;
    seen += 1;
  }
  return chosen;
}
