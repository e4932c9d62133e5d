/**
 * The records of a zip file of deflated members, as bytes. Source: PKWARE's APPNOTE.TXT, sections 4.3 to 4.5 and appendix
 * D. Pure: knows no file. Everything that could vary between two runs (time, host) is fixed.
 */

export interface MemberRecord {
  name: string;
  crc32: number;
  /** bytes in the archive */
  compressed: number;
  /** bytes when inflated */
  size: number;
  /** Write 64-bit sizes. */
  zip64: boolean;
  /** Where its local header stands (0). */
  offset?: number;
  /** As stat gives it, kind and permissions (a file that its owner writes). */
  mode?: number;
  /** The date and time that DOS counts from 1980 (its first day). */
  date?: DosDate;
}

export interface DosDate {
  date: number;
  time: number;
}

const DEFLATED = 8;
/** 1980-01-01, the first day that DOS knows. */
const FIRST_DAY: DosDate = { date: 0x0021, time: 0 };
const UNIX = 3;
const FILE_RW = 0o100644;
const MAX_U32 = 0xffffffff;
const MAX_U16 = 0xffff;
/** General purpose bit 11: the name is UTF-8. */
const UTF8 = 0x0800;

/** In UTC, in steps of two seconds; years before 1980 become its first day. */
export function dosDate(secondsSince1970: number): DosDate {
  const at = new Date(secondsSince1970 * 1000);
  const year = at.getUTCFullYear() - 1980;
  if (year < 0 || year > 127) return FIRST_DAY;
  return {
    date: (year << 9) | ((at.getUTCMonth() + 1) << 5) | at.getUTCDate(),
    time: (at.getUTCHours() << 11) | (at.getUTCMinutes() << 5) | (at.getUTCSeconds() >> 1),
  };
}

/** Whether a member of `size` bytes needs zip64, also if deflating makes it a little larger. */
export function needsZip64(size: number): boolean {
  return size > 0xf0000000;
}

/** What stands before the member's data. Its length depends only on `name` and `zip64`. */
export function localHeader(member: MemberRecord): Uint8Array {
  const name = Buffer.from(member.name, 'utf8');
  const extra = zip64Extra(member);
  const header = Buffer.alloc(30);
  header.writeUInt32LE(0x04034b50, 0);
  writeCommon(header, 4, member, name.length, extra.length);
  return Buffer.concat([header, name, extra]);
}

/** What stands after the data of the only member, which starts at byte 0 and ends at `end`. */
export function directory(member: MemberRecord, end: number, comment: Uint8Array): Uint8Array {
  return directoryOf([member], end, comment);
}

/** What stands after the members' data, which ends at `end`: the directory, the end records and the comment. */
export function directoryOf(members: readonly MemberRecord[], end: number, comment: Uint8Array): Uint8Array {
  const entries = Buffer.concat(members.map(directoryEntry));
  const wide = members.some(({ zip64 }) => zip64) || end > MAX_U32 || members.length > MAX_U16;
  const count = Math.min(members.length, MAX_U16);
  const last = Buffer.alloc(22);
  last.writeUInt32LE(0x06054b50, 0);
  last.writeUInt16LE(count, 8);
  last.writeUInt16LE(count, 10);
  last.writeUInt32LE(entries.length, 12);
  last.writeUInt32LE(wide ? MAX_U32 : end, 16);
  last.writeUInt16LE(comment.length, 20);
  const records = wide ? zip64End(members.length, entries.length, end) : Buffer.alloc(0);
  return Buffer.concat([entries, records, last, comment]);
}

function directoryEntry(member: MemberRecord): Uint8Array {
  const { offset = 0, mode = FILE_RW } = member;
  const far = offset > MAX_U32;
  const name = Buffer.from(member.name, 'utf8');
  const extra = zip64Extra(member, far ? offset : undefined);
  const header = Buffer.alloc(46);
  header.writeUInt32LE(0x02014b50, 0);
  header.writeUInt16LE((UNIX << 8) | versionNeeded(member), 4);
  writeCommon(header, 6, member, name.length, extra.length);
  header.writeUInt32LE((mode << 16) >>> 0, 38);
  header.writeUInt32LE(far ? MAX_U32 : offset, 42);
  return Buffer.concat([header, name, extra]);
}

/** From "version needed" to the length of the extra field, the same in both headers. */
function writeCommon(
  header: Buffer,
  at: number,
  member: MemberRecord,
  nameBytes: number,
  extraBytes: number,
): void {
  const { date, time } = member.date ?? FIRST_DAY;
  header.writeUInt16LE(versionNeeded(member), at);
  header.writeUInt16LE(/^[\x20-\x7e]*$/.test(member.name) ? 0 : UTF8, at + 2);
  header.writeUInt16LE(DEFLATED, at + 4);
  header.writeUInt16LE(time, at + 6);
  header.writeUInt16LE(date, at + 8);
  header.writeUInt32LE(member.crc32, at + 10);
  header.writeUInt32LE(member.zip64 ? MAX_U32 : member.compressed, at + 14);
  header.writeUInt32LE(member.zip64 ? MAX_U32 : member.size, at + 18);
  header.writeUInt16LE(nameBytes, at + 22);
  header.writeUInt16LE(extraBytes, at + 24);
}

/** The numbers that have no room elsewhere, in the order of the format: size, compressed size, offset. */
function zip64Extra({ zip64, size, compressed }: MemberRecord, offset?: number): Buffer {
  const numbers = [...(zip64 ? [size, compressed] : []), ...(offset === undefined ? [] : [offset])];
  if (numbers.length === 0) return Buffer.alloc(0);
  const extra = Buffer.alloc(4 + 8 * numbers.length);
  extra.writeUInt16LE(1, 0);
  extra.writeUInt16LE(8 * numbers.length, 2);
  for (const [i, number] of numbers.entries()) extra.writeBigUInt64LE(BigInt(number), 4 + 8 * i);
  return extra;
}

function zip64End(members: number, directoryBytes: number, end: number): Buffer {
  const record = Buffer.alloc(56 + 20);
  record.writeUInt32LE(0x06064b50, 0);
  record.writeBigUInt64LE(44n, 4);
  record.writeUInt16LE((UNIX << 8) | 45, 12);
  record.writeUInt16LE(45, 14);
  record.writeBigUInt64LE(BigInt(members), 24);
  record.writeBigUInt64LE(BigInt(members), 32);
  record.writeBigUInt64LE(BigInt(directoryBytes), 40);
  record.writeBigUInt64LE(BigInt(end), 48);
  const locator = 56;
  record.writeUInt32LE(0x07064b50, locator);
  record.writeBigUInt64LE(BigInt(end + directoryBytes), locator + 8);
  record.writeUInt32LE(1, locator + 16);
  return record;
}

function versionNeeded(member: MemberRecord): number {
  return member.zip64 || (member.offset ?? 0) > MAX_U32 ? 45 : 20;
}
