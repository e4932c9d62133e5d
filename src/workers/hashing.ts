/**
 * SHA-256 of bytes that come block by block or stand in a file: of few here, of many in a worker thread. Knows no array.
 */
import { createHash } from 'node:crypto';
import type { Stretch } from './hash-jobs.js';
import type { Thread, Workers } from './pool.js';

/** SHA-256 of a stream of bytes. */
export interface StreamHash {
  /** The next bytes; they may be reused once it resolves. */
  update(bytes: Uint8Array): void | Promise<void>;
  /** The next bytes out of a file, which a thread reads by itself; how many there were. Only where a thread hashes. */
  updateFromFile?(stretch: Stretch): Promise<number>;
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
    updateFromFile: (stretch) => chosen().call<number>(JOBS, 'updateFromFile', { stream, ...stretch }),
    digest() {
      const own = chosen();
      own.held -= 1;
      return own.call(JOBS, 'finish', { stream });
    },
  };
}

/** Between two of these a digest can be stopped, and tells how far it is. */
const TOLD_BYTES = 16 * 1024 * 1024;

/**
 * Lets a thread read and hash a stretch of an open file. How many bytes of it there were; undefined when no thread can, and
 * then nothing was hashed.
 */
export async function hashFromFile(
  hash: StreamHash,
  handle: { fd?: number },
  stretch: { position: number; bytes: number },
  options: { signal?: AbortSignal | undefined; onBytes?: ((bytes: number) => void) | undefined },
): Promise<number | undefined> {
  const { fd } = handle;
  if (hash.updateFromFile === undefined || fd === undefined) return undefined;
  let done = 0;
  while (done < stretch.bytes) {
    options.signal?.throwIfAborted();
    const bytes = Math.min(TOLD_BYTES, stretch.bytes - done);
    const read = await hash.updateFromFile({ fd, position: stretch.position + done, bytes });
    options.onBytes?.(read);
    done += read;
    if (read < bytes) break;
  }
  return done;
}
