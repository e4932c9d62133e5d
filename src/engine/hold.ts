/** Work on a project's files that no build may do at the same time. Knows no work. */
import type { Port } from '../files/port.js';
import { journalIn, recordsIn } from './context.js';
import { Records } from './records.js';
import { acquireBuildLock, completeCommits } from './recover.js';

export interface HoldRequest {
  port: Port;
  /** Of the project, absolute. */
  root: string;
  /** Its `cache`, absolute. */
  cacheDirectory: string;
  /** As others are told who wait, such as `firn adopt`. */
  command: string;
  signal?: AbortSignal;
  /** Told once who holds the lock. */
  onWait: (holder: string) => void;
}

/** Waits for the lock of the project, completes what a killed build had decided to write, and does the work. */
export async function holdProject<T>(request: HoldRequest, work: () => Promise<T>): Promise<T> {
  const { port, root, cacheDirectory, command, signal, onWait } = request;
  const lock = await acquireBuildLock(port, cacheDirectory, {
    command,
    onWait,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const records = new Records(port, recordsIn(cacheDirectory));
    await completeCommits({ port, root, journalDirectory: journalIn(cacheDirectory), records });
    await records.close();
    return await work();
  } finally {
    await lock.release();
  }
}
