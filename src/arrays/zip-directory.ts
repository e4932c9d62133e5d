/**
 * The central directory of a zip file, as far as npz files use it: stored and deflated members, zip64, the archive
 * comment. Source: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5. Local headers are trusted for nothing but where their
 * data begins, since numpy writes sizes there in two dialects. Knows no npy and reads no member.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { readExactly } from './read-exactly.js';

export interface ZipEntry {
  name: string;
  method: 'stored' | 'deflated';
  crc32: number;
  /** bytes in the archive */
  compressed: number;
  /** bytes when inflated, as the directory claims */
  size: number;
  /** Byte at which the member's data begin. */
  dataStart: number;
}

interface DirectoryRecord {
  name: string;
  nameBytes: number;
  flags: number;
  methodCode: number;
  crc32: number;
  compressed: number;
  size: number;
  localStart: number;
}

interface Ending {
  entries: number;
  directoryStart: number;
  directorySize: number;
  comment: Uint8Array;
}

const LOCAL = 0x04034b50;
const CENTRAL = 0x02014b50;
const END = 0x06054b50;
const END64 = 0x06064b50;
const LOCATOR64 = 0x07064b50;
const LOCAL_BYTES = 30;
const CENTRAL_BYTES = 46;
const END_BYTES = 22;
const END64_BYTES = 56;
const LOCATOR64_BYTES = 20;
const MAX_COMMENT_BYTES = 0xffff;
/** Some 200,000 members: far more than any npz has. */
const MAX_DIRECTORY_BYTES = 16 * 1024 * 1024;
/** Deflate's best: 258 bytes from 2 bits. */
const MAX_INFLATION = 1032;

/** Whether bytes begin as a zip file does, an empty one included. */
export function isZip(start: Uint8Array): boolean {
  if (start.length < 4) return false;
  const signature = Buffer.from(start.buffer, start.byteOffset, 4).readUInt32LE(0);
  return signature === LOCAL || signature === END;
}

/** The names of all members, in the order of the directory. */
export async function readZipNames(handle: ReadHandle): Promise<string[]> {
  return (await readRecords(handle)).records.map((record) => record.name);
}

/**
 * The one member called `name`, or undefined. Everything that the directory and the member's local header say about
 * it is checked against the file's size and against its neighbours.
 */
export async function findZipEntry(handle: ReadHandle, name: string): Promise<ZipEntry | undefined> {
  const { path } = handle;
  const { records, directoryStart } = await readRecords(handle);
  const record = records.find((one) => one.name === name);
  if (record === undefined) return undefined;
  if ((record.flags & 0x2041) !== 0) {
    throw new FirnError('input', `has an encrypted member ${JSON.stringify(name)}`, {
      path,
      advice: 'Decrypt it, or save it again with numpy.savez_compressed.',
    });
  }
  const method = record.methodCode === 0 ? 'stored' : record.methodCode === 8 ? 'deflated' : undefined;
  if (method === undefined) {
    throw new FirnError(
      'input',
      `has a member compressed by method ${record.methodCode}, expected stored or deflated`,
      {
        path,
        advice: 'Save it again with numpy.savez_compressed.',
      },
    );
  }
  const { compressed, size } = record;
  if (method === 'stored' && compressed !== size) {
    throw damaged(path, `${JSON.stringify(name)} is stored in ${compressed} bytes but claims ${size}`);
  }
  if (size > compressed * MAX_INFLATION) {
    throw damaged(path, `${JSON.stringify(name)} cannot inflate from ${compressed} to ${size} bytes`);
  }
  const local = Buffer.alloc(LOCAL_BYTES + Buffer.byteLength(name));
  if (record.localStart + local.length > directoryStart)
    throw damaged(path, 'a member lies outside the file');
  await readExactly(handle, local, record.localStart);
  const nameBytes = local.readUInt16LE(26);
  const sameName = local.toString('utf8', LOCAL_BYTES, LOCAL_BYTES + nameBytes) === name;
  if (local.readUInt32LE(0) !== LOCAL || !sameName || local.readUInt16LE(8) !== record.methodCode) {
    throw damaged(path, `the header of ${JSON.stringify(name)} differs from the directory`);
  }
  const dataStart = record.localStart + LOCAL_BYTES + nameBytes + local.readUInt16LE(28);
  if (dataStart + compressed > nextStart(records, record.localStart, directoryStart)) {
    throw damaged(path, `${JSON.stringify(name)} reaches into what follows it`);
  }
  return { name, method, crc32: record.crc32, compressed, size, dataStart };
}

