/** SHA-256 in a worker thread, several streams side by side. Called through hashing.ts. */
import { createHash, type Hash } from 'node:crypto';
import { readSync } from 'node:fs';

const streams = new Map<number, Hash>();

function hashOf(stream: number): Hash {
  const hash = streams.get(stream) ?? createHash('sha256');
  streams.set(stream, hash);
  return hash;
}

export function update({ stream, bytes }: { stream: number; bytes: Uint8Array }): void {
  hashOf(stream).update(bytes);
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
export function updateFromFile({ stream, fd, position, bytes }: Stretch & { stream: number }): number {
  const hash = hashOf(stream);
  for (let done = 0; done < bytes; ) {
    const read = readSync(fd, piece, 0, Math.min(PIECE, bytes - done), position + done);
    if (read === 0) return done;
    hash.update(piece.subarray(0, read));
    done += read;
  }
  return bytes;
}

/** The digest in hexadecimal; the stream is over. */
export function finish({ stream }: { stream: number }): string {
  const digest = hashOf(stream).digest('hex');
  streams.delete(stream);
  return digest;
}
