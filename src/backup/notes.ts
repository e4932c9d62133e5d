/**
 * firn-backup.json: the tag file in which firn notes what it needs to know of each file of a backup: how the file was in
 * the project, and what `stat` says of its copy. Text to values and back. Pure; knows no disk.
 */
import { FirnError } from '../errors.js';

export const NOTES_FILE = 'firn-backup.json';
const FORMAT = 1;

/** Why a file is in a backup. */
export type Kind =
  | 'pipeline'
  | 'rule'
  | 'registry'
  | 'reference'
  | 'release'
  | 'records'
  | 'run'
  | 'input'
  | 'output';
/** What is backed up only when asked for. */
export type Extra = 'runs' | 'inputs' | 'outputs';
export const EXTRAS: readonly Extra[] = ['runs', 'inputs', 'outputs'];

export interface FileNote {
  kind: Kind;
  /** bytes */
  size: number;
  /** mtime in the project, ms since 1970 */
  modified: number;
  /** Permissions in the project. */
  mode: number;
  /** mtime of the copy, in ns since 1970, as its own disk keeps it. */
  written: string;
  /** Since when (YYYY-MM-DD) it is no longer in the project. */
  retained?: string;
}

export interface Notes {
  /** The folder of the project, or how else it is told from others. */
  project: string;
  include: Extra[];
  /** By path in the project. */
  files: Map<string, FileNote>;
  /** Folders of the project that may not be written to: path -> permissions. */
  folders: Map<string, number>;
  /** Links to a name in their own folder: path -> that name. */
  links: Map<string, string>;
}

/** A line a file, so that versions of it can be compared. */
export function formatNotes({ project, include, files, folders, links }: Notes): string {
  const lines = (entries: Map<string, unknown>): string =>
    [...entries]
      .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
      .map(([path, value]) => `\n    ${JSON.stringify(path)}: ${JSON.stringify(value)}`)
      .join(',');
  const head = `{\n  "firn": "backup",\n  "format": ${FORMAT},\n  "project": ${JSON.stringify(project)},\n  "include": ${JSON.stringify(include)},`;
  return `${head}\n  "files": {${lines(files)}\n  },\n  "folders": {${lines(folders)}\n  },\n  "links": {${lines(links)}\n  }\n}\n`;
}

/** @throws FirnError (input) naming `path` when the text is not what `formatNotes` gives. */
export function parseNotes(text: string, path: string): Notes {
  const value = parseObject(text);
  if (value === undefined || value.firn !== 'backup') throw malformed(path, 'is not what firn writes');
  if (typeof value.format !== 'number' || value.format > FORMAT) {
    throw new FirnError('input', `was written by a newer firn (format ${String(value.format)})`, {
      path,
      advice: 'Use that firn, or a newer one.',
    });
  }
  const { project, include } = value;
  const files = isObject(value.files) ? value.files : undefined;
  const folders = isObject(value.folders) ? value.folders : undefined;
  const links = isObject(value.links) ? value.links : undefined;
  if (typeof project !== 'string' || !Array.isArray(include) || !files || !folders || !links) {
    throw malformed(path, 'lacks "project", "include", "files", "folders" or "links"');
  }
  for (const [name, note] of Object.entries(files)) {
    if (!isNote(note)) throw malformed(path, `says nothing usable of ${JSON.stringify(name)}`);
  }
  for (const [name, mode] of Object.entries(folders)) {
    if (!isMode(mode)) throw malformed(path, `has no permissions for ${JSON.stringify(name)}`);
  }
  for (const [name, target] of Object.entries(links)) {
    if (typeof target !== 'string' || target === '..' || /[/\\\0]/.test(target))
      throw malformed(path, `has a link that leads elsewhere: ${JSON.stringify(name)}`);
  }
  return {
    project,
    include: EXTRAS.filter((extra) => include.includes(extra)),
    files: new Map(Object.entries(files) as [string, FileNote][]),
    folders: new Map(Object.entries(folders) as [string, number][]),
    links: new Map(Object.entries(links) as [string, string][]),
  };
}

function parseObject(text: string): { [name: string]: unknown } | undefined {
  try {
    const value: unknown = JSON.parse(text);
    return isObject(value) ? value : undefined;
  } catch {
    return undefined;
  }
}

function isNote(value: unknown): value is FileNote {
  if (!isObject(value)) return false;
  const { kind, size, modified, mode, written, retained } = value;
  return (
    typeof kind === 'string' &&
    Number.isSafeInteger(size) &&
    Number.isFinite(modified) &&
    isMode(mode) &&
    isDigits(written) &&
    (retained === undefined || typeof retained === 'string')
  );
}

function isMode(value: unknown): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= 0o7777;
}

function isDigits(value: unknown): value is string {
  return typeof value === 'string' && /^-?\d{1,30}$/.test(value);
}

function isObject(value: unknown): value is { [name: string]: unknown } {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}

function malformed(path: string, message: string): FirnError {
  return new FirnError('input', message, {
    path,
    advice: '`firn verify` says what else is wrong with this backup. Begin a new one in another folder.',
  });
}
