/**
 * Hashes of bytes that come block by block or stand in a file: of few here, of many in a worker thread. SHA-256 unless
 * told; one pass over the bytes feeds several algorithms. Knows no array.
 */
import { createHash } from 'node:crypto';
import { named } from '../errors.js';
import type { Stretch } from './hash-jobs.js';
import type { Thread, Workers } from './pool.js';

/** What takes a stream of bytes. */
interface StreamSink {
  /** The next bytes; they may be reused once it resolves. */
  update(bytes: Uint8Array): void | Promise<void>;
  /** The next bytes out of a file, which a thread reads by itself; how many there were. Only where a thread hashes. */
  updateFromFile?(stretch: Stretch): Promise<number>;
}

/** SHA-256 of a stream of bytes. */
export interface StreamHash extends StreamSink {
  /** In hexadecimal; the stream is over. */
  digest(): Promise<string>;
}

/** Several hashes of one stream of bytes. */
export interface StreamHashes extends StreamSink {
  /** In hexadecimal, in the order of the algorithms; the stream is over. */
  digests(): Promise<string[]>;
}

/** Fewer bytes than this are hashed faster than another thread hears of them. */
const ELSEWHERE_FROM = 1024 * 1024;

const JOBS = new URL('./hash-jobs.js', import.meta.url);
let streams = 0;

/** A hash for about so many bytes. Without workers it is computed here. */
export function streamHash(bytes: number, workers: Workers | undefined): StreamHash {
  const { digests, ...sink } = streamHashes(bytes, workers, ['sha256']);
  return { ...sink, digest: async () => (await digests())[0] };
}

/** As `streamHash`, by algorithms as node:crypto names them. */
export function streamHashes(
  bytes: number,
  workers: Workers | undefined,
  algorithms: readonly string[],
): StreamHashes {
  if (workers === undefined || bytes < ELSEWHERE_FROM) {
    const hashes = algorithms.map((algorithm) => createHash(algorithm));
    return {
      update(block) {
        for (const hash of hashes) hash.update(block);
      },
      digests: async () => hashes.map((hash) => hash.digest('hex')),
    };
  }
  return elsewhere(workers, algorithms);
}

function elsewhere(workers: Workers, algorithms: readonly string[]): StreamHashes {
  const stream = { stream: streams++, algorithms };
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
      return chosen().call(JOBS, 'update', { ...stream, bytes: sent });
    },
    updateFromFile: (stretch) => chosen().call<number>(JOBS, 'updateFromFile', { ...stream, ...stretch }),
    digests() {
      const own = chosen();
      own.held -= 1;
      return own.call(JOBS, 'finish', stream);
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
  hash: StreamSink,
  handle: { fd?: number; path: string },
  stretch: { position: number; bytes: number },
  options: { signal?: AbortSignal | undefined; onBytes?: ((bytes: number) => void) | undefined },
): Promise<number | undefined> {
  const { fd, path } = handle;
  const { updateFromFile } = hash;
  if (updateFromFile === undefined || fd === undefined) return undefined;
  let done = 0;
  while (done < stretch.bytes) {
    options.signal?.throwIfAborted();
    const bytes = Math.min(TOLD_BYTES, stretch.bytes - done);
    const part = { fd, position: stretch.position + done, bytes };
    const read = await named(path, () => updateFromFile.call(hash, part));
    options.onBytes?.(read);
    done += read;
    if (read < bytes) break;
  }
  return done;
}
