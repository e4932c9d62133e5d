/**
 * A bag as it lies on a disk: what its tag files say and which files are there. Reads no payload; whatever is wrong becomes
 * a finding. Works on bags of any program, BagIt 0.93 to 1.0. Source: RFC 8493.
 */
import { join, sep } from 'node:path';
import { errnoOf } from '../errors.js';
import type { DirectoryEntry, ReadPort } from '../files/port.js';
import { reasonOf } from '../system-errors.js';
import {
  DECLARATION_FILE,
  type Declaration,
  FETCH_FILE,
  INFO_FILE,
  type InfoElement,
  PAYLOAD_FOLDER,
  parseDeclaration,
  parseInfo,
} from './bag-info.js';
import {
  isKnownAlgorithm,
  manifestName,
  type Problem,
  parseFetch,
  parseManifest,
  type ToFetch,
} from './manifest.js';

/** What can be wrong with a bag. docs/reference.md says what each means. */
export type BagCode =
  | 'declaration'
  | 'version'
  | 'encoding'
  | 'payload-folder'
  | 'no-manifest'
  | 'algorithm'
  | 'line'
  | 'unsafe-path'
  | 'wrong-manifest'
  | 'duplicate'
  | 'percent'
  | 'missing'
  | 'to-fetch'
  | 'unlisted'
  | 'checksum'
  | 'oxum'
  | 'info'
  | 'fetch'
  | 'link'
  | 'no-file'
  | 'clash'
  | 'normalization'
  | 'unreadable'
  | 'unfinished';

export interface BagFinding {
  severity: 'error' | 'warning';
  code: BagCode;
  /** In the bag, as `data/a`; empty for the bag itself. */
  path: string;
  message: string;
  /** Of `path`, 1-based. */
  line?: number;
}

export interface Manifest {
  /** The file's name. */
  file: string;
  algorithm: string;
  /** path -> checksum in lower case */
  entries: Map<string, string>;
}

export interface Bag {
  /** Undefined when bagit.txt is missing or says nothing. */
  declaration: Declaration | undefined;
  manifests: Manifest[];
  tagManifests: Manifest[];
  info: InfoElement[];
  fetch: Map<string, ToFetch>;
  /** The regular files below data/, with their bytes. */
  payload: Map<string, number>;
  /** The regular files beside data/. */
  tagFiles: Set<string>;
  findings: BagFinding[];
}

/** Longer tag files are refused: text of this length no longer fits into one string. */
const TAG_LIMIT = 512 * 1024 * 1024;

/** Reads what `dir` says of itself. Nothing outside it is opened, wherever links lead. */
export async function readBag(port: ReadPort, dir: string): Promise<Bag> {
  const bag: Bag = {
    declaration: undefined,
    manifests: [],
    tagManifests: [],
    info: [],
    fetch: new Map(),
    payload: new Map(),
    tagFiles: new Set(),
    findings: [],
  };
  const walk: Walk = { port, dir, bag };
  lookAtBase(walk);
  await readDeclaration(walk);
  for (const file of [...bag.tagFiles].sort()) {
    const name = manifestName(file);
    if (name !== undefined) await readManifest(walk, file, name.algorithm, name.tag);
  }
  await readInfo(walk);
  await readFetch(walk);
  if (bag.manifests.length === 0) {
    find(bag, 'no-manifest', '', 'there is no payload manifest (manifest-<algorithm>.txt)');
  }
  return bag;
}

interface Walk {
  port: ReadPort;
  dir: string;
  bag: Bag;
}

export function find(
  bag: Bag,
  code: BagCode,
  path: string,
  message: string,
  severity: BagFinding['severity'] = 'error',
): void {
  bag.findings.push({ severity, code, path, message });
}

