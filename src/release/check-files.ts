/**
 * Whether a release still has its files: every byte as SHA256SUMS says, nothing missing, nothing beside. Knows nothing of
 * what the files mean.
 */
import { join } from 'node:path';
import { fileDigest } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Finding } from '../finding.js';
import { reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { CRATE_FILE, filesIn, olderNames, SUMS_FILE } from './names.js';
import { type ParsedSums, parseSums } from './sums.js';

export interface CheckOptions {
  workers?: Workers | undefined;
  signal?: AbortSignal | undefined;
  onBytes?: ((bytes: number) => void) | undefined;
}

export interface CheckedFiles {
  findings: Finding[];
  /** What is listed, there, and as listed: name -> 64 hexadecimal digits. */
  whole: Map<string, string>;
  /** bytes read */
  bytes: number;
}

/** Reads every file of the release whose files are called `stem`. */
export async function checkFiles(
  port: ReadPort,
  directory: string,
  stem: string,
  options: CheckOptions = {},
): Promise<CheckedFiles> {
  const findings: Finding[] = [];
  const whole = new Map<string, string>();
  const { sums, problems } = readSums(port, join(directory, SUMS_FILE));
  for (const problem of problems) findings.push({ path: SUMS_FILE, problem });
  const kinds = kindsIn(port, directory);
  let bytes = 0;
  for (const { name, sha256 } of sums) {
    options.signal?.throwIfAborted();
    const problem = notAFile(kinds.get(name));
    if (problem !== undefined) {
      findings.push({ path: name, problem });
      continue;
    }
    const found = await digestOf(port, join(directory, name), options);
    if ('problem' in found) findings.push({ path: name, problem: found.problem });
    else if (found.digest !== sha256) findings.push({ path: name, problem: 'is not what SHA256SUMS says' });
    else whole.set(name, sha256);
    bytes += port.stat(join(directory, name))?.size ?? 0;
  }
  const listed = new Set(sums.map(({ name }) => name));
  const isAllowed = await allowedIn(port, directory, stem, { kinds, whole, options });
  findings.push(...unlisted(kinds, listed, isAllowed), ...unlistedOf(stem, kinds, listed));
  return { findings, whole, bytes };
}

/** SHA256SUMS at `path`; that it is missing or cannot be read is one of the problems. */
export function readSums(port: ReadPort, path: string): ParsedSums {
  try {
    const text = port.readText(path);
    return text === undefined ? { sums: [], problems: ['is missing'] } : parseSums(text);
  } catch (error) {
    if (error instanceof FirnError) return { sums: [], problems: [error.message] };
    if (errnoOf(error) === undefined) throw error;
    return { sums: [], problems: [`cannot be read: ${reasonOf(error)}`] };
  }
}

/** What is missing among the files, without reading any but SHA256SUMS. */
export function missingFiles(port: ReadPort, directory: string, stem: string): string[] {
  const { sums } = readSums(port, join(directory, SUMS_FILE));
  const names = new Set([SUMS_FILE, ...sums.map(({ name }) => name), ...required(stem)]);
  return [...names].filter((name) => port.stat(join(directory, name))?.kind !== 'file');
}

function required(stem: string): string[] {
  const { embeddings, metadata, statement } = filesIn(stem);
  return [embeddings, metadata, statement, CRATE_FILE];
}

async function digestOf(
  port: ReadPort,
  path: string,
  options: CheckOptions,
): Promise<{ digest: string } | { problem: string }> {
  const { workers, signal, onBytes } = options;
  try {
    const digest = await fileDigest(port, path, { workers, signal, ...(onBytes ? { onBytes } : {}) });
    return { digest: digest.replace(/^sha256:/, '') };
  } catch (error) {
    if (errnoOf(error) === undefined || signal?.aborted) throw error;
    return { problem: `cannot be read: ${reasonOf(error)}` };
  }
}

type Kind = 'file' | 'directory' | 'link' | 'other';

/** Everything below a directory, by its path from there; links are not followed. */
function kindsIn(port: ReadPort, directory: string, below = ''): Map<string, Kind> {
  const kinds = new Map<string, Kind>();
  for (const { name, kind } of port.list(join(directory, below))) {
    const path = below === '' ? name : `${below}/${name}`;
    kinds.set(path, kind);
    if (kind !== 'directory') continue;
    for (const [inner, innerKind] of kindsIn(port, directory, path)) kinds.set(inner, innerKind);
  }
  return kinds;
}

function notAFile(kind: Kind | undefined): string | undefined {
  if (kind === 'file') return undefined;
  if (kind === undefined) return 'is missing';
  return kind === 'directory' ? 'is a folder' : kind === 'link' ? 'is a link' : 'is no file';
}

/**
 * The names that tools of the older system look for: links to files of the release or, where some program copied what
 * links lead to, the same bytes.
 */
async function allowedIn(
  port: ReadPort,
  directory: string,
  stem: string,
  found: { kinds: ReadonlyMap<string, Kind>; whole: ReadonlyMap<string, string>; options: CheckOptions },
): Promise<Set<string>> {
  const allowed = new Set<string>();
  for (const [name, meant] of olderNames(filesIn(stem), true)) {
    const kind = found.kinds.get(name);
    const path = join(directory, name);
    if (kind === 'link') {
      const real = port.realPath(path);
      if (real !== undefined && real === port.realPath(join(directory, meant))) allowed.add(name);
    } else if (kind === 'file' && found.whole.has(meant)) {
      const copy = await digestOf(port, path, found.options);
      if ('digest' in copy && copy.digest === found.whole.get(meant)) allowed.add(name);
    }
  }
  return allowed;
}

function unlisted(
  kinds: ReadonlyMap<string, Kind>,
  listed: ReadonlySet<string>,
  allowed: ReadonlySet<string>,
): Finding[] {
  const paths = [...kinds.keys()];
  // A folder is told by what is in it.
  const isFull = (path: string): boolean => paths.some((other) => other.startsWith(`${path}/`));
  return paths
    .filter((path) => path !== SUMS_FILE && !listed.has(path) && !allowed.has(path))
    .filter((path) => kinds.get(path) !== 'directory' || !isFull(path))
    .map((path) => ({ path, problem: 'is not listed in SHA256SUMS' }));
}

/** What no release is without, and neither there nor listed. */
function unlistedOf(stem: string, kinds: ReadonlyMap<string, Kind>, listed: ReadonlySet<string>): Finding[] {
  return required(stem)
    .filter((name) => !listed.has(name) && !kinds.has(name))
    .map((path) => ({ path, problem: 'is missing, and SHA256SUMS does not list it' }));
}
