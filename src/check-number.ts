/** Numbers that a program asks with: what is none would make a loop that never ends, or leave things out in silence. */
import { FirnError } from './errors.js';

/** Throws FirnError (usage) unless it is left out, or a number of at least `least`. */
export function checkNumber(name: string, value: number | undefined, least: number): void {
  check(name, value, least, 'number', value !== undefined && value >= least);
}

/** The same for a whole number; Infinity counts as one. */
export function checkWholeNumber(name: string, value: number | undefined, least: number): void {
  const isWhole = Number.isSafeInteger(value) || value === Number.POSITIVE_INFINITY;
  check(name, value, least, 'whole number', isWhole && Number(value) >= least);
}

function check(name: string, value: unknown, least: number, kind: string, holds: boolean): void {
  if (value === undefined || (typeof value === 'number' && holds)) return;
  throw new FirnError('usage', `${name} must be a ${kind} of at least ${least}, found ${value}`);
}
