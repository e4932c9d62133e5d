/**
 * What comes out of files in `cache/` and is to be a record or a commit. A line has a checksum, but anybody can make one:
 * what is not of the right kind, or leads out of the project, is passed over as if it had never been written. Pure.
 */
import { basename, dirname } from 'node:path/posix';
import { isInside } from '../files/inside.js';
import { isTemporary } from '../files/temporary.js';
import type { Move } from './stage.js';
import type { StepRecord } from './types.js';

const DIGEST = /^sha256:[0-9a-f]{64}$/;

export function isDigest(value: unknown): value is string {
  return typeof value === 'string' && DIGEST.test(value);
}

export function isRecord(value: unknown): value is StepRecord {
  if (!isObject(value)) return false;
  const { step, key, manifest, outputs, stats } = value;
  return (
    typeof step === 'string' &&
    typeof key === 'string' &&
    Array.isArray(manifest) &&
    manifest.every(
      (entry) => Array.isArray(entry) && typeof entry[0] === 'string' && typeof entry[1] === 'string',
    ) &&
    Array.isArray(outputs) &&
    outputs.every(isOutput) &&
    (stats === undefined || isObject(stats))
  );
}

function isOutput(value: unknown): boolean {
  return (
    isObject(value) &&
    typeof value.kind === 'string' &&
    typeof value.path === 'string' &&
    isInside(value.path) &&
    isDigest(value.digest) &&
    (value.stored === undefined || isDigest(value.stored))
  );
}

/** From a staging folder beside it to the name of an output. */
export function isMove(value: unknown): value is Move {
  if (!isObject(value)) return false;
  const { from, to } = value;
  if (typeof from !== 'string' || typeof to !== 'string' || !isInside(from) || !isInside(to)) return false;
  const stage = dirname(from);
  return isTemporary(stage) && dirname(stage) === dirname(to) && basename(from) === basename(to);
}

export function isObject(value: unknown): value is { [name: string]: unknown } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
