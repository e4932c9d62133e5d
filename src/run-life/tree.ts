/** All that is in the folder of a run: what has to be copied, and what cannot be. Knows names and stats only. */
import { dirname, join, sep } from 'node:path';
import type { FileStat, Port, ReadPort } from '../files/port.js';
import { removeHalfWritten } from '../files/remove.js';
import { isTemporary } from '../files/temporary.js';
import { STUB_FILE } from '../runs/archived.js';

export interface TreeEntry {
  /** Below the folder, with `/`. */
  path: string;
  stat: FileStat;
}

export interface Tree {
  /** By path in code-unit order, without the stub. */
  files: TreeEntry[];
  folders: TreeEntry[];
  /** Neither files nor folders: links are not followed, and what they lead to is not the run's. */
  odd: { path: string; reason: string }[];
}

/** Of a folder that could not be read. */
export const EMPTY_TREE: Tree = { files: [], folders: [], odd: [] };

/** Empty when there is no such folder. Files and folders of firn that are not finished are left out unless asked for. */
export function readTree(port: ReadPort, directory: string, options: { unfinished?: boolean } = {}): Tree {
  const tree: Tree = { files: [], folders: [], odd: [] };
  readFolder(port, directory, '', tree, options.unfinished ?? false);
  for (const list of [tree.files, tree.folders]) list.sort(byPath);
  return tree;
}

function byPath(a: { path: string }, b: { path: string }): number {
  return a.path < b.path ? -1 : a.path > b.path ? 1 : 0;
}

function readFolder(
  port: ReadPort,
  directory: string,
  prefix: string,
  tree: Tree,
  unfinished: boolean,
): void {
  for (const { name, kind, notUtf8 } of port.list(join(directory, prefix))) {
    const path = prefix + name;
    if ((isTemporary(name) && !unfinished) || path === STUB_FILE) continue;
    // By such a name another file may be meant.
    if (notUtf8 || kind === 'link') {
      tree.odd.push({ path, reason: notUtf8 ? 'has a name that is not UTF-8' : 'is a link' });
      continue;
    }
    const stat = kind === 'other' ? undefined : port.stat(join(directory, path));
    if (stat?.kind === 'file') tree.files.push({ path, stat });
    else if (stat?.kind === 'directory') {
      tree.folders.push({ path, stat });
      readFolder(port, directory, `${path}/`, tree, unfinished);
    } else tree.odd.push({ path, reason: 'is neither a file nor a folder' });
  }
}

export function bytesOf(files: readonly TreeEntry[]): number {
  return files.reduce((sum, { stat }) => sum + stat.size, 0);
}

/** The same text while nothing in it has changed, as far as stats tell. */
export function signatureOf(tree: Tree): string {
  const entries = [
    ...tree.files.map(({ path, stat }) => [path, stat.size, stat.mtimeNs, stat.ctimeNs, stat.ino].join('\0')),
    ...tree.folders.map(({ path }) => path),
    ...tree.odd.map(({ path }) => path),
  ];
  return entries.join('\n');
}

/** Removes the half-written files of this label that a killed firn left in the folder and below. */
export async function removeUnfinished(port: Port, directory: string, label: string): Promise<void> {
  await removeHalfWritten(port, directory, label);
  for (const { path } of readTree(port, directory).folders)
    await removeHalfWritten(port, join(directory, path), label);
}

/** Removes those of the folders that are empty, the innermost first, and makes what went stay away after a power cut. */
export async function removeEmpty(port: Port, folders: readonly string[]): Promise<void> {
  const innermostFirst = [...folders].sort((a, b) => b.split(sep).length - a.split(sep).length);
  for (const folder of innermostFirst) {
    if (port.stat(folder)?.kind === 'directory' && port.list(folder).length === 0)
      await port.removeDirectory(folder);
  }
  const changed = new Set(folders.flatMap((folder) => [folder, dirname(folder)]));
  for (const folder of changed) if (port.stat(folder) !== undefined) await port.syncDirectory(folder);
}
