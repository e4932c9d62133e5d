/**
 * What of a project belongs into a backup: what nobody could make again (references with the rows of runs that are gone,
 * releases, the registry), what says how to build (pipeline.yaml, rules/), and what was asked for. Looks, and writes nothing.
 */
import { basename, dirname, join, relative } from 'node:path';
import type { StepGraph } from '../engine/graph.js';
import type { DirectoryEntry, ReadPort } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';
import type { Pipeline } from '../pipeline/load.js';
import { CACHE_FOLDER, PIPELINE_FILE } from '../pipeline/project-path.js';
import { EMBEDDINGS_FILE } from '../reference/files.js';
import { isRelease, referenceDirectories, releasesFolders } from '../release/find.js';
import { RELEASES_FOLDER } from '../release/names.js';
import { STUB_FILE } from '../runs/archived.js';
import { whyOutside } from './bag-paths.js';
import type { Extra, Kind } from './notes.js';

const OLDER_EMBEDDINGS_FILE = 'reference_embeddings.npy';
/** What has to be of one state; other files may lie beside it. */
const OF_A_REFERENCE = /^(consolidated|reference)_(embeddings\.npy|metadata\.json|index\.faiss)$/;

export interface Source {
  /** In the project. */
  path: string;
  kind: Kind;
  /** The reference or release it is part of: files of one group are backed up together or not at all. */
  group?: string;
}

export interface Sources {
  files: Source[];
  /** Reference directories. */
  references: string[];
  /** Release directories. */
  releases: string[];
  /** Folders that may not be written to, as those of releases: path -> permissions. */
  folders: Map<string, number>;
  /** Links to a name in their own folder: path -> that name. */
  links: Map<string, string>;
  /** Other links, which nothing is read through. */
  otherLinks: string[];
  /** Files that cannot be backed up, and why. */
  unusable: { path: string; reason: string }[];
}

export interface SourcesRequest {
  port: ReadPort;
  /** Absolute. */
  root: string;
  pipeline: Pick<Pipeline, 'runsDir' | 'versionsFile'> & Partial<Pick<Pipeline, 'targets' | 'releasesDir'>>;
  include: ReadonlySet<Extra>;
  /** Needed for `inputs` and `outputs`. */
  graph?: StepGraph;
}

/** In the order in which they matter: of a file that is named twice the first kind counts. */
export function gatherSources(request: SourcesRequest): Sources {
  const { port, root, pipeline, include, graph } = request;
  const found: Found = {
    port,
    root,
    files: new Map(),
    folders: new Map(),
    links: new Map(),
    otherLinks: [],
    unusable: [],
  };
  addFile(found, PIPELINE_FILE, 'pipeline');
  addTree(found, 'rules', 'rule');
  addFile(found, pipeline.versionsFile, 'registry');
  const references = referencesIn(request);
  const releases: string[] = [];
  for (const directory of references) {
    for (const entry of port.list(join(root, directory))) {
      const group = OF_A_REFERENCE.test(entry.name) ? directory : undefined;
      addEntry(found, `${directory}/${entry.name}`, entry, 'reference', group);
    }
  }
  // Beside references that no target makes any more there may be some, too.
  const folders = new Set([
    ...releasesFolders({ root, pipeline }).map((folder) => relative(root, folder)),
    ...references.map((directory) => `${directory}/${RELEASES_FOLDER}`),
  ]);
  for (const folder of folders) {
    for (const entry of port.list(join(root, folder))) {
      const path = `${folder}/${entry.name}`;
      const isOne = entry.kind === 'directory' && !isTemporary(path) && isRelease(port, join(root, path));
      if (isOne) releases.push(path);
      // Archives of releases lie beside them.
      if (entry.kind === 'directory') addTree(found, path, 'release', isOne ? path : undefined);
      else addEntry(found, path, entry, 'release');
    }
  }
  addFile(found, `${CACHE_FOLDER}/records.jsonl`, 'records');
  if (include.has('runs')) addTree(found, pipeline.runsDir, 'run');
  else addStubs(found, pipeline.runsDir);
  if (graph !== undefined) addSteps(found, graph, include);
  return { ...found, files: [...found.files.values()], references, releases };
}

