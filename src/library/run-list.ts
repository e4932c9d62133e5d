/** The runs of a project with what is in their folders. Looks at names and stats. */
import { join } from 'node:path';
import { checkWholeNumber } from '../check-number.js';
import { FirnError } from '../errors.js';
import { glanceAt } from '../files/glance.js';
import { suggest } from '../pipeline/nearest.js';
import { type RegistryPlace, versionLookup } from '../registry.js';
import { findArrays, findRunFolders, type Run } from '../runs/discover.js';
import { findRunFiles } from '../runs/run-files.js';
import { isRunName, runNameAt } from '../runs/run-name.js';
import { selectRuns } from '../runs/select.js';
import type { RunInfo, RunQuery } from './data-manager.js';

export function findRuns(place: RegistryPlace, query: RunQuery): RunInfo[] {
  const { dataset, run, version, olderThan, text, sort = 'newest', limit } = query;
  checkWholeNumber('limit', limit, 0);
  const versionOf = versionLookup(place);
  const filter = {
    ...(dataset === undefined ? {} : { dataset }),
    ...(run === undefined ? {} : { run }),
    ...(version === undefined ? {} : { version }),
    ...(olderThan === undefined ? {} : { 'older-than': olderThan }),
  };
  const folders = foldersOf(place);
  const wanted = selectRuns(folders.runs, filter, {
    versionOf: (name) => versionOf(name),
    nowMs: Date.now(),
  });
  const part = text?.toLowerCase();
  const runs = wanted
    .filter(
      (one) =>
        part === undefined ||
        one.dataset.toLowerCase().includes(part) ||
        one.run.toLowerCase().includes(part),
    )
    .flatMap((one) => infoOf(one, folders.port, versionOf) ?? []);
  // Runs of one moment stay in the order of their names.
  if (sort !== 'name') {
    const sign = sort === 'newest' ? -1 : 1;
    runs.sort((a, b) => sign * (a.modified.getTime() - b.modified.getTime()));
  }
  return limit === undefined ? runs : runs.slice(0, limit);
}

/** Throws FirnError (usage) when there is no such run. */
export function findRun(place: RegistryPlace, named: string): RunInfo {
  const name = runNameAt(place.root, place.runsDir, named);
  const folders = foldersOf(place);
  const found = folders.runs.find((run) => run.name === name);
  const info = found && infoOf(found, folders.port, versionLookup(place));
  if (info !== undefined) return info;
  const known = folders.runs.map((run) => run.name);
  throw new FirnError('usage', `there is no run ${name}`, {
    path: join(place.root, place.runsDir),
    advice: isRunName(name) ? suggest(name, known) : 'Write it as dataset/run.',
  });
}

/** Every folder that has the place of a run, with its arrays; and the disk as it was seen then. */
function foldersOf({ port, root, runsDir }: RegistryPlace): {
  runs: Run[];
  port: RegistryPlace['port'];
} {
  const glance = glanceAt(port);
  const { folders, ignored } = findRunFolders(glance, join(root, runsDir));
  return {
    runs: folders.map((folder) => ({ ...folder, ...findArrays(glance, folder.directory, ignored) })),
    port: glance,
  };
}

/** Undefined for a folder without a file that an analysis would leave. */
function infoOf(
  { name, dataset, run, directory, npy, npz, stub }: Run,
  port: RegistryPlace['port'],
  versionOf: (run: string) => string | undefined,
): RunInfo | undefined {
  const files = findRunFiles(port, directory);
  const { visualizations, ...named } = files;
  const empty = Object.keys(named).length + Object.keys(visualizations).length === 0;
  if (empty && stub === undefined) return undefined;
  const stat = npy ?? npz ?? stub ?? port.stat(directory);
  return {
    name,
    dataset,
    run,
    path: directory,
    modified: new Date(Number((stat?.mtimeNs ?? 0n) / 1_000_000n)),
    containers: [
      ...(npy === undefined ? [] : (['npy'] as const)),
      ...(npz === undefined ? [] : (['npz'] as const)),
    ],
    archived: npy === undefined && npz === undefined && stub !== undefined,
    bytes: (npy?.size ?? 0) + (npz?.size ?? 0),
    version: versionOf(name) ?? null,
    files,
  };
}
