/** SHA-256 in a worker thread, several streams side by side. Called through hashing.ts. */
import { createHash, type Hash } from 'node:crypto';

const streams = new Map<number, Hash>();

export function update({ stream, bytes }: { stream: number; bytes: Uint8Array }): void {
  let hash = streams.get(stream);
  if (hash === undefined) {
    hash = createHash('sha256');
    streams.set(stream, hash);
  }
  hash.update(bytes);
}

/** The digest in hexadecimal; the stream is over. */
export function finish({ stream }: { stream: number }): string {
  const hash = streams.get(stream) ?? createHash('sha256');
  streams.delete(stream);
  return hash.digest('hex');
}
