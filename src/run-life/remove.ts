/**
 * Removing runs whose rows a reference keeps. The rows are read and hashed right before; then the folder of the run gets a
 * hidden name, so that the run is gone at once, and only then its files go. Killed at any point, the same command goes on.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { arrayDigest } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { isTemporary, TEMPORARY_PREFIX } from '../files/temporary.js';
import { someOf } from '../reference/warnings.js';
import { expectNames, filterOf, type RunChoice } from '../runs/choose.js';
import { byName, discoverRuns, NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';
import { runFile } from '../runs/run-array.js';
import { RUN_FACTS_FILE, SEQUENCE_NAMES_FILE, SKIPPED_FILE } from '../runs/run-facts.js';
import { isRunName } from '../runs/run-name.js';
import { isAway } from '../runs/run-version.js';
import { selectRuns } from '../runs/select.js';
import { shellWord } from '../shell-word.js';
import { type Life, type LifeOptions, locked, look } from './open.js';
import { holdingOf, proveHeld, whyItStays } from './references.js';
import type { StepsOfRun } from './steps.js';
import { bytesOf, EMPTY_TREE, readTree, removeEmpty, signatureOf, type Tree } from './tree.js';

/** What firn or the embedding put there; anything else is the fruit of other work. */
const KNOWN_FILES: ReadonlySet<string> = new Set([
  NPY_FILE,
  NPZ_FILE,
  RUN_FACTS_FILE,
  SEQUENCE_NAMES_FILE,
  SKIPPED_FILE,
]);

export interface RemoveRequest extends LifeOptions, Pick<RunChoice, 'patterns'> {
  /** Also files that firn does not know. */
  allFiles: boolean;
}

export interface RemoveItem {
  run: string;
  /** What goes, by path below the run. */
  files: string[];
  bytes: number;
  /** Targets whose references keep its rows. */
  heldBy: string[];
  /** Steps that read its files, and cannot any more. */
  usedBy: string[];
  /** Begun before, and cut off: the run is gone, and some of its files are left. */
  unfinished: boolean;
  done: boolean;
  error?: unknown;
}

/** What removing would do. Writes nothing. */
export function planRemove(request: RemoveRequest): Promise<RemoveItem[]> {
  return look(request, async (life) => (await jobsOf(life, request)).map(({ item }) => item));
}

/** Removes; runs that have to stay are in the result, and the others go. */
export function removeRuns(request: RemoveRequest): Promise<RemoveItem[]> {
  return locked(request, 'firn runs rm', async (life) => {
    const jobs = await jobsOf(life, request);
    for (const job of jobs) {
      request.signal.throwIfAborted();
      if (job.item.error !== undefined) continue;
      try {
        await removeOne(job, life, request);
        job.item.done = true;
      } catch (error) {
        if (request.signal.aborted) throw error;
        job.item.error = error;
      }
    }
    return jobs.map(({ item }) => item);
  });
}

interface Job {
  item: RemoveItem;
  name: string;
  /** Absolute: that of the run or, where the removal was cut off, the hidden one. */
  directory: string;
  /** Absolute; the hidden one. */
  hidden: string;
  tree: Tree;
}

/** Where the folder of a run goes before its files do; the same each time, so that it is found again. */
function hiddenFolder(runsDir: string, name: string): string {
  const id = createHash('sha256').update(name).digest('hex').slice(0, 12);
  return join(runsDir, dirname(name), `${TEMPORARY_PREFIX}removed-${id}`);
}

async function jobsOf(life: Life, request: RemoveRequest): Promise<Job[]> {
  const { port, root, pipeline } = life.project;
  if (request.patterns.length === 0) throw new FirnError('usage', 'name the runs to remove');
  const runsDir = join(root, pipeline.runsDir);
  const { runs, archived } = discoverRuns(port, runsDir);
  const all = [...runs, ...archived].sort(byName);
  const cutOff = [...new Set(request.patterns)].filter(
    (name) => isRunName(name) && port.stat(hiddenFolder(runsDir, name)) !== undefined,
  );
  // Removed already is as good as removed.
  const removed = life.references.flatMap(({ held }) => [...held.keys()]);
  const known = new Set([...cutOff, ...removed]);
  expectNames(
    request.patterns.filter((pattern) => !known.has(pattern)),
    all,
    pipeline.runsDir,
  );
  const selected = selectRuns(all, filterOf(request, all), { versionOf: () => undefined, nowMs: 0 });
  const jobs: Job[] = [];
  for (const name of cutOff) {
    const directory = hiddenFolder(runsDir, name);
    jobs.push(await jobOf(life, request, { name, directory, unfinished: true }));
  }
  for (const run of selected) {
    request.signal.throwIfAborted();
    jobs.push(await jobOf(life, request, { ...run, unfinished: false }));
  }
  return jobs;
}

