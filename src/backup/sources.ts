/**
 * What of a project belongs into a backup: what nobody could make again (references with the rows of runs that are gone,
 * releases, the registry), what says how to build (pipeline.yaml, rules/), and what was asked for. Looks, and writes nothing.
 */
import { basename, dirname, join, relative } from 'node:path';
import type { StepGraph } from '../engine/graph.js';
import { errnoOf } from '../errors.js';
import { linkOnTheWay } from '../files/inside.js';
import type { DirectoryEntry, ReadPort } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';
import type { Pipeline } from '../pipeline/load.js';
import { CACHE_FOLDER, PIPELINE_FILE } from '../pipeline/project-path.js';
import { EMBEDDINGS_FILE } from '../reference/files.js';
import { isRelease, referenceDirectories, releasesFolders } from '../release/find.js';
import { RELEASES_FOLDER } from '../release/names.js';
import { STUB_FILE } from '../runs/archived.js';
import { reasonOf } from '../system-errors.js';
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
  /** What cannot be backed up, and why; with a group, all of that stays in the backup as it is there. */
  unusable: Unusable[];
}

export interface Unusable {
  path: string;
  reason: string;
  group?: string;
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
    listed: new Map(),
  };
  addFile(found, PIPELINE_FILE, 'pipeline');
  addTree(found, 'rules', 'rule');
  addFile(found, pipeline.versionsFile, 'registry');
  const references = referencesIn(request, found);
  const releases: string[] = [];
  for (const directory of references) {
    for (const entry of listOf(found, directory) ?? []) {
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
    for (const entry of listOf(found, folder) ?? []) {
      const path = `${folder}/${entry.name}`;
      const isOne = entry.kind === 'directory' && !isTemporary(path) && isReleaseIn(found, path);
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
function referencesIn({ root, pipeline }: SourcesRequest, found: Found): string[] {
  const named = referenceDirectories({ root, pipeline }).map((directory) => relative(root, directory));
  const directories = new Set(named);
  for (const parent of new Set(named.map((directory) => dirname(directory)))) {
    for (const { name, kind } of listOf(found, parent) ?? []) {
      if (kind === 'directory' && !isTemporary(name))
        directories.add(parent === '.' ? name : `${parent}/${name}`);
    }
  }
  // Also by a link that leads nowhere now: its disk may come back.
  const isReference = (directory: string): boolean =>
    (listOf(found, directory) ?? []).some(
      ({ name, kind }) =>
        kind !== 'directory' && (name === EMBEDDINGS_FILE || name === OLDER_EMBEDDINGS_FILE),
    );
  return [...directories].filter(isReference).sort();
}

interface Found {
  port: ReadPort;
  root: string;
  files: Map<string, Source>;
  folders: Map<string, number>;
  links: Map<string, string>;
  otherLinks: string[];
  unusable: Unusable[];
  /** Folders that were looked into for a file by its name. */
  listed: Map<string, Map<string, DirectoryEntry>>;
}

function isReleaseIn(found: Found, folder: string): boolean {
  try {
    return isRelease(found.port, join(found.root, folder));
  } catch (error) {
    addUnreadable(found, folder, error);
    return false;
  }
}

/** What is in a folder; where it cannot be read now, that is told, and the backup keeps what it has of it. */
function listOf(found: Found, folder: string, group = folder): DirectoryEntry[] | undefined {
  const { port, root } = found;
  try {
    const entries = port.list(join(root, folder));
    if (entries.length > 0 || port.stat(join(root, folder)) !== undefined) return entries;
    const link = linkOnTheWay(port, root, folder);
    if (link !== undefined)
      addUnusable(found, { path: link, reason: 'is a link that leads nowhere', group: link });
    return entries;
  } catch (error) {
    addUnreadable(found, folder, error, group);
    return undefined;
  }
}

function addUnreadable(found: Found, path: string, error: unknown, group = path): void {
  if (errnoOf(error) === undefined) throw error;
  addUnusable(found, { path, reason: `cannot be read: ${reasonOf(error)}`, group });
}

/** A file that firn knows by its name. Nothing where there is none. */
function addFile(found: Found, path: string, kind: Kind): void {
  const folder = dirname(path);
  // Thousands of inputs may lie in one folder.
  if (!found.listed.has(folder)) {
    const entries = (listOf(found, folder) ?? []).filter(({ notUtf8 }) => !notUtf8);
    found.listed.set(folder, new Map(entries.map((entry) => [entry.name, entry] as const)));
  }
  const entry = found.listed.get(folder)?.get(basename(path));
  if (entry?.kind === 'link') addUnusable(found, { path, reason: LINKED });
  else if (entry !== undefined) addEntry(found, path, entry, kind);
}

const LINKED = 'is a link, and nothing is read through one: put the file itself there';

function addUnusable({ files, unusable }: Found, one: Unusable): void {
  if (!files.has(one.path) && !unusable.some(({ path }) => path === one.path)) unusable.push(one);
}

/** Of what lies in a folder. */
function addEntry(found: Found, path: string, entry: DirectoryEntry, kind: Kind, group?: string): void {
  const { files } = found;
  if (entry.kind === 'directory' || files.has(path) || isTemporary(path)) return;
  const ofGroup = group === undefined ? {} : { group };
  if (entry.kind === 'link') {
    addLink(found, path, kind, group);
    return;
  }
  const reason = whyUnusable(path, entry);
  if (reason !== undefined) addUnusable(found, { path, reason, ...ofGroup });
  else files.set(path, { path, kind, ...ofGroup });
}

function addLink(found: Found, path: string, kind: Kind, group: string | undefined): void {
  const { port, root, links, otherLinks } = found;
  const target = port.readLink(join(root, path));
  const isBeside = target !== undefined && isName(target);
  // Names in the same folder, as releases have for older tools. A bag has no links, so they are noted.
  if (kind === 'release' && isBeside) links.set(path, target);
  // What has to be of one state is not whole without it; of a name for a file beside it, that file is there.
  else if (kind === 'reference' && group !== undefined && !isBeside)
    addUnusable(found, { path, reason: LINKED, group });
  else otherLinks.push(path);
}

function isName(target: string): boolean {
  return !/[/\\\0]/.test(target) && target !== '' && target !== '.' && target !== '..';
}

function whyUnusable(path: string, { kind, notUtf8 }: DirectoryEntry): string | undefined {
  if (notUtf8) return NOT_TEXT;
  if (kind === 'other') return 'is neither a file nor a folder';
  // A backslash is part of a name here and a separator elsewhere.
  return whyOutside(path);
}

const NOT_TEXT = 'has a name that is not UTF-8';

/** All files below a folder. */
function addTree(found: Found, folder: string, kind: Kind, group?: string): void {
  const { port, root, folders } = found;
  if (isTemporary(folder)) return;
  const entries = listOf(found, folder, group);
  if (entries === undefined) return;
  const mode = port.stat(join(root, folder))?.mode;
  if (mode !== undefined && (mode & 0o200) === 0) folders.set(folder, mode);
  for (const entry of entries) {
    const path = `${folder}/${entry.name}`;
    if (entry.kind === 'directory' && entry.notUtf8) addUnusable(found, { path, reason: NOT_TEXT });
    else if (entry.kind === 'directory') addTree(found, path, kind, group);
    else addEntry(found, path, entry, kind, group);
  }
}

/** Of archived runs: nothing else says where their files went. */
function addStubs(found: Found, runsDir: string): void {
  const folders = (path: string): string[] =>
    (listOf(found, path) ?? []).flatMap(({ name, kind }) =>
      kind === 'directory' ? [`${path}/${name}`] : [],
    );
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
