/**
 * Whether an array file is still being written, as far as the file itself tells: an npy file by its header and its size, an
 * npz file by the directory at its end. What is wrong in any other way is for whoever opens it to say.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import {
  isNpy,
  NPY_MAGIC,
  NPY_PREAMBLE_BYTES,
  npyDataBytes,
  npyDataStart,
  parseNpyHeader,
} from './npy-header.js';
import { hasZipEnd, isZip } from './zip-directory.js';

/** What the file at `path` lacks, in a few words; undefined when it is whole, wrong in another way, or not there. */
export async function whatIsMissing(port: ReadPort, path: string): Promise<string | undefined> {
  if (port.stat(path)?.kind !== 'file') return undefined;
  const handle = await port.open(path);
  try {
    return await missingIn(handle);
  } finally {
    await handle.close();
  }
}

async function missingIn(handle: ReadHandle): Promise<string | undefined> {
  const { size, path } = handle;
  if (size === 0) return 'is empty';
  const start = new Uint8Array(Math.min(size, NPY_PREAMBLE_BYTES));
  // A file that becomes shorter at this moment is being written, too.
  if ((await handle.read(start, 0)) < start.length) return 'becomes shorter';
  // Room was made for it, and nothing has come yet.
  if (start.every((byte) => byte === 0)) return 'has no header';
  if (isZip(start)) return (await hasZipEnd(handle)) ? undefined : 'has no directory at its end';
  if (size < NPY_MAGIC.length) return 'has no header';
  if (!isNpy(start)) return undefined;
  if (size < NPY_PREAMBLE_BYTES) return 'has no whole header';
  try {
    const head = new Uint8Array(npyDataStart(start, path));
    if (size < head.length || (await handle.read(head, 0)) < head.length) return 'has no whole header';
    const header = parseNpyHeader(head, path);
    const expected = header.dataStart + npyDataBytes(header);
    return size < expected ? `has ${size} of ${expected} bytes` : undefined;
  } catch (error) {
    if (error instanceof FirnError) return undefined;
    throw error;
  }
}