/** The archive comment of the npz (zip) file at `path` as UTF-8, empty when it has none. */
export async function readNpzComment(port: ReadPort, path: string): Promise<string> {
  const handle = await port.open(path);
  try {
    return Buffer.from((await readEnding(handle)).comment).toString('utf8');
  } finally {
    await handle.close();
  }
}

/** Where what follows the member at `start` begins: another member, or the directory. */
function nextStart(records: readonly DirectoryRecord[], start: number, directoryStart: number): number {
  let next = directoryStart;
  for (const { localStart } of records) if (localStart > start && localStart < next) next = localStart;
  return next;
}

async function readRecords(
  handle: ReadHandle,
): Promise<{ records: DirectoryRecord[]; directoryStart: number }> {
  const { path } = handle;
  const { entries, directoryStart, directorySize } = await readEnding(handle);
  if (directorySize > MAX_DIRECTORY_BYTES) throw damaged(path, `a directory of ${directorySize} bytes`);
  const bytes = Buffer.alloc(directorySize);
  await readExactly(handle, bytes, directoryStart);
  const records: DirectoryRecord[] = [];
  let at = 0;
  while (at < bytes.length) {
    if (at + CENTRAL_BYTES > bytes.length || bytes.readUInt32LE(at) !== CENTRAL) {
      throw damaged(path, `entry ${records.length} of its directory is malformed`);
    }
    const nameEnd = at + CENTRAL_BYTES + bytes.readUInt16LE(at + 28);
    const extraEnd = nameEnd + bytes.readUInt16LE(at + 30);
    const end = extraEnd + bytes.readUInt16LE(at + 32);
    if (end > bytes.length) throw damaged(path, `entry ${records.length} of its directory is cut short`);
    records.push(parseRecord(bytes.subarray(at, end), nameEnd - at, extraEnd - at, path));
    at = end;
  }
  if (records.length !== entries) {
    throw damaged(path, `its directory has ${records.length} entries, its end record says ${entries}`);
  }
  checkApart(records, directoryStart, path);
  return { records, directoryStart };
}

function parseRecord(bytes: Buffer, nameEnd: number, extraEnd: number, path: string): DirectoryRecord {
  const wide = zip64Fields(bytes.subarray(nameEnd, extraEnd));
  // The extra field holds only those values that do not fit, in this order.
  const value = (at: number): number => {
    const narrow = bytes.readUInt32LE(at);
    return narrow === 0xffffffff && wide.length >= 8 ? safe(wide.take(), path) : narrow;
  };
  const size = value(24);
  const compressed = value(20);
  const localStart = value(42);
  return {
    name: bytes.toString('utf8', CENTRAL_BYTES, nameEnd),
    nameBytes: nameEnd - CENTRAL_BYTES,
    flags: bytes.readUInt16LE(8),
    methodCode: bytes.readUInt16LE(10),
    crc32: bytes.readUInt32LE(16),
    compressed,
    size,
    localStart,
  };
}

/** The content of the zip64 extra field (id 1), read eight bytes at a time; empty when there is none. */
function zip64Fields(extra: Buffer): { readonly length: number; take(): bigint } {
  let content = extra.subarray(0, 0);
  for (let at = 0; at + 4 <= extra.length; at += 4 + extra.readUInt16LE(at + 2)) {
    const end = at + 4 + extra.readUInt16LE(at + 2);
    if (extra.readUInt16LE(at) === 1 && end <= extra.length) content = extra.subarray(at + 4, end);
  }
  return {
    get length() {
      return content.length;
    },
    take() {
      const value = content.readBigUInt64LE(0);
      content = content.subarray(8);
      return value;
    },
  };
}

/** Members that share bytes or a name are how zip bombs and forgeries are made; numpy writes neither. */
function checkApart(records: DirectoryRecord[], directoryStart: number, path: string): void {
  const names = new Set(records.map((record) => record.name));
  if (names.size !== records.length) throw damaged(path, 'two of its members have the same name');
  const sorted = [...records].sort((a, b) => a.localStart - b.localStart);
  for (const [i, { name, nameBytes, localStart, compressed }] of sorted.entries()) {
    const end = localStart + LOCAL_BYTES + nameBytes + compressed;
    if (end > (sorted[i + 1]?.localStart ?? directoryStart)) {
      throw damaged(path, `its member ${JSON.stringify(name)} overlaps what follows it`);
    }
  }
}

