/**
 * Verifying a release: every byte by SHA256SUMS, nothing missing and nothing beside, arrays, metadata and descriptions that
 * speak of the same rows and, when asked, that the runs still give these bytes. Changes nothing.
 */
import { join } from 'node:path';
import type { Port } from '../files/port.js';
import type { Finding } from '../finding.js';
import type { ReferenceFiles } from '../reference/files.js';
import type { ReferenceFacts } from '../reference/metadata.js';
import { verifyReference } from '../reference/verify.js';
import type { Workers } from '../workers/pool.js';
import { crateFindings, type Described, statementFindings } from './check-crate.js';
import { checkFiles } from './check-files.js';
import { stemIn } from './find.js';
import { CRATE_FILE, filesIn } from './names.js';

export interface VerifyReleaseRequest {
  port: Port;
  /** Absolute. */
  directory: string;
  workers: Workers;
  signal: AbortSignal;
  onProgress: (done: number, total: number, unit: string) => void;
}

export interface VerifiedRelease {
  findings: Finding[];
  /** What could not be compared, or is no mistake. */
  notes: string[];
  files: number;
  bytes: number;
  /** The arrays, where they are all there. */
  reference: ReferenceFiles | undefined;
  facts: ReferenceFacts | undefined;
}

const TEXT_LIMIT = 256 * 1024 * 1024;

export async function verifyRelease(request: VerifyReleaseRequest): Promise<VerifiedRelease> {
  const { port, directory, workers, signal, onProgress } = request;
  const stem = stemIn(port, directory);
  const files = filesIn(stem);
  const sizes = sizesIn(port, directory);
  const total = [...sizes.values()].reduce((sum, size) => sum + size, 0);
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    onProgress(done, total, 'bytes');
  };
  const checked = await checkFiles(port, directory, stem, { workers, signal, onBytes });
  const findings = [...checked.findings];
  const notes = notesOf(port, directory, [...sizes.keys()]);
  const reference = arraysIn(directory, files, sizes);
  let facts: ReferenceFacts | undefined;
  if (reference !== undefined) {
    const taken = new Map(
      [...checked.whole].map(([name, sha256]) => [join(directory, name), `sha256:${sha256}`]),
    );
    const verified = await verifyReference({ ...request, files: reference, taken });
    findings.push(...verified.findings);
    notes.push(...verified.notes);
    facts = verified.facts;
    if (facts !== undefined && facts.release === undefined)
      findings.push({ path: files.metadata, problem: 'is that of a reference and of no release' });
  }
  const described: Described = { files, whole: checked.whole, sizes, facts };
  // What is not whole was told already.
  const texts = new Map([CRATE_FILE, files.statement].map((name) => [name, textOf(request, name)]));
  const crate = texts.get(CRATE_FILE);
  if (crate !== undefined) findings.push(...crateFindings(crate, described));
  const statement = texts.get(files.statement);
  if (statement !== undefined) findings.push(...statementFindings(statement, described));
  return { findings, notes, files: sizes.size, bytes: checked.bytes, reference, facts };
}

function sizesIn(port: Port, directory: string): Map<string, number> {
  const sizes = new Map<string, number>();
  for (const { name, kind } of port.list(directory)) {
    if (kind === 'file') sizes.set(name, port.stat(join(directory, name))?.size ?? 0);
  }
  return sizes;
}

function arraysIn(
  directory: string,
  files: ReturnType<typeof filesIn>,
  sizes: ReadonlyMap<string, number>,
): ReferenceFiles | undefined {
  if (!sizes.has(files.embeddings) || !sizes.has(files.metadata)) return undefined;
  return {
    directory,
    embeddings: join(directory, files.embeddings),
    metadata: join(directory, files.metadata),
    index: sizes.has(files.index) ? join(directory, files.index) : undefined,
  };
}

function textOf({ port, directory }: VerifyReleaseRequest, name: string): string | undefined {
  try {
    return port.readText(join(directory, name), TEXT_LIMIT);
  } catch {
    return undefined;
  }
}

/** Modes are lost on the way through some archives and disks, which changes no byte. */
function notesOf(port: Port, directory: string, names: readonly string[]): string[] {
  const writable = [...names.map((name) => join(directory, name)), directory].filter(
    (path) => ((port.stat(path)?.mode ?? 0) & 0o222) !== 0,
  );
  if (writable.length === 0) return [];
  return ['it can be written to; `chmod -R a-w` closes it again'];
}
