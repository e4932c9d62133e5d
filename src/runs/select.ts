/** Which of the known runs a target wants. Pure; knows neither the disk nor where versions come from. */
import type { RunFilter } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { Run } from './discover.js';
import { compileGlob } from './glob.js';

export interface SelectContext {
  /** The model version of a run, by name; undefined when nobody said. Asked only when the filter needs it. */
  versionOf(name: string): string | undefined;
  /** milliseconds since 1970 */
  nowMs: number;
}

/**
 * The runs that pass every part of the filter, in the order given. A list of patterns wants one of them to match; a run
 * pattern with a `/` is matched against `dataset/run`. The age of a run is that of its array (`.npy` before `.npz`, and
 * a stub has the date of the array it stands for); a run that has none yet is not older than anything. FirnError (usage): a duration or pattern that cannot be read.
 */
export function selectRuns<R extends Run>(
  runs: readonly R[],
  filter: RunFilter,
  context: SelectContext,
): R[] {
  if (filter === 'all') return [...runs];
  const dataset = anyOf(filter.dataset);
  const run = anyOf(filter.run);
  const { version, 'older-than': olderThan } = filter;
  const age = olderThan === undefined ? undefined : parseDuration(olderThan);
  return runs.filter(
    (one) =>
      (dataset === undefined || dataset.some(({ matches }) => matches(one.dataset))) &&
      (run === undefined || run.some(({ whole, matches }) => matches(whole ? one.name : one.run))) &&
      (age === undefined || ageMs(one, context.nowMs) >= age) &&
      (version === undefined || context.versionOf(one.name) === version),
  );
}

interface NamePattern {
  /** Meant for `dataset/run`. */
  whole: boolean;
  matches: (name: string) => boolean;
}

function anyOf(patterns: string | string[] | undefined): NamePattern[] | undefined {
  if (patterns === undefined) return undefined;
  return [patterns]
    .flat()
    .map((pattern) => ({ whole: pattern.includes('/'), matches: compileGlob(pattern) }));
}

/** Of the array, in milliseconds. */
export function ageMs(run: Run, nowMs: number): number {
  const stat = run.npy ?? run.npz ?? run.stub;
  return stat === undefined ? Number.NEGATIVE_INFINITY : nowMs - Number(stat.mtimeNs / 1_000_000n);
}

const MINUTE = 60_000;
const DAY = 24 * 60 * MINUTE;
const UNITS: Record<string, number> = {
  s: 1000,
  min: MINUTE,
  h: 60 * MINUTE,
  d: DAY,
  w: 7 * DAY,
  mo: 30 * DAY,
  y: 365 * DAY,
};

/** Milliseconds in `30d`, `12h`, `2w`, `1.5h`: a month is 30 days, a year 365. FirnError (usage) on anything else. */
export function parseDuration(text: string): number {
  const found = /^(\d{1,9}(?:\.\d{1,3})?) ?([a-z]+)$/.exec(text.trim());
  const unit = found !== null && Object.hasOwn(UNITS, found[2]!) ? UNITS[found[2]!] : undefined;
  if (found !== null && unit !== undefined) return Math.round(Number(found[1]) * unit);
  throw new FirnError('usage', `${JSON.stringify(text)} is no duration`, {
    advice: durationAdvice(text.trim()),
  });
}

/** How a text that is no duration was most likely meant. */
export function durationAdvice(text: string): string {
  const known = `A number and one of ${Object.keys(UNITS).join(', ')}, such as 30d, 12h or 2w.`;
  if (/^\d+$/.test(text)) return `Did you mean ${text}d? ${known}`;
  const [, minutes] = /^(\d+) ?m$/.exec(text) ?? [];
  return minutes === undefined
    ? known
    : `Did you mean ${minutes}min (minutes) or ${minutes}mo (months)? ${known}`;
}
