/** What a question of the suite is, and what its answer holds. Knows no particular question and no Markdown. */
import type { Collection } from './collection.js';
import type { Data } from './data.js';
import type { Measured } from './measure.js';
import type { Sizes } from './sizes.js';
import type { Spread } from './spread.js';
import type { Tool } from './tools.js';

export interface Question {
  /** One letter. */
  id: string;
  title: string;
  /** In words; the verdicts say it piece by piece. */
  goal: string;
  /** What is measured and how, for a reader who wants to doubt it. */
  method: string;
  run(context: Context): Promise<Answer>;
}

/** What a question is given. */
export interface Context {
  sizes: Sizes;
  /** Runs of each program, unless the question's method says otherwise. */
  repeats: number;
  data: Data;
  /** The collection that several questions share. */
  collection: Collection;
  /** Python with numpy and FAISS. */
  python: string;
  /** Whether the tool is there; when not, it is said loudly, and its rows are left out. */
  has(tool: Tool): boolean;
  /** Tells whoever waits how far it is. */
  say(line: string): void;
  /** A new empty folder beside the data, so on the same disk; the runner removes it after the question. */
  folder(name: string): string;
}

export interface Row {
  /** Rows of one group are compared with the group's first row, firn's. */
  group: string;
  who: string;
  runs: number;
  seconds: Spread;
  /** MiB, of the largest single process. */
  memory: Spread | null;
  /** Further columns by title. */
  figures: { [title: string]: string };
}

export interface Verdict {
  goal: string;
  measured: string;
  /** Null: not measured. */
  reached: boolean | null;
}

export interface Answer {
  rows: Row[];
  verdicts: Verdict[];
  /** What a reader should know of this measurement, a sentence or two each. */
  notes: string[];
}

/** A row of what was measured; `seconds` replaces the time of the whole process. */
export function rowOf(
  who: string,
  { runs, seconds, memory }: Measured,
  more: { group?: string; seconds?: Spread; figures?: { [title: string]: string } } = {},
): Row {
  const { group = '', figures = {} } = more;
  return { group, who, runs, seconds: more.seconds ?? seconds, memory, figures };
}
