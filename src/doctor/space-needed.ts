/**
 * How much room steps need that are done one after the other. Pure: a step writes its outputs beside those that stand, which
 * go when the new ones have their names.
 */

export interface StepBytes {
  /** Of its outputs as they stand. */
  before: number;
  /** Of its outputs as they will be, about. */
  after: number;
}

/** The most that is needed at any time, in bytes beyond what is taken now. */
export function peakOf(steps: readonly StepBytes[]): number {
  let grown = 0;
  let peak = 0;
  for (const { before, after } of steps) {
    peak = Math.max(peak, grown + after);
    grown += after - before;
  }
  return peak;
}

/** A reference: its array, and its metadata with a list of every row or without. */
export function referenceBytes(
  rows: number,
  dims: number,
  valueBytes: number,
  runs: number,
  listsRows: boolean,
): number {
  return rows * dims * valueBytes + runs * 300 + (listsRows ? rows * 110 : 0);
}

/** An index of float32 vectors, each with a number; beyond 10,000 rows there are centroids, too. */
export function indexBytes(rows: number, dims: number): number {
  return rows * (4 * dims + 8) + Math.ceil(Math.sqrt(rows)) * 4 * dims;
}