/** Whether the file ends as a zip file that was written to its end does, whatever its directory says. */
export async function hasZipEnd(handle: ReadHandle): Promise<boolean> {
  return findEnd(await readTail(handle)) >= 0;
}

/** All that the end record and what belongs to it can take: at most the last 64 KiB. */
async function readTail(handle: ReadHandle): Promise<Buffer> {
  const { size } = handle;
  const tail = Buffer.alloc(Math.min(size, MAX_COMMENT_BYTES + END_BYTES + LOCATOR64_BYTES));
  await readExactly(handle, tail, size - tail.length);
  return tail;
}

/** Where in the tail the end record begins; negative when there is none. */
function findEnd(tail: Buffer): number {
  let at = tail.length - END_BYTES;
  // The comment must reach exactly to the end of the file: a signature inside a comment is not taken for the record.
  while (
    at >= 0 &&
    !(tail.readUInt32LE(at) === END && at + END_BYTES + tail.readUInt16LE(at + 20) === tail.length)
  ) {
    at -= 1;
  }
  return at;
}

/** The end record, with its zip64 counterpart where there is one. */
async function readEnding(handle: ReadHandle): Promise<Ending> {
  const { path, size } = handle;
  const tail = await readTail(handle);
  const at = findEnd(tail);
  if (at < 0) throw damaged(path, 'it has no zip directory at its end, so it was probably cut short');
  const end = size - tail.length + at;
  const narrow: Ending = {
    entries: tail.readUInt16LE(at + 10),
    directorySize: tail.readUInt32LE(at + 12),
    directoryStart: tail.readUInt32LE(at + 16),
    comment: tail.subarray(at + END_BYTES),
  };
  if (tail.readUInt16LE(at + 4) !== 0 || tail.readUInt16LE(at + 6) !== 0) {
    throw damaged(path, 'it is one part of a split archive');
  }
  const locator = at - LOCATOR64_BYTES;
  const isWide = locator >= 0 && tail.readUInt32LE(locator) === LOCATOR64;
  const wide = isWide
    ? await readEnding64(handle, safe(tail.readBigUInt64LE(locator + 8), path), end)
    : undefined;
  const ending: Ending = {
    entries: narrow.entries === 0xffff ? (wide?.entries ?? 0xffff) : narrow.entries,
    directorySize: narrow.directorySize === 0xffffffff ? (wide?.directorySize ?? end) : narrow.directorySize,
    directoryStart:
      narrow.directoryStart === 0xffffffff ? (wide?.directoryStart ?? end) : narrow.directoryStart,
    comment: narrow.comment,
  };
  if (ending.directoryStart + ending.directorySize > (wide?.start ?? end)) {
    throw damaged(path, 'its directory lies outside the file');
  }
  return ending;
}

async function readEnding64(handle: ReadHandle, start: number, before: number) {
  const { path } = handle;
  if (start + END64_BYTES + LOCATOR64_BYTES > before)
    throw damaged(path, 'its zip64 record lies outside the file');
  const record = Buffer.alloc(END64_BYTES);
  await readExactly(handle, record, start);
  if (record.readUInt32LE(0) !== END64) throw damaged(path, 'its zip64 record is missing');
  return {
    start,
    entries: safe(record.readBigUInt64LE(32), path),
    directorySize: safe(record.readBigUInt64LE(40), path),
    directoryStart: safe(record.readBigUInt64LE(48), path),
  };
}

/** A 64-bit value as an exact number, with room to add to it. */
function safe(value: bigint, path: string): number {
  if (value > BigInt(Number.MAX_SAFE_INTEGER) / 4n) throw damaged(path, `a size or offset of ${value} bytes`);
  return Number(value);
}

function damaged(path: string, problem: string): FirnError {
  return new FirnError('input', `is a damaged npz (zip) file: ${problem}`, {
    path,
    advice: 'Copy it again from where it came, or save it again with numpy.savez_compressed.',
  });
}
