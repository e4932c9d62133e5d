/**
 * Bringing archived runs back: the archive is checked against the stub, the files are copied, proven and named, and the
 * stub goes last. Nothing that is here is overwritten. Killed at any point, the same command goes on.
 */
import { dirname, join, resolve } from 'node:path';
import { arrayDigest } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import { disk } from '../files/disk.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { DiskSpace, Port } from '../files/port.js';
import { CACHE_FOLDER, projectPlaces } from '../project.js';
import { type ArchivedFile, readStub, STUB_FILE, type Stub } from '../runs/archived.js';
import { expectNames, filterOf, type RunChoice } from '../runs/choose.js';
import { byName, discoverRuns, NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';
import { runFile } from '../runs/run-array.js';
import { selectRuns } from '../runs/select.js';
import { Workers } from '../workers/pool.js';
import { type LifeOptions, lockedFolder } from './open.js';
import { expectSpace, isAnother, type Placing, placeFiles, sha256Of } from './place-files.js';
import { readTree, removeEmpty, removeUnfinished } from './tree.js';

const LABEL = 'restore';

export interface RestoreRequest extends LifeOptions, Pick<RunChoice, 'patterns'> {
  /** Where the archive is now, when it was moved: the folder that holds `<dataset>/<run>/`. */
  from?: string | undefined;
  /** Then the copy in the archive goes, once the run is here and proven. */
  removeArchive: boolean;
}

export interface RestoreItem {
  run: string;
  /** What there is to copy. */
  files: number;
  bytes: number;
  /** Absolute; the folder in the archive. */
  from: string;
  done: boolean;
  error?: unknown;
}

export interface RestoreResult {
  items: RestoreItem[];
  /** Of the disk that has the runs. */
  space: DiskSpace | undefined;
}

/** What restoring would do, as far as it shows without reading the archive. Writes nothing. */
export async function planRestore(request: RestoreRequest): Promise<RestoreResult> {
  const place = await placeOf(request);
  return { items: jobsOf(place, request).map(({ item }) => item), space: place.port.space(place.root) };
}

/** Restores; runs that fail are in the result, and the others go on. Works without a pipeline that can be built. */
export async function restoreRuns(request: RestoreRequest): Promise<RestoreResult> {
  const place = await placeOf(request);
  // What is wrong with the request shows before anybody waits.
  if (jobsOf(place, request).length === 0) return { items: [], space: place.port.space(place.root) };
  return lockedFolder(request, join(place.root, CACHE_FOLDER), 'firn runs restore', async () => {
    const workers = new Workers();
    const jobs = jobsOf(place, request);
    try {
      for (const job of jobs) {
        request.signal.throwIfAborted();
        if (job.item.error !== undefined) continue;
        try {
          await restoreOne(job, place.port, { ...request, workers });
          job.item.done = true;
        } catch (error) {
          if (request.signal.aborted) throw error;
          job.item.error = error;
        }
      }
    } finally {
      await workers.close();
    }
    return { items: jobs.map(({ item }) => item), space: place.port.space(place.root) };
  });
}

interface Place {
  port: Port;
  root: string;
  /** Relative to the project. */
  runsDir: string;
}

async function placeOf({ directory, port = disk, from }: RestoreRequest): Promise<Place> {
  if (from === '') throw new FirnError('usage', '--from is empty', { advice: 'Name a folder.' });
  const { root, pipeline } = await projectPlaces(directory, port);
  return { port, root, runsDir: pipeline.runsDir };
}

interface Job {
  item: RestoreItem;
  run: Run;
  /** Undefined where it cannot be read. */
  stub?: Stub;
}

function jobsOf({ port, root, runsDir }: Place, request: RestoreRequest): Job[] {
  const { runs, archived } = discoverRuns(port, join(root, runsDir));
  const noted = [...runs, ...archived].filter(({ stub }) => stub !== undefined).sort(byName);
  // One that is not archived is where it should be.
  expectNames(request.patterns, [...runs, ...archived], runsDir);
  const filter = filterOf(request, [...runs, ...archived]);
  const selected = selectRuns(noted, filter, { versionOf: () => undefined, nowMs: 0 });
  return selected.map((run) => jobOf(port, root, run, request));
}

function jobOf(port: Port, root: string, run: Run, request: RestoreRequest): Job {
  const item: RestoreItem = { run: run.name, files: 0, bytes: 0, from: '', done: false };
  const job: Job = { item, run };
  try {
    const stub = readStub(port, run.directory) as Stub;
    if (stub.run !== run.name) {
      throw new FirnError('conflict', `is the stub of ${stub.run}`, {
        path: join(run.directory, STUB_FILE),
        advice: 'Put it back into the folder of that run.',
      });
    }
    job.stub = stub;
    item.from =
      request.from === undefined
        ? resolve(root, stub.archived)
        : join(resolve(request.from), run.dataset, run.run);
    expectElsewhere(port, item.from, run.directory);
    const missing = missingOf(port, run, stub);
    item.files = missing.length;
    item.bytes = missing.reduce((sum, { bytes }) => sum + bytes, 0);
    expectThere(port, item.from, missing);
  } catch (error) {
    item.error = error;
  }
  return job;
}

/** Else the files of the run would be taken for their own copies, and removed as such. */
function expectElsewhere(port: Port, from: string, directory: string): void {
  const [there, here] = [port.stat(from), port.stat(directory)];
  if (there === undefined || there.ino !== here?.ino || there.dev !== here.dev) return;
  throw new FirnError('conflict', 'is the folder of the run itself, and no archive', {
    path: from,
    advice: `Name the folder of the archive: --from DIR. Where the whole run is here, delete its ${STUB_FILE}.`,
  });
}

/** The files that are not here. FirnError (conflict) when something else stands in the place of one. */
function missingOf(port: Port, { directory }: Run, stub: Stub): ArchivedFile[] {
  const tree = readTree(port, directory);
  const here = new Map(tree.files.map(({ path, stat }) => [path, stat.size]));
  const others = new Set([...tree.odd, ...tree.folders].map(({ path }) => path));
  const changed =
    stub.files.find(({ path, bytes }) => others.has(path) || (here.get(path) ?? bytes) !== bytes) ??
    stub.folders.find(({ path }) => here.has(path) || tree.odd.some((odd) => odd.path === path));
  if (changed !== undefined) throw isHere(join(directory, changed.path));
  return stub.files.filter(({ path }) => !here.has(path));
}

function isHere(path: string): FirnError {
  return new FirnError('conflict', 'is here, and is not what was archived; nothing is overwritten', {
    path,
    advice: `Move it away; or, where the run was made anew, delete its ${STUB_FILE}.`,
  });
}

function expectThere(port: Port, from: string, files: readonly ArchivedFile[]): void {
  const there = new Map(readTree(port, from).files.map(({ path, stat }) => [path, stat.size]));
  const lost = files.find(({ path }) => !there.has(path));
  if (lost !== undefined) {
    throw new FirnError('missing', 'is not in the archive', {
      path: join(from, lost.path),
      advice: 'Connect the disk of the archive; where it was moved, say where to: --from DIR.',
    });
  }
  const changed = files.find(({ path, bytes }) => there.get(path) !== bytes);
  if (changed !== undefined) throw isAnother(join(from, changed.path));
}

interface Doing extends RestoreRequest {
  workers: Workers;
}

/** Checks, copies, proves; then the stub goes. */
async function restoreOne({ item, run, ...job }: Job, port: Port, doing: Doing): Promise<void> {
  const stub = job.stub as Stub;
  const { signal, workers } = doing;
  const options = { signal, workers };
  const missing = missingOf(port, run, stub);
  const gone = new Set(missing.map(({ path }) => path));
  for (const { path, sha256 } of stub.files) {
    const file = join(run.directory, path);
    if (gone.has(path)) continue;
    if ((await sha256Of(port, file, options)) !== sha256) throw isHere(file);
    // Somebody may have put it here a moment ago.
    await port.sync(file);
  }
  let done = 0;
  const onBytes = (doingWhat: string) => (bytes: number) => {
    done += bytes;
    // Read before, copied, read back, and read again there.
    doing.onProgress?.(run.name, doingWhat, done, 4 * item.bytes);
  };
  for (const { path, sha256 } of missing) {
    const file = join(item.from, path);
    const found = await sha256Of(port, file, { ...options, onBytes: onBytes('checking') });
    if (found !== sha256) throw isAnother(file);
  }
  await removeUnfinished(port, run.directory, LABEL);
  expectSpace(port, run.directory, item.bytes);
  for (const { path } of stub.folders) await makeDurableDirectory(port, join(run.directory, path));
  const files = restoreOrder(missing).map(
    ({ path, bytes, sha256 }): Placing => ({
      from: join(item.from, path),
      to: join(run.directory, path),
      bytes,
      sha256,
    }),
  );
  await placeFiles(port, files, LABEL, { ...options, onBytes: onBytes('copying') });
  for (const { path } of [...stub.folders, { path: '.' }])
    await port.syncDirectory(join(run.directory, path));
  await setAttributes(port, run, stub);
  await proveArray(port, run, stub, options);
  const folder = port.stat(item.from);
  if (doing.removeArchive) await removeArchive(port, item.from, stub);
  await port.unlink(join(run.directory, STUB_FILE));
  await port.syncDirectory(run.directory);
  // Of the folder itself it is not worth a failure.
  if (folder !== undefined)
    await port.setTimes(run.directory, Number(folder.mtimeNs) / 1e6).catch(() => undefined);
}

/** The array before its copy: alone, a copy would be the run, and it may be rounded. */
export function restoreOrder<F extends { path: string }>(files: readonly F[]): F[] {
  const rank = ({ path }: F) => (path === NPZ_FILE ? 2 : path === NPY_FILE ? 1 : 0);
  return [...files].sort((a, b) => rank(a) - rank(b));
}

/** As they were when the run was archived, whatever the disk of the archive could keep. */
async function setAttributes(port: Port, { directory }: Run, stub: Stub): Promise<void> {
  for (const { path, mode, mtimeNs } of stub.files) {
    const file = join(directory, path);
    const stat = port.stat(file);
    if (stat !== undefined && stat.mode !== Number.parseInt(mode, 8))
      await port.setMode(file, Number.parseInt(mode, 8));
    if (stat !== undefined && !isNear(stat.mtimeNs, mtimeNs))
      await port.setTimes(file, Number(mtimeNs) / 1e6);
  }
  for (const { path, mtimeNs } of [...stub.folders].reverse())
    await port.setTimes(join(directory, path), Number(mtimeNs) / 1e6);
}

/** Times are set as doubles, which are exact to a quarter of a microsecond. */
function isNear(found: bigint, wanted: string): boolean {
  const difference = found - BigInt(wanted);
  return -1000n < difference && difference < 1000n;
}

async function proveArray(
  port: Port,
  { directory, name }: Run,
  stub: Stub,
  options: { signal: AbortSignal; workers: Workers },
): Promise<void> {
  const path = runFile(port, directory) as string;
  const reader = await openArray(port, path);
  try {
    if ((await arrayDigest(reader, options)) === stub.digest) return;
  } finally {
    await reader.close();
  }
  throw new FirnError('failed', `was brought back, and is not the array that ${name} was`, {
    path,
    advice: 'The archive is as it was, and so is the stub.',
  });
}

/** Removes what the stub names, and nothing else; folders go when they are empty. */
async function removeArchive(port: Port, from: string, stub: Stub): Promise<void> {
  const there = new Set(readTree(port, from).files.map(({ path }) => path));
  for (const { path } of stub.files) if (there.has(path)) await port.unlink(join(from, path));
  await removeEmpty(port, [...stub.folders.map(({ path }) => join(from, path)), from, dirname(from)]);
}
