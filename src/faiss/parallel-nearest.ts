/**
 * NearestRows in several threads: every batch of rows goes to one of them, and what they found is put together. The
 * answer is the same whatever thread had which rows. Knows no file and no index.
 */
import type { Thread } from '../workers/pool.js';
import type { Batch } from './batches.js';
import { mergeNeighbours, type Neighbour } from './nearest.js';
import type { AddedRows, Asked } from './nearest-jobs.js';

const JOBS = new URL('./nearest-jobs.js', import.meta.url);
let searches = 0;

export class ParallelNearest {
  private readonly search = searches++;
  private readonly threads = new Map<Thread, Promise<void>>();

  constructor(private readonly asked: Omit<Asked, 'search'>) {}

  /** Compares the rows of a batch with every query; ids are row numbers. The batch may be reused once it resolves. */
  async add(thread: Thread, { data, rows, start }: Batch): Promise<void> {
    const { search } = this;
    if (!this.threads.has(thread)) {
      this.threads.set(thread, thread.call(JOBS, 'begin', { ...this.asked, search } satisfies Asked));
    }
    const added = thread.call<void>(JOBS, 'add', { search, data, rows, start } satisfies AddedRows);
    await Promise.all([this.threads.get(thread), added]);
  }

  /** Nearest first, one array a query. */
  async results(): Promise<Neighbour[][]> {
    const { queries, dims, k, metric } = this.asked;
    const parts = await Promise.all(
      [...this.threads.keys()].map((thread) =>
        thread.call<Neighbour[][]>(JOBS, 'results', { search: this.search }),
      ),
    );
    return Array.from({ length: queries.length / dims }, (_, query) =>
      mergeNeighbours(
        parts.map((part) => part[query]),
        k,
        metric,
      ),
    );
  }
}
