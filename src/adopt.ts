/**
 * Taking over a reference that another program wrote: its rows stay as they are, and metadata that firn can build on is
 * written beside them. The metadata and the index as they were are kept under other names: nothing says of which rows that
 * index is, and the next build makes one that does.
 */
import { basename, dirname, isAbsolute, join, relative, sep } from 'node:path';
import { ArrayHasher } from './arrays/digest.js';
import { openArray } from './arrays/open.js';
import type { ArrayReader } from './arrays/types.js';
import { holdProject } from './engine/hold.js';
import { fileDigest } from './engine/store.js';
import { FirnError } from './errors.js';
import { readTrailer } from './faiss/trailer.js';
import type { Port } from './files/port.js';
import { removeHalfWritten } from './files/remove.js';
import { temporaryName } from './files/temporary.js';
import { EMBEDDINGS_FILE, findReference, METADATA_FILE } from './reference/files.js';
import { type Range, runName } from './reference/layout.js';
import { readMetadata, writeMetadata } from './reference/metadata.js';
import { type RowSource, readRowSources } from './reference/row-sources.js';
import { runFile } from './runs/run-array.js';
import { isRunName } from './runs/run-name.js';

/** In the names of its temporary files. */
const UNFINISHED = 'adopt';

export interface Adopted {
  ranges: Range[];
  rows: number;
  /** Runs that the older system counted more than once; the next build keeps the first. */
  repeated: string[];
  /** Where the metadata as it was is kept. */
  kept: string;
  /** Where the index of the other program is kept; undefined when there was none, or firn made it. */
  keptIndex: string | undefined;
}

export interface AdoptRequest {
  port: Port;
  /** Of the project, absolute. */
  root: string;
  /** Its `cache`, absolute. */
  cacheDirectory: string;
  /** Of the reference, absolute. */
  directory: string;
  /** The folder of runs, absolute: a run that is not in it is retained. */
  runsDir: string;
  signal: AbortSignal;
  onProgress: (done: number, total: number) => void;
  /** Told once who holds the lock. */
  onWait: (holder: string) => void;
}

/** Throws FirnError when the reference is firn's already or outside of the project, or its metadata does not fit its array. */
export async function adoptReference(request: AdoptRequest): Promise<Adopted> {
  expectInside(request);
  // What a killed build had decided to write comes first: it may be this very reference.
  return holdProject({ ...request, command: 'firn adopt' }, async () => {
    await removeHalfWritten(request.port, request.directory, UNFINISHED);
    return adoptLocked(request);
  });
}

/** Whether its runs are gone is a question to the project that builds it; and no build of this one would go on with it. */
function expectInside({ port, root, directory }: AdoptRequest): void {
  const base = port.realPath(root);
  const leads = port.realPath(directory);
  if (base === undefined || leads === undefined || isWithin(base, leads)) return;
  const message = isWithin(root, directory)
    ? `leads to ${leads}, outside of the project`
    : 'lies outside of the project';
  throw new FirnError('usage', message, {
    path: directory,
    advice: 'Adopt it in the project that is to build it, or copy its folder into this one.',
  });
}

function isWithin(folder: string, path: string): boolean {
  const way = relative(folder, path);
  return way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way);
}

async function adoptLocked(request: AdoptRequest): Promise<Adopted> {
  const { port, directory, signal } = request;
  const files = findReference(port, directory);
  if ((await readMetadata(port, files.metadata)) !== undefined) {
    throw new FirnError('usage', 'is a reference of firn already', { path: directory });
  }
  if (basename(files.embeddings) !== EMBEDDINGS_FILE) {
    throw new FirnError('usage', 'has other names than a reference that firn builds, and is only searched', {
      path: directory,
      advice: `To build on it, copy ${basename(files.embeddings)} as ${EMBEDDINGS_FILE} and ${basename(files.metadata)} as ${METADATA_FILE} into a folder.`,
    });
  }
  const sources = await readRowSources(port, files.metadata);
  const index = await foreignIndex(port, files.index);
  const kept = keptName(files.metadata);
  const keptIndex = index === undefined ? undefined : keptName(index);
  await expectFree(port, files.metadata, kept, signal);
  if (keptIndex !== undefined && port.stat(keptIndex) !== undefined) throw inTheWay(keptIndex);
  const embeddings = await openArray(port, files.embeddings);
  try {
    checkSources(sources, embeddings, files.metadata);
    const ranges = await rangesOf(request, sources, embeddings);
    const facts = {
      ranges,
      dims: embeddings.dims,
      dtype: embeddings.dtype,
      embeddings: await fileDigest(port, files.embeddings, { signal }),
    };
    const temporary = temporaryName(files.metadata, UNFINISHED);
    await writeMetadata(port, temporary, facts, { sequences: true, signal });
    const moves: Move[] = [{ from: temporary, to: files.metadata }];
    if (index !== undefined && keptIndex !== undefined) moves.unshift({ from: index, to: keptIndex });
    await exchange(port, { metadata: files.metadata, kept, temporary, moves });
    return { ranges, rows: embeddings.rows, repeated: repeatedNames(ranges), kept, keptIndex };
  } finally {
    await embeddings.close();
  }
}

