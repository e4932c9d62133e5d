/**
 * The date of a release. RO-Crate wants one (`datePublished`), and a clock would make the same release differ from day to
 * day, so it comes from what people said: the date they give, the one in the tag, or the newest one in the names of the
 * runs. Pure; reads neither clock nor environment.
 */
import { FirnError } from '../errors.js';

const ISO = /^(\d{4})(?:-(\d{2})(?:-(\d{2})(?:T(\d{2}):(\d{2}):(\d{2})Z)?)?)?$/;

/** `2024`, `2024-11`, `2024-11-30` or `2024-11-30T12:00:00Z` (ISO 8601), and a day that there is. */
export function isDate(text: string): boolean {
  return secondsOf(text) !== undefined;
}

/** The first second of a date, since 1970; undefined when it is none. */
export function secondsOf(text: string): number | undefined {
  const found = ISO.exec(text);
  if (found === null) return undefined;
  const [year, month, day, hour, minute, second] = found
    .slice(1)
    .map((part, i) => (part === undefined ? (i === 1 || i === 2 ? 1 : 0) : Number(part)));
  const ms = Date.UTC(year, month - 1, day, hour, minute, second);
  const back = new Date(ms);
  const whole =
    back.getUTCFullYear() === year &&
    back.getUTCMonth() === month - 1 &&
    back.getUTCDate() === day &&
    [back.getUTCHours(), back.getUTCMinutes(), back.getUTCSeconds()].join() === [hour, minute, second].join();
  return whole ? ms / 1000 : undefined;
}

/**
 * The day of SOURCE_DATE_EPOCH, seconds since 1970 (reproducible-builds.org/specs/source-date-epoch).
 * @throws FirnError `usage` when it is no such number
 */
export function dayOfEpoch(text: string): string {
  const ms = Number(text) * 1000;
  if (!/^\d+$/.test(text) || Number.isNaN(new Date(ms).getTime())) {
    throw new FirnError('usage', `SOURCE_DATE_EPOCH is "${text}", expected seconds since 1970`);
  }
  return new Date(ms).toISOString().slice(0, 10);
}

/**
 * The date of a release that nobody gave: the one its tag begins with (`2024-11`, `2024-11-30-b`), or else the newest one
 * that the name of a run begins with (`2024-11-22_15-45-00`). Undefined when there is none.
 */
export function impliedDate(tag: string, runIds: readonly string[]): string | undefined {
  const ofTag = leadingDate(tag);
  if (ofTag !== undefined) return ofTag;
  return runIds
    .flatMap((run) => leadingDate(run) ?? [])
    .filter((date) => date.length === '2024-11-30'.length)
    .sort()
    .at(-1);
}

function leadingDate(text: string): string | undefined {
  const [found] = /^\d{4}-\d{2}(?:-\d{2})?(?!\d)/.exec(text) ?? [];
  return found !== undefined && isDate(found) ? found : undefined;
}
