/**
 * Filling the directory of a release: the files of a reference copied and read back, described and checksummed. Knows
 * neither where the directory is to stand nor what else is there.
 */
import { createHash } from 'node:crypto';
import { basename, join } from 'node:path';
import { openArray } from '../arrays/open.js';
import { copyFile } from '../copy-file.js';
import { fileDigest } from '../engine/store.js';
import { FirnError } from '../errors.js';
import { parseIndexHeader } from '../faiss/header.js';
import { holdsRows } from '../faiss/row-sums.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { Port } from '../files/port.js';
import { FIRN_VERSION } from '../firn-version.js';
import { metadataText, type ReferenceFacts, writeMetadata } from '../reference/metadata.js';
import { crateOf } from './crate.js';
import { type Description, type ReleasedFile, versionsIn } from './description.js';
import type { ReleaseRequest } from './make.js';
import { CRATE_FILE, type ReleaseFiles, SUMS_FILE } from './names.js';
import type { Source } from './source.js';
import { statementOf } from './statement.js';
import { formatSums } from './sums.js';

interface Filling {
  source: Source;
  files: ReleaseFiles;
  date: string;
  staging: string;
}

/** Writes every file of the release, synced and read back; how many bytes they have. */
export async function fillRelease(
  request: ReleaseRequest,
  { source, files, date, staging }: Filling,
): Promise<number> {
  const { port, name, tag, expected } = request;
  const facts: ReferenceFacts = { ...source.facts, release: { name, tag, date } };
  const progress = progressOf(request, source);
  const copy = async (from: string, to: string, digest: string): Promise<ReleasedFile> => {
    const { workers, signal } = request;
    const copied = await copyFile(port, from, join(staging, to), { workers, signal, onBytes: progress });
    if (copied.digest !== digest) throw changed(from);
    return { name: to, bytes: copied.bytes, sha256: hex(copied.digest), was: basename(from) };
  };
  if (expected !== undefined) {
    const hasIndex = source.index !== undefined;
    if (expected.embeddings !== facts.embeddings || (expected.index !== null) !== hasIndex)
      throw changed(source.files.embeddings);
  }
  const embeddings = await copy(source.files.embeddings, files.embeddings, facts.embeddings);
  const index =
    source.index === undefined || source.files.index === undefined
      ? undefined
      : await copy(
          source.files.index,
          files.index,
          expected?.index ?? (await digestOf(request, source.files.index)),
        );
  const trailer =
    index === undefined
      ? undefined
      : await expectIndexOf(request, join(staging, index.name), join(staging, embeddings.name), facts);
  const described = { facts, sequences: source.sequences };
  const metadata = {
    ...(await writeDescribedMetadata(request, join(staging, files.metadata), described)),
    name: files.metadata,
    was: basename(source.files.metadata),
  };
  const release: Description = {
    name,
    tag,
    date,
    facts,
    index: trailer,
    data: { embeddings, metadata, index },
    models: modelsOf(request, facts),
    fields: request.fields ?? {},
    pipeline: request.pipeline,
    firnVersion: FIRN_VERSION,
  };
  const write = async (to: string, text: string): Promise<ReleasedFile> =>
    writeProven(port, join(staging, to), to, text);
  const data = [embeddings, ...(index === undefined ? [] : [index]), metadata];
  const crate = await write(CRATE_FILE, jsonText(crateOf(release)));
  const statement = await write(files.statement, jsonText(statementOf(release, [...data, crate])));
  const all = [...data, crate, statement];
  const sums = await write(SUMS_FILE, formatSums(all));
  request.signal.throwIfAborted();
  return [...all, sums].reduce((sum, file) => sum + file.bytes, 0);
}

/**
 * No digest is recorded of an index but in the cache: the copy's vectors are compared with the rows they are said to be.
 * What firn noted behind it.
 */
async function expectIndexOf(
  { port, workers, signal }: ReleaseRequest,
  path: string,
  array: string,
  facts: ReferenceFacts,
): Promise<Trailer> {
  const trailer = await readTrailer(port, path);
  const embeddings = await openArray(port, array);
  try {
    const handle = await port.open(path);
    try {
      const header = await parseIndexHeader(handle);
      const fits =
        header.kind === 'other' ||
        (header.dims === embeddings.dims &&
          (await holdsRows(handle, header, embeddings, { workers, signal })));
      if (fits && trailer?.embeddings === facts.embeddings) return trailer;
      throw new FirnError('conflict', 'holds other vectors than the rows of the array', {
        path,
        advice:
          'Nothing was released. Remove the index beside the reference and build it anew: `firn build`.',
      });
    } finally {
      await handle.close();
    }
  } finally {
    await embeddings.close();
  }
}

function progressOf({ port, onProgress }: ReleaseRequest, { files }: Source): (bytes: number) => void {
  const sizes = [files.embeddings, ...(files.index === undefined ? [] : [files.index])].map(
    (path) => port.stat(path)?.size ?? 0,
  );
  // Each is copied and read back.
  const total = 2 * sizes.reduce((sum, size) => sum + size, 0);
  let done = 0;
  return (bytes) => {
    done += bytes;
    onProgress(Math.min(done, total), total);
  };
}

export function digestOf(
  { port, workers, signal }: Pick<ReleaseRequest, 'port' | 'workers' | 'signal'>,
  path: string,
): Promise<string> {
  return fileDigest(port, path, { workers, signal });
}

/** The registry may know versions that no run here has. */
function modelsOf({ models }: ReleaseRequest, facts: ReferenceFacts): Map<string, string> {
  return new Map(
    versionsIn(facts).flatMap((version) => {
      const model = models.get(version);
      return model === undefined ? [] : [[version, model] as const];
    }),
  );
}

async function writeDescribedMetadata(
  { port, workers, signal }: ReleaseRequest,
  path: string,
  { facts, sequences }: { facts: ReferenceFacts; sequences: boolean },
): Promise<{ bytes: number; sha256: string }> {
  await writeMetadata(port, path, facts, { sequences, signal });
  const hash = createHash('sha256');
  for (const text of metadataText(facts, { sequences, signal })) hash.update(text);
  const sha256 = hash.digest('hex');
  if (hex(await fileDigest(port, path, { workers, signal })) !== sha256) throw notAsWritten(path);
  return { bytes: port.stat(path)?.size ?? 0, sha256 };
}

async function writeProven(port: Port, path: string, name: string, text: string): Promise<ReleasedFile> {
  const bytes = Buffer.from(text, 'utf8');
  const handle = await port.create(path);
  try {
    await handle.write(bytes);
    await handle.sync();
  } finally {
    await handle.close();
  }
  const sha256 = createHash('sha256').update(bytes).digest('hex');
  if (hex(await fileDigest(port, path)) !== sha256) throw notAsWritten(path);
  return { name, bytes: bytes.length, sha256 };
}

function jsonText(value: unknown): string {
  return `${JSON.stringify(value, null, 2)}\n`;
}

function hex(digest: string): string {
  return digest.replace(/^sha256:/, '');
}

export function changed(path: string): FirnError {
  return new FirnError('conflict', 'is not what its metadata says, or changed while it was copied', {
    path,
    advice: 'Nothing was released. `firn build` brings the reference to one state.',
  });
}

function notAsWritten(path: string): FirnError {
  return new FirnError('failed', 'reads back other than it was written', {
    path,
    advice: 'Look at the disk.',
  });
}
