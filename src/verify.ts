/**
 * Verifying a directory by what it is: a release, a reference, and whatever else is added to the table. Changes nothing and
 * prints nothing.
 */
import { join } from 'node:path';
import { FirnError } from './errors.js';
import type { Port, ReadPort } from './files/port.js';
import { temporaryName } from './files/temporary.js';
import type { Finding } from './finding.js';
import { findReference, type ReferenceFiles } from './reference/files.js';
import type { ReferenceFacts } from './reference/metadata.js';
import { isRelease, type ReleasePlaces, referenceMeant } from './release/find.js';
import type { Workers } from './workers/pool.js';

export interface VerifyRequest {
  port: Port;
  /** Absolute. */
  directory: string;
  /** The folder of runs, absolute: for whether they still give these bytes. */
  runsDir: string;
  /** Where large files may be made for a while, absolute. */
  scratch: string;
  /** Make it again from the runs on disk, and compare. */
  rebuild: boolean;
  workers: Workers;
  signal: AbortSignal;
  onProgress: (done: number, total: number, unit: string) => void;
}

/** What verifying a directory found. */
export interface VerifyReport {
  /** What it was taken for: `bag`, `release`, `reference`. */
  what: string;
  /** Nothing is wrong when there is none. */
  findings: Finding[];
  /** What could not be compared, or is no mistake. */
  notes: string[];
  files: number;
  /** bytes read at least once */
  bytes: number;
}

/** One kind of directory that can be verified. */
export interface Verifier {
  what: string;
  /** Whether the directory is one, whole or not. */
  matches(port: ReadPort, directory: string): boolean;
  /** Throws only when it is aborted, or the request makes no sense for it. */
  verify(request: VerifyRequest): Promise<VerifyReport>;
}

/** The first that matches is asked. */
const VERIFIERS: readonly Verifier[] = [
  { what: 'bag', matches: isBag, verify: verifyAsBag },
  { what: 'release', matches: isRelease, verify: verifyAsRelease },
  { what: 'reference', matches: isReference, verify: verifyAsReference },
];

/**
 * The directory that people mean by a tag, a target that makes a reference, or a path.
 * @throws FirnError `missing` when it is neither, `usage` when several releases have that tag
 */
export async function directoryMeant(port: ReadPort, places: ReleasePlaces, text: string): Promise<string> {
  const directory = await referenceMeant(port, places, text);
  if (port.stat(directory)?.kind === 'directory') return directory;
  throw new FirnError('missing', `there is neither a release "${text}" nor a folder of that name`, {
    path: directory,
    advice: '`firn releases` lists the releases.',
  });
}

/** @throws FirnError `usage` when nothing knows what the directory is */
export async function verifyDirectory(request: VerifyRequest): Promise<VerifyReport> {
  const { port, directory } = request;
  const verifier = VERIFIERS.find(({ matches }) => matches(port, directory));
  if (verifier === undefined) {
    const known = VERIFIERS.map(({ what }) => `no ${what}`).join(', ');
    throw new FirnError('usage', `is ${known}`, { path: directory, advice: 'Name the directory itself.' });
  }
  return verifier.verify(request);
}

/** BagIt, of any program: also one that lost its declaration, or is being made. */
function isBag(port: ReadPort, directory: string): boolean {
  const names = new Set(port.list(directory).map(({ name }) => name));
  return ['bagit.txt', 'manifest-sha256.txt', 'manifest-sha512.txt', '.firn-backup'].some((name) =>
    names.has(name),
  );
}

async function verifyAsBag(request: VerifyRequest): Promise<VerifyReport> {
  const { verifyBag } = await import('./backup/verify-bag.js');
  const { port, directory, workers, signal, rebuild } = request;
  if (rebuild) {
    throw new FirnError('usage', 'is a bag, which nothing is rebuilt in', {
      path: directory,
      advice: 'Restore it with `firn restore`, and verify what is in it.',
    });
  }
  const onProgress = (done: number, total: number): void => request.onProgress(done, total, 'bytes');
  const bag = await verifyBag(port, directory, { workers, signal, onProgress });
  const findings = bag.findings.filter(({ severity }) => severity === 'error');
  const warnings = bag.findings.filter(({ severity }) => severity === 'warning');
  const state = bag.valid ? 'valid' : bag.complete ? 'complete, not valid' : 'not complete';
  return {
    what: 'bag',
    findings: findings.map(({ path, line, message }) => ({
      path: `${path || '.'}${line === undefined ? '' : `:${line}`}`,
      problem: message,
    })),
    notes: [
      `BagIt ${bag.version ?? 'of an unknown version'}, ${bag.algorithms.join(' and ') || 'no manifest'}: ${state}`,
      ...warnings.map(({ path, message }) => `${path} ${message}`),
    ],
    files: bag.files,
    bytes: bag.bytes,
  };
}

async function verifyAsRelease(request: VerifyRequest): Promise<VerifyReport> {
  const { verifyRelease } = await import('./release/verify.js');
  const { reference, facts, ...verified } = await verifyRelease(request);
  const report = { what: 'release', ...verified };
  if (request.rebuild) await addRebuilt(request, report, reference, facts);
  return report;
}

function isReference(port: ReadPort, directory: string): boolean {
  try {
    findReference(port, directory);
    return true;
  } catch (error) {
    // An array whose metadata is gone is a reference, and damaged.
    if (error instanceof FirnError) return error.path !== directory;
    throw error;
  }
}

async function verifyAsReference(request: VerifyRequest): Promise<VerifyReport> {
  const { verifyReference } = await import('./reference/verify.js');
  const { port, directory } = request;
  let files: ReferenceFiles;
  try {
    files = findReference(port, directory);
  } catch (error) {
    if (!(error instanceof FirnError)) throw error;
    const finding = { path: (error.path ?? directory).slice(directory.length + 1), problem: 'is missing' };
    return { what: 'reference', findings: [finding], notes: [], files: 0, bytes: 0 };
  }
  const { facts, ...verified } = await verifyReference({ ...request, files });
  const paths = [files.embeddings, files.metadata, files.index].filter((path) => path !== undefined);
  const bytes = paths.reduce((sum, path) => sum + (port.stat(path)?.size ?? 0), 0);
  const report = { what: 'reference', ...verified, files: paths.length, bytes };
  if (request.rebuild) await addRebuilt(request, report, files, facts);
  return report;
}

async function addRebuilt(
  request: VerifyRequest,
  report: VerifyReport,
  files: ReferenceFiles | undefined,
  facts: ReferenceFacts | undefined,
): Promise<void> {
  if (files === undefined || facts === undefined) {
    report.notes.push('it was not made again: what its rows are is not known');
    return;
  }
  const { rebuildReference } = await import('./reference/rebuild.js');
  const scratch = temporaryName(join(request.scratch, 'rebuild'), 'verify');
  const rebuilt = await rebuildReference({ ...request, files, facts, scratch });
  const inside = `${request.directory}/`;
  for (const { path, problem } of rebuilt.findings)
    report.findings.push({ path: path.startsWith(inside) ? path.slice(inside.length) : path, problem });
  report.notes.push(...rebuilt.notes);
}