function checkSources(sources: readonly RowSource[], embeddings: ArrayReader, path: string): void {
  const rows = sources.reduce((sum, source) => sum + source.count, 0);
  if (rows !== embeddings.rows) {
    throw new FirnError('conflict', `lists ${rows} rows, but the array has ${embeddings.rows}`, { path });
  }
  const odd = sources.map(runName).find((name) => !isRunName(name));
  if (odd !== undefined) {
    throw new FirnError('input', `names the run ${JSON.stringify(odd)}, and firn has no place for it`, {
      path,
      advice: 'Runs are named dataset/run, as their folders are, and do not begin with a dot.',
    });
  }
  const split = sources.find((source) => source.seqIdx !== 0);
  if (split !== undefined) {
    throw new FirnError('input', `lists the rows of ${split.dataset}/${split.run_id} in pieces`, {
      path,
      advice: 'A run has to stand in one piece, from its row 0. Build the reference from the runs instead.',
    });
  }
}

async function rangesOf(
  request: AdoptRequest,
  sources: readonly RowSource[],
  embeddings: ArrayReader,
): Promise<Range[]> {
  const { dtype, dims, rows } = embeddings;
  const ranges: Range[] = [];
  for (const { dataset, run_id, start, count } of sources) {
    const hasher = new ArrayHasher({ dtype, dims, rows: count });
    for await (const block of embeddings.blocks({ from: start, to: start + count, signal: request.signal })) {
      await hasher.update(block.bytes);
      request.onProgress(block.start + block.rows, rows);
    }
    const retained = runFile(request.port, join(request.runsDir, dataset, run_id)) === undefined;
    const digest = await hasher.digest();
    const first = ranges.find((range) => range.dataset === dataset && range.run_id === run_id);
    if (retained && first !== undefined && first.digest !== digest) {
      throw new FirnError(
        'conflict',
        `lists ${dataset}/${run_id} twice with different rows, and the run itself is gone`,
        {
          path: request.directory,
          advice:
            'A run counts once, and nobody can tell which rows are its own. Put the run back, or build a reference without it.',
        },
      );
    }
    ranges.push({ dataset, run_id, count, digest, dtype, version: null, retained });
  }
  return ranges;
}

function repeatedNames(ranges: readonly Range[]): string[] {
  const names = ranges.map(runName);
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
}

/** The index, when nothing shows it to be firn's: a build would refuse to write over it. */
async function foreignIndex(port: Port, path: string | undefined): Promise<string | undefined> {
  if (path === undefined) return undefined;
  return (await readTrailer(port, path))?.firn === 1 ? undefined : path;
}

/** `consolidated_index.faiss` -> `consolidated_index.before-adopt.faiss` */
function keptName(path: string): string {
  return path.replace(/(\.[^./]+)$/, '.before-adopt$1');
}

/** A copy of the same metadata is what an adoption that was killed leaves; anything else is not overwritten. */
async function expectFree(port: Port, metadata: string, kept: string, signal: AbortSignal): Promise<void> {
  if (port.stat(kept) === undefined) return;
  const digest = (path: string) => fileDigest(port, path, { signal });
  if ((await digest(kept)) !== (await digest(metadata))) throw inTheWay(kept);
}

function inTheWay(path: string): FirnError {
  return new FirnError('conflict', 'is in the way: the file as it is now is to be kept under this name', {
    path,
    advice: 'Move it away.',
  });
}

interface Move {
  from: string;
  to: string;
}

/**
 * Keeps a copy of the metadata and gives the files their names, the new metadata last: until then the reference is the
 * other program's, and adopting it again completes what was begun. What fails is undone.
 */
async function exchange(
  port: Port,
  { metadata, kept, temporary, moves }: { metadata: string; kept: string; temporary: string; moves: Move[] },
): Promise<void> {
  const done: Move[] = [];
  try {
    if (port.stat(kept) === undefined) await copyDurably(port, metadata, kept);
    for (const move of moves) {
      await port.rename(move.from, move.to);
      done.push(move);
    }
    await port.syncDirectory(dirname(metadata));
  } catch (error) {
    if (done.length < moves.length) {
      for (const move of done) await port.rename(move.to, move.from).catch(() => undefined);
      await port.unlink(temporary).catch(() => undefined);
    }
    throw error;
  }
}

/** Under its name only when all of it is there and on disk. */
async function copyDurably(port: Port, from: string, to: string): Promise<void> {
  const temporary = temporaryName(to, UNFINISHED);
  try {
    await port.copy(from, temporary);
    await port.sync(temporary);
    await port.rename(temporary, to);
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined);
    throw error;
  }
}
