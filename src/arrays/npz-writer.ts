/**
 * Writes a compressed npz file with the one array `embeddings`, as np.load reads it. The same rows and options give
 * the same bytes with the same zlib: no clock and no host is in them.
 */
import * as zlib from 'node:zlib';
import { FirnError } from '../errors.js';
import type { WritePort } from '../files/port.js';
import { formatNpyHeader, npyDataBytes } from './npy-header.js';
import { OutputFile } from './output-file.js';
import { type DeflateLevel, ParallelDeflate } from './parallel-deflate.js';
import { RowCount } from './row-count.js';
import type { ArrayWriter, Dtype } from './types.js';
import { directory, localHeader, needsZip64 } from './zip-records.js';

export interface NpzOptions {
  dtype: Dtype;
  /** D */
  dims: number;
  /** N; `finish` checks it. */
  rows: number;
  /** The archive comment, at most 65,535 bytes of UTF-8; `readNpzComment` reads it. */
  comment?: string;
  /** `auto` unless told. */
  level?: DeflateLevel;
}

const MEMBER = 'embeddings.npy';
/** Where readers look for the end of a zip file; in a comment it would mislead them. */
const END_SIGNATURE = 'PK\x05\x06';

/** Creates the npz file `path`, which must not exist. Its directory comes last: half-written it is no zip file. */
export async function createNpz(port: WritePort, path: string, options: NpzOptions): Promise<ArrayWriter> {
  const comment = commentBytes(options.comment ?? '', path);
  const count = new RowCount(path, options, options.rows);
  const header = formatNpyHeader(options);
  const size = header.length + npyDataBytes(options);
  const member = { name: MEMBER, crc32: 0, compressed: 0, size, zip64: needsZip64(size) };
  const file = await OutputFile.create(port, path);
  const deflate = new ParallelDeflate(options.level ?? 'auto', (bytes) => file.write(bytes));
  const add = async (bytes: Uint8Array): Promise<void> => {
    member.crc32 = zlib.crc32(bytes, member.crc32);
    await deflate.write(bytes);
  };
  const local = localHeader(member);
  try {
    await file.write(local);
    await add(header);
  } catch (error) {
    await file.abort();
    throw error;
  }
  return {
    async write(bytes) {
      count.add(bytes.length);
      await add(bytes);
    },
    async finish() {
      count.check();
      await deflate.finish();
      member.compressed = file.bytes - local.length;
      await file.write(directory(member, file.bytes, comment));
      await file.write(localHeader(member), 0);
      await file.finish();
      return { rows: count.rows, bytes: file.bytes };
    },
    abort: () => file.abort(),
  };
}

function commentBytes(comment: string, path: string): Uint8Array {
  const bytes = Buffer.from(comment, 'utf8');
  if (bytes.length > 0xffff || comment.includes(END_SIGNATURE)) {
    const message = 'cannot hold this archive comment: at most 65535 bytes, without PK\\x05\\x06';
    throw new FirnError('usage', message, { path });
  }
  return bytes;
}
