/** What archiving a run would take, and whether it may be archived. Reads, and changes nothing. */
import { basename, dirname, isAbsolute, join, relative, resolve } from 'node:path';
import type { Digest } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { readStub, STUB_FILE, type Stub } from '../runs/archived.js';
import type { RunChoice } from '../runs/choose.js';
import type { Run } from '../runs/discover.js';
import { RUN_FACTS_FILE, SEQUENCE_NAMES_FILE } from '../runs/run-facts.js';
import { isAway, versionOfRun } from '../runs/run-version.js';
import { ageMs } from '../runs/select.js';
import type { Registry } from '../runs/versions.js';
import { shellWord } from '../shell-word.js';
import type { Life, LifeOptions } from './open.js';
import { whyItStays } from './references.js';
import type { StepsOfRun } from './steps.js';
import { bytesOf, EMPTY_TREE, readTree, type Tree } from './tree.js';

/** Small files that a search reads of every run: their copies are archived, and they stay. */
export const KEPT_FILES: ReadonlySet<string> = new Set([RUN_FACTS_FILE, SEQUENCE_NAMES_FILE]);

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

export type ArrayFacts = Pick<Stub, 'digest' | 'rows' | 'dims' | 'dtype'>;

export interface Job {
  item: ArchiveItem;
  run: Run;
  tree: Tree;
  /** The folder it goes to, as the stub says it. */
  archived: string;
  /** Undefined where it could not be taken. */
  array?: ArrayFacts;
  version?: string | undefined;
  /** Of an archiving that was cut off. */
  stub?: Stub;
}

export async function jobOf(
  { project, open, references, stepsOf }: Life,
  request: ArchiveRequest,
  run: Run,
  { registry, nowMs }: { registry: Registry; nowMs: number },
): Promise<Job> {
  const { port, pipeline } = project;
  const path = `${pipeline.runsDir}/${run.dataset}/${run.run}`;
  const steps = stepsOf(run.name);
  const item: ArchiveItem = {
    run: run.name,
    ageMs: ageMs(run, nowMs),
    files: 0,
    bytes: 0,
    to: join(resolve(request.to), run.dataset, run.run),
    usedBy: [...steps.readers],
    state: run.stub === undefined ? 'here' : 'unfinished',
    done: false,
  };
  const archived = isAbsolute(request.to) ? item.to : relative(project.root, item.to);
  const job: Job = { item, run, tree: EMPTY_TREE, archived };
  try {
    const tree = readTree(port, run.directory);
    job.tree = tree;
    Object.assign(item, { files: tree.files.length, bytes: bytesOf(tree.files) });
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
    expectAlone(steps);
    job.version = versionOfRun(port, registry, run);
    expectTold(run.name, steps, job.version);
    const found = (await open.digests.get({ kind: 'run', path })) as Digest;
    const { digest, facts } = found;
    job.array = { digest, ...(facts as unknown as Omit<ArrayFacts, 'digest'>) };
    const why = whyItStays({ name: run.name, digest }, references, steps.selectedBy);
    if (why !== undefined) throw why;
    expectFree(port, item.to, tree);
  } catch (error) {
    if (request.signal.aborted) throw error;
    item.error = error;
  }
  return job;
}

/** Files that are archived and still here. */
export function leftOf(stub: Stub, tree: Tree): Tree['files'] {
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
function expectAlone({ maker }: StepsOfRun): void {
  if (maker === undefined || maker.others.length === 0) return;
  throw new FirnError('conflict', `has to stay: ${maker.id} makes it together with ${maker.others[0]}`, {
    advice:
      'Make each run in a step of its own (wildcards in `out`), or take the target out of pipeline.yaml.',
  });
}

/** The target that makes it tells nothing of it while it is archived. */
function expectTold(name: string, { version }: StepsOfRun, told: string | undefined): void {
  if (version === undefined || version === told) return;
  throw new FirnError('conflict', `has to stay: only the target that makes it says its version`, {
    advice: `Tag it first: firn versions tag-run ${shellWord(name)} --version ${shellWord(version)}`,
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

export function inTheWay(path: string): FirnError {
  return new FirnError('conflict', 'is there already, and is another file', {
    path,
    advice: 'Move it away, or name another place.',
  });
}
