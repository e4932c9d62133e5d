/** What takes room in a project, what could be freed, and how much more fits. Writes nothing and prints nothing. */
import { join, resolve } from 'node:path';
import { atOnce } from '../at-once.js';
import { findGarbage } from '../cache.js';
import { disk } from '../files/disk.js';
import { nearestDirectory } from '../files/make-directory.js';
import type { DiskSpace, Port } from '../files/port.js';
import { DEFAULT_CACHE_BYTES, type Pipeline } from '../pipeline/load.js';
import { CACHE_FOLDER, openProject, projectPlaces } from '../project.js';
import { DEFAULT_REFERENCE } from '../reference/files.js';
import { type ProjectReference, readReferences } from '../run-life/references.js';
import { readStub } from '../runs/archived.js';
import { discoverRuns, NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';
import { openRun, readCopyNote } from '../runs/run-array.js';
import { RUN_FACTS_FILE, readRunFacts } from '../runs/run-facts.js';
import { isAway } from '../runs/run-version.js';
import { ageMs } from '../runs/select.js';
import { type CompressionEstimate, estimateCompression } from './compressing.js';
import { type GrowingDisk, type Projection, project } from './projection.js';
import { type Arrival, dateInName, lastOf, type Rate, rateOf } from './rate.js';
import {
  type ArchiveSizes,
  type CacheSizes,
  type ReferenceSizes,
  type ReleaseSize,
  type RunSizes,
  sizesOfArchives,
  sizesOfCache,
  sizesOfReference,
  sizesOfReleases,
  sizesOfRuns,
} from './sizes.js';

const AT_ONCE = 32;

export interface DuRequest {
  /** The folder of the project; it may have no pipeline.yaml. */
  directory: string;
  port?: Port;
  signal: AbortSignal;
  now?: () => number;
}

export interface DiskReport extends Pick<DiskSpace, 'total' | 'free'> {
  /** Folders of the project that are on it, relative to the project. */
  holds: string[];
}

export interface DuReport {
  runs: RunSizes;
  references: ReferenceSizes[];
  releases: ReleaseSize[];
  cache: CacheSizes & { limit: number };
  archives: ArchiveSizes[];
  compressing: CompressionEstimate | undefined;
  /** Bytes that `firn cache gc` would remove; undefined where the pipeline cannot be read. */
  garbage: number | undefined;
  /** Originals beside a lossless copy that firn made and that is smaller. */
  originals: { runs: number; bytes: number };
  disks: DiskReport[];
  rate: Rate | undefined;
  /** Runs with a date that the rate was asked of. */
  dated: number;
  projection: Projection | undefined;
  nowMs: number;
}

export async function measure(request: DuRequest): Promise<DuReport> {
  const { port = disk, signal, now = Date.now } = request;
  const { root, pipeline } = await projectPlaces(request.directory, port);
  const runsDir = join(root, pipeline.runsDir);
  const { runs, archived } = discoverRuns(port, runsDir);
  const nowMs = now();
  const references = [
    ...(await readReferences(port, root, pipeline)),
    ...strayReference(port, root, pipeline),
  ];
  const sizes = sizesOfRuns(port, runs, archived);
  const built = references.map((reference) => sizesOfReference(port, root, reference));
  const cache = {
    ...sizesOfCache(port, join(root, CACHE_FOLDER)),
    limit: pipeline.cacheLimit ?? DEFAULT_CACHE_BYTES,
  };
  const only = runs.filter((run) => run.npy !== undefined && run.npz === undefined);
  const npyRuns = only.map((run) => ({ path: join(run.directory, NPY_FILE), bytes: run.npy?.size ?? 0 }));
  const compressing = await estimateCompression(port, npyRuns, signal);
  const arrivals = await arrivalsOf(port, [...runs, ...archived], sizes, { nowMs, signal });
  const rate = rateOf(arrivals);
  const places: Places = { port, root, runsDir: pipeline.runsDir };
  const growing = growingDisks(places, { references, built, cache, arrivals });
  return {
    runs: sizes,
    references: built,
    releases: sizesOfReleases(port, { root, pipeline }),
    cache,
    archives: sizesOfArchives(port, root, [...runs, ...archived]),
    compressing,
    garbage: await garbageIn(request),
    originals: await spareOriginals(port, runs),
    disks: disksOf(places, built).map(({ space: { total, free }, holds }) => ({ total, free, holds })),
    rate,
    dated: arrivals.length,
    projection: project(growing, rate, nowMs),
    nowMs,
  };
}

/** A reference in the usual place that no target makes: of another program, or of a pipeline of before. */
function strayReference(
  port: Port,
  root: string,
  { targets }: { targets?: Pipeline['targets'] },
): ProjectReference[] {
  const isMade = [...(targets?.values() ?? [])].some(({ out }) => out.includes(DEFAULT_REFERENCE));
  const names = isMade ? [] : port.list(join(root, DEFAULT_REFERENCE)).map(({ name }) => name);
  if (!names.some((name) => name.endsWith('_embeddings.npy'))) return [];
  const directory = DEFAULT_REFERENCE;
  return [{ target: directory, directory, facts: undefined, held: new Map(), pruned: new Set() }];
}

/** The last runs, with what a rate needs; those that cannot be read do not count. */
async function arrivalsOf(
  port: Port,
  runs: readonly Run[],
  sizes: RunSizes,
  { nowMs, signal }: { nowMs: number; signal: AbortSignal },
): Promise<Arrival[]> {
  const dated = runs.map((run) => ({
    run,
    name: run.name,
    dateMs: dateOf(port, run, nowMs),
    rows: 0,
    bytes: sizes.each.get(run.name) ?? 0,
  }));
  // Only these are opened.
  const last = lastOf(dated) as typeof dated;
  await atOnce(AT_ONCE, last, async (arrival) => {
    signal.throwIfAborted();
    try {
      await readArrival(port, arrival);
    } catch {
      // No rows: it does not count.
    }
  });
  return last.map(({ name, dateMs, rows, bytes }) => ({ name, dateMs, rows, bytes }));
}

async function readArrival(port: Port, arrival: Arrival & { run: Run }): Promise<void> {
  const { directory } = arrival.run;
  if (isAway(arrival.run)) {
    const stub = readStub(port, directory);
    arrival.rows = stub?.rows ?? 0;
    arrival.bytes = stub?.files.reduce((sum, { bytes }) => sum + bytes, 0) ?? 0;
    return;
  }
  const reader = await openRun(port, directory);
  arrival.rows = reader.rows;
  await reader.close();
}

/** As its name says, or what stands beside it, or when its array was last changed. */
function dateOf(port: Port, run: Run, nowMs: number): number {
  const named = dateInName(run.run, nowMs) ?? dateInName(run.dataset, nowMs);
  if (named !== undefined) return named;
  const facts = readRunFacts(port, join(run.directory, RUN_FACTS_FILE));
  for (const field of ['date', 'created', 'created_at', 'timestamp']) {
    const said = typeof facts?.[field] === 'string' ? Date.parse(facts[field]) : Number.NaN;
    if (said <= nowMs) return said;
  }
  return nowMs - ageMs(run, nowMs);
}

/** What nothing in the cache is needed for any more. */
async function garbageIn({ directory, port = disk, signal }: DuRequest): Promise<number | undefined> {
  try {
    const { objects, leftovers } = await findGarbage(await openProject({ directory, port }), { signal });
    return [...objects, ...leftovers].reduce((sum, { bytes }) => sum + bytes, 0);
  } catch (error) {
    if (signal.aborted) throw error;
    return undefined;
  }
}

/** A copy has the date of what it was made of, so that one of an earlier original is told by it, to the exactness of dates. */
const SAME_DATE_NS = 1_000_000n;

/** Known without reading: the copy is there, says that it is the same, and is of this original. */
async function spareOriginals(port: Port, runs: readonly Run[]): Promise<{ runs: number; bytes: number }> {
  const spare = { runs: 0, bytes: 0 };
  const both = runs.filter(({ npy, npz }) => npy !== undefined && npz !== undefined && npz.size < npy.size);
  await atOnce(AT_ONCE, both, async ({ directory, npy, npz }) => {
    if ((npy?.mtimeNs ?? 0n) - (npz?.mtimeNs ?? 0n) > SAME_DATE_NS) return;
    const note = await readCopyNote(port, join(directory, NPZ_FILE));
    if (note?.precision !== 'lossless') return;
    spare.runs += 1;
    spare.bytes += npy?.size ?? 0;
  });
  return spare;
}

interface Places {
  port: Port;
  root: string;
  runsDir: string;
}

interface DiskPlace {
  space: DiskSpace;
  holds: string[];
}

/** The file systems of the project's folders; a folder that is not there yet is where it would be made. */
function disksOf({ port, root, runsDir }: Places, built: readonly ReferenceSizes[]): DiskPlace[] {
  const disks = new Map<bigint, DiskPlace>();
  for (const folder of [runsDir, ...built.map(({ directory }) => directory), CACHE_FOLDER]) {
    const there = nearestDirectory(port, resolve(root, folder));
    const space = port.space(there);
    if (space === undefined) continue;
    const known = disks.get(space.device) ?? { space, holds: [] };
    known.holds.push(folder);
    disks.set(space.device, known);
  }
  return [...disks.values()];
}

function growingDisks(
  places: Places,
  {
    references,
    built,
    cache,
    arrivals,
  }: {
    references: readonly ProjectReference[];
    built: readonly ReferenceSizes[];
    cache: CacheSizes & { limit: number };
    arrivals: readonly Arrival[];
  },
): GrowingDisk[] {
  const rows = rowsIn(arrivals);
  const bytes = arrivals.reduce((sum, arrival) => sum + arrival.bytes, 0);
  const held = arrivals.filter(({ name }) => references.some((reference) => holds(reference, name)));
  return disksOf(places, built).map(({ space, holds: folders }) => {
    const growing: GrowingDisk = {
      holds: folders,
      available: space.free,
      reserved: folders.includes(CACHE_FOLDER) ? Math.max(0, cache.limit - cache.objects) : 0,
      perSequence: folders.includes(places.runsDir) && rows > 0 ? bytes / rows : 0,
      rewritten: [],
    };
    for (const [i, sizes] of built.entries()) {
      if (!folders.includes(sizes.directory) || !sizes.rows) continue;
      const taken = held.filter(({ name }) => holds(references[i], name));
      // Runs that no build has seen yet say nothing of which references take them in.
      const share = held.length === 0 ? 1 : rowsIn(taken) / rowsIn(held);
      for (const file of [sizes.embeddings + sizes.metadata, sizes.index]) {
        const perSequence = (share * file) / sizes.rows;
        growing.perSequence += perSequence;
        if (file > 0) growing.rewritten.push({ bytes: file, perSequence });
      }
    }
    return growing;
  });
}

function rowsIn(arrivals: readonly Arrival[]): number {
  return arrivals.reduce((sum, { rows }) => sum + rows, 0);
}

function holds({ held }: ProjectReference, name: string): boolean {
  return held.has(name);
}
