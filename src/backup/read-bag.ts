/**
 * A bag as it lies on a disk: what its tag files say and which files are there. Reads no payload; whatever is wrong becomes
 * a finding. Works on bags of any program, BagIt 0.93 to 1.0. Source: RFC 8493.
 */
import { join } from 'node:path';
import { errnoOf } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { reasonOf } from '../system-errors.js';
import { type Bag, find, majorOf } from './bag.js';
import { lookAtBase, type Walk } from './bag-files.js';
import {
  DECLARATION_FILE,
  FETCH_FILE,
  INFO_FILE,
  PAYLOAD_FOLDER,
  parseDeclaration,
  parseInfo,
} from './bag-info.js';
import { isKnownAlgorithm, manifestName, type Problem, parseFetch, parseManifest } from './manifest.js';
import { DECLARED, decoderOf } from './tag-encoding.js';

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
