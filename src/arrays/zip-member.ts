/**
 * The bytes of one zip member in order, inflated piece by piece and checked against the directory: no byte more than
 * it promised is let through, and at the end the size and the CRC-32 must agree. Knows no npy.
 */
import { Readable } from 'node:stream';
import { pipeline } from 'node:stream/promises';
import * as zlib from 'node:zlib';
import { errnoOf, FirnError } from '../errors.js';
import type { ReadHandle } from '../files/port.js';
import { readExactly } from './read-exactly.js';
import type { ZipEntry } from './zip-directory.js';

const READ_BYTES = 1024 * 1024;
const INFLATED_BYTES = 512 * 1024;

/** One pass over a member from its first byte. Opening reads nothing yet; `close` is always needed. */
export class MemberStream {
  /** Bytes handed out or skipped so far. */
  position = 0;
  private chunk: Uint8Array = new Uint8Array(0);
  private readonly chunks: AsyncGenerator<Uint8Array>;

  constructor(
    private readonly handle: ReadHandle,
    private readonly entry: ZipEntry,
  ) {
    const pieces = storedPieces(handle, entry);
    this.chunks = checked(
      entry.method === 'stored' ? pieces : inflated(pieces, handle, entry),
      handle,
      entry,
    );
  }

  /** The next bytes of the member, exactly as many as `into` holds. */
  async readInto(into: Uint8Array): Promise<void> {
    await this.advance(into.length, into);
  }

  /** Moves forward to byte `position` of the member. */
  async skipTo(position: number): Promise<void> {
    await this.advance(position - this.position, undefined);
  }

  /** Reads what is left, so that size and CRC-32 of the whole member are checked. */
  async finish(): Promise<void> {
    while (!(await this.chunks.next()).done);
  }

  async close(): Promise<void> {
    await this.chunks.return(undefined);
  }

  private async advance(count: number, into: Uint8Array | undefined): Promise<void> {
    for (let done = 0; done < count; ) {
      if (this.chunk.length === 0) {
        const next = await this.chunks.next();
        if (next.done) throw corrupt(this.handle, this.entry, `it ends after ${this.position} bytes`);
        this.chunk = next.value;
      }
      const taken = this.chunk.subarray(0, count - done);
      into?.set(taken, done);
      this.chunk = this.chunk.subarray(taken.length);
      this.position += taken.length;
      done += taken.length;
    }
  }
}

async function* storedPieces(handle: ReadHandle, entry: ZipEntry): AsyncGenerator<Uint8Array> {
  for (let at = 0; at < entry.compressed; at += READ_BYTES) {
    const piece = new Uint8Array(Math.min(READ_BYTES, entry.compressed - at));
    await readExactly(handle, piece, entry.dataStart + at);
    yield piece;
  }
}

async function* inflated(
  pieces: AsyncGenerator<Uint8Array>,
  handle: ReadHandle,
  entry: ZipEntry,
): AsyncGenerator<Uint8Array> {
  const source = Readable.from(pieces, { objectMode: true, highWaterMark: 1 });
  const inflate = zlib.createInflateRaw({ chunkSize: INFLATED_BYTES });
  const piped = pipeline(source, inflate);
  // What goes wrong in the pipe destroys `inflate` with that error and so comes up in the loop.
  piped.catch(() => {});
  try {
    for await (const chunk of inflate) yield chunk;
  } catch (error) {
    if (errnoOf(error)?.startsWith('Z_') !== true) throw error;
    throw corrupt(handle, entry, (error as Error).message);
  } finally {
    inflate.destroy();
    await piped.catch(() => {});
  }
}

async function* checked(
  chunks: AsyncGenerator<Uint8Array>,
  handle: ReadHandle,
  entry: ZipEntry,
): AsyncGenerator<Uint8Array> {
  let size = 0;
  let crc = 0;
  for await (const chunk of chunks) {
    size += chunk.length;
    if (size > entry.size)
      throw corrupt(handle, entry, `it holds more than the ${entry.size} bytes it claims`);
    crc = zlib.crc32(chunk, crc);
    yield chunk;
  }
  if (size !== entry.size) throw corrupt(handle, entry, `it holds ${size} bytes and claims ${entry.size}`);
  if (crc !== entry.crc32) throw corrupt(handle, entry, 'its CRC-32 is wrong');
}

function corrupt(handle: ReadHandle, entry: ZipEntry, problem: string): FirnError {
  return new FirnError('input', `its member ${JSON.stringify(entry.name)} is damaged: ${problem}`, {
    path: handle.path,
    advice: 'Copy it again from where it came, or save it again with numpy.savez_compressed.',
  });
}
