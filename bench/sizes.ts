/** How much is measured: in earnest, and small to see that the harness works. Knows no question. */

export interface Sizes {
  /** The shared collection. */
  runs: number;
  rows: number;
  dims: number;
  /** Lists of the IVF index that both sides train alike, and training rows a list. */
  nlist: number;
  trainingRowsPerList: number;
  /** Numbers of lists searched at which recall is compared. */
  nprobes: number[];
  /** Queries that recall is measured with, of each kind. */
  recallQueries: number;
  /** Queries of the exact search, and how often both sides run it: FAISS may take a minute. */
  exactQueries: number;
  exactRepeats: number;
  /** Runs of tiny arrays when there is nothing to do; the first also for slow peers. */
  idleRuns: number[];
  /** Runs of the collections that show growth. */
  growthRuns: number[];
  /** Targets of which one is edited. */
  targets: number;
}

export const FULL: Sizes = {
  runs: 40,
  rows: 25_000,
  dims: 256,
  nlist: 1024,
  trainingRowsPerList: 256,
  nprobes: [1, 4, 16],
  recallQueries: 1000,
  exactQueries: 10_000,
  exactRepeats: 3,
  idleRuns: [40, 2500, 5000, 10_000],
  growthRuns: [40, 80, 160],
  targets: 100,
};

export const QUICK: Sizes = {
  runs: 8,
  rows: 2500,
  dims: 32,
  nlist: 64,
  trainingRowsPerList: 256,
  nprobes: [1, 4, 16],
  recallQueries: 100,
  exactQueries: 200,
  exactRepeats: 1,
  idleRuns: [8, 50, 100, 200],
  growthRuns: [8, 16, 32],
  targets: 10,
};
