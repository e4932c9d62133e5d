/** Finds the lists of rows in a worker thread. Called through ivf-build.ts and ivf-train.ts. */
import { assignLists, chooseScoring, type Place, type Quantizer, type Scoring } from './assignment.js';
import { firstNotFinite } from './batches.js';
import { threadEngine } from './thread-engine.js';

export interface Assignment {
  /** rows * dims values */
  data: Float32Array;
  quantizer: Quantizer;
  /** Where the list of each row is written. */
  lists: Uint16Array | Int32Array;
}

/** The position of the first value that is not finite, and then nothing is written; -1 when all are. */
export async function assignRows({ data, quantizer, lists }: Assignment): Promise<number> {
  const bad = firstNotFinite(data);
  if (bad < 0) await assignLists(await threadEngine(), quantizer, data, lists);
  return bad;
}

export interface Trial {
  place: Place;
  /** n * dims values */
  rows: Float32Array;
}

export async function tryScoring({ place, rows }: Trial): Promise<Scoring> {
  return chooseScoring(await threadEngine(), place, rows);
}
