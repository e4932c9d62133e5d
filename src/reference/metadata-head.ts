/**
 * What firn reads of consolidated_metadata.json, and whether it is what firn wrote. The check in the file can be made by
 * anybody, so every field is looked at as well. Pure; knows no file.
 */
import { createHash } from 'node:crypto';
import { BYTES_OF, type Dtype } from '../arrays/types.js';
import { isRunName } from '../runs/run-name.js';
import type { Range } from './layout.js';

export interface Head {
  total_sequences: number;
  total_runs: number;
  datasets: string[];
  embedding_dim: number;
  firn: {
    format: number;
    dtype: string;
    embeddings: string;
    layout: string;
    trained_rows?: number;
    release?: { name: string; tag: string; date: string };
    check: string;
  };
  runs: (Range & { start: number })[];
}

/** Shows whether what firn reads of the file is as firn wrote it. */
export function checkOf(dims: unknown, said: Omit<Head['firn'], 'check'>, runs: Head['runs']): string {
  return `sha256:${createHash('sha256')
    .update(JSON.stringify([dims, said, runs]))
    .digest('hex')}`;
}

/** As read: whatever stands under these names. */
export type ReadHead = { [field in keyof Head]?: unknown };

export function isAsWritten(head: ReadHead): head is Head {
  return isWhole(head) && isUnaltered(head);
}

function isUnaltered({ embedding_dim, firn, runs }: Head): boolean {
  const { check, ...said } = firn;
  try {
    if (check === checkOf(embedding_dim, said, runs)) return true;
    // Another program wrote the file anew, with members in the order of their names.
    const { release } = said;
    const ordered = inOrder(said, SAID);
    if (release !== undefined) ordered.release = inOrder(release, RELEASE);
    const ranges = runs.map((range) => inOrder(range, RANGE));
    return check === checkOf(embedding_dim, ordered, ranges);
  } catch {
    // Further fields, nested too deeply to be written again.
    return false;
  }
}

/** As firn writes them. */
const SAID = ['format', 'dtype', 'embeddings', 'layout', 'trained_rows', 'release'];
const RELEASE = ['name', 'tag', 'date'];
const RANGE = ['dataset', 'run_id', 'start', 'count', 'digest', 'dtype', 'version', 'retained'];

/** The same members, those of `names` first; one that is not among them is still seen. */
function inOrder<T extends object>(value: T, names: readonly string[]): T {
  const members = new Map(Object.entries(value));
  const known = names.filter((name) => members.has(name)).map((name) => [name, members.get(name)]);
  const others = [...members].filter(([name]) => !names.includes(name));
  return Object.fromEntries([...known, ...others]) as T;
}

/** Whether all that is read of the file is of the kind it has to be; its check can be made by anybody. */
function isWhole(head: ReadHead): head is Head {
  const { dtype, embeddings, trained_rows: trained, release } = head.firn as { [field: string]: unknown };
  return (
    areRanges(head.runs) &&
    head.runs.every((range) => isCount((range as { start?: unknown }).start)) &&
    Number.isSafeInteger(head.runs.reduce((sum, { count }) => sum + count, 0)) &&
    isCount(head.embedding_dim) &&
    isDtype(String(dtype).slice(1)) &&
    typeof embeddings === 'string' &&
    (trained === undefined || isCount(trained)) &&
    (release === undefined || isRelease(release))
  );
}

/** What a record is to hold, too. */
export function areRanges(value: unknown): value is Range[] {
  return Array.isArray(value) && value.every((range) => isObject(range) && isRange(range));
}

function isRange(range: { [field: string]: unknown }): boolean {
  const { dataset, run_id, count, digest, dtype, version, retained } = range;
  return (
    typeof dataset === 'string' &&
    typeof run_id === 'string' &&
    isRunName(`${dataset}/${run_id}`) &&
    isCount(count) &&
    typeof digest === 'string' &&
    isDtype(dtype) &&
    (version === null || typeof version === 'string') &&
    typeof retained === 'boolean'
  );
}

function isRelease(release: unknown): boolean {
  return isObject(release) && ['name', 'tag', 'date'].every((field) => typeof release[field] === 'string');
}

export function isObject(value: unknown): value is { [field: string]: unknown } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function isCount(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}

function isDtype(value: unknown): value is Dtype {
  return typeof value === 'string' && Object.hasOwn(BYTES_OF, value);
}
