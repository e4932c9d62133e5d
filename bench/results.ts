/** The file of results: one entry a question, so that measuring some leaves the others as they were. */
import { existsSync, readFileSync, writeFileSync } from 'node:fs';
import type { Environment } from './machine.js';
import type { Answer } from './question.js';

export interface Result {
  id: string;
  title: string;
  goal: string;
  method: string;
  /** The day, such as 2024-05-01. */
  day: string;
  load: string;
  repeats: number;
  /** With small sizes, to try the harness. */
  quick: boolean;
  /** Peers whose rows are left out. */
  missing: string[];
  environment: Environment;
  answer: Answer;
}

const FORMAT = 1;

/** In the order of the file; none when it is not there. */
export function readResults(path: string): Result[] {
  if (!existsSync(path)) return [];
  const { format, results } = JSON.parse(readFileSync(path, 'utf8')) as { format: number; results: Result[] };
  if (format !== FORMAT) throw new Error(`${path} is of another format: remove it and measure everything`);
  return results;
}

/** Each new result in the place of the old one, in the order of the letters. */
export function merge(old: readonly Result[], fresh: readonly Result[]): Result[] {
  const kept = old.filter(({ id }) => !fresh.some((one) => one.id === id));
  return [...kept, ...fresh].sort((left, right) => (left.id < right.id ? -1 : 1));
}

export function writeResults(path: string, results: readonly Result[]): void {
  writeFileSync(path, `${JSON.stringify({ format: FORMAT, results }, null, 2)}\n`);
}
