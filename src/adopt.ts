/**
 * Taking over a reference that another program wrote: its rows stay as they are, and metadata that firn can build on is
 * written beside them. The metadata as it was is kept under another name.
 */
import { dirname, join } from 'node:path';
import { ArrayHasher } from './arrays/digest.js';
import { openArray } from './arrays/open.js';
import type { ArrayReader } from './arrays/types.js';
import { fileDigest } from './engine/store.js';
import { FirnError } from './errors.js';
import type { Port } from './files/port.js';
import { temporaryName } from './files/temporary.js';
import { EMBEDDINGS_FILE, findReference } from './reference/files.js';
import { type Range, runName } from './reference/layout.js';
import { readMetadata, writeMetadata } from './reference/metadata.js';
import { type RowSource, readRowSources } from './reference/row-sources.js';
import { runFile } from './runs/run-array.js';

export interface Adopted {
  ranges: Range[];
  rows: number;
  /** Runs that the older system counted more than once; the next build keeps the first. */
  repeated: string[];
  /** Where the metadata as it was is kept. */
  kept: string;
}

export interface AdoptRequest {
  port: Port;
  /** Of the reference, absolute. */
  directory: string;
  /** The folder of runs, absolute: a run that is not in it is retained. */
  runsDir: string;
  signal: AbortSignal;
  onProgress: (done: number, total: number) => void;
}

/** Throws FirnError when the reference is firn's already, or its metadata does not fit its array. */
export async function adoptReference(request: AdoptRequest): Promise<Adopted> {
  const { port, directory, signal } = request;
  const files = findReference(port, directory);
  if ((await readMetadata(port, files.metadata)) !== undefined) {
    throw new FirnError('usage', 'is a reference of firn already', { path: directory });
  }
  if (!files.embeddings.endsWith(EMBEDDINGS_FILE)) {
    throw new FirnError(
      'usage',
      'has the names of an older reference (reference_*), which is only searched',
      {
        path: directory,
        advice:
          'To build on it, copy its files as consolidated_embeddings.npy and consolidated_metadata.json into a folder.',
      },
    );
  }
  const sources = await readRowSources(port, files.metadata);
  const embeddings = await openArray(port, files.embeddings);
  try {
    checkSources(sources, embeddings, files.metadata);
    const ranges = await rangesOf(request, sources, embeddings);
    const kept = await replaceMetadata(port, files.metadata, signal, {
      ranges,
      dims: embeddings.dims,
      dtype: embeddings.dtype,
      embeddings: await fileDigest(port, files.embeddings, { signal }),
    });
    return { ranges, rows: embeddings.rows, repeated: repeatedNames(ranges), kept };
  } finally {
    await embeddings.close();
  }
}

function checkSources(sources: readonly RowSource[], embeddings: ArrayReader, path: string): void {
  const rows = sources.reduce((sum, source) => sum + source.count, 0);
  if (rows !== embeddings.rows) {
    throw new FirnError('conflict', `lists ${rows} rows, but the array has ${embeddings.rows}`, { path });
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
      hasher.update(block.bytes);
      request.onProgress(block.start + block.rows, rows);
    }
    const retained = runFile(request.port, join(request.runsDir, dataset, run_id)) === undefined;
    ranges.push({ dataset, run_id, count, digest: hasher.digest(), dtype, version: null, retained });
  }
  return ranges;
}

function repeatedNames(ranges: readonly Range[]): string[] {
  const names = ranges.map(runName);
  return [...new Set(names.filter((name, i) => names.indexOf(name) !== i))];
}

async function replaceMetadata(
  port: Port,
  path: string,
  signal: AbortSignal,
  facts: Parameters<typeof writeMetadata>[2],
): Promise<string> {
  const kept = path.replace(/\.json$/, '.before-adopt.json');
  if (port.stat(kept) !== undefined) {
    throw new FirnError(
      'conflict',
      'is in the way: the metadata as it is now is to be kept under this name',
      {
        path: kept,
        advice: 'Move it away.',
      },
    );
  }
  const temporary = temporaryName(path);
  await writeMetadata(port, temporary, facts, { sequences: true, signal });
  try {
    await port.copy(path, kept);
    await port.rename(temporary, path);
  } catch (error) {
    await port.unlink(temporary).catch(() => undefined);
    throw error;
  }
  await port.syncDirectory(dirname(path));
  return kept;
}
