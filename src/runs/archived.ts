/**
 * The stub of a run that was archived: a small file in the run's folder that says where its files went and what they are.
 * Knows neither how a run is archived nor how it is restored.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import type { Dtype } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { isRunName } from './run-name.js';

export const STUB_FILE = 'archived.json';

const FORMAT = 1;
/** bytes; one of 10,000 files takes 2 MB */
const LIMIT = 64 * 1024 * 1024;

export interface ArchivedFile {
  /** Below the run's folder, with `/`. */
  path: string;
  bytes: number;
  /** Hexadecimal, of the bytes, as sha256sum prints it. */
  sha256: string;
  /** nanoseconds since 1970, as a decimal number */
  mtimeNs: string;
  /** Permission bits in octal. */
  mode: string;
}

export interface ArchivedFolder {
  path: string;
  mtimeNs: string;
}

export interface Stub {
  /** The folder that holds the files: absolute, or relative to the project. */
  archived: string;
  /** `dataset/run` */
  run: string;
  /** Content digest of the run, as a reference has it. */
  digest: string;
  rows: number;
  dims: number;
  dtype: Dtype;
  /** Model version, when one was known. */
  version: string | null;
  /** By path in code-unit order. */
  files: ArchivedFile[];
  /** Folders below the run's. */
  folders: ArchivedFolder[];
}

/** The text of a stub. `check` shows whether it was altered: what it says stands for an array that is elsewhere. */
export function formatStub(stub: Stub): string {
  return `${JSON.stringify({ firn: FORMAT, check: checkOf(stub), ...stub }, null, 2)}\n`;
}

/**
 * The stub in a run's folder; undefined when there is none.
 * @throws FirnError `input` when it was altered, was cut or is of another run: paths in it are believed
 */
export function readStub(port: ReadPort, directory: string): Stub | undefined {
  const path = join(directory, STUB_FILE);
  const text = port.readText(path, LIMIT);
  return text === undefined ? undefined : parseStub(text, path);
}

/** FirnError (input) naming `path` when the text is no stub that firn wrote. */
export function parseStub(text: string, path: string): Stub {
  let value: unknown;
  try {
    value = JSON.parse(text);
  } catch {
    throw malformed(path, 'is not JSON');
  }
  if (value === null || typeof value !== 'object' || !('firn' in value)) {
    throw malformed(path, 'was not written by firn, and stands where firn notes that a run is archived');
  }
  const { firn, check, ...stub } = value as { firn: unknown; check: unknown } & Stub;
  if (typeof firn === 'number' && firn > FORMAT) {
    throw new FirnError('input', `was written by a newer firn (format ${firn})`, {
      path,
      advice: 'Use that firn, or a newer one.',
    });
  }
  if (!isStub(stub)) throw malformed(path, 'does not say where the run went and what it is');
  if (check !== checkOf(stub)) throw malformed(path, 'was altered since firn wrote it');
  return stub;
}

function checkOf(stub: Stub): string {
  const { archived: _moved, ...said } = stub;
  // Where the archive is may change, and be corrected by hand.
  return `sha256:${createHash('sha256').update(JSON.stringify(said)).digest('hex')}`;
}

function isStub(stub: Stub): boolean {
  const { archived, run, digest, rows, dims, dtype, version, files, folders } = stub;
  return (
    typeof archived === 'string' &&
    typeof run === 'string' &&
    isRunName(run) &&
    typeof digest === 'string' &&
    Number.isSafeInteger(rows) &&
    rows >= 0 &&
    Number.isSafeInteger(dims) &&
    dims >= 1 &&
    ['f2', 'f4', 'f8'].includes(dtype) &&
    (version === null || typeof version === 'string') &&
    Array.isArray(files) &&
    files.every(isFile) &&
    Array.isArray(folders) &&
    folders.every(isFolder) &&
    areClosed(files, folders)
  );
}

/** Every folder that something is in is named, so that none of them can be a link unseen; and nothing is named twice. */
function areClosed(files: readonly ArchivedFile[], folders: readonly ArchivedFolder[]): boolean {
  const named = new Set(folders.map(({ path }) => path));
  const all = [...files, ...folders].map(({ path }) => path);
  return (
    new Set(all).size === all.length &&
    all.every((path) => !path.includes('/') || named.has(path.slice(0, path.lastIndexOf('/'))))
  );
}

function isFile(file: ArchivedFile | null): boolean {
  return (
    isFolder(file) &&
    Number.isSafeInteger(file?.bytes) &&
    /^[0-9a-f]{64}$/.test(String(file?.sha256)) &&
    /^[0-7]{1,4}$/.test(String(file?.mode))
  );
}

function isFolder(folder: ArchivedFolder | null): boolean {
  return (
    typeof folder?.path === 'string' &&
    isInnerPath(folder.path) &&
    /^-?\d{1,20}$/.test(String(folder.mtimeNs))
  );
}

/** A path that stays below the folder it is joined to. */
export function isInnerPath(path: string): boolean {
  return (
    path !== STUB_FILE &&
    !path.includes('\0') &&
    path.split('/').every((part) => part !== '' && part !== '.' && part !== '..')
  );
}

function malformed(path: string, message: string): FirnError {
  return new FirnError('input', message, {
    path,
    advice: 'Put it back as it was, or move it away: then the run counts as gone.',
  });
}
