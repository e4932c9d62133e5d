/**
 * What there is to say of each run without reading its array: shape, size, version, age, and which references hold it.
 * Headers only; digests are those that builds remember, and where none is, nothing is claimed.
 */
import { join } from 'node:path';
import type { Dtype } from '../arrays/types.js';
import { atOnce } from '../at-once.js';
import { Digests } from '../engine/digests.js';
import { FileClock } from '../engine/file-clock.js';
import { disk } from '../files/disk.js';
import { glanceAt } from '../files/glance.js';
import type { Port } from '../files/port.js';
import { CACHE_FOLDER, projectPlaces } from '../project.js';
import { type Range, runName } from '../reference/layout.js';
import { readStub } from '../runs/archived.js';
import { filterOf } from '../runs/choose.js';
import { byName, discoverRuns, type IgnoredRun, type Run } from '../runs/discover.js';
import { openRun, runDigester } from '../runs/run-array.js';
import { isAway, versionOfRun } from '../runs/run-version.js';
import { ageMs, selectRuns } from '../runs/select.js';
import { loadRegistry } from '../runs/versions.js';
import { type ProjectReference, readReferences } from './references.js';

/** Headers that are read at a time. */
const AT_ONCE = 32;

export interface ListRequest {
  /** The folder of the project; it may have no pipeline.yaml. */
  directory: string;
  port?: Port;
  signal: AbortSignal;
  now?: () => number;
  /** Patterns. */
  dataset?: readonly string[] | undefined;
  run?: readonly string[] | undefined;
  version?: string | undefined;
  /** Days, or a duration such as 12h. */
  olderThan?: string | undefined;
  /** Each has to stand in the name, whatever its case. */
  text?: readonly string[] | undefined;
  /** Only so many, the newest first. */
  recent?: number | undefined;
  /** Also runs that only references hold. */
  gone?: boolean | undefined;
}

export interface HeldIn {
  target: string;
  /** retained: of the run only these rows are left here. */
  state: 'present' | 'retained';
  /** Whether its rows are the run's values; undefined where no digest of the run is known. */
  same: boolean | undefined;
}

export interface ListedRun {
  /** `dataset/run` */
  name: string;
  dataset: string;
  run: string;
  /** gone: only references hold it. */
  container: 'npy' | 'npz' | 'both' | 'archived' | 'gone';
  rows: number | undefined;
  dims: number | undefined;
  dtype: Dtype | undefined;
  /** Of its arrays, here. */
  bytes: number;
  version: string | undefined;
  /** When its array was last changed, in milliseconds since 1970; unknown for runs that are gone and beyond any calendar. */
  changedMs: number | undefined;
  references: HeldIn[];
  /** Where an archived run is, absolute or relative to the project, and how many bytes it has there. */
  archived?: { directory: string; bytes: number };
  /** An archiving or restoring that was cut off. */
  unfinished: boolean;
  /** Why its array or stub cannot be read. */
  problem?: unknown;
}

export interface RunList {
  runs: ListedRun[];
  /** Names of runs that only references hold, whether they are listed or not. */
  gone: string[];
  ignored: IgnoredRun[];
  /** Relative to the project. */
  runsDir: string;
  /** How many runs there are, listed or not. */
  total: number;
  nowMs: number;
}

/** Sorted by name or, with `recent`, by date. FirnError (usage) for a filter that cannot be read. */
export async function listRuns(request: ListRequest): Promise<RunList> {
  const { port: real = disk, signal, now = Date.now } = request;
  const { root, pipeline } = await projectPlaces(request.directory, real);
  const port = glanceAt(real);
  const { runs, archived, ignored } = discoverRuns(port, join(root, pipeline.runsDir));
  const nowMs = now();
  const all = [...runs, ...archived].sort(byName);
  const registry = loadRegistry(port, join(root, pipeline.versionsFile));
  const versions = new Map<string, string | undefined>();
  const byNames = new Map(all.map((run) => [run.name, run]));
  const versionOf = (name: string): string | undefined => {
    if (!versions.has(name)) {
      versions.set(name, versionOfRun(port, registry, byNames.get(name) as Run));
    }
    return versions.get(name);
  };
  const selected = choose(all, request, { versionOf, nowMs });
  const references = await readReferences(port, root, pipeline);
  const digests = new Digests(
    port,
    root,
    new Map([['run', runDigester(root)]]),
    join(root, CACHE_FOLDER, 'digests.jsonl'),
    { save: false, recallOnly: true, clock: new FileClock(port, join(root, CACHE_FOLDER), now) },
  );
  const listed = new Map<string, ListedRun>();
  await atOnce(AT_ONCE, selected, async (run) => {
    signal.throwIfAborted();
    const { digest, ...facts } = await factsOf(port, run);
    const path = `${pipeline.runsDir}/${run.dataset}/${run.run}`;
    const known = digest ?? digests.recall({ kind: 'run', path })?.digest;
    const held = references.flatMap((reference) => {
      const range = reference.held.get(run.name)?.range;
      return range === undefined
        ? []
        : [heldIn(reference, range, { away: isAway(run), digest: known, rows: facts.rows })];
    });
    listed.set(run.name, {
      name: run.name,
      dataset: run.dataset,
      run: run.run,
      container: containerOf(run),
      ...facts,
      bytes: (run.npy?.size ?? 0) + (run.npz?.size ?? 0),
      version: versionOf(run.name),
      changedMs: dateOf(nowMs - ageMs(run, nowMs)),
      references: held,
      unfinished: !isAway(run) && run.stub !== undefined,
    });
  });
  const gone = goneRuns(references, byNames);
  const others = request.gone ? gone.filter((run) => isAsked(run, request)) : [];
  const found = [...selected.flatMap(({ name }) => listed.get(name) ?? []), ...others].sort(byName);
  return {
    runs: newest(found, request.recent),
    gone: gone.map(({ name }) => name),
    ignored,
    runsDir: pipeline.runsDir,
    total: all.length,
    nowMs,
  };
}

