/**
 * SHA-256 of bytes that come block by block: of few here, of many in a worker thread. Knows neither files nor arrays.
 */
import { createHash } from 'node:crypto';
import type { Thread, Workers } from './pool.js';

/** SHA-256 of a stream of bytes. */
export interface StreamHash {
  /** The next bytes; they may be reused once it resolves. */
  update(bytes: Uint8Array): void | Promise<void>;
  /** In hexadecimal; the stream is over. */
  digest(): Promise<string>;
}

/** Fewer bytes than this are hashed faster than another thread hears of them. */
const ELSEWHERE_FROM = 1024 * 1024;

const JOBS = new URL('./hash-jobs.js', import.meta.url);
let streams = 0;

/** A hash for about so many bytes. Without workers it is computed here. */
export function streamHash(bytes: number, workers: Workers | undefined): StreamHash {
  if (workers === undefined || bytes < ELSEWHERE_FROM) {
    const hash = createHash('sha256');
    return {
      update: (block) => void hash.update(block),
      digest: async () => hash.digest('hex'),
    };
  }
  return elsewhere(workers);
}

function elsewhere(workers: Workers): StreamHash {
  const stream = streams++;
  // All blocks of a stream go to one thread, chosen when the first one comes.
  let thread: Thread | undefined;
  const chosen = (): Thread => {
    if (thread === undefined) {
      thread = workers.idlest();
      thread.held += 1;
    }
    return thread;
  };
  return {
    update(bytes) {
      // A view of memory that is not shared would be sent with all the memory around it.
      const sent = bytes.buffer instanceof SharedArrayBuffer ? bytes : bytes.slice();
      return chosen().call(JOBS, 'update', { stream, bytes: sent });
    },
    digest() {
      const own = chosen();
      own.held -= 1;
      return own.call(JOBS, 'finish', { stream });
    },
  };
}
