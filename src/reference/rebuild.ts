/**
 * Whether a reference comes out again, byte for byte, of the runs that are still on disk: the array is joined anew, with
 * rows of its own where a run is gone, and indexed anew as the trailer of its index says. Works in a folder that goes away
 * afterwards; the reference is only read.
 */
import { join } from 'node:path';
import { openArray } from '../arrays/open.js';
import { fileDigest } from '../engine/store.js';
import { FirnError, messageOf } from '../errors.js';
import { buildIndex } from '../faiss/build.js';
import { buildWithFactory } from '../faiss/factory.js';
import type { Metric } from '../faiss/format.js';
import type { IvfFacts } from '../faiss/ivf-build.js';
import { readTrailer, type Trailer } from '../faiss/trailer.js';
import type { Port } from '../files/port.js';
import { removeTree } from '../files/remove.js';
import type { Finding } from '../finding.js';
import { runDigester, runFile } from '../runs/run-array.js';
import { isRunName } from '../runs/run-name.js';
import type { Workers } from '../workers/pool.js';
import type { ReferenceFiles } from './files.js';
import { type Range, runName, startsOf } from './layout.js';
import type { ReferenceFacts } from './metadata.js';
import { writeRows } from './write-rows.js';

export interface RebuildRequest {
  port: Port;
  files: ReferenceFiles;
  facts: ReferenceFacts;
  /** The folder of runs, absolute. */
  runsDir: string;
  /** A folder that does not exist, for files as large as the reference. */
  scratch: string;
  workers: Workers;
  signal: AbortSignal;
  onProgress: (done: number, total: number, unit: string) => void;
}

export interface Rebuilt {
  findings: Finding[];
  notes: string[];
}

export async function rebuildReference(request: RebuildRequest): Promise<Rebuilt> {
  const { port, scratch } = request;
  const rebuilt: Rebuilt = { findings: [], notes: [] };
  try {
    await port.makeDirectory(scratch);
    const array = await rebuildArray(request, rebuilt);
    if (array !== undefined && request.files.index !== undefined) {
      await rebuildIndex(request, { array, index: request.files.index }, rebuilt);
    }
  } finally {
    if (port.stat(scratch) !== undefined) await removeTree(port, scratch);
  }
  return rebuilt;
}

/** Where the array was written anew; undefined when it could not be. */
async function rebuildArray(request: RebuildRequest, rebuilt: Rebuilt): Promise<string | undefined> {
  const { port, files, facts, runsDir, workers, signal, onProgress } = request;
  const starts = startsOf(facts.ranges);
  const keptAt: { [run: string]: number } = Object.create(null);
  const ranges: Range[] = [];
  let gone = 0;
  for (const [i, range] of facts.ranges.entries()) {
    const name = runName(range);
    const found = await digestOnDisk(request, name);
    if (found === undefined) gone += 1;
    else if ('problem' in found) rebuilt.findings.push({ path: join(runsDir, name), problem: found.problem });
    else if (found.digest !== range.digest)
      rebuilt.findings.push({
        path: join(runsDir, name),
        problem: 'is no longer the run that these rows are of',
      });
    const same = found !== undefined && 'digest' in found && found.digest === range.digest;
    // Of a run that stands twice only the first place can be given.
    if (!same && !(name in keptAt)) keptAt[name] = starts[i];
    ranges.push({ ...range, retained: !same });
  }
  const runs = facts.ranges.length;
  rebuilt.notes.push(
    gone === 0
      ? `made again from all ${runs} runs`
      : `made again from the ${runs - gone} of ${runs} runs that are on disk; rows of the others were taken from itself`,
  );
  const out = join(request.scratch, 'embeddings.npy');
  try {
    const written = await writeRows({
      port,
      out,
      ranges,
      runsDir,
      standing: files.embeddings,
      keptAt,
      dims: facts.dims,
      // Whether they may be there was asked when it was built.
      finite: false,
      workers,
      signal,
      onRows: (done, total) => onProgress(done, total, 'rows'),
    });
    if (written.fileDigest === facts.embeddings) return out;
    rebuilt.findings.push({ path: files.embeddings, problem: 'does not come out again of its runs' });
  } catch (error) {
    if (signal.aborted || !(error instanceof FirnError)) throw error;
    rebuilt.findings.push({
      path: files.embeddings,
      problem: `does not come out again: ${messageOf(error)}`,
    });
  }
  return undefined;
}

async function digestOnDisk(
  { port, runsDir, workers, signal }: RebuildRequest,
  name: string,
): Promise<{ digest: string } | { problem: string } | undefined> {
  if (!isRunName(name) || runFile(port, join(runsDir, name)) === undefined) return undefined;
  try {
    return await runDigester(runsDir).digest(name, { port, workers, signal, onBytes: () => undefined });
  } catch (error) {
    if (signal.aborted || !(error instanceof FirnError)) throw error;
    return { problem: error.message };
  }
}

async function rebuildIndex(
  request: RebuildRequest,
  { array, index }: { array: string; index: string },
  rebuilt: Rebuilt,
): Promise<void> {
  const { port, workers, signal } = request;
  const trailer = await readTrailer(port, index);
  if (trailer?.firn !== 1) {
    rebuilt.findings.push({ path: index, problem: 'does not say how it was made' });
    return;
  }
  const out = join(request.scratch, 'index.faiss');
  try {
    await indexAnew(request, trailer, array, out);
  } catch (error) {
    if (signal.aborted || !(error instanceof FirnError)) throw error;
    const text = `could not be made again: ${messageOf(error)}`;
    // A package that is missing here says nothing about the index.
    if (error.kind === 'missing') rebuilt.notes.push(`the index ${text}`);
    else rebuilt.findings.push({ path: index, problem: text });
    return;
  }
  const options = { workers, signal };
  if ((await fileDigest(port, out, options)) !== (await fileDigest(port, index, options)))
    rebuilt.findings.push({ path: index, problem: 'does not come out again of the array' });
}

type IndexFacts = Partial<IvfFacts> & { kind?: string; factory?: string; nprobe?: number };

/** With the parameters that the trailer tells. */
async function indexAnew(
  request: RebuildRequest,
  trailer: Trailer,
  array: string,
  out: string,
): Promise<void> {
  const { port, workers, signal, onProgress } = request;
  const { index, ...facts } = trailer;
  const { kind, factory, nlist, nprobe, recall, training } = (index ?? {}) as IndexFacts;
  const metric: Metric = trailer.metric === 'ip' ? 'ip' : 'l2';
  const embeddings = await openArray(port, array);
  try {
    const common = {
      port,
      embeddings,
      out,
      metric,
      trailer: facts,
      signal,
      onProgress: (done: number, total: number, phase: string) => onProgress(done, total, phase),
    };
    if (kind === 'factory' && factory !== undefined) {
      await buildWithFactory({ ...common, factory, ...(nprobe === undefined ? {} : { nprobe }) });
      return;
    }
    await buildIndex({
      ...common,
      workers,
      ...(nlist === undefined ? {} : { nlist }),
      ...(training?.rows === undefined ? {} : { trainedRows: training.rows }),
      // A number of lists that was told, and not measured, has no goal.
      ...(typeof recall?.goal === 'number'
        ? { recall: recall.goal }
        : nprobe === undefined
          ? {}
          : { nprobe }),
    });
  } finally {
    await embeddings.close();
  }
}
