/** What the tests of src/arrays share: folders that vanish, whole arrays, npy files made by hand, plain numbers. */
import { rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as assert from 'uvu/assert';
import { openArray } from '../src/arrays/open.js';
import type { ArrayReader, BlockOptions, Dtype } from '../src/arrays/types.js';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import { temporaryFolder } from './rig/folder.js';

/** A folder of this test file, gone when its process ends. */
export const folder = temporaryFolder();
process.on('exit', () => rmSync(folder, { recursive: true, force: true }));

let made = 0;
/** A path in the folder that nothing stands at yet. */
export function newPath(extension: string): string {
  made += 1;
  return join(folder, `${made}.${extension}`);
}

/** Writes bytes to a new file; its path. */
export function fileOf(bytes: Uint8Array, extension = 'npy'): string {
  const path = newPath(extension);
  writeFileSync(path, bytes);
  return path;
}

export interface Whole {
  dtype: Dtype;
  rows: number;
  dims: number;
  values: Buffer;
}

/** Every block of an open reader, joined; checks that blocks are gapless and in order. */
export async function drain(reader: ArrayReader, options: BlockOptions = {}): Promise<Buffer> {
  const parts: Buffer[] = [];
  let next = options.from ?? 0;
  for await (const block of reader.blocks(options)) {
    assert.is(block.start, next);
    next += block.rows;
    parts.push(Buffer.from(block.bytes));
  }
  assert.is(next, options.to ?? reader.rows);
  return Buffer.concat(parts);
}

export async function readAll(
  path: string,
  options: BlockOptions & { member?: string } = {},
): Promise<Whole> {
  const reader = await openArray(disk, path, options);
  try {
    const { dtype, rows, dims } = reader;
    return { dtype, rows, dims, values: await drain(reader, options) };
  } finally {
    await reader.close();
  }
}

/** The FirnError that a promise ends in; anything else fails the test. */
export async function firnError(promise: Promise<unknown>): Promise<FirnError> {
  try {
    await promise;
  } catch (error) {
    if (error instanceof FirnError) return error;
    throw error;
  }
  throw new Error('expected a FirnError, nothing was thrown');
}

/** An npy file with any header text, in any version. */
export function npyWith(header: string, data: Uint8Array, version = 1): Buffer {
  const text = Buffer.from(header, version === 3 ? 'utf8' : 'latin1');
  const start = Buffer.alloc(version === 1 ? 10 : 12);
  start.write('\x93NUMPY', 'latin1');
  start[6] = version;
  if (version === 1) start.writeUInt16LE(text.length, 8);
  else start.writeUInt32LE(text.length, 8);
  return Buffer.concat([start, text, data]);
}

/** Float32 bytes 0, 0.5, 1, ... */
export function ramp(count: number): Buffer {
  return Buffer.from(Float32Array.from({ length: count }, (_, i) => i / 2).buffer);
}
