/** The engine of one worker thread: every thread multiplies alone, so that all cores are busy with rows of their own. */
import { loadEngine, type MatrixEngine } from './matrix.js';

let engine: Promise<MatrixEngine> | undefined;

export function threadEngine(): Promise<MatrixEngine> {
  engine ??= loadEngine(1);
  return engine;
}
