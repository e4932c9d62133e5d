/** recall@10 of index files, judged by FAISS in Python. Knows no question. */
import { runQuietly } from './measure.js';
import { peer } from './programs.js';
import type { Context } from './question.js';

export interface Recall {
  index: string;
  nprobe: number;
  nlist: number;
  /** With rows of the collection as queries, each without itself; null when none was asked. */
  rows: number | null;
  /** With queries that are in no collection. */
  heldOut: number;
}

export interface RecallQueries {
  /** So many rows of the collection. */
  rows: number;
  /** So many rows that are in no collection. */
  heldOut: number;
  /** Each index's own unless told. */
  nprobes?: number[];
}

/** One entry an index and nprobe, in this order. */
export async function measureRecall(
  { python, data }: Context,
  array: string,
  indexes: string[],
  { rows, heldOut, nprobes = [0] }: RecallQueries,
): Promise<Recall[]> {
  const queries = await data.heldOut(heldOut);
  const argv = [python, peer('recall.py'), array, String(rows), queries, nprobes.join(',')];
  return JSON.parse(await runQuietly([...argv, ...indexes], data.directory)) as Recall[];
}
