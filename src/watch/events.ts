/** What a watch tells while it goes on. It prints nothing; reporters render these. */
import type { BuildEvent } from '../engine/events.js';

/** An input that is left alone until it is complete and stays as it is. */
export interface WaitedFor {
  /** `dataset/run`, or the path of a file. */
  name: string;
  /** What it lacks: `embeddings.npy has 512 of 10368 bytes`. Without: it is complete and was changed a moment ago. */
  missing?: string;
}

/** What happens while a project is watched. */
export type WatchEvent =
  /** At the beginning, and when the way to notice changes becomes another one. `why`: what keeps folders from being watched. */
  | { type: 'watching'; how: 'events'; folders: number }
  | { type: 'watching'; how: 'polling'; seconds: number; why?: string }
  /** Whenever these become others; empty when there is nothing left to wait for. */
  | { type: 'waiting'; inputs: WaitedFor[] }
  /** Another process builds in this project. */
  | { type: 'locked'; holder: string }
  /** Once for each. `goesOn`: pipeline.yaml cannot be used, and the pipeline as it was before stays in use. */
  | { type: 'problem'; error: unknown; goesOn: boolean }
  /** The last problem is gone. */
  | { type: 'mended' }
  /** What the targets and the folder of runs had to say, once. */
  | { type: 'warning'; message: string }
  | { type: 'build'; event: BuildEvent }
  /** All that can be done now is done. `failing`: steps that failed and are not tried again until something changes. */
  | { type: 'idle'; failing: string[] };
