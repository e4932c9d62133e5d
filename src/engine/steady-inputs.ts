/**
 * Whether the inputs of a step stayed what they were while it read them. Equal digests before and after do not say so: a
 * file may have held something else in between. Knows no rule.
 */
import { FirnError } from '../errors.js';
import type { Digests } from './digests.js';
import { type Digest, type Input, inputId, nameOf, type Step } from './types.js';

/** By input: what `stat` said of each of its files. */
export type Stamps = ReadonlyMap<Input, ReadonlyMap<string, string>>;

/** Taken before a step reads anything; of a rule that proves what it read nothing is needed. */
export function stampsOf(step: Step, digests: Digests): Stamps {
  if (step.rule.proves) return new Map();
  return new Map(step.inputs.map((input) => [input, digests.stamps(input)]));
}

/**
 * The inputs whose files were written to, or touched, since. Throws FirnError (failed) for an input that is not what it was:
 * it must not be recorded as what was built.
 */
export async function touchedInputs(
  step: Step,
  { digests, before, stamps }: { digests: Digests; before: ReadonlyMap<string, Digest>; stamps: Stamps },
): Promise<Input[]> {
  const touched: Input[] = [];
  for (const input of step.inputs) {
    const now = await digests.get(input);
    if (now?.digest !== before.get(inputId(input))?.digest) {
      throw new FirnError('failed', `${nameOf(input)} changed while ${step.id} read it`, {
        path: input.path,
        advice: 'Nothing was written. Build again when it is complete.',
      });
    }
    // A container that came or went, as when the run is compressed meanwhile, is no change of the one that was read.
    const stamp = stamps.get(input);
    const isTouched = [...digests.stamps(input)].some(
      ([file, now]) => stamp?.has(file) && stamp.get(file) !== now,
    );
    if (isTouched) touched.push(input);
  }
  return touched;
}

/** Digests that no build finds: a step recorded with them is done again. */
export function inDoubt(before: ReadonlyMap<string, Digest>, touched: readonly Input[]): Map<string, Digest> {
  const digests = new Map(before);
  for (const input of touched) digests.set(inputId(input), { digest: 'touched while it was read' });
  return digests;
}
