/**
 * Headers of a tar file, as bytes. Pure; knows no file. Owner, group and device are always 0 and without names.
 *
 * The format is ustar, with a pax extended header before a member whose name is not ASCII or longer than 100 bytes, or that
 * has 8 GiB or more. Source: POSIX.1-2017, pax, "ustar Interchange Format" and "pax Extended Header"
 * (pubs.opengroup.org/onlinepubs/9699919799/utilities/pax.html).
 */

export interface TarMember {
  /** With `/` between folders; a directory ends with one. */
  name: string;
  type: 'file' | 'directory' | 'link';
  /** Permission bits. */
  mode: number;
  /** bytes; 0 for what is no file */
  size: number;
  /** seconds since 1970 */
  mtime: number;
  /** What a link says. */
  target?: string;
}

const TAR_BLOCK = 512;
/** Tar files are whole records of 20 blocks. */
const RECORD = 20 * TAR_BLOCK;
const NAME_BYTES = 100;
/** The most that 11 octal digits can say. */
const MOST_SIZE = 8 ** 11 - 1;
const TYPES = { file: '0', directory: '5', link: '2' } as const;

/** What stands before the data of a member. */
export function tarHeader(member: TarMember): Uint8Array {
  const records: [string, string][] = [];
  if (!fits(member.name)) records.push(['path', member.name]);
  if (member.target !== undefined && !fits(member.target)) records.push(['linkpath', member.target]);
  if (member.size > MOST_SIZE) records.push(['size', String(member.size)]);
  const plain = ustar(member, TYPES[member.type]);
  if (records.length === 0) return plain;
  const data = Buffer.concat(records.map(([key, value]) => paxRecord(key, value)));
  const extended: TarMember = {
    name: 'PaxHeader',
    type: 'file',
    mode: 0o644,
    size: data.length,
    mtime: member.mtime,
  };
  return Buffer.concat([ustar(extended, 'x'), data, padding(data.length), plain]);
}

/** What fills the last block of `bytes` of data. */
export function padding(bytes: number): Uint8Array {
  return new Uint8Array((TAR_BLOCK - (bytes % TAR_BLOCK)) % TAR_BLOCK);
}

/** What ends a tar file that has `bytes` so far: two empty blocks, and what fills the record. */
export function tarEnd(bytes: number): Uint8Array {
  const end = bytes + 2 * TAR_BLOCK;
  return new Uint8Array(2 * TAR_BLOCK + ((RECORD - (end % RECORD)) % RECORD));
}

function fits(text: string): boolean {
  return /^[\x20-\x7e]*$/.test(text) && text.length <= NAME_BYTES;
}

function ustar(member: TarMember, type: string): Buffer {
  const header = Buffer.alloc(TAR_BLOCK);
  header.write(asciiOf(member.name), 0, NAME_BYTES, 'latin1');
  writeOctal(header, 100, 8, member.mode);
  writeOctal(header, 108, 8, 0);
  writeOctal(header, 116, 8, 0);
  writeOctal(header, 124, 12, Math.min(member.size, MOST_SIZE));
  writeOctal(header, 136, 12, Math.max(0, member.mtime));
  header.write(' '.repeat(8), 148, 'latin1');
  header.write(type, 156, 'latin1');
  header.write(asciiOf(member.target ?? ''), 157, NAME_BYTES, 'latin1');
  header.write('ustar\x0000', 257, 'latin1');
  writeOctal(header, 329, 8, 0);
  writeOctal(header, 337, 8, 0);
  const sum = header.reduce((total, byte) => total + byte, 0);
  header.write(`${sum.toString(8).padStart(6, '0')}\0 `, 148, 'latin1');
  return header;
}

/** For readers that know no extended header. */
function asciiOf(text: string): string {
  return text.replace(/[^\x20-\x7e]/gu, '_').slice(0, NAME_BYTES);
}

/** Digits with leading zeros, and a NUL. */
function writeOctal(header: Buffer, at: number, bytes: number, value: number): void {
  header.write(`${value.toString(8).padStart(bytes - 1, '0')}\0`, at, 'latin1');
}

/** `LENGTH KEY=VALUE\n`, where the length counts itself. */
function paxRecord(key: string, value: string): Buffer {
  const rest = Buffer.from(` ${key}=${value}\n`, 'utf8');
  let length = rest.length;
  while (length !== rest.length + String(length).length) length = rest.length + String(length).length;
  return Buffer.concat([Buffer.from(String(length), 'latin1'), rest]);
}
