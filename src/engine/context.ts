/** What planning and building are told, and what both open: records, remembered digests, stored outputs. Does nothing itself. */
import { join } from 'node:path';
import type { Port } from '../files/port.js';
import { Workers } from '../workers/pool.js';
import { Digests } from './digests.js';
import type { Listener } from './events.js';
import type { Failures } from './failures.js';
import { FileClock } from './file-clock.js';
import type { StepGraph } from './graph.js';
import { Records } from './records.js';
import { Store } from './store.js';
import type { Digester, Reason, Step } from './types.js';

export interface OpenOptions {
  port: Port;
  /** Absolute. */
  root: string;
  /** Absolute; the project's `cache`. */
  cacheDirectory: string;
  /** bytes of stored outputs */
  cacheLimit: number;
  digesters: ReadonlyMap<string, Digester>;
  signal: AbortSignal;
  emit: Listener;
  now: () => number;
  /** One of its own unless told. */
  clock?: FileClock;
}

export interface BuildOptions extends OpenOptions {
  /** The disk as the steps were found on it, for a first look that asks nothing twice. */
  glance: Port;
  graph: StepGraph;
  /** The steps to look at, in graph order. */
  steps: readonly Step[];
  /** Steps of these targets run whatever their records say. */
  force: ReadonlySet<string>;
  jobs: number;
  keepGoing: boolean;
  /** What others are told who waits for or holds the lock. */
  command: string;
  /** Why a step is to be left alone; those behind it are then skipped as well. */
  holdBack?: (step: Step) => Reason | undefined;
  /** Steps that failed before: not repeated while they would fail again, and kept up to date. */
  failures?: Failures;
}

export function recordsIn(cacheDirectory: string): string {
  return join(cacheDirectory, 'records.jsonl');
}

export function lockIn(cacheDirectory: string): string {
  return join(cacheDirectory, 'lock');
}

/** What was looked at when last all was fresh. */
export function freshIn(cacheDirectory: string): string {
  return join(cacheDirectory, 'fresh.jsonl');
}

/** Where commits are written down before they happen. */
export function journalIn(cacheDirectory: string): string {
  return join(cacheDirectory, 'journal');
}

export interface OpenContext {
  port: Port;
  root: string;
  digests: Digests;
  records: Records;
  store: Store;
  force: boolean;
  workers: Workers;
}

/**
 * `save`: digests are remembered beyond this program. `recallOnly`: nothing is hashed, see Digests. Whoever opens it
 * closes the workers.
 */
export function openContext(options: OpenOptions, save: boolean, recallOnly = false): OpenContext {
  const { port, root, cacheDirectory, now } = options;
  const workers = new Workers();
  const records = new Records(port, recordsIn(cacheDirectory));
  return {
    port,
    root,
    force: false,
    workers,
    records,
    store: new Store(port, join(cacheDirectory, 'objects'), options.cacheLimit, now),
    digests: new Digests(port, root, options.digesters, join(cacheDirectory, 'digests.jsonl'), {
      save,
      recallOnly,
      clock: options.clock ?? new FileClock(port, cacheDirectory, save ? undefined : now),
      workers,
      signal: options.signal,
      onBytes: (path, bytes) => options.emit({ type: 'hashing', path, bytes }),
      recordedBytes: (path) => records.bytesOf(path),
    }),
  };
}