/** The base folder: tag files, and the payload folder with all that is in it. */
function lookAtBase(walk: Walk): void {
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
  for (const { name, kind } of listOf(walk, folder)) {
    const path = `${folder}/${name}`;
    if (kind === 'directory') {
      lookInto(walk, path, take);
      continue;
    }
    const stat = kind === 'file' ? walk.port.stat(join(walk.dir, path)) : undefined;
    if (kind !== 'file') notAFile(walk, path, kind);
    else if (stat === undefined)
      find(walk.bag, 'unreadable', path, 'has a name that is not UTF-8, or is going away');
    else take(path, stat.size);
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
  const at = port.realPath(join(dir, path));
  if (base === undefined || at === undefined) return false;
  return at.startsWith(base === sep ? sep : `${base}${sep}`);
}

/** A file of the bag that a manifest names, also by a link inside the bag; its bytes, or why there is none. */
export function lookUp(port: ReadPort, dir: string, path: string): number | 'missing' | 'out' | 'no-file' {
  const stat = port.stat(join(dir, path));
  if (stat === undefined) return 'missing';
  if (!leadsInside({ port, dir }, path)) return 'out';
  return stat.kind === 'file' ? stat.size : 'no-file';
}

async function readDeclaration(walk: Walk): Promise<void> {
  const { bag } = walk;
  if (!bag.tagFiles.has(DECLARATION_FILE)) {
    find(bag, 'declaration', DECLARATION_FILE, 'is not there: without it this is no bag');
    return;
  }
  const text = await readTagText(walk, DECLARATION_FILE, DECLARED);
  if (text === undefined) return;
  const declaration = parseDeclaration(text);
  if (declaration === undefined) {
    find(
      bag,
      'declaration',
      DECLARATION_FILE,
      'expected the lines "BagIt-Version: M.N" and "Tag-File-Character-Encoding: UTF-8"',
    );
    return;
  }
  bag.declaration = declaration;
  const { major, minor, encoding, strict } = declaration;
  if (!strict) {
    find(
      bag,
      'declaration',
      DECLARATION_FILE,
      'has other spaces, lines or marks than its two lines may have',
    );
  }
  if (major > 1 || (major === 1 && minor > 0)) {
    find(
      bag,
      'version',
      DECLARATION_FILE,
      `declares BagIt ${major}.${minor}, which is newer than what is known here (1.0)`,
    );
  }
  if (decoderOf(encoding) === undefined) {
    find(bag, 'encoding', DECLARATION_FILE, `declares an encoding that is not known here: ${encoding}`);
  }
}

/** 1.0 where a bag does not say. */
export function majorOf(bag: Bag): number {
  return bag.declaration?.major ?? 1;
}

async function readManifest(walk: Walk, file: string, algorithm: string, tag: boolean): Promise<void> {
  const { bag } = walk;
  if (!isKnownAlgorithm(algorithm)) {
    find(bag, 'algorithm', file, `its checksums (${algorithm}) cannot be computed here`);
  }
  const text = await readTagText(walk, file);
  if (text === undefined) return;
  const { entries, problems } = parseManifest(text, majorOf(bag), algorithm);
  takeProblems(bag, file, problems);
  for (const path of entries.keys()) {
    const wrong = whyWrongManifest(path, tag);
    if (wrong === undefined) continue;
    find(bag, 'wrong-manifest', file, `lists ${JSON.stringify(path)}: ${wrong}`);
    entries.delete(path);
  }
  (tag ? bag.tagManifests : bag.manifests).push({ file, algorithm, entries });
}

function whyWrongManifest(path: string, tag: boolean): string | undefined {
  const isPayload = path.startsWith(`${PAYLOAD_FOLDER}/`);
  if (!tag) return isPayload ? undefined : 'a payload manifest lists files below data/ only';
  if (isPayload) return 'a tag manifest lists no payload';
  return manifestName(path)?.tag === true ? 'a tag manifest lists no tag manifest' : undefined;
}

function takeProblems(bag: Bag, file: string, problems: readonly Problem[]): void {
  for (const { line, code, severity, message, path } of problems) {
    const about = path === undefined ? message : `${JSON.stringify(path)} ${message}`;
    bag.findings.push({ severity, code, path: file, message: about, line });
  }
}

async function readInfo(walk: Walk): Promise<void> {
  const { bag } = walk;
  if (!bag.tagFiles.has(INFO_FILE)) return;
  const text = await readTagText(walk, INFO_FILE);
  if (text === undefined) return;
  const { elements, odd } = parseInfo(text);
  bag.info = elements;
  for (const line of odd) {
    bag.findings.push({
      severity: 'error',
      code: 'info',
      path: INFO_FILE,
      line,
      message: 'expected "Label: value"',
    });
  }
}

async function readFetch(walk: Walk): Promise<void> {
  const { bag } = walk;
  if (!bag.tagFiles.has(FETCH_FILE)) return;
  const text = await readTagText(walk, FETCH_FILE);
  if (text === undefined) return;
  const { entries, problems } = parseFetch(text, majorOf(bag));
  takeProblems(bag, FETCH_FILE, problems);
  for (const path of entries.keys()) {
    if (path.startsWith(`${PAYLOAD_FOLDER}/`)) continue;
    find(bag, 'fetch', FETCH_FILE, `lists ${JSON.stringify(path)}: only files below data/ can be elsewhere`);
    entries.delete(path);
  }
  bag.fetch = entries;
}

/** The text of a tag file in the bag's encoding; undefined, with a finding, when it is none. */
async function readTagText(
  { port, dir, bag }: Walk,
  file: string,
  encoding = bag.declaration?.encoding ?? 'UTF-8',
): Promise<string | undefined> {
  const decode = decoderOf(encoding);
  if (decode === undefined) return undefined;
  try {
    const handle = await port.open(join(dir, file));
    try {
      if (handle.size > TAG_LIMIT) {
        find(bag, 'unreadable', file, `has ${handle.size} bytes; at most ${TAG_LIMIT} are read as text`);
        return undefined;
      }
      const bytes = Buffer.alloc(handle.size);
      const read = await handle.read(bytes, 0);
      return decode(bytes.subarray(0, read));
    } finally {
      await handle.close();
    }
  } catch (error) {
    if (error instanceof TypeError) find(bag, 'encoding', file, `is no text in ${encoding}`);
    else if (errnoOf(error) === undefined) throw error;
    else find(bag, 'unreadable', file, `cannot be read: ${reasonOf(error)}`);
    return undefined;
  }
}

/** bagit.txt is UTF-8, and a byte order mark is a mistake there. */
const DECLARED = 'UTF-8 without mark';

/** Throws a TypeError for bytes that are no such text. Undefined for an encoding that is not known here. */
function decoderOf(encoding: string): ((bytes: Buffer) => string) | undefined {
  if (encoding === DECLARED) {
    const decoder = new TextDecoder('utf-8', { fatal: true, ignoreBOM: true });
    return (bytes) => decoder.decode(bytes);
  }
  const name = encoding.toLowerCase();
  // What browsers take ISO-8859-1 for has other characters in 32 places.
  if (name === 'iso-8859-1') return (bytes) => bytes.toString('latin1');
  if (name === 'utf-16')
    return (bytes) => decoderFor(bytes[0] === 0xff ? 'utf-16le' : 'utf-16be').decode(bytes);
  try {
    const decoder = decoderFor(name);
    return (bytes) => decoder.decode(bytes);
  } catch {
    return undefined;
  }
}

function decoderFor(label: string): InstanceType<typeof TextDecoder> {
  return new TextDecoder(label, { fatal: true });
}
