/**
 * A release as one file, `.tar.gz` or `.zip`, streamed. The same release gives the same bytes with the same zlib: order,
 * modes and times are fixed, and nothing of the host is in it. What is read is compared with SHA256SUMS on the way.
 *
 * A `.tar.gz` is one gzip member (RFC 1952) around tar.ts, and holds the links as well. A `.zip` leaves them out: many
 * programs would unpack a link as a small file.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import * as zlib from 'node:zlib';
import { OutputFile } from '../arrays/output-file.js';
import { ParallelDeflate } from '../arrays/parallel-deflate.js';
import { directoryOf, dosDate, localHeader, type MemberRecord, needsZip64 } from '../arrays/zip-records.js';
import { fileDigest } from '../engine/store.js';
import { FirnError } from '../errors.js';
import type { Port, ReadPort } from '../files/port.js';
import { removeHalfWritten } from '../files/remove.js';
import { temporaryName } from '../files/temporary.js';
import { streamHash } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { type Packed, provePacked } from './archive-proof.js';
import { readSums } from './check-files.js';
import { secondsOf } from './date.js';
import { filesIn, olderNames, SUMS_FILE } from './names.js';
import { archiveLabel, underFinalName } from './place.js';
import { padding, type TarMember, tarEnd, tarHeader } from './tar.js';

export type ArchiveKind = 'tar.gz' | 'zip';

export interface ArchiveRequest {
  port: Port;
  /** Of the release, absolute. */
  directory: string;
  /** What its files are called. */
  stem: string;
  kind: ArchiveKind;
  /** Of the release: every member has it. */
  date: string;
  workers: Workers;
  signal: AbortSignal;
  /** bytes of the release */
  onProgress: (done: number, total: number) => void;
}

export interface Archive {
  /** Absolute, beside the directory. */
  path: string;
  bytes: number;
  /** 64 hexadecimal digits. */
  sha256: string;
  /** It stood there already, with these very bytes. */
  existed: boolean;
}

const BLOCK = 4 * 1024 * 1024;
const FILE_MODE = 0o444;
const DIRECTORY_MODE = 0o555;
const REGULAR = 0o100000;
/** Magic, deflate, no flags, no time, nothing about speed, unknown system (RFC 1952, section 2.3). */
const GZIP_HEADER = Uint8Array.from([0x1f, 0x8b, 8, 0, 0, 0, 0, 0, 0, 255]);

function archivePath(directory: string, stem: string, kind: ArchiveKind): string {
  return join(dirname(directory), `${stem}.${kind}`);
}

/**
 * @throws FirnError `conflict` when another file stands there or the release is not what SHA256SUMS says, `failed` when
 *   the disk refuses
 */
export async function writeArchive(request: ArchiveRequest): Promise<Archive> {
  const { port, kind, workers, signal } = request;
  const path = archivePath(request.directory, request.stem, kind);
  const label = archiveLabel(request.stem);
  // Of a try that was killed; nobody else packs this release.
  await removeHalfWritten(port, dirname(path), label);
  const temporary = temporaryName(path, label);
  try {
    const written = await writeTo(request, temporary);
    await provePacked({ port, path: temporary, name: path, packed: written.packed, signal });
    const digest = await fileDigest(port, temporary, { workers, signal });
    const archive = { path, bytes: written.bytes, sha256: digest.replace('sha256:', '') };
    if (port.stat(path) !== undefined) {
      if ((await fileDigest(port, path, { workers, signal })) !== digest) throw otherArchive(path);
      await port.unlink(temporary);
      return { ...archive, existed: true };
    }
    await port.setMode(temporary, FILE_MODE);
    await port.rename(temporary, path);
    await port.syncDirectory(dirname(path));
    return { ...archive, existed: false };
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined);
    throw underFinalName(error, temporary, path);
  }
}

function otherArchive(path: string): FirnError {
  return new FirnError('conflict', 'is there already, and is not this archive', {
    path,
    advice: 'Move it away. One that another version of firn or of zlib made may hold the same files.',
  });
}

async function writeTo(
  request: ArchiveRequest,
  path: string,
): Promise<{ bytes: number; packed: readonly Packed[] }> {
  const { port } = request;
  const members = membersOf(port, request.directory, request.stem);
  const file = await OutputFile.create(port, path);
  try {
    const packed =
      request.kind === 'zip'
        ? await writeZip(request, members, file)
        : await writeTarGz(request, members, file);
    await file.finish();
    return { bytes: file.bytes, packed };
  } catch (error) {
    await file.abort();
    throw error;
  }
}

interface Member {
  name: string;
  size: number;
  /** Undefined for SHA256SUMS itself. */
  sha256: string | undefined;
}

