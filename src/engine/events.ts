/** What a build tells while it goes on. The engine emits these and prints nothing; reporters render them. */
import type { Json, Reason, Step, StepRecord } from './types.js';

export type StepStatus = 'ran' | 'fresh' | 'restored' | 'failed' | 'interrupted' | 'skipped';

export interface StepOutcome {
  id: string;
  target: string;
  status: StepStatus;
  /** Why it ran, was skipped or failed; empty for a fresh one. */
  reasons: Reason[];
  error?: unknown;
  seconds: number;
  stats?: { [name: string]: Json };
}

export type BuildEvent =
  | { type: 'begin'; steps: number }
  | { type: 'waiting'; holder: string }
  | { type: 'hashing'; path: string; bytes: number }
  | { type: 'start'; step: string; reasons: Reason[]; restore: boolean }
  | { type: 'progress'; step: string; done: number; total: number; unit: string }
  | { type: 'log'; step: string; line: string }
  | { type: 'warning'; step?: string; message: string }
  | { type: 'finish'; outcome: StepOutcome; finished: number; steps: number }
  | { type: 'end'; summary: BuildSummary };

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
