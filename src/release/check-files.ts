/**
 * Whether a release still has its files: every byte as SHA256SUMS says, nothing missing, nothing beside. Knows nothing of
 * what the files mean.
 */
import { join } from 'node:path';
import { fileDigest } from '../engine/store.js';
import { errnoOf } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Finding } from '../finding.js';
import { reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { CRATE_FILE, filesIn, olderNames, SUMS_FILE } from './names.js';
import { parseSums } from './sums.js';

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
  const text = port.readText(join(directory, SUMS_FILE));
  if (text === undefined) findings.push({ path: SUMS_FILE, problem: 'is missing' });
  const { sums, problems } = text === undefined ? { sums: [], problems: [] } : parseSums(text);
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
  findings.push(...unlisted(port, directory, stem, kinds, new Set(sums.map(({ name }) => name))));
  return { findings, whole, bytes };
}

/** What is missing among the files, without reading any but SHA256SUMS. */
export function missingFiles(port: ReadPort, directory: string, stem: string): string[] {
  const text = port.readText(join(directory, SUMS_FILE));
  if (text === undefined) return [SUMS_FILE];
  const names = new Set([...parseSums(text).sums.map(({ name }) => name), ...required(stem)]);
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

function unlisted(
  port: ReadPort,
  directory: string,
  stem: string,
  kinds: ReadonlyMap<string, Kind>,
  listed: ReadonlySet<string>,
): Finding[] {
  const findings: Finding[] = [];
  const allowed = new Map(olderNames(filesIn(stem), true));
  for (const [path, kind] of kinds) {
    if (path === SUMS_FILE || listed.has(path)) continue;
    const meant = allowed.get(path);
    if (kind === 'link' && meant !== undefined && leadsTo(port, directory, path, meant)) continue;
    // A folder is told by what is in it.
    if (kind === 'directory' && [...kinds.keys()].some((other) => other.startsWith(`${path}/`))) continue;
    findings.push({ path, problem: 'is not listed in SHA256SUMS' });
  }
  for (const name of required(stem)) {
    if (listed.has(name) || kinds.has(name)) continue;
    findings.push({ path: name, problem: 'is missing, and SHA256SUMS does not list it' });
  }
  return findings;
}

function leadsTo(port: ReadPort, directory: string, link: string, file: string): boolean {
  const real = port.realPath(join(directory, link));
  return real !== undefined && real === port.realPath(join(directory, file));
}
