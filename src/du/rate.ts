/** How fast runs come, from the dates of the last ones. Pure. */

export interface Arrival {
  name: string;
  /** milliseconds since 1970 */
  dateMs: number;
  rows: number;
  /** Of its folder. */
  bytes: number;
}

export interface Rate {
  /** The runs it was taken from. */
  runs: number;
  runsPerDay: number;
  /** Median. */
  rowsPerRun: number;
  rowsPerDay: number;
  firstMs: number;
  lastMs: number;
}

const DAY_MS = 86_400_000;
/** The last so many tell how fast runs come now. */
const LAST_RUNS = 30;
/** From fewer, or over fewer days, nothing is told. */
const LEAST_RUNS = 5;
const LEAST_DATES = 3;
const LEAST_DAYS = 7;

export function lastOf(arrivals: readonly Arrival[]): Arrival[] {
  return [...arrivals].sort((a, b) => a.dateMs - b.dateMs).slice(-LAST_RUNS);
}

/**
 * Runs a day: the median of the slopes between all pairs of runs (P. K. Sen, J. Am. Stat. Assoc. 63, 1968), which a pause
 * or a day on which many came does not mislead. Rows a day: that, times the median of rows. Undefined: too few runs.
 */
export function rateOf(arrivals: readonly Arrival[]): Rate | undefined {
  const last = lastOf(arrivals.filter(({ rows }) => rows > 0));
  const days = new Set(last.map(({ dateMs }) => Math.floor(dateMs / DAY_MS)));
  if (last.length < LEAST_RUNS || days.size < LEAST_DATES) return undefined;
  const [firstMs, lastMs] = [last[0].dateMs, last[last.length - 1].dateMs];
  if (lastMs - firstMs < LEAST_DAYS * DAY_MS) return undefined;
  const slopes: number[] = [];
  for (let i = 0; i < last.length; i++) {
    for (let j = i + 1; j < last.length; j++) {
      const apart = (last[j].dateMs - last[i].dateMs) / DAY_MS;
      if (apart > 0) slopes.push((j - i) / apart);
    }
  }
  const runsPerDay = median(slopes);
  const rowsPerRun = median(last.map(({ rows }) => rows));
  return {
    runs: last.length,
    runsPerDay,
    rowsPerRun,
    rowsPerDay: runsPerDay * rowsPerRun,
    firstMs,
    lastMs,
  };
}

export function median(values: readonly number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

/** `2024-11-20_10-30-00`, `20241120`, `2024-11`: with or without a time, anywhere in a name. */
const DATE =
  /(?<!\d)(20\d{2})([-_.]?)(0[1-9]|1[0-2])(?:\2(0[1-9]|[12]\d|3[01])(?:[T_ -](\d{2})[-:.]?(\d{2})(?:[-:.]?(\d{2}))?)?(?!\d)|(?![-_.]?\d))/;

/** The date that stands in the name of a run, in local time; undefined when there is none, or it is yet to come. */
export function dateInName(name: string, nowMs: number): number | undefined {
  const found = DATE.exec(name);
  if (found === null) return undefined;
  const [, year, separator, month, day, hour = '0', minute = '0', second = '0'] = found;
  // Six digits alone may be any number.
  if (day === undefined && separator === '') return undefined;
  const date = new Date(+year, +month - 1, +(day ?? 1), +hour, +minute, +second).getTime();
  return date > nowMs + DAY_MS ? undefined : date;
}
