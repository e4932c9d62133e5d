/**
 * The registry of model versions of a project: asked and changed with what is on disk in view. One change at a time, so
 * that none undoes another's. Prints nothing; knows neither how the file is laid out nor what a model is.
 */
import { join } from 'node:path';
import { acquireLock } from './engine/lock.js';
import { FirnError } from './errors.js';
import type { Port } from './files/port.js';
import { suggest } from './pipeline/nearest.js';
import { CACHE_FOLDER } from './pipeline/project-path.js';
import { readStub } from './runs/archived.js';
import { compareVersions, type RunShape, type VersionComparison } from './runs/compare-versions.js';
import { byName, discoverRuns } from './runs/discover.js';
import { openRun, runFile } from './runs/run-array.js';
import { RUN_FACTS_FILE, versionInFacts } from './runs/run-facts.js';
import { isRunName, runNameAt } from './runs/run-name.js';
import {
  autoTag,
  listVersions,
  loadRegistry,
  type ModelVersion,
  type Registry,
  registerVersion,
  runsOf,
  saveRegistry,
  tagRun,
  versionOf,
} from './runs/versions.js';

export interface RegistryPlace {
  port: Port;
  /** Absolute. */
  root: string;
  /** Relative to the project. */
  runsDir: string;
  versionsFile: string;
}

/** How long a change may wait for another one, and who is told. */
export interface RegistryOptions {
  signal?: AbortSignal;
  onWait?: (holder: string) => void;
}

/** A registered version with the runs that are tagged with it. */
export interface VersionInfo extends ModelVersion {
  /** `dataset/run`, in code-unit order. */
  runs: string[];
}

/** What registering did: added it, changed its description, or found it as asked for. */
export type RegisterOutcome = 'added' | 'described' | 'unchanged';

/** In the order of registration. Counts tags; a version that only runs say of themselves is not here. */
export function versionsOf(place: RegistryPlace): VersionInfo[] {
  const registry = load(place);
  return listVersions(registry).map((version) => ({ ...version, runs: runsOf(registry, version.version) }));
}

/** @throws FirnError conflict when the version stands for another model */
export async function register(
  place: RegistryPlace,
  added: { version: string; model: string; description?: string },
  options: RegistryOptions = {},
): Promise<RegisterOutcome> {
  return changeRegistry(place, options, (registry) => {
    const changed = registerVersion(registry, added, new Date());
    if (changed === registry) return [registry, 'unchanged'];
    return [changed, registry.versions.has(added.version) ? 'described' : 'added'];
  });
}

/**
 * Says which version made a run; the name of the run. With `force` also when the registry says otherwise.
 * @throws FirnError usage when there is no such run or version, conflict when something else made it
 */
export async function tag(
  place: RegistryPlace,
  run: string,
  version: string,
  options: RegistryOptions & { force?: boolean } = {},
): Promise<string> {
  return changeRegistry(place, options, (registry) => {
    const name = runNameAt(place.root, place.runsDir, run);
    const own = ownVersion(place, name);
    if (own !== undefined && own !== version) {
      throw new FirnError('conflict', `run ${name} says itself that ${own} made it`, {
        advice: 'A run that another model makes belongs in a folder of its own.',
      });
    }
    const runs = runsOnDisk(place);
    if (!runs.includes(name)) {
      throw new FirnError('usage', `there is no run ${name}`, {
        advice: isRunName(name) ? suggest(name, runs) : 'Write it as dataset/run.',
      });
    }
    return [tagRun(registry, name, version, new Date(), { force: options.force ?? false }), name];
  });
}

/** Tags every run that has no version, by a tag or by what it says itself. */
export async function tagUntagged(
  place: RegistryPlace,
  version: string,
  options: RegistryOptions = {},
): Promise<{ tagged: string[]; others: number }> {
  return changeRegistry(place, options, (registry) => {
    const runs = runsOnDisk(place);
    const untagged = runs.filter(
      (name) => (versionOf(registry, name) ?? ownVersion(place, name)) === undefined,
    );
    const { registry: changed, tagged } = autoTag(registry, untagged, version, new Date());
    return [changed, { tagged, others: runs.length - tagged.length }];
  });
}

/** Two versions side by side; `unread`: runs whose array is not there or not readable. */
export async function compare(
  place: RegistryPlace,
  first: string,
  second: string,
): Promise<VersionComparison & { unread: string[] }> {
  const registry = load(place);
  const shapes = new Map<string, RunShape | undefined>();
  for (const version of [first, second]) {
    for (const run of runsOf(registry, version)) shapes.set(run, await shapeOf(place, run));
  }
  const comparison = compareVersions(registry, first, second, (name) => shapes.get(name));
  return { ...comparison, unread: [...shapes.keys()].filter((run) => shapes.get(run) === undefined) };
}

/** The version that made a run: its tag, or what it says itself. */
export function versionLookup(place: RegistryPlace): (run: string) => string | undefined {
  const registry = load(place);
  return (run) => versionOf(registry, run) ?? ownVersion(place, run);
}

/** Reads the registry, and writes back what `action` makes of it; nothing when that is the same one. */
export async function changeRegistry<T>(
  place: Omit<RegistryPlace, 'runsDir'>,
  { signal, onWait = () => undefined }: RegistryOptions,
  action: (registry: Registry) => [changed: Registry, answer: T],
): Promise<T> {
  const { port, root } = place;
  const lock = await acquireLock(port, join(root, CACHE_FOLDER, 'versions.lock'), {
    command: 'firn versions',
    onWait,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const registry = load(place);
    const [changed, answer] = action(registry);
    if (changed !== registry) await saveRegistry(port, changed.path, changed);
    return answer;
  } finally {
    await lock.release();
  }
}

function load({ port, root, versionsFile }: Omit<RegistryPlace, 'runsDir'>): Registry {
  return loadRegistry(port, join(root, versionsFile));
}

function runsOnDisk({ port, root, runsDir }: RegistryPlace): string[] {
  const { runs, archived } = discoverRuns(port, join(root, runsDir));
  return [...runs, ...archived].sort(byName).map((run) => run.name);
}

/** The version that stands beside a run that firn made. */
function ownVersion({ port, root, runsDir }: RegistryPlace, run: string): string | undefined {
  return isRunName(run) ? versionInFacts(port, join(root, runsDir, run, RUN_FACTS_FILE)) : undefined;
}

async function shapeOf({ port, root, runsDir }: RegistryPlace, run: string): Promise<RunShape | undefined> {
  if (!isRunName(run)) return undefined;
  try {
    const directory = join(root, runsDir, run);
    const stub = runFile(port, directory) === undefined ? readStub(port, directory) : undefined;
    if (stub !== undefined) return { rows: stub.rows, dims: stub.dims };
    const reader = await openRun(port, directory);
    await reader.close();
    return { rows: reader.rows, dims: reader.dims };
  } catch {
    return undefined;
  }
}
