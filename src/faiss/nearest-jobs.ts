/** The nearest of the rows that come to one thread, for several searches side by side. Called through parallel-nearest.ts. */
import type { Metric } from './format.js';
import { NearestRows, type Neighbour } from './nearest.js';
import { threadEngine } from './thread-engine.js';

export interface Asked {
  search: number;
  /** n * dims values */
  queries: Float32Array;
  dims: number;
  k: number;
  metric: Metric;
  /** For each query the row that may not answer it. */
  except: Float64Array | undefined;
}

const searches = new Map<number, NearestRows>();

export async function begin({ search, queries, dims, k, metric, except }: Asked): Promise<void> {
  const accept =
    except === undefined ? undefined : (id: number, query: number): boolean => id !== except[query];
  searches.set(search, new NearestRows(queries, dims, k, metric, await threadEngine(), accept));
}

export interface AddedRows {
  search: number;
  data: Float32Array;
  rows: number;
  /** Id of the first; the others follow. */
  start: number;
}

export async function add({ search, data, rows, start }: AddedRows): Promise<void> {
  await searches.get(search)?.add({ data, count: rows, id: (row) => start + row });
}

/** The search is over in this thread. */
export function results({ search }: { search: number }): Neighbour[][] {
  const found = searches.get(search)?.results() ?? [];
  searches.delete(search);
  return found;
}
