/** A thread's share of one iteration of k-means. Called through kmeans.ts. */
import type { Share, ShareSums } from './kmeans.js';
import { candidatesFor } from './matrix.js';
import { threadEngine } from './thread-engine.js';

/** Finds the list of each row of the share, and adds up the rows of every list. */
export async function assignShare({ rows, from, to, grid, scorer, lists }: Share): Promise<ShareSums> {
  const { dims, nlist } = scorer;
  const engine = await threadEngine();
  const nearest = candidatesFor(to - from, 1);
  await engine.candidates(rows.subarray(from * dims, to * dims), grid, scorer, nearest);
  lists.set(nearest.lists, from);
  const sizes = new Float64Array(nlist);
  const sums = new Float64Array(nlist * dims);
  for (let row = from; row < to; row++) {
    const list = lists[row];
    sizes[list] += 1;
    for (let i = 0; i < dims; i++) sums[list * dims + i] += rows[row * dims + i];
  }
  return { sizes, sums };
}
