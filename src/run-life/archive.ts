/**
 * Archiving runs: all files of a run are copied to another place and proven there, a stub says where they went, and only
 * then do they go here. Killed at any point, the files are here or there or both, and the same command goes on.
 */
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import { arrayDigest } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import type { Digest } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { makeDurableDirectory, nearestDirectory } from '../files/make-directory.js';
import type { DiskSpace, FileStat, Port } from '../files/port.js';
import { writeFileAtomic } from '../files/write-file.js';
import { cacheDirectory, type Project } from '../project.js';
import { formatStub, readStub, STUB_FILE, type Stub } from '../runs/archived.js';
import { expectNames, filterOf, type RunChoice } from '../runs/choose.js';
import { byName, discoverRuns, NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';
import { runFile } from '../runs/run-array.js';
import { RUN_FACTS_FILE, SEQUENCE_NAMES_FILE } from '../runs/run-facts.js';
import { isAway, versionOfRun } from '../runs/run-version.js';
import { ageMs, selectRuns } from '../runs/select.js';
import { loadRegistry, type Registry } from '../runs/versions.js';
import { type Life, type LifeOptions, locked, look } from './open.js';
import { expectSpace, type Placing, placeFiles, sha256Of } from './place-files.js';
import { type ProjectReference, proveHeld, readReferences, selectionsOf, whyItStays } from './references.js';
import { makerOf, readersOf, versionIn } from './steps.js';
import { bytesOf, readTree, removeEmpty, removeUnfinished, signatureOf, type Tree } from './tree.js';

/** Small files that a search reads of every run: their copies are archived, and they stay. */
export const KEPT_FILES: ReadonlySet<string> = new Set([RUN_FACTS_FILE, SEQUENCE_NAMES_FILE]);

const LABEL = 'archive';

export interface ArchiveRequest extends LifeOptions, RunChoice {
  /** The folder that gets `<dataset>/<run>/`; noted relative to the project when it is given relative. */
  to: string;
}

export interface ArchiveItem {
  run: string;
  ageMs: number;
  /** What there is to copy, and to remove here. */
  files: number;
  bytes: number;
  /** Absolute; the folder that the run goes to. */
  to: string;
  /** Steps that read its files, and cannot while it is archived; those that take it into references are not among them. */
  usedBy: string[];
  /** archived: there is nothing left to do. unfinished: begun before, and cut off. */
  state: 'here' | 'unfinished' | 'archived';
  done: boolean;
  /** Why it cannot be done, or was not. */
  error?: unknown;
}

export interface ArchiveResult {
  /** Absolute. */
  to: string;
  items: ArchiveItem[];
  /** Of the disk that they go to. */
  space: DiskSpace | undefined;
  /** Then archiving frees nothing. */
  sameDisk: boolean;
}

/** What archiving would do. Writes nothing. FirnError (usage) for what cannot be asked for. */
export function planArchive(request: ArchiveRequest): Promise<ArchiveResult> {
  return look(request, async (life) => resultOf(life, request, await jobsOf(life, request)));
}

/** Archives; runs that fail are in the result, and the others go on. */
export function archiveRuns(request: ArchiveRequest): Promise<ArchiveResult> {
  return locked(request, 'firn runs archive', async (life) => {
    const jobs = await jobsOf(life, request);
    for (const job of jobs) {
      if (job.item.error !== undefined || job.item.state === 'archived') continue;
      try {
        await (job.stub === undefined
          ? archiveOne(job, job.array as ArrayFacts, life)
          : finishOne(job, job.stub, life));
        job.item.done = true;
      } catch (error) {
        if (request.signal.aborted) throw error;
        job.item.error = error;
      }
    }
    return resultOf(life, request, jobs);
  });
}

type ArrayFacts = Pick<Stub, 'digest' | 'rows' | 'dims' | 'dtype'>;

interface Job {
  item: ArchiveItem;
  run: Run;
  tree: Tree;
  references: readonly ProjectReference[];
  /** The folder it goes to, as the stub says it. */
  archived: string;
  /** Undefined where it could not be taken. */
  array?: ArrayFacts;
  version?: string | undefined;
  /** Of an archiving that was cut off. */
  stub?: Stub;
}

function resultOf(
  { project: { port, root, pipeline } }: Life,
  request: ArchiveRequest,
  jobs: Job[],
): ArchiveResult {
  const to = resolve(request.to);
  const space = port.space(nearestDirectory(port, to));
  const here = port.space(nearestDirectory(port, join(root, pipeline.runsDir)));
  return {
    to,
    items: jobs.map(({ item }) => item),
    space,
    sameDisk: space?.device === here?.device,
  };
}

async function jobsOf(life: Life, request: ArchiveRequest): Promise<Job[]> {
  const { project } = life;
  const { port, root, pipeline } = project;
  if (request.patterns.length === 0 && request.olderThan === undefined) {
    throw new FirnError('usage', 'name the runs to archive, or give --older-than');
  }
  expectArchive(project, resolve(request.to));
  const { runs, archived } = discoverRuns(port, join(root, pipeline.runsDir));
  const all = [...runs, ...archived].sort(byName);
  expectNames(request.patterns, all, pipeline.runsDir);
  const nowMs = project.now();
  const selected = selectRuns(all, filterOf(request), { versionOf: () => undefined, nowMs });
  const references = await readReferences(port, root, pipeline);
  const registry = loadRegistry(port, join(root, pipeline.versionsFile));
  const jobs: Job[] = [];
  for (const run of selected) {
    request.signal.throwIfAborted();
    jobs.push(await jobOf(life, request, run, { references, registry, nowMs }));
  }
  return jobs;
}

/** A copy in the runs folder would be a run, and what is in `cache/` may be deleted at any time. */
function expectArchive(project: Project, to: string): void {
  const { port, root, pipeline } = project;
  if ((port.stat(to)?.kind ?? 'directory') !== 'directory')
    throw new FirnError('usage', 'is no folder', { path: to });
  const there = realPathOf(port, to);
  for (const folder of [join(root, pipeline.runsDir), cacheDirectory(project)]) {
    const path = relative(realPathOf(port, folder), there);
    if (path.startsWith('..') || isAbsolute(path)) continue;
    throw new FirnError('usage', `lies in ${relative(root, folder)}, and an archive belongs elsewhere`, {
      path: to,
      advice: 'Name a folder on another disk.',
    });
  }
}

/** Where a path leads, as far as it is there. */
function realPathOf(port: Port, path: string): string {
  const there = nearestDirectory(port, path);
  return join(port.realPath(there) ?? there, relative(there, path));
}

async function jobOf(
  { project, open }: Life,
  request: ArchiveRequest,
  run: Run,
  {
    references,
    registry,
    nowMs,
  }: { references: readonly ProjectReference[]; registry: Registry; nowMs: number },
): Promise<Job> {
  const { port, pipeline } = project;
  const tree = readTree(port, run.directory);
  const path = `${pipeline.runsDir}/${run.dataset}/${run.run}`;
  const item: ArchiveItem = {
    run: run.name,
    ageMs: ageMs(run, nowMs),
    files: tree.files.length,
    bytes: bytesOf(tree.files),
    to: join(resolve(request.to), run.dataset, run.run),
    usedBy: readersOf(project.graph, path),
    state: run.stub === undefined ? 'here' : 'unfinished',
    done: false,
  };
  const archived = isAbsolute(request.to) ? item.to : relative(project.root, item.to);
  const job: Job = { item, run, tree, references, archived };
  try {
    if (run.stub !== undefined) {
      job.stub = readStub(port, run.directory) as Stub;
      const left = leftOf(job.stub, tree);
      if (isAway(run) && left.length === 0) item.state = 'archived';
      Object.assign(item, { files: left.length, bytes: bytesOf(left) });
      if (item.state === 'archived') item.to = resolve(project.root, job.stub.archived);
      else expectSame(job, job.stub, project.root);
    }
    if (item.state === 'archived') return job;
    expectPlain(job);
    expectAlone(project, run.name, path);
    job.version = versionOfRun(port, registry, run);
    expectTold(project, run.name, job.version);
    const found = (await open.digests.get({ kind: 'run', path })) as Digest;
    const { digest, facts } = found;
    job.array = { digest, ...(facts as unknown as Omit<ArrayFacts, 'digest'>) };
    const why = whyItStays({ name: run.name, digest }, references, selectionsOf(project)(run.name));
    if (why !== undefined) throw why;
    expectFree(port, item.to, tree);
  } catch (error) {
    if (request.signal.aborted) throw error;
    item.error = error;
  }
  return job;
}

/** Files that are archived and still here. */
function leftOf(stub: Stub, tree: Tree): Tree['files'] {
  const archived = new Set(stub.files.map(({ path }) => path));
  return tree.files.filter(({ path }) => archived.has(path) && !KEPT_FILES.has(path));
}

/** What was begun is gone on with only where everything is as it was then. */
function expectSame({ run, tree, item }: Job, stub: Stub, root: string): void {
  const path = run.directory;
  const there = resolve(root, stub.archived);
  if (there !== item.to) {
    throw new FirnError('conflict', `archiving it to ${there} was begun, and not ended`, {
      path,
      advice: 'Archive it to that place, or take it back first: firn runs restore.',
    });
  }
  const archived = new Map(stub.files.map((file) => [file.path, file.bytes]));
  // Where its array is gone, what somebody put here since is none of the archive's business.
  const other = isAway(run) ? [] : tree.files.filter((file) => archived.get(file.path) !== file.stat.size);
  if (other.length > 0) {
    throw new FirnError('conflict', `was archived already, and ${other[0].path} is not what was archived`, {
      path,
      advice: `If the run was made anew, delete its ${STUB_FILE}; the archive stays in ${there}.`,
    });
  }
}

function expectPlain({ run, tree }: Job): void {
  const [odd] = tree.odd;
  if (odd === undefined) return;
  throw new FirnError('input', `${odd.reason}, and is not copied`, {
    path: join(run.directory, odd.path),
    advice: 'Put a file in its place, or move it away.',
  });
}

/** A step that makes several runs at once would bring this one back for the sake of the others. */
function expectAlone({ graph }: Project, name: string, directory: string): void {
  const maker = makerOf(graph, directory);
  if (maker === undefined || maker.others.length === 0) return;
  throw new FirnError(
    'conflict',
    `${name} has to stay: ${maker.step.id} makes it together with ${maker.others[0]}`,
    {
      advice:
        'Make each run in a step of its own (wildcards in `out`), or take the target out of pipeline.yaml.',
    },
  );
}

/** The target that makes it tells nothing of it while it is archived. */
function expectTold({ graph }: Project, name: string, told: string | undefined): void {
  const version = versionIn(graph, name);
  if (version === undefined || version === told) return;
  throw new FirnError('conflict', `${name} has to stay: only the target that makes it says its version`, {
    advice: `Tag it first: firn versions tag-run ${name} --version ${version}`,
  });
}

/** What is at its place in the archive may be a part of it, of an earlier archiving; anything else is somebody's. */
function expectFree(port: Port, to: string, tree: Tree): void {
  for (const folder of [dirname(to), to]) {
    const kind =
      port.list(dirname(folder)).find(({ name }) => name === basename(folder))?.kind ?? 'directory';
    if (kind === 'directory') continue;
    throw new FirnError(
      'conflict',
      `is ${kind === 'link' ? 'a link' : 'no folder'}, and the run goes there`,
      {
        path: folder,
        advice: 'Move it away, or name another place.',
      },
    );
  }
  const there = readTree(port, to);
  const sizes = new Map(tree.files.map(({ path, stat }) => [path, stat.size]));
  const folders = new Set(tree.folders.map(({ path }) => path));
  const other =
    there.files.find(({ path, stat }) => folders.has(path) || (sizes.get(path) ?? stat.size) !== stat.size) ??
    there.folders.find(({ path }) => sizes.has(path)) ??
    there.odd.find(({ path }) => sizes.has(path) || folders.has(path));
  if (other !== undefined) throw inTheWay(join(to, other.path));
}

function inTheWay(path: string): FirnError {
  return new FirnError('conflict', 'is there already, and is another file', {
    path,
    advice: 'Move it away, or name another place.',
  });
}

/** Copies, proves, notes, removes: in this order. */
async function archiveOne(job: Job, array: ArrayFacts, life: Life): Promise<void> {
  const { run, tree, references, archived } = job;
  const { project, open, options } = life;
  const { port } = project;
  const { name } = run;
  const { signal } = options;
  await proveHeld(project, { name, digest: array.digest }, references, { signal, workers: open.workers });
  const made: Made = { files: [], folders: [] };
  let sums: string[];
  try {
    const before = signatureOf(tree);
    sums = await copyTree(job, made, life);
    await proveArray(job, array.digest, life);
    if (signatureOf(readTree(port, run.directory)) !== before) {
      throw new FirnError('failed', 'changed while it was archived, and stays', {
        path: run.directory,
        advice: 'Archive it again when it is complete.',
      });
    }
  } catch (error) {
    // Copies that no stub speaks of would take room, and be in the way next time.
    for (const path of made.files) await port.unlink(path).catch(() => undefined);
    await removeEmpty(port, made.folders).catch(() => undefined);
    throw error;
  }
  const stub: Stub = {
    archived,
    run: name,
    ...array,
    version: job.version ?? null,
    files: tree.files.map(({ path, stat }, i) => ({
      path,
      bytes: stat.size,
      sha256: sums[i],
      mtimeNs: String(stat.mtimeNs),
      mode: (stat.mode ?? 0o644).toString(8),
    })),
    folders: tree.folders.map(({ path, stat }) => ({ path, mtimeNs: String(stat.mtimeNs) })),
  };
  await writeFileAtomic(port, join(run.directory, STUB_FILE), formatStub(stub));
  await removeSources(job, stub, port);
}

/** What this archiving put into the archive. */
interface Made {
  files: string[];
  folders: string[];
}

/** SHA-256 of each file of the tree, whose copy is there when this ends. */
async function copyTree(
  { item, run, tree }: Job,
  made: Made,
  { project, open, options }: Life,
): Promise<string[]> {
  const { port } = project;
  const { signal } = options;
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    // Copied, read back, and read again here.
    options.onProgress?.(run.name, 'copying', done, 3 * item.bytes);
  };
  const place = { signal, workers: open.workers };
  await removeUnfinished(port, item.to, LABEL);
  const there = new Set(readTree(port, item.to).files.map(({ path }) => path));
  const sums = new Map<string, string>();
  const missing: (Placing & { path: string })[] = [];
  for (const { path, stat } of tree.files) {
    const [from, to] = [join(run.directory, path), join(item.to, path)];
    if (!there.has(path)) {
      missing.push({ path, from, to, bytes: stat.size });
      continue;
    }
    sums.set(path, await sha256Of(port, from, { ...place, onBytes }));
    if ((await sha256Of(port, to, place)) !== sums.get(path)) throw inTheWay(to);
    await port.sync(to);
  }
  const bytes = missing.reduce((sum, file) => sum + file.bytes, 0);
  expectSpace(port, item.to, bytes);
  const folders = [dirname(item.to), item.to, ...tree.folders.map(({ path }) => join(item.to, path))];
  made.folders = folders.filter((folder) => port.stat(folder) === undefined);
  for (const folder of folders) await makeDurableDirectory(port, folder);
  made.files = missing.map(({ to }) => to);
  const copied = await placeFiles(port, missing, LABEL, { ...place, onBytes });
  for (const [i, { path }] of missing.entries()) sums.set(path, copied[i]);
  for (const { path, stat } of [...tree.folders].reverse()) {
    await port.setTimes(join(item.to, path), Number(stat.mtimeNs) / 1e6);
  }
  const own = port.stat(run.directory) as FileStat;
  await port.setTimes(item.to, Number(own.mtimeNs) / 1e6);
  return tree.files.map(({ path }) => sums.get(path) as string);
}

