/** When to look, and when to build: pure decisions over times in milliseconds of a steady clock. */
import type { Unsettled } from './settling.js';

/** Changes come in bursts: a look at the first sign of one would see the least of it. */
const BURST_MS = 100;
/** A look takes at most one part in so many of the time while changes keep coming. */
const LOOK_SHARE = 5;
/** What was written a moment ago is waited for so many times as long as an input has to stay the same. */
const PATIENCE = 5;

/** How long to wait after a sign of a change before looking. `lookMs`: what the last look took. */
export function delayAfterHint(lookMs: number): number {
  return Math.max(BURST_MS, (LOOK_SHARE - 1) * lookMs);
}

/** How long to wait between looks when nothing tells of changes. */
export function delayOfPolling(pollMs: number, lookMs: number): number {
  return Math.max(pollMs, (LOOK_SHARE - 1) * lookMs);
}

/** Inputs that are complete and need only stay as they are: a build is worth waiting for them. */
export function isAboutToSettle({ missing, until }: Unsettled): boolean {
  return missing === undefined && until !== undefined;
}

/**
 * Whether a build should begin though inputs are about to settle. While more and more come it begins at last, later where
 * a build takes long. `since`: from when on there have been such inputs.
 */
export function isTimeToBuild(times: {
  at: number;
  since: number | undefined;
  settleMs: number;
  lastBuildMs: number;
}): boolean {
  const { at, since, settleMs, lastBuildMs } = times;
  return since === undefined || at - since >= Math.max(PATIENCE * settleMs, lastBuildMs);
}

/** When the next input will have stayed the same for long enough; Infinity when there is none. */
export function nextSettling(unsettled: readonly Unsettled[]): number {
  return unsettled.reduce((next, { until }) => Math.min(next, until ?? next), Number.POSITIVE_INFINITY);
}
