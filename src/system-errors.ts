/**
 * What the operating system refuses, as an error for people: the path they know and not that of an unfinished file, what
 * was wanted of it and what to do. Used where errors become text; until then code goes by their errno.
 */
import { dirname, sep } from 'node:path';
import { errnoOf, FirnError, messageOf } from './errors.js';
import { isStaged, isTemporary } from './files/temporary.js';

const RIGHTS =
  '`ls -ld` of it and of the folders above shows whose they are: change that, or run firn as that user.';
const ROOM = 'Make room and try again.';

const KNOWN: { [errno: string]: [reason: string, advice: string] } = {
  EACCES: ['permission denied', RIGHTS],
  EPERM: ['permission denied', RIGHTS],
  EROFS: ['its file system is read-only', 'Mount it for writing, or name a place elsewhere.'],
  ENOSPC: ['the disk is full', ROOM],
  EDQUOT: ['the quota is used up', ROOM],
  EIO: ['the disk reports an error', 'Look at the disk, and restore the file if it is damaged.'],
  EMFILE: ['too many files are open', 'Raise the limit with `ulimit -n`.'],
  ENOENT: ['there is no such file or folder', 'Make the folder, or name another place.'],
  ENOTDIR: ['a file stands where a folder is needed', 'Move the file away, or name another place.'],
  EISDIR: ['a folder stands where a file is needed', 'Move the folder away, or name another place.'],
  ELOOP: ['it is a link that leads round in a circle', 'Remove the link, or have it lead to a file.'],
  EILSEQ: ['the file system does not take this name', 'Give it another one.'],
  ENAMETOOLONG: ['the name is too long', 'Give it a shorter one.'],
};

/** The text of anything thrown, with the paths that people know. */
export function textOf(error: unknown): string {
  return messageOf(forPeople(error));
}

/** Why the system refused, in a few words, for the middle of a sentence; the text of any other error. */
export function reasonOf(error: unknown): string {
  const known = KNOWN[errnoOf(error) ?? ''];
  return known === undefined ? messageOf(error) : `${known[0]} (${errnoOf(error)})`;
}

/** What to do about a refusal of the system; undefined for any other error. */
export function adviceFor(error: unknown): string | undefined {
  return KNOWN[errnoOf(error) ?? '']?.[1];
}

function forPeople(error: unknown): unknown {
  if (error instanceof FirnError) {
    if (error.path === undefined || finalPath(error.path) === error.path) return error;
    const { kind, message, advice, cause } = error;
    return new FirnError(kind, message, {
      path: finalPath(error.path),
      ...(advice === undefined ? {} : { advice }),
      cause,
    });
  }
  const advice = adviceFor(error);
  if (advice === undefined) return error;
  const { syscall, path, dest } = error as { syscall?: string; path?: string; dest?: string };
  if (syscall === undefined) return error;
  const at = dest ?? path;
  const [where, wanted] = at === undefined ? [undefined, 'cannot be written'] : wantedOf(syscall, at);
  return new FirnError('failed', `${wanted}: ${reasonOf(error)}`, {
    ...(where === undefined ? {} : { path: where }),
    advice,
    cause: error,
  });
}

/** What was wanted of which path. */
function wantedOf(syscall: string, path: string): [path: string, wanted: string] {
  // Unfinished files that cannot be removed are for people to remove: by the name they have.
  if (syscall === 'unlink' || syscall === 'rmdir') return [path, 'cannot be removed'];
  if (['scandir', 'stat', 'lstat', 'read', 'readlink', 'realpath'].includes(syscall))
    return [path, 'cannot be read'];
  const parts = path.split(sep);
  const unfinished = parts.findIndex((part) => isTemporary(part) && !isStaged(part));
  if (unfinished >= 0) return [parts.slice(0, unfinished).join(sep), 'cannot be written to'];
  if (isTemporary(path)) return [dirname(path), 'cannot be written to'];
  const final = finalPath(path);
  if (syscall === 'mkdir') return [final, 'cannot be made'];
  return [final, syscall === 'open' && final === path ? 'cannot be opened' : 'cannot be written'];
}

/** `dir/.firn-x/file` -> `dir/file`: the name it gets when it is finished. */
function finalPath(path: string): string {
  const parts = path.split(sep);
  const kept = parts.filter((part, i) => i === parts.length - 1 || !isTemporary(part));
  return kept.length === parts.length ? path : kept.join(sep);
}
