/**
 * The bytes of a sequence file, unpacked when they are gzip: plain, several members (as bgzip writes), block by
 * block. Decided by the first bytes, never by the name. Knows nothing about sequences.
 */
import { pipeline, Readable } from 'node:stream';
import { createGunzip } from 'node:zlib';
import { errnoOf, FirnError, messageOf } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { adviceFor, reasonOf } from '../system-errors.js';

const BLOCK = 256 * 1024;

export interface ReadOptions {
  signal?: AbortSignal;
  /** Called with the number of bytes just read from the file, before unpacking: progress against its size. */
  onBytes?: (bytes: number) => void;
}

/** Compressions that firn does not read, by their first bytes. */
const FOREIGN: [name: string, magic: number[]][] = [
  ['zstd', [0x28, 0xb5, 0x2f, 0xfd]],
  ['xz', [0xfd, 0x37, 0x7a, 0x58, 0x5a, 0x00]],
  ['bzip2', [0x42, 0x5a, 0x68]],
  ['zip', [0x50, 0x4b, 0x03, 0x04]],
];

/** The empty block that ends every BGZF file (SAM specification 4.1.2). Without it the end was cut off. */
const BGZF_END = Buffer.from('1f8b08040000000000ff0600424302001b0003000000000000000000', 'hex');

/**
 * The unpacked bytes of `path`, in blocks that belong to the caller.
 * FirnError: missing, cannot be read, compressed in another way, gzip data cut short or damaged.
 */
export async function* readBytes(
  port: ReadPort,
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<Buffer> {
  const handle = await openFile(port, path);
  try {
    const head = Buffer.alloc(18);
    const magic = head.subarray(0, await readAt(handle, head, 0));
    const foreign = FOREIGN.find(([, start]) => start.every((byte, i) => magic[i] === byte));
    if (foreign !== undefined) {
      throw new FirnError('input', `is compressed with ${foreign[0]}; expected plain text or gzip`, {
        path,
        advice: 'Unpack it, or pack it again with gzip.',
      });
    }
    if (magic[0] === 0x1f && magic[1] === 0x8b) {
      if (isBgzf(magic)) await expectBgzfEnd(handle);
      yield* unpack(handle, options);
    } else {
      yield* blocks(handle, options);
    }
  } finally {
    await handle.close();
  }
}

async function openFile(port: ReadPort, path: string): Promise<ReadHandle> {
  // Before opening: a named pipe would wait for its writer, and a device may have no end.
  const kind = port.stat(path)?.kind;
  if (kind === 'directory') {
    throw new FirnError('input', 'is a folder, expected a file of sequences', {
      path,
      advice: 'Name one of the files in it.',
    });
  }
  if (kind === 'other') {
    throw new FirnError('input', 'is a pipe or a device; only files are read', {
      path,
      advice: 'Write the sequences to a file first.',
    });
  }
  try {
    return await port.open(path);
  } catch (error) {
    if (errnoOf(error) === 'ENOENT') throw new FirnError('missing', 'there is no such file', { path });
    throw unreadable(path, error);
  }
}

async function readAt(handle: ReadHandle, into: Uint8Array, position: number): Promise<number> {
  try {
    return await handle.read(into, position);
  } catch (error) {
    throw unreadable(handle.path, error);
  }
}

function unreadable(path: string, error: unknown): FirnError {
  const advice = adviceFor(error);
  return new FirnError('failed', `cannot be read: ${reasonOf(error)}`, {
    path,
    ...(advice === undefined ? {} : { advice }),
    cause: error,
  });
}

async function* blocks(handle: ReadHandle, { signal, onBytes }: ReadOptions): AsyncGenerator<Buffer> {
  for (let position = 0; ; ) {
    signal?.throwIfAborted();
    const block = Buffer.allocUnsafe(BLOCK);
    const got = await readAt(handle, block, position);
    if (got === 0) return;
    position += got;
    onBytes?.(got);
    yield block.subarray(0, got);
  }
}

async function* unpack(handle: ReadHandle, options: ReadOptions): AsyncGenerator<Buffer> {
  const gunzip = createGunzip({ chunkSize: BLOCK });
  // Its error also destroys `gunzip`, where the loop below meets it.
  pipeline(Readable.from(blocks(handle, options), { objectMode: false }), gunzip, () => {});
  try {
    for await (const chunk of gunzip) {
      options.signal?.throwIfAborted();
      yield chunk;
    }
  } catch (error) {
    const code = errnoOf(error);
    if (code === 'Z_BUF_ERROR') throw cutShort(handle.path);
    if (code?.startsWith('Z_')) {
      throw new FirnError('input', `the gzip data is damaged (${messageOf(error)})`, {
        path: handle.path,
        advice: 'Fetch or pack the file again; `gzip -t` tells whether it is whole.',
        cause: error,
      });
    }
    throw error;
  }
  await expectZeros(handle, gunzip.bytesWritten);
}

function cutShort(path: string): FirnError {
  return new FirnError('input', 'the gzip data ends too early: the file was cut short', {
    path,
    advice: 'Fetch or pack the file again; `gzip -t` tells whether it is whole.',
  });
}

function isBgzf(head: Uint8Array): boolean {
  const hasExtra = (head[3]! & 4) !== 0;
  return head.length === 18 && hasExtra && head[12] === 0x42 && head[13] === 0x43;
}

async function expectBgzfEnd(handle: ReadHandle): Promise<void> {
  const end = Buffer.alloc(BGZF_END.length);
  const got = await readAt(handle, end, Math.max(0, handle.size - end.length));
  if (got !== end.length || !end.equals(BGZF_END)) throw cutShort(handle.path);
}

/** Zeros may pad the end of a gzip file; zlib stops there, and anything else behind them would be lost unseen. */
async function expectZeros(handle: ReadHandle, from: number): Promise<void> {
  for await (const block of from < handle.size ? blocksFrom(handle, from) : []) {
    if (block.some((byte) => byte !== 0)) {
      throw new FirnError('input', `the gzip data ends at byte ${from}, but more follows`, {
        path: handle.path,
        advice: 'Fetch or pack the file again.',
      });
    }
  }
}

async function* blocksFrom(handle: ReadHandle, from: number): AsyncGenerator<Buffer> {
  const block = Buffer.allocUnsafe(BLOCK);
  for (let position = from; ; ) {
    const got = await readAt(handle, block, position);
    if (got === 0) return;
    position += got;
    yield block.subarray(0, got);
  }
}
