/**
 * Which files lie in a bag, and which of them a manifest may name: regular files below it, and links that stay inside. Opens
 * nothing.
 */
import { join, sep } from 'node:path';
import { errnoOf } from '../errors.js';
import type { DirectoryEntry, FileStat, ReadPort } from '../files/port.js';
import { reasonOf } from '../system-errors.js';
import { type Bag, find } from './bag.js';
import { PAYLOAD_FOLDER } from './bag-info.js';

export interface Walk {
  port: ReadPort;
  dir: string;
  bag: Bag;
}

/** The base folder: tag files, and the payload folder with all that is in it. */
export function lookAtBase(walk: Walk): void {
  const { bag } = walk;
  let payload = false;
  for (const { name, kind } of listOf(walk, '')) {
    if (name === PAYLOAD_FOLDER && kind === 'directory') {
      payload = true;
      lookInto(walk, PAYLOAD_FOLDER, (path, size) => bag.payload.set(path, size));
    } else if (name === PAYLOAD_FOLDER) {
      find(
        bag,
        kind === 'link' ? 'link' : 'payload-folder',
        PAYLOAD_FOLDER,
        'is no folder of the bag itself',
      );
      payload = true;
    } else if (kind === 'file') {
      bag.tagFiles.add(name);
    } else if (kind === 'directory') {
      lookInto(walk, name, (path) => bag.tagFiles.add(path));
    } else {
      notAFile(walk, name, kind);
    }
  }
  if (!payload)
    find(bag, 'payload-folder', PAYLOAD_FOLDER, 'is not there: a bag has its files in this folder');
}

function lookInto(walk: Walk, folder: string, take: (path: string, size: number) => void): void {
  for (const { name, kind, notUtf8 } of listOf(walk, folder)) {
    const path = `${folder}/${name}`;
    if (notUtf8) {
      find(walk.bag, 'unreadable', path, 'has a name that is not UTF-8');
    } else if (kind === 'directory') {
      lookInto(walk, path, take);
    } else if (kind !== 'file') {
      notAFile(walk, path, kind);
    } else {
      const stat = statOf(walk, path);
      if (typeof stat === 'object') take(path, stat.size);
      else find(walk.bag, 'unreadable', path, stat ?? 'is going away');
    }
  }
}

function listOf({ port, dir, bag }: Walk, folder: string): DirectoryEntry[] {
  try {
    return port.list(join(dir, folder));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    find(bag, 'unreadable', folder, `cannot be read: ${reasonOf(error)}`);
    return [];
  }
}

/** Links inside the bag are followed where a manifest names them; those that lead out never are. */
function notAFile(walk: Walk, path: string, kind: 'link' | 'other'): void {
  if (kind === 'other') {
    find(walk.bag, 'no-file', path, 'is neither a file nor a folder');
  } else if (leadsInside(walk, path)) {
    find(walk.bag, 'link', path, 'is a link to another place in the bag: copies may lose it', 'warning');
  } else {
    find(walk.bag, 'link', path, 'is a link that leads out of the bag, or nowhere');
  }
}

function leadsInside({ port, dir }: Pick<Walk, 'port' | 'dir'>, path: string): boolean {
  const base = port.realPath(dir);
  const at = realPlace(port, join(dir, path));
  if (base === undefined || at === undefined) return false;
  return at.startsWith(base === sep ? sep : `${base}${sep}`);
}

/** Undefined also where the way may not be looked along. */
function realPlace(port: ReadPort, path: string): string | undefined {
  try {
    return port.realPath(path);
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return undefined;
  }
}

/** Or why there is none to be had. */
function statOf({ port, dir }: Pick<Walk, 'port' | 'dir'>, path: string): FileStat | undefined | string {
  try {
    return port.stat(join(dir, path));
  } catch (error) {
    if (errnoOf(error) === undefined) throw error;
    return `cannot be read: ${reasonOf(error)}`;
  }
}

/** Why there is no file of the bag under a name. */
export interface NoFile {
  code: 'missing' | 'link' | 'no-file' | 'unreadable';
  message: string;
}

/** A file of the bag that a manifest names, also by a link inside the bag; its bytes, or why there is none. */
export function lookUp(port: ReadPort, dir: string, path: string): number | NoFile {
  const stat = statOf({ port, dir }, path);
  if (typeof stat === 'string') return { code: 'unreadable', message: stat };
  if (stat === undefined) return { code: 'missing', message: 'is listed, and is not there' };
  if (!leadsInside({ port, dir }, path)) return { code: 'link', message: 'leads out of the bag' };
  return stat.kind === 'file' ? stat.size : { code: 'no-file', message: 'is listed, and is no file' };
}
