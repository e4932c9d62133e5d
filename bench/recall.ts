/** recall@10 of index files, judged by FAISS in Python. Knows no question. */
import { runQuietly } from './measure.js';
import { peer } from './programs.js';
import type { Context } from './question.js';

export interface Recall {
  index: string;
  nprobe: number;
  nlist: number;
  /** With rows of the collection as queries, each without itself. */
  rows: number;
  /** With queries that are in no collection. */
  heldOut: number;
}

/** One entry an index and nprobe, in this order. `nprobes` undefined: each index's own. */
export async function measureRecall(
  { python, data, sizes }: Context,
  array: string,
  indexes: string[],
  nprobes: number[] = [0],
): Promise<Recall[]> {
  const heldOut = await data.heldOut(sizes.recallQueries);
  const argv = [python, peer('recall.py'), array, String(sizes.recallQueries), heldOut, nprobes.join(',')];
  return JSON.parse(await runQuietly([...argv, ...indexes], data.directory)) as Recall[];
}
