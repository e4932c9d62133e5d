/**
 * Which runs are on disk: `<runs>/<dataset>/<run>/` with `embeddings.npy`, `embeddings.npz` or both, or with the stub of a
 * run that was archived. Looks at names and stats only; knows neither what is in the files nor which runs a target wants.
 */
import { join, sep } from 'node:path';
import type { DirectoryEntry, FileStat, ReadPort } from '../files/port.js';
import { STUB_FILE } from './archived.js';

export const NPY_FILE = 'embeddings.npy';
export const NPZ_FILE = 'embeddings.npz';

export interface Run {
  /** `dataset/run` */
  name: string;
  dataset: string;
  run: string;
  /** Below the runs folder, as that was given. */
  directory: string;
  npy?: FileStat;
  npz?: FileStat;
  /** The stub: of the whole run where there is no array, else of an archiving or restoring that was cut off. */
  stub?: FileStat;
}

/** Something that looks like a run, a dataset or an array and is passed over. */
export interface IgnoredRun {
  path: string;
  reason: string;
}

export interface Discovered {
  /** Those whose array is here, by name in code-unit order. */
  runs: Run[];
  /** Those that are elsewhere, as their stubs say. */
  archived: Run[];
  ignored: IgnoredRun[];
}

const LINK = 'is a link: nothing is read through links, and a run counts under one name only';
/** Of a name that the program cannot say; see DirectoryEntry. */
export const NOT_UTF8 = 'has a name that is not UTF-8; rename it';
const MISPLACED = 'is no run: an array belongs in <dataset>/<run>/';

/**
 * The runs below `runsDir`; none when there is no such folder. Names that begin with `.` and other files are no runs.
 * Links are not followed, wherever they lead: a link such as `latest` would count its run twice, and one that leads out
 * of the project would read behind its back. They are listed in `ignored`, with folders whose names are not UTF-8.
 * Costs one listing a folder and one stat an array or stub.
 */
export function discoverRuns(port: ReadPort, runsDir: string): Discovered {
  const { folders, ignored } = findRunFolders(port, runsDir);
  const runs: Run[] = [];
  const archived: Run[] = [];
  for (const folder of folders) {
    const files = findArrays(port, folder.directory, ignored);
    if (files.npy !== undefined || files.npz !== undefined) runs.push({ ...folder, ...files });
    else if (files.stub !== undefined) archived.push({ ...folder, ...files });
  }
  return { runs, archived, ignored };
}

/** The same with every folder that has the place of a run, whatever it holds. */
export function findRunFolders(port: ReadPort, runsDir: string): { folders: Run[]; ignored: IgnoredRun[] } {
  const folders: Run[] = [];
  const ignored: IgnoredRun[] = [];
  for (const dataset of foldersIn(port, runsDir, ignored)) {
    const parent = join(runsDir, dataset);
    for (const run of foldersIn(port, parent, ignored)) {
      // Not `join`: with thousands of runs it costs as much as the disk.
      folders.push({ name: `${dataset}/${run}`, dataset, run, directory: `${parent}${sep}${run}` });
    }
  }
  // Not yet in order: as whole names, `a-b/x` comes before `a/x`.
  folders.sort(byName);
  return { folders, ignored };
}

export function byName(a: { name: string }, b: { name: string }): number {
  return a.name < b.name ? -1 : a.name > b.name ? 1 : 0;
}

/** The names of the folders in `path` that can be a dataset or a run. */
function foldersIn(port: ReadPort, path: string, ignored: IgnoredRun[]): string[] {
  const found: string[] = [];
  for (const entry of port.list(path)) {
    const { name, kind } = entry;
    if (name.startsWith('.')) continue;
    const reason = whyNot(port, path, entry);
    if (reason !== undefined) ignored.push({ path: join(path, name), reason });
    else if (kind === 'directory') found.push(name);
  }
  return found;
}

function whyNot(port: ReadPort, folder: string, { name, kind, notUtf8 }: DirectoryEntry): string | undefined {
  if (isArray(name) && kind !== 'directory') return MISPLACED;
  if (notUtf8) return kind === 'file' ? undefined : NOT_UTF8;
  if (kind === 'link') return leadsToFile(port, join(folder, name)) ? undefined : LINK;
  return undefined;
}

function isArray(name: string): boolean {
  return name === NPY_FILE || name === NPZ_FILE;
}

/** False also for a link that leads nowhere, round in a circle, or where we may not look. */
function leadsToFile(port: ReadPort, path: string): boolean {
  try {
    return port.stat(path)?.kind === 'file';
  } catch {
    return false;
  }
}

const FIELD_OF: { [name: string]: 'npy' | 'npz' | 'stub' } = {
  [NPY_FILE]: 'npy',
  [NPZ_FILE]: 'npz',
  [STUB_FILE]: 'stub',
};

/** What a folder holds of a run: its arrays, and the stub of one that was archived. */
export function findArrays(
  port: ReadPort,
  directory: string,
  ignored: IgnoredRun[],
): Pick<Run, 'npy' | 'npz' | 'stub'> {
  const found: Pick<Run, 'npy' | 'npz' | 'stub'> = {};
  for (const { name, kind } of port.list(directory)) {
    if (!Object.hasOwn(FIELD_OF, name)) continue;
    const path = `${directory}${sep}${name}`;
    if (kind !== 'file') {
      ignored.push({ path, reason: kind === 'link' ? LINK : 'is not a regular file' });
      continue;
    }
    const stat = port.stat(path);
    if (stat?.kind === 'file') found[FIELD_OF[name]] = stat;
  }
  return found;
}
