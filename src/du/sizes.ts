/** What takes how much room in a project: runs, references, indexes, releases, cache, archives. Stats only. */
import { dirname, join, resolve } from 'node:path';
import type { Port } from '../files/port.js';
import { type ReleasePlaces, releasesFolders } from '../release/find.js';
import { RELEASES_FOLDER } from '../release/names.js';
import type { ProjectReference } from '../run-life/references.js';
import { bytesOf, readTree } from '../run-life/tree.js';
import { readStub } from '../runs/archived.js';
import { NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';

export interface RunSizes {
  /** Runs whose array is here, and how many have which container. */
  count: number;
  npyOnly: number;
  npzOnly: number;
  both: number;
  npy: number;
  npz: number;
  /** Everything else in their folders, and stubs. */
  other: number;
  /** By name, all that is in the folder. */
  each: ReadonlyMap<string, number>;
}

export interface ReferenceSizes {
  target: string;
  /** Relative to the project. */
  directory: string;
  rows: number | undefined;
  embeddings: number;
  metadata: number;
  index: number;
  /** Other files beside them, but for releases. */
  other: number;
}

/** A release, or its archive in one file. */
export interface ReleaseSize {
  /** Absolute. */
  path: string;
  bytes: number;
}

export interface CacheSizes {
  objects: number;
  /** Records, digests, journals. */
  records: number;
}

export interface ArchiveSizes {
  /** The folder that holds `<dataset>/<run>/`, absolute. */
  directory: string;
  runs: number;
  bytes: number;
  /** Runs whose folder in the archive is there now. */
  reachable: number;
}

export function sizesOfRuns(port: Port, runs: readonly Run[], archived: readonly Run[]): RunSizes {
  const sizes = { count: runs.length, npyOnly: 0, npzOnly: 0, both: 0, npy: 0, npz: 0, other: 0 };
  const each = new Map<string, number>();
  for (const run of [...runs, ...archived]) {
    const { files } = readTree(port, run.directory, { unfinished: true });
    const all = bytesOf(files);
    each.set(run.name, all);
    const [npy, npz] = [NPY_FILE, NPZ_FILE].map((name) => files.find(({ path }) => path === name)?.stat.size);
    sizes.npy += npy ?? 0;
    sizes.npz += npz ?? 0;
    sizes.other += all - (npy ?? 0) - (npz ?? 0) + (run.stub?.size ?? 0);
    if (npy !== undefined && npz !== undefined) sizes.both += 1;
    else if (npy !== undefined) sizes.npyOnly += 1;
    else if (npz !== undefined) sizes.npzOnly += 1;
  }
  return { ...sizes, each };
}

export function sizesOfReference(port: Port, root: string, reference: ProjectReference): ReferenceSizes {
  const directory = join(root, reference.directory);
  const sizes = { embeddings: 0, metadata: 0, index: 0, other: 0 };
  for (const { name, kind } of port.list(directory)) {
    const path = join(directory, name);
    if (kind === 'file') sizes[partOf(name)] += port.stat(path)?.size ?? 0;
    else if (kind === 'directory' && name !== RELEASES_FOLDER) sizes.other += folderBytes(port, path);
  }
  const { target, facts } = reference;
  const rows = facts?.ranges.reduce((sum, range) => sum + range.count, 0);
  return { target, directory: reference.directory, rows, ...sizes };
}

/** Under the names of today and of earlier systems. */
function partOf(name: string): 'embeddings' | 'metadata' | 'index' | 'other' {
  const found = /^(?:consolidated|reference)_(embeddings\.npy|metadata\.json|index\.faiss)$/.exec(name);
  switch (found?.[1]) {
    case 'embeddings.npy':
      return 'embeddings';
    case 'metadata.json':
      return 'metadata';
    case 'index.faiss':
      return 'index';
    default:
      return 'other';
  }
}

/** What is in the folders of releases, whole or not. */
export function sizesOfReleases(port: Port, places: ReleasePlaces): ReleaseSize[] {
  return releasesFolders(places).flatMap((folder) =>
    port
      .list(folder)
      .filter(({ name, kind }) => !name.startsWith('.') && (kind === 'file' || kind === 'directory'))
      .map(({ name, kind }) => {
        const path = join(folder, name);
        const bytes = kind === 'directory' ? folderBytes(port, path) : (port.stat(path)?.size ?? 0);
        return { path, bytes };
      }),
  );
}

export function sizesOfCache(port: Port, cache: string): CacheSizes {
  const objects = folderBytes(port, join(cache, 'objects'));
  return { objects, records: folderBytes(port, cache) - objects };
}

/** By the folder they went to; a stub that cannot be read does not count. */
export function sizesOfArchives(port: Port, root: string, runs: readonly Run[]): ArchiveSizes[] {
  const archives = new Map<string, ArchiveSizes>();
  for (const run of runs) {
    if (run.stub === undefined) continue;
    let stub: ReturnType<typeof readStub>;
    try {
      stub = readStub(port, run.directory);
    } catch {
      continue;
    }
    if (stub === undefined) continue;
    const folder = resolve(root, stub.archived);
    const directory = dirname(dirname(folder));
    const archive = archives.get(directory) ?? { directory, runs: 0, bytes: 0, reachable: 0 };
    archive.runs += 1;
    archive.bytes += stub.files.reduce((sum, { bytes }) => sum + bytes, 0);
    if (port.stat(folder) !== undefined) archive.reachable += 1;
    archives.set(directory, archive);
  }
  return [...archives.values()].sort((a, b) => (a.directory < b.directory ? -1 : 1));
}

/** Of all files in it; links are not followed. */
function folderBytes(port: Port, path: string): number {
  return bytesOf(readTree(port, path, { unfinished: true }).files);
}
