/** Goals compared with what was measured. Pure; knows no question. */
import type { Verdict } from './question.js';

type Show = (value: number) => string;

/** A value that is undefined was not measured, because a peer is missing. */
export function atMost(what: string, value: number | undefined, limit: number, show: Show): Verdict {
  return verdict(`${what}: at most ${show(limit)}`, value, (measured) => measured <= limit, show);
}

export function atLeast(what: string, value: number | undefined, limit: number, show: Show): Verdict {
  return verdict(`${what}: at least ${show(limit)}`, value, (measured) => measured >= limit, show);
}

export function below(what: string, value: number | undefined, limit: number, show: Show): Verdict {
  return verdict(`${what}: below ${show(limit)}`, value, (measured) => measured < limit, show);
}

function verdict(
  goal: string,
  value: number | undefined,
  holds: (measured: number) => boolean,
  show: Show,
): Verdict {
  if (value === undefined) return { goal, measured: 'not measured', reached: null };
  return { goal, measured: show(value), reached: holds(value) };
}

export function share(value: number): string {
  return `${Number((value * 100).toPrecision(3))} %`;
}

export function times(value: number): string {
  return `${Number(value.toPrecision(3))} times`;
}

export function fraction(value: number): string {
  return value.toFixed(3);
}

export function mebibytes(value: number): string {
  return `${Math.round(value)} MiB`;
}

export function duration(seconds: number): string {
  if (seconds < 0.9995) return `${Number((seconds * 1000).toPrecision(3))} ms`;
  return `${seconds < 99.95 ? seconds.toFixed(seconds < 9.995 ? 2 : 1) : Math.round(seconds)} s`;
}

export function megabytes(bytes: number): string {
  return `${Number((bytes / 1e6).toPrecision(4))} MB`;
}
