/** What a check is, and a group of them. */
import type { DoctorContext } from './context.js';
import type { Finding } from './finding.js';

/** Looks, changes nothing, and gives what it finds. What it throws is a finding too: no other check suffers. */
export type Check = (context: DoctorContext) => Iterable<Finding> | AsyncIterable<Finding>;

export interface Group {
  name: string;
  /** By name, for when one of them fails. */
  checks: { readonly [name: string]: Check };
  /** Whether it has a say when only some runs, references or targets are asked about. */
  whenLimited: boolean;
  /** What was looked at, in one line; undefined when there was nothing to look at. */
  summary(context: DoctorContext): string | undefined | Promise<string | undefined>;
}