/** Some file systems keep any number, and `Date` does not. */
function dateOf(ms: number): number | undefined {
  return Math.abs(ms) <= 8.64e15 ? ms : undefined;
}

function choose(
  all: readonly Run[],
  request: ListRequest,
  context: { versionOf: (name: string) => string | undefined; nowMs: number },
): Run[] {
  const { dataset, run, version, olderThan, text = [] } = request;
  const aged = filterOf({ patterns: [], olderThan }, []);
  const filter = {
    ...(dataset === undefined ? {} : { dataset: [...dataset] }),
    ...(run === undefined ? {} : { run: [...run] }),
    ...(aged === 'all' ? {} : aged),
  };
  const named = selectRuns(all, filter, context).filter(({ name }) => holdsText(name, text));
  // Looked up last: it may stand in a file of each run.
  return version === undefined ? named : selectRuns(named, { version }, context);
}

function holdsText(name: string, words: readonly string[]): boolean {
  const plain = name.toLowerCase();
  return words.every((word) => plain.includes(word.toLowerCase()));
}

type Facts = Pick<ListedRun, 'rows' | 'dims' | 'dtype' | 'archived' | 'problem'> & { digest?: string };

async function factsOf(port: Port, run: Run): Promise<Facts> {
  try {
    if (isAway(run)) {
      const stub = readStub(port, run.directory);
      if (stub === undefined) return NOTHING;
      const { rows, dims, dtype, digest, archived: directory, files } = stub;
      const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
      return { rows, dims, dtype, digest, archived: { directory, bytes } };
    }
    const reader = await openRun(port, run.directory);
    const { rows, dims, dtype } = reader;
    await reader.close();
    return { rows, dims, dtype };
  } catch (problem) {
    return { ...NOTHING, problem };
  }
}

const NOTHING = { rows: undefined, dims: undefined, dtype: undefined };

function containerOf(run: Run): ListedRun['container'] {
  if (isAway(run)) return 'archived';
  return run.npy === undefined ? 'npz' : run.npz === undefined ? 'npy' : 'both';
}

function heldIn(
  { target }: ProjectReference,
  range: Range,
  run: { away: boolean; digest: string | undefined; rows: number | undefined },
): HeldIn {
  const other = run.rows !== undefined && run.rows !== range.count;
  const same = run.digest === undefined ? (other ? false : undefined) : run.digest === range.digest;
  return { target, state: run.away ? 'retained' : 'present', same };
}

/** What references hold of runs that are neither here nor archived. */
function goneRuns(references: readonly ProjectReference[], here: ReadonlyMap<string, Run>): ListedRun[] {
  const gone = new Map<string, ListedRun>();
  for (const { target, facts } of references) {
    for (const range of facts?.ranges ?? []) {
      const name = runName(range);
      if (here.has(name)) continue;
      const held: HeldIn = { target, state: 'retained', same: undefined };
      const known = gone.get(name);
      if (known !== undefined) {
        known.references.push(held);
        continue;
      }
      gone.set(name, {
        name,
        dataset: range.dataset,
        run: range.run_id,
        container: 'gone',
        rows: range.count,
        dims: facts?.dims,
        dtype: range.dtype,
        bytes: 0,
        version: range.version ?? undefined,
        changedMs: undefined,
        references: [held],
        unfinished: false,
      });
    }
  }
  return [...gone.values()].sort(byName);
}

function isAsked(gone: ListedRun, request: ListRequest): boolean {
  if (request.olderThan !== undefined) return false;
  const { olderThan: _age, ...lasting } = request;
  const run: Run = { name: gone.name, dataset: gone.dataset, run: gone.run, directory: '' };
  return choose([run], lasting, { versionOf: () => gone.version, nowMs: 0 }).length > 0;
}

/** Runs without a date are the oldest. */
function newest(runs: ListedRun[], count: number | undefined): ListedRun[] {
  if (count === undefined) return runs;
  return [...runs].sort((a, b) => (b.changedMs ?? 0) - (a.changedMs ?? 0)).slice(0, count);
}