/** The array in the archive can be read, and is the one that references hold. */
async function proveArray(
  { item, run }: Job,
  digest: string,
  { project, open, options }: Life,
): Promise<void> {
  const path = runFile(project.port, item.to) as string;
  const reader = await openArray(project.port, path);
  try {
    let done = 0;
    const onBytes = (bytes: number) => {
      done += bytes;
      options.onProgress?.(run.name, 'checking', done, item.bytes);
    };
    const found = await arrayDigest(reader, { signal: options.signal, workers: open.workers, onBytes });
    if (found === digest) return;
  } finally {
    await reader.close();
  }
  throw new FirnError('failed', `was copied, and is not the array of ${run.name} that references hold`, {
    path,
    advice: 'The run stays. Look whether something writes it.',
  });
}

/** Goes on where an archiving was cut off after its stub was written. */
async function finishOne(job: Job, stub: Stub, { project, open, options }: Life): Promise<void> {
  const { run, item, tree, references } = job;
  const { port } = project;
  const place = { signal: options.signal, workers: open.workers };
  const { digest } = stub;
  await proveHeld(project, { name: run.name, digest }, references, place);
  const here = new Set(tree.files.map(({ path }) => path));
  for (const { path, sha256 } of stub.files) {
    const copy = join(item.to, path);
    if (port.stat(copy) === undefined || (await sha256Of(port, copy, place)) !== sha256) {
      throw new FirnError('conflict', 'is not what was archived, and what is left of the run stays', {
        path: copy,
        advice: `Put it back as it was, or delete ${STUB_FILE} in the run and archive it anew.`,
      });
    }
    if (!here.has(path) || KEPT_FILES.has(path)) continue;
    const source = join(run.directory, path);
    if ((await sha256Of(port, source, place)) === sha256) continue;
    throw new FirnError('conflict', 'is not what was archived, and stays', {
      path: source,
      advice: `If the run was made anew, delete its ${STUB_FILE}; the archive stays in ${item.to}.`,
    });
  }
  await removeSources(job, stub, port);
}

