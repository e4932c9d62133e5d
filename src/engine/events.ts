/** What a build tells while it goes on. The engine emits these and prints nothing; reporters render them. */
import type { Json, Reason, Step, StepRecord } from './types.js';

/** What became of a step. restored: its outputs came from `cache/` instead of being computed. */
export type StepStatus = 'ran' | 'fresh' | 'restored' | 'failed' | 'interrupted' | 'skipped';

/** A step that has ended, or was not begun. */
export interface StepOutcome {
  /** `target` or `target:dataset/run`. */
  id: string;
  target: string;
  status: StepStatus;
  /** Why it ran, was skipped or failed; empty for a fresh one. */
  reasons: Reason[];
  /** Of a failed or interrupted one; a FirnError unless something unexpected happened. */
  error?: unknown;
  seconds: number;
  /** What it said of itself: rows, ratios, recall. */
  stats?: { [name: string]: Json };
}

/**
 * What happens in a build, in order: `begin`, then of each step that does something `start` and `finish` and what it tells
 * in between, of any other `finish` alone, and `end`. A build that fails as a whole has no `end`.
 */
export type BuildEvent =
  | { type: 'begin'; steps: number }
  /** Another build works in this project. */
  | { type: 'waiting'; holder: string }
  /** So many more bytes of an input or output were read for its digest. */
  | { type: 'hashing'; path: string; bytes: number }
  | { type: 'start'; step: string; reasons: Reason[]; restore: boolean }
  | { type: 'progress'; step: string; done: number; total: number; unit: string }
  /** A line that a program printed. */
  | { type: 'log'; step: string; line: string }
  | { type: 'warning'; step?: string; message: string }
  | { type: 'finish'; outcome: StepOutcome; finished: number; steps: number }
  | { type: 'end'; summary: BuildSummary };

/** A build that has ended: how many steps of each status, and every outcome in the order of steps. */
export interface BuildSummary {
  ran: number;
  fresh: number;
  restored: number;
  failed: number;
  interrupted: number;
  skipped: number;
  seconds: number;
  outcomes: StepOutcome[];
}

export type Listener = (event: BuildEvent) => void;

export function freshOutcome(step: Step, { stats }: Pick<StepRecord, 'stats'>, seconds: number): StepOutcome {
  const { id, target } = step;
  return { id, target, status: 'fresh', reasons: [], seconds, ...(stats === undefined ? {} : { stats }) };
}