/** Those that targets make and those that lie beside them, in the project. */
function referencesIn({ port, root, pipeline }: SourcesRequest): string[] {
  const named = referenceDirectories({ root, pipeline }).map((directory) => relative(root, directory));
  const directories = new Set(named);
  for (const parent of new Set(named.map((directory) => dirname(directory)))) {
    for (const { name, kind } of port.list(join(root, parent))) {
      if (kind === 'directory' && !isTemporary(name))
        directories.add(parent === '.' ? name : `${parent}/${name}`);
    }
  }
  return [...directories].filter((directory) => isReference(port, join(root, directory))).sort();
}

function isReference(port: ReadPort, directory: string): boolean {
  return [EMBEDDINGS_FILE, OLDER_EMBEDDINGS_FILE].some(
    (name) => port.stat(join(directory, name))?.kind === 'file',
  );
}

interface Found {
  port: ReadPort;
  root: string;
  files: Map<string, Source>;
  folders: Map<string, number>;
  links: Map<string, string>;
  otherLinks: string[];
  unusable: { path: string; reason: string }[];
}

/** Nothing where there is no file. */
function addFile(found: Found, path: string, kind: Kind, group?: string): void {
  const entry = found.port.list(join(found.root, dirname(path))).find(({ name }) => name === basename(path));
  if (entry !== undefined) addEntry(found, path, entry, kind, group);
}

function addEntry(found: Found, path: string, entry: DirectoryEntry, kind: Kind, group?: string): void {
  const { port, root, files, links, otherLinks, unusable } = found;
  if (entry.kind === 'directory' || files.has(path) || isTemporary(path)) return;
  if (entry.kind === 'link') {
    const target = kind === 'release' ? port.readLink(join(root, path)) : undefined;
    // Names in the same folder, as releases have for older tools. A bag has no links, so they are noted.
    if (target !== undefined && isName(target)) links.set(path, target);
    else otherLinks.push(path);
    return;
  }
  const reason = whyUnusable(port, root, path, entry.kind);
  if (reason !== undefined) unusable.push({ path, reason });
  else files.set(path, { path, kind, ...(group === undefined ? {} : { group }) });
}

function isName(target: string): boolean {
  return !/[/\\\0]/.test(target) && target !== '' && target !== '.' && target !== '..';
}

function whyUnusable(port: ReadPort, root: string, path: string, kind: 'file' | 'other'): string | undefined {
  if (kind === 'other') return 'is neither a file nor a folder';
  if (port.stat(join(root, path)) === undefined) return 'has a name that is not UTF-8';
  // A backslash is part of a name here and a separator elsewhere.
  return whyOutside(path);
}

/** All files below a folder. */
function addTree(found: Found, folder: string, kind: Kind, group?: string): void {
  const { port, root, folders } = found;
  if (isTemporary(folder)) return;
  const mode = port.stat(join(root, folder))?.mode;
  if (mode !== undefined && (mode & 0o200) === 0) folders.set(folder, mode);
  for (const entry of port.list(join(root, folder))) {
    const path = `${folder}/${entry.name}`;
    if (entry.kind === 'directory') addTree(found, path, kind, group);
    else addEntry(found, path, entry, kind, group);
  }
}

/** Of archived runs: nothing else says where their files went. */
function addStubs(found: Found, runsDir: string): void {
  const { port, root } = found;
  const folders = (path: string): string[] =>
    port
      .list(join(root, path))
      .flatMap(({ name, kind }) => (kind === 'directory' ? [`${path}/${name}`] : []));
  for (const run of folders(runsDir).flatMap(folders)) addFile(found, `${run}/${STUB_FILE}`, 'run');
}

/** What steps read and no step makes, and what they make that is neither a run nor in a reference. */
function addSteps(found: Found, graph: StepGraph, include: ReadonlySet<Extra>): void {
  const made = new Set(graph.order.flatMap((step) => step.outputs.map((output) => output.path)));
  for (const step of graph.order) {
    if (include.has('inputs')) {
      for (const { kind, path } of step.inputs)
        if (kind === 'file' && !made.has(path)) addFile(found, path, 'input');
    }
    if (include.has('outputs')) for (const { path } of step.outputs) addFile(found, path, 'output');
  }
}
