/**
 * Property tests whose number of cases can be raised: FIRN_PROPERTY_RUNS=20 runs twenty times as many. The seed is fixed,
 * so that a run can be repeated; FIRN_PROPERTY_SEED gives another. fast-check prints seed, path and the smallest case of
 * a failure.
 */
import * as fc from 'fast-check';

const FACTOR = Number(process.env.FIRN_PROPERTY_RUNS ?? 1);
const SEED = Number(process.env.FIRN_PROPERTY_SEED ?? 20_240_817);

let cases = 0;
process.on('exit', () => {
  // The runner shows these lines and adds them up.
  if (process.env.FIRN_PROPERTY_RUNS !== undefined) console.log(`CASES ${cases} (seed ${SEED})`);
});

/** Checks the property in `runs` cases, or as many times more as the environment asks for. */
export async function holds(runs: number, property: fc.IRawProperty<unknown>): Promise<void> {
  const numRuns = Math.max(1, Math.round(runs * FACTOR));
  await fc.assert(property, { numRuns, seed: SEED });
  cases += numRuns;
}

/** Counts cases that were gone through without fast-check, such as a file cut at every byte. */
export function counted(number: number): void {
  cases += number;
}

export interface Edit {
  at: number;
  remove: number;
  insert: Uint8Array;
}

/** Bytes changed, inserted, removed and cut anywhere. */
export function damaged(bytes: Uint8Array): fc.Arbitrary<Buffer> {
  const place = fc.nat(bytes.length);
  const edits = fc.array(
    fc.record({ at: place, remove: fc.integer({ min: 0, max: 8 }), insert: fc.uint8Array({ maxLength: 8 }) }),
    { minLength: 1, maxLength: 3 },
  );
  const flips = fc.array(fc.tuple(place, fc.integer({ min: 1, max: 255 })), { minLength: 1, maxLength: 4 });
  // Words that mean something, where numbers are most likely to be read.
  const word = fc.constantFrom(
    0n,
    1n,
    0x7fn,
    0xffn,
    0xffffn,
    0x7fffffffn,
    0xffffffffn,
    1n << 31n,
    1n << 53n,
    (1n << 63n) - 1n,
    1n << 63n,
    (1n << 64n) - 1n,
  );
  const words = fc.array(fc.tuple(place, fc.constantFrom(1, 2, 4, 8), word), { minLength: 1, maxLength: 3 });
  return fc.oneof(
    edits.map((all) => all.reduce<Buffer>((now, one) => edited(now, one), Buffer.from(bytes))),
    flips.map((all) => flipped(bytes, all)),
    words.map((all) =>
      all.reduce<Buffer>((now, [at, size, value]) => overwritten(now, at, size, value), Buffer.from(bytes)),
    ),
    place.map((end) => Buffer.from(bytes.subarray(0, end))),
  );
}

function edited(bytes: Buffer, { at, remove, insert }: Edit): Buffer {
  return Buffer.concat([bytes.subarray(0, at), insert, bytes.subarray(at + remove)]);
}

function flipped(bytes: Uint8Array, flips: readonly (readonly [number, number])[]): Buffer {
  const copy = Buffer.from(bytes);
  for (const [at, flip] of flips) if (at < copy.length) copy[at] ^= flip;
  return copy;
}

function overwritten(bytes: Buffer, at: number, size: number, value: bigint): Buffer {
  const word = Buffer.alloc(8);
  word.writeBigUInt64LE(value);
  word.copy(bytes, at, 0, size);
  return bytes;
}