function membersOf(port: ReadPort, directory: string, stem: string): Member[] {
  const path = join(directory, SUMS_FILE);
  const { sums, problems } = readSums(port, path);
  if (problems.length > 0) {
    throw new FirnError('conflict', problems[0], {
      path,
      advice: `\`firn verify\` tells what else is wrong with ${stem}.`,
    });
  }
  const members = [...sums, { name: SUMS_FILE, sha256: undefined }];
  return members
    .map(({ name, sha256 }) => ({ name, sha256, size: port.stat(join(directory, name))?.size ?? 0 }))
    .sort((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
}

/** Hands on a file of the release block by block, and compares it with SHA256SUMS; its digest. */
async function eachBlock(
  request: ArchiveRequest,
  member: Member,
  progress: (bytes: number) => void,
  take: (block: Uint8Array) => Promise<void>,
): Promise<string> {
  const path = join(request.directory, member.name);
  const handle = await request.port.open(path);
  try {
    const hash = streamHash(member.size, request.workers);
    const block = new Uint8Array(new SharedArrayBuffer(Math.min(BLOCK, member.size + 1)));
    let position = 0;
    for (;;) {
      request.signal.throwIfAborted();
      const read = await handle.read(block, position);
      if (read === 0) break;
      const bytes = block.subarray(0, read);
      const hashed = hash.update(bytes);
      await take(bytes);
      await hashed;
      position += read;
      progress(read);
    }
    const sha256 = await hash.digest();
    if (position !== member.size || (member.sha256 !== undefined && sha256 !== member.sha256)) {
      throw new FirnError('conflict', 'is not what SHA256SUMS says', {
        path,
        advice: '`firn verify` tells what else is wrong.',
      });
    }
    return sha256;
  } finally {
    await handle.close();
  }
}

function progressOf({ onProgress }: ArchiveRequest, members: readonly Member[]): (bytes: number) => void {
  const total = members.reduce((sum, { size }) => sum + size, 0);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress(done, total);
  };
}

async function writeTarGz(
  request: ArchiveRequest,
  members: readonly Member[],
  file: OutputFile,
): Promise<Packed[]> {
  const { port, directory, stem } = request;
  const mtime = secondsOf(request.date) ?? 0;
  const progress = progressOf(request, members);
  const deflate = new ParallelDeflate('auto', (bytes) => file.write(bytes));
  const hash = createHash('sha256');
  let crc = 0;
  let bytes = 0;
  const add = async (data: Uint8Array): Promise<void> => {
    hash.update(data);
    crc = zlib.crc32(data, crc);
    bytes += data.length;
    await deflate.write(data);
  };
  const header = (member: Omit<TarMember, 'mtime'>): Promise<void> => add(tarHeader({ ...member, mtime }));
  await file.write(GZIP_HEADER);
  await header({ name: `${stem}/`, type: 'directory', mode: DIRECTORY_MODE, size: 0 });
  for (const member of members) {
    await header({ name: `${stem}/${member.name}`, type: 'file', mode: FILE_MODE, size: member.size });
    await deflate.chooseAnew();
    await eachBlock(request, member, progress, add);
    await add(padding(member.size));
    await deflate.chooseAnew();
  }
  const hasIndex = members.some(({ name }) => name === filesIn(stem).index);
  for (const [link, target] of olderNames(filesIn(stem), hasIndex)) {
    if (port.realPath(join(directory, link)) === undefined) continue;
    await header({ name: `${stem}/${link}`, type: 'link', mode: 0o777, size: 0, target });
  }
  await add(tarEnd(bytes));
  await deflate.finish();
  const packed = { from: GZIP_HEADER.length, to: file.bytes, sha256: hash.digest('hex') };
  const end = Buffer.alloc(8);
  end.writeUInt32LE(crc, 0);
  end.writeUInt32LE(bytes % 2 ** 32, 4);
  await file.write(end);
  return [packed];
}

async function writeZip(
  request: ArchiveRequest,
  members: readonly Member[],
  file: OutputFile,
): Promise<Packed[]> {
  const progress = progressOf(request, members);
  const packed: Packed[] = [];
  const date = dosDate(secondsOf(request.date) ?? 0);
  const records: MemberRecord[] = [];
  for (const member of members) {
    const record: MemberRecord & { offset: number } = {
      name: `${request.stem}/${member.name}`,
      crc32: 0,
      compressed: 0,
      size: member.size,
      zip64: needsZip64(member.size),
      offset: file.bytes,
      mode: REGULAR | FILE_MODE,
      date,
    };
    await file.write(localHeader(record));
    const start = file.bytes;
    const deflate = new ParallelDeflate('auto', (bytes) => file.write(bytes));
    const sha256 = await eachBlock(request, member, progress, async (block) => {
      record.crc32 = zlib.crc32(block, record.crc32);
      await deflate.write(block);
    });
    await deflate.finish();
    record.compressed = file.bytes - start;
    packed.push({ from: start, to: file.bytes, sha256 });
    await file.write(localHeader(record), record.offset);
    records.push(record);
  }
  await file.write(directoryOf(records, file.bytes, new Uint8Array(0)));
  return packed;
}
