/** Hashes in a worker thread, several streams side by side, each by one algorithm or more. Called through hashing.ts. */
import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';

const streams = new Map<number, Hash[]>();

interface Stream {
  stream: number;
  /** As node:crypto names them; the same in every call of a stream. */
  algorithms: readonly string[];
}

function hashesOf({ stream, algorithms }: Stream): Hash[] {
  const hashes = streams.get(stream) ?? algorithms.map((algorithm) => createHash(algorithm));
  streams.set(stream, hashes);
  return hashes;
}

export function update({ bytes, ...stream }: Stream & { bytes: Uint8Array }): void {
  for (const hash of hashesOf(stream)) hash.update(bytes);
}

/** Bytes read and hashed at once: they stay in the cache of a core. */
const PIECE = 256 * 1024;
const piece = Buffer.alloc(PIECE);

export interface Stretch {
  /** Of a file that another thread holds open. */
  fd: number;
  position: number;
  bytes: number;
}

/** Hashes a stretch of a file; how many bytes of it there were. */
export function updateFromFile({ fd, position, bytes, ...stream }: Stretch & Stream): number {
  const hashes = hashesOf(stream);
  for (let done = 0; done < bytes; ) {
    const read = readSync(fd, piece, 0, Math.min(PIECE, bytes - done), position + done);
    if (read === 0) return done;
    for (const hash of hashes) hash.update(piece.subarray(0, read));
    done += read;
  }
  return bytes;
}

/** The digests in hexadecimal, in the order of the algorithms; the stream is over. */
export function finish(stream: Stream): string[] {
  const digests = hashesOf(stream).map((hash) => hash.digest('hex'));
  streams.delete(stream.stream);
  return digests;
}