/** Removes what was proven to be in the archive. */
async function removeSources({ run, tree }: Job, stub: Stub, port: Port): Promise<void> {
  const truth =
    stub.files.find(({ path }) => path === NPY_FILE) ?? stub.files.find(({ path }) => path === NPZ_FILE);
  // Filters go by the age of the run, and the stub is all that is left of it.
  if (truth !== undefined) await port.setTimes(join(run.directory, STUB_FILE), Number(truth.mtimeNs) / 1e6);
  const stats = new Map(tree.files.map(({ path, stat }) => [path, stat]));
  for (const { path } of removalOrder(leftOf(stub, tree))) {
    const file = join(run.directory, path);
    const [was, now] = [stats.get(path), port.stat(file)];
    if (was === undefined || now === undefined || !isSameFile(was, now)) {
      throw new FirnError('failed', 'changed after it was archived, and stays', {
        path: file,
        advice: 'Look what writes it.',
      });
    }
    await port.unlink(file);
  }
  await removeEmpty(
    port,
    stub.folders.map(({ path }) => join(run.directory, path)),
  );
  await port.syncDirectory(run.directory);
}

/**
 * A copy before the array that it is a copy of: left alone it would be the run, and it may be rounded. Then the array, and
 * with it the run is archived; the rest says nothing of what it is.
 */
export function removalOrder<F extends { path: string }>(files: readonly F[]): F[] {
  const rank = ({ path }: F) => (path === NPZ_FILE ? 0 : path === NPY_FILE ? 1 : 2);
  return [...files].sort((a, b) => rank(a) - rank(b));
}

function isSameFile(a: FileStat, b: FileStat): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}
