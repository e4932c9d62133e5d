/** Whether an archive holds what went into it: it is read back and unpacked. Knows no container, only deflated stretches. */
import { createHash } from 'node:crypto';
import { pipeline } from 'node:stream/promises';
import { createInflateRaw } from 'node:zlib';
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';

const BLOCK = 1024 * 1024;

/** Deflated bytes in an archive, and what they hold. */
export interface Packed {
  from: number;
  to: number;
  /** 64 hexadecimal digits. */
  sha256: string;
}

export interface ProofRequest {
  port: ReadPort;
  path: string;
  /** What the archive is to be called. */
  name: string;
  packed: readonly Packed[];
  signal: AbortSignal;
}

/** @throws FirnError `failed` when it does not */
export async function provePacked({ port, path, name, packed, signal }: ProofRequest): Promise<void> {
  const handle = await port.open(path);
  try {
    for (const { from, to, sha256 } of packed) {
      const hash = createHash('sha256');
      const unpacked = async (chunks: AsyncIterable<Uint8Array>): Promise<void> => {
        for await (const chunk of chunks) hash.update(chunk);
      };
      const inflate = createInflateRaw({ chunkSize: 1024 * 1024 });
      const failure = await pipeline(bytesOf(handle, from, to), inflate, unpacked, { signal }).then(
        () => undefined,
        (error: unknown) => ({ error }),
      );
      signal.throwIfAborted();
      if (failure === undefined && hash.digest('hex') === sha256) continue;
      throw new FirnError('failed', 'reads back other than it was written', {
        path: name,
        advice: 'Look at the disk.',
        ...(failure === undefined ? {} : { cause: failure.error }),
      });
    }
  } finally {
    await handle.close();
  }
}

async function* bytesOf(handle: ReadHandle, from: number, to: number): AsyncGenerator<Uint8Array> {
  for (let position = from; position < to; ) {
    const block = new Uint8Array(Math.min(BLOCK, to - position));
    const read = await handle.read(block, position);
    if (read === 0) return;
    position += read;
    yield block.subarray(0, read);
  }
}
