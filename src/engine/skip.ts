/**
 * Why a step is left alone before anything about it is decided: what it waits for did not come about, the caller holds it
 * back, or it failed and would fail again. The build and the look whether there is anything to do ask the same.
 */
import type { BuildOptions } from './context.js';
import type { StepOutcome } from './events.js';
import { upstreamOf } from './graph.js';
import type { Reason, Step } from './types.js';

/** `stopped`: another step failed, and the build is not to go on. */
export function whySkip(
  step: Step,
  outcomes: ReadonlyMap<string, StepOutcome>,
  options: BuildOptions,
  stopped = false,
): Reason | undefined {
  for (const id of upstreamOf(options.graph, step)) {
    const status = outcomes.get(id)?.status;
    if (status === 'failed') return { code: 'upstream', text: `${id} failed` };
    if (status === 'interrupted') return { code: 'interrupted', text: `${id} was interrupted` };
    if (status === 'skipped') return { code: 'upstream', text: `${id} was skipped` };
  }
  if (options.signal.aborted) return { code: 'interrupted', text: 'the build was interrupted' };
  if (stopped) return { code: 'upstream', text: 'the build stopped at a failure' };
  return options.holdBack?.(step) ?? options.failures?.standing(step, options);
}

export function skippedOutcome({ id, target }: Step, reason: Reason): StepOutcome {
  return { id, target, status: 'skipped', reasons: [reason], seconds: 0 };
}
