/**
 * The records of a zip file with one deflated member that starts at byte 0, as bytes. Source: PKWARE's APPNOTE.TXT,
 * sections 4.3 and 4.5. Pure: knows no file. Everything that could vary between two runs (time, host) is fixed.
 */

export interface MemberRecord {
  /** ASCII */
  name: string;
  crc32: number;
  /** bytes in the archive */
  compressed: number;
  /** bytes when inflated */
  size: number;
  /** Write 64-bit sizes. */
  zip64: boolean;
}

const DEFLATED = 8;
/** 1980-01-01, the first day that DOS knows. */
const DOS_DATE = 0x0021;
const UNIX = 3;
const MODE_RW = 0o644;
const MAX_U32 = 0xffffffff;

/** Whether a member of `size` bytes needs zip64, also if deflating makes it a little larger. */
export function needsZip64(size: number): boolean {
  return size > 0xf0000000;
}

/** What stands before the member's data. Its length depends only on `name` and `zip64`. */
export function localHeader(member: MemberRecord): Uint8Array {
  const name = Buffer.from(member.name, 'latin1');
  const extra = zip64Extra(member);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  writeCommon(header, 4, member, name.length, extra.length);
  return Buffer.concat([header, name, extra]);
}

/** What stands after the member's data, which ends at `end`: the directory, the end records and the comment. */
export function directory(member: MemberRecord, end: number, comment: Uint8Array): Uint8Array {
  const name = Buffer.from(member.name, 'latin1');
  const extra = zip64Extra(member);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE((UNIX << 8) | versionNeeded(member), 4);
  writeCommon(header, 6, member, name.length, extra.length);
  header.writeUInt32LE(((0o100000 | MODE_RW) << 16) >>> 0, 38);
  const entry = Buffer.concat([header, name, extra]);

  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50, 0);
  last.writeUInt16LE(1, 8);
  last.writeUInt16LE(1, 10);
  last.writeUInt32LE(entry.length, 12);
  last.writeUInt32LE(member.zip64 ? MAX_U32 : end, 16);
  last.writeUInt16LE(comment.length, 20);
  const wide = member.zip64 ? zip64End(entry.length, end) : Buffer.alloc(0);
  return Buffer.concat([entry, wide, last, comment]);
}

/** From "version needed" to the length of the extra field, the same in both headers. */
function writeCommon(
  header: Buffer,
  at: number,
  member: MemberRecord,
  nameBytes: number,
  extraBytes: number,
): void {
  header.writeUInt16LE(versionNeeded(member), at);
  header.writeUInt16LE(DEFLATED, at + 4);
  header.writeUInt16LE(DOS_DATE, at + 8);
  header.writeUInt32LE(member.crc32, at + 10);
  header.writeUInt32LE(member.zip64 ? MAX_U32 : member.compressed, at + 14);
  header.writeUInt32LE(member.zip64 ? MAX_U32 : member.size, at + 18);
  header.writeUInt16LE(nameBytes, at + 22);
  header.writeUInt16LE(extraBytes, at + 24);
}

function zip64Extra(member: MemberRecord): Buffer {
  if (!member.zip64) return Buffer.alloc(0);
  const extra = Buffer.alloc(20);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(16, 2);
  extra.writeBigUInt64LE(BigInt(member.size), 4);
  extra.writeBigUInt64LE(BigInt(member.compressed), 12);
  return extra;
}

function zip64End(directoryBytes: number, end: number): Buffer {
  const record = Buffer.alloc(56 + 20);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE((UNIX << 8) | 45, 12);
  record.writeUInt16LE(45, 14);
  record.writeBigUInt64LE(1n, 24);
  record.writeBigUInt64LE(1n, 32);
  record.writeBigUInt64LE(BigInt(directoryBytes), 40);
  record.writeBigUInt64LE(BigInt(end), 48);
  const locator = 56;
  record.writeUInt32LE(0x07064b50, locator);
  record.writeBigUInt64LE(BigInt(end + directoryBytes), locator + 8);
  record.writeUInt32LE(1, locator + 16);
  return record;
}

function versionNeeded(member: MemberRecord): number {
  return member.zip64 ? 45 : 20;
}
