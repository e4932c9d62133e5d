/**
 * The fields of a release: what a lab says of the sequences behind it, by terms of FAIRe and MIxS. They are checked softly:
 * an unknown term or an odd value is told and kept. Pure; knows neither where fields come from nor where they go.
 */
import { FirnError } from '../errors.js';
import { nearest } from '../pipeline/nearest.js';
import { isDate } from './date.js';
import { TERMS, type Term } from './field-terms.js';

export type FieldValue = string | number | boolean | (string | number | boolean)[];

/** By term, in the order of their names. */
export interface Fields {
  readonly [term: string]: FieldValue;
}

/** As many choices as a message can hold. */
const NAMED = 8;
/** FAIRe separates the parts of a list so. */
const BETWEEN = /\s*\|\s*/;
/** Bases and their ambiguity codes (IUPAC), and I, which primers may hold in their place. */
const BASES = /^[ACGTURYSWKMBDHVNI]+$/;

/**
 * Fields as people write them, and what is odd about them.
 * @throws FirnError `usage` when it is no mapping at all
 */
export function readFields(given: unknown, path?: string): { fields: Fields; warnings: string[] } {
  if (given === null || given === undefined) return { fields: {}, warnings: [] };
  if (typeof given !== 'object' || Array.isArray(given)) {
    throw new FirnError('usage', 'the fields of a release are a mapping, `term: value`', {
      ...(path === undefined ? {} : { path }),
      advice: 'Write such as `target_gene: COI`, one a line.',
    });
  }
  const fields = new Map<string, FieldValue>();
  const warnings: string[] = [];
  for (const [term, value] of Object.entries(given).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))) {
    const plain = plainValue(value);
    if (plain === undefined) {
      warnings.push(`field ${term} has no value and is left out`);
      continue;
    }
    if (plain.flattened) warnings.push(`field ${term} holds more than plain values; it is kept as JSON text`);
    fields.set(term, plain.value);
    const odd = Object.hasOwn(TERMS, term) ? oddity(TERMS[term], plain.value) : unknown(term);
    if (odd !== undefined) warnings.push(`field ${term} ${odd}`);
  }
  // From entries: a term may be called __proto__.
  return { fields: Object.fromEntries(fields), warnings };
}

function unknown(term: string): string {
  const near = nearest(term, Object.keys(TERMS));
  const meant = near === undefined ? '' : `; did you mean ${near}?`;
  return `is no term of FAIRe or MIxS that firn knows${meant}`;
}

function plainValue(value: unknown): { value: FieldValue; flattened: boolean } | undefined {
  if (value === null || value === undefined || value === '') return undefined;
  if (Array.isArray(value)) {
    if (value.length === 0) return undefined;
    const flattened = !value.every(isPlain);
    return { value: value.map((one) => (isPlain(one) ? one : JSON.stringify(one))), flattened };
  }
  if (isPlain(value)) return { value, flattened: false };
  return { value: JSON.stringify(value) ?? String(value), flattened: true };
}

function isPlain(value: unknown): value is string | number | boolean {
  return (
    typeof value === 'string' ||
    typeof value === 'boolean' ||
    // JSON has neither NaN nor infinity.
    (typeof value === 'number' && Number.isFinite(value))
  );
}

/** What is odd about a value; undefined when nothing is. */
function oddity(term: Term, value: FieldValue): string | undefined {
  const parts = (Array.isArray(value) ? value : [value]).flatMap((one) =>
    typeof one === 'string' && term.kind !== 'text' ? one.split(BETWEEN) : [one],
  );
  for (const part of parts) {
    const problem = oddPart(term, part);
    if (problem !== undefined) return `is ${JSON.stringify(part)}, expected ${problem}`;
  }
  return undefined;
}

function oddPart({ kind, choices = [] }: Term, part: string | number | boolean): string | undefined {
  const text = String(part).trim();
  switch (kind) {
    case 'number':
      return text !== '' && Number.isFinite(Number(text)) ? undefined : 'a number';
    case 'integer':
      return /^-?\d+$/.test(text) ? undefined : 'a whole number';
    case 'yes-no':
      return text === '0' || text === '1' ? undefined : '0 or 1';
    case 'date':
      return isDate(text) ? undefined : 'a date such as 2024-11-30';
    case 'sequence':
      return BASES.test(text) ? undefined : 'bases in upper case (A, C, G, T and the IUPAC codes)';
    case 'choice': {
      if (choices.includes(text) || /^other:/.test(text)) return undefined;
      const near = nearest(text, choices);
      if (near !== undefined) return `such as "${near}"`;
      const more = choices.length > NAMED ? `, ... (${choices.length} in all)` : '';
      return `one of ${choices.slice(0, NAMED).join(', ')}${more}, or "other: ..."`;
    }
    default:
      return undefined;
  }
}

/** Every part of a field's value as text, `a | b` taken apart as FAIRe writes lists. */
export function partsOf(value: FieldValue | undefined): string[] {
  if (value === undefined) return [];
  return (Array.isArray(value) ? value : [value])
    .flatMap((one) => String(one).split(BETWEEN))
    .filter((part) => part !== '');
}