async function jobOf(
  life: Life,
  request: RemoveRequest,
  run: Pick<Run, 'name' | 'directory'> & Partial<Run> & { unfinished: boolean },
): Promise<Job> {
  const { project, open, references, stepsOf } = life;
  const { port, root, pipeline } = project;
  const { name, directory, unfinished } = run;
  const steps = stepsOf(name);
  const item: RemoveItem = {
    run: name,
    files: [],
    bytes: 0,
    heldBy: [],
    usedBy: [...steps.readers],
    unfinished,
    done: false,
  };
  const hidden = hiddenFolder(join(root, pipeline.runsDir), name);
  const job: Job = { item, name, directory, hidden, tree: EMPTY_TREE };
  try {
    const tree = readTree(port, directory, { unfinished: true });
    job.tree = tree;
    Object.assign(item, { files: tree.files.map(({ path }) => path), bytes: bytesOf(tree.files) });
    expectKnown(job, request.allFiles);
    if (!unfinished) {
      expectHere(run as Run);
      expectNotMade(steps);
      if (port.stat(hidden) !== undefined) {
        throw new FirnError('conflict', 'an earlier removal of this run was cut off', {
          path: hidden,
          advice: `Complete that first: firn runs rm ${shellWord(name)} --execute`,
        });
      }
    }
    // Of a removal that was cut off after its array went, the rest is of a run that was proven.
    const digest = unfinished
      ? await arrayOf(job, life)
      : (await open.digests.get({ kind: 'run', path: `${pipeline.runsDir}/${name}` }))?.digest;
    if (digest !== undefined) {
      const why = whyItStays({ name, digest }, references, steps.selectedBy);
      if (why !== undefined) throw why;
      item.heldBy = references
        .filter((reference) => holdingOf(reference, { name, digest }) === 'holds')
        .map(({ target }) => target);
    }
  } catch (error) {
    if (request.signal.aborted) throw error;
    item.error = error;
  }
  return job;
}

function expectKnown({ directory, tree }: Job, allFiles: boolean): void {
  const [odd] = tree.odd;
  if (odd !== undefined) {
    throw new FirnError('conflict', `${odd.reason}, and is not removed`, {
      path: join(directory, odd.path),
      advice: 'Move it away, or remove it yourself.',
    });
  }
  const isKnown = (path: string) => KNOWN_FILES.has(path) || path.split('/').some(isTemporary);
  const unknown = [...tree.files, ...tree.folders].map(({ path }) => path).filter((path) => !isKnown(path));
  if (allFiles || unknown.length === 0) return;
  throw new FirnError('conflict', `has to stay: it holds other work: ${someOf(unknown, 20)}`, {
    advice: 'Move these files away, or remove them with the run: --all-files.',
  });
}

function expectHere(run: Run): void {
  if (run.stub === undefined) return;
  throw new FirnError('conflict', isAway(run) ? 'is archived' : 'is half archived', {
    path: run.directory,
    advice: `Bring it back first: firn runs restore ${shellWord(run.name)}`,
  });
}

/** It would be made again by the next build. */
function expectNotMade({ maker }: StepsOfRun): void {
  if (maker === undefined) return;
  throw new FirnError('conflict', `has to stay: ${maker.id} would make it again`, {
    advice: 'Archive it instead; or take what it is made from out of `from` first.',
  });
}

async function removeOne(job: Job, life: Life, request: RemoveRequest): Promise<void> {
  const { item, directory, hidden, tree } = job;
  const { port } = life.project;
  await prove(job, life);
  const before = signatureOf(tree);
  if (!item.unfinished) {
    if (signatureOf(readTree(port, directory, { unfinished: true })) !== before) throw changed(directory);
    await port.rename(directory, hidden);
    await port.syncDirectory(dirname(hidden));
  }
  const there = readTree(port, hidden, { unfinished: true });
  try {
    expectKnown({ ...job, directory: hidden, tree: there }, request.allFiles);
    // A rename may give files another ctime.
    if (textOf(there) !== textOf(tree)) throw changed(directory);
  } catch (error) {
    if (!item.unfinished) await port.rename(hidden, directory);
    throw error;
  }
  await removeTree(port, hidden, there);
}

/** The array is read now, and so are the rows that stay. */
async function prove(job: Job, life: Life): Promise<void> {
  const { name } = job;
  const { project, open, options, references, stepsOf } = life;
  const digest = await arrayOf(job, life);
  if (digest === undefined) return;
  const why = whyItStays({ name, digest }, references, stepsOf(name).selectedBy);
  if (why !== undefined) throw why;
  await proveHeld(project, { name, digest }, references, { signal: options.signal, workers: open.workers });
}

/** The digest of the array as it is now, read; undefined when there is none. */
async function arrayOf(
  { directory, item }: Job,
  { project, open, options }: Life,
): Promise<string | undefined> {
  const path = runFile(project.port, directory);
  if (path === undefined) return undefined;
  const reader = await openArray(project.port, path);
  try {
    let done = 0;
    const onBytes = (bytes: number) => {
      done += bytes;
      options.onProgress?.(item.run, 'checking', done, item.bytes);
    };
    return await arrayDigest(reader, { signal: options.signal, workers: open.workers, onBytes });
  } finally {
    await reader.close();
  }
}

function textOf(tree: Tree): string {
  return tree.files.map(({ path, stat }) => [path, stat.size, stat.mtimeNs, stat.ino].join('\0')).join('\n');
}

function changed(path: string): FirnError {
  return new FirnError('failed', 'changed while it was proven, and stays', {
    path,
    advice: 'Remove it again when nothing writes it any more.',
  });
}

/** What was listed. Its copy before the array, so that what is left of the array can be proven again. */
async function removeTree(port: Port, directory: string, tree: Tree): Promise<void> {
  const rank = (path: string) => (path === NPY_FILE ? 2 : path === NPZ_FILE ? 1 : 0);
  const paths = tree.files.map(({ path }) => path).sort((a, b) => rank(a) - rank(b));
  for (const path of paths) await port.unlink(join(directory, path));
  await removeEmpty(port, [...tree.folders.map(({ path }) => join(directory, path)), directory]);
}
