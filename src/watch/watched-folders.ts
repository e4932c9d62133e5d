/** In which folders a change can matter to a project: an enumeration through its glance, which costs nothing twice. */
import { dirname, join, sep } from 'node:path';
import type { Step } from '../engine/types.js';
import type { ReadPort } from '../files/port.js';
import type { Pipeline } from '../pipeline/load.js';
import { findFolders } from '../pipeline/pattern.js';
import { CACHE_FOLDER } from '../pipeline/project-path.js';

/** Folders of runs stand so deep below the runs folder. */
const RUN_DEPTH = 2;

/**
 * Absolute, and there: for a folder that is not, the one in which it would appear. Of the outputs, only those folders are
 * among them that hold inputs as well.
 */
export function watchedFolders(
  pipeline: Pipeline,
  steps: readonly Step[],
  place: { port: ReadPort; root: string },
): Set<string> {
  const { port, root } = place;
  const folders = new Set<string>();
  addFolders(folders, join(root, pipeline.runsDir), RUN_DEPTH, port);
  const wanted = new Set(['', 'rules', pipeline.runsDir, folderOf(pipeline.versionsFile)]);
  for (const { from } of pipeline.targets.values()) {
    for (const pattern of from) {
      if (!pipeline.targets.has(pattern))
        for (const folder of findFolders(port, root, pattern)) wanted.add(folder);
    }
  }
  const made = new Set(steps.flatMap((step) => step.outputs.map(({ path }) => path)));
  for (const { inputs } of steps) {
    for (const { kind, path } of inputs) if (kind === 'file' && !made.has(path)) wanted.add(folderOf(path));
  }
  for (const folder of [...wanted]) {
    // Where a folder above is exchanged, the one below shows nothing.
    for (let above = folderOf(folder); above !== ''; above = folderOf(above)) wanted.add(above);
  }
  for (const folder of wanted) {
    if (folder === CACHE_FOLDER || folder.startsWith(`${CACHE_FOLDER}/`)) continue;
    folders.add(nearest(folder, place));
  }
  return folders;
}

function addFolders(folders: Set<string>, folder: string, depth: number, port: ReadPort): void {
  for (const { name, kind } of port.list(folder)) {
    if (kind !== 'directory' || name.startsWith('.')) continue;
    // Not `join`: there may be thousands.
    const path = `${folder}${sep}${name}`;
    folders.add(path);
    if (depth > 1) addFolders(folders, path, depth - 1, port);
  }
}

/** The folder itself or the innermost one above it that is there; absolute. */
function nearest(folder: string, { port, root }: { port: ReadPort; root: string }): string {
  for (let at = folder; at !== ''; at = folderOf(at)) {
    const path = join(root, at);
    if (port.stat(path)?.kind === 'directory') return path;
  }
  return root;
}

function folderOf(path: string): string {
  const folder = dirname(path);
  return folder === '.' ? '' : folder;
}
