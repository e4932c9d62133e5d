/**
 * Which run's rows stand where in a reference, and how that changes when runs come, change and go. Pure: this is where
 * "references remember" and "row ids are stable" are decided.
 */
import { createHash } from 'node:crypto';
import type { Dtype } from '../arrays/types.js';

/** The rows of one run in a reference. */
export interface Range {
  dataset: string;
  run_id: string;
  /** rows */
  count: number;
  /** Content digest of the run, as taken from its own array. */
  digest: string;
  /** In which the run was stored, and its digest taken; the reference may hold a wider one. */
  dtype: Dtype;
  /** Model version, when known. */
  version: string | null;
  /** The run itself is gone; these rows are its only copy here. */
  retained: boolean;
}

export type CurrentRun = Omit<Range, 'retained'>;

export function runName(range: { dataset: string; run_id: string }): string {
  return `${range.dataset}/${range.run_id}`;
}

export interface LayoutChange {
  /** Ranges of the reference so far, in order. */
  prior: readonly Range[];
  /** The runs that the reference is to hold now, in the order in which new ones are appended. */
  current: readonly CurrentRun[];
  /** Whether a run is still on disk, in the reference or not. */
  isPresent: (name: string) => boolean;
  /** Names whose rows are to be dropped. */
  pruned: ReadonlySet<string>;
}

/**
 * Known runs keep their place; a changed run is replaced where it stands; a run that is gone from disk is retained; a
 * run that is there but no longer asked for leaves; new ones are appended. Applied to its own result it changes nothing.
 */
export function mergeLayout(change: LayoutChange): Range[] {
  const current = new Map(change.current.map((run) => [runName(run), run]));
  const ranges: Range[] = [];
  const placed = new Set<string>();
  for (const range of change.prior) {
    const name = runName(range);
    // A reference that an older system wrote may hold a run twice; it counts once.
    if (placed.has(name) || change.pruned.has(name)) continue;
    const now = current.get(name);
    if (now !== undefined) ranges.push({ ...now, retained: false });
    else if (!change.isPresent(name)) ranges.push({ ...range, retained: true });
    else continue;
    placed.add(name);
  }
  for (const run of change.current) {
    const name = runName(run);
    if (placed.has(name) || change.pruned.has(name)) continue;
    ranges.push({ ...run, retained: false });
    placed.add(name);
  }
  return ranges;
}

/** First row of each range, and the number of rows in all as the last element. */
export function startsOf(ranges: readonly { count: number }[]): number[] {
  const starts = [0];
  for (const range of ranges) starts.push(starts[starts.length - 1] + range.count);
  return starts;
}

/** The range that holds a row, by bisection; undefined beyond the last. */
export function rangeAt(starts: readonly number[], row: number): number | undefined {
  if (row < 0 || row >= starts[starts.length - 1]) return undefined;
  let low = 0;
  let high = starts.length - 2;
  while (low < high) {
    const middle = (low + high + 1) >> 1;
    if (starts[middle] <= row) low = middle;
    else high = middle - 1;
  }
  return low;
}

/** Names what the rows are: equal for two references whose arrays hold the same runs' rows in the same order. */
export function layoutDigest(ranges: readonly { count: number; digest: string }[]): string {
  const text = ranges.map((range) => `${range.count} ${range.digest}\n`).join('');
  return `sha256:${createHash('sha256').update(text).digest('hex')}`;
}

/** Whether `layout` is the digest of the ranges that hold the first `rows` rows. */
export function isLayoutOfFirst(
  ranges: readonly { count: number; digest: string }[],
  rows: number,
  layout: unknown,
): boolean {
  let sum = 0;
  for (let i = 0; i <= ranges.length; i++) {
    if (sum === rows && layoutDigest(ranges.slice(0, i)) === layout) return true;
    if (sum > rows) return false;
    sum += ranges[i]?.count ?? 0;
  }
  return false;
}
