/**
 * Checks a bag of any program: whether it is complete (all files are there, and everything conforms) and valid (and every
 * checksum is right), as RFC 8493 (section 3) tells them apart. Changes nothing, fetches nothing, and reads nothing outside
 * the bag.
 */
import { join } from 'node:path';
import { atOnce } from '../at-once.js';
import { fileDigests } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { type Bag, type BagFinding, find, type Manifest, majorOf } from './bag.js';
import { lookUp } from './bag-files.js';
import { INFO_FILE, infoValues, parseOxum } from './bag-info.js';
import { foldName } from './bag-paths.js';
import { isKnownAlgorithm } from './manifest.js';
import { readBag } from './read-bag.js';
import { isUnfinished } from './switch.js';

export interface VerifyBagOptions {
  /**
   * What is read and compared: every file by every algorithm (`all`), every file by one (`one`: the strongest that lists
   * it), tag files only (`tags`). With `tags` a bag counts as valid when it is complete and its tag files are right.
   */
  checksums?: 'all' | 'one' | 'tags';
  signal?: AbortSignal;
  workers?: Workers;
  /** bytes */
  onProgress?: (done: number, total: number) => void;
}

export interface VerifiedBag {
  /** As `1.0`; undefined when bagit.txt does not say. */
  version: string | undefined;
  complete: boolean;
  valid: boolean;
  /** Files and bytes below data/. */
  files: number;
  bytes: number;
  /** Of the payload manifests. */
  algorithms: string[];
  /** Errors first; only warnings are left when the bag is valid. */
  findings: BagFinding[];
  /** What was read. */
  bag: Bag;
}

/** Findings of these kinds leave a bag complete: all is there, and something is not what it was. */
const INVALID_ONLY = new Set<BagFinding['code']>(['checksum', 'oxum']);

/** @throws FirnError when there is no such folder. */
export async function verifyBag(
  port: ReadPort,
  dir: string,
  options: VerifyBagOptions = {},
): Promise<VerifiedBag> {
  if (port.stat(dir)?.kind !== 'directory') {
    throw new FirnError('missing', 'there is no such folder', {
      path: dir,
      advice: 'A bag is a folder with a bagit.txt.',
    });
  }
  const bag = await readBag(port, dir);
  if (isUnfinished(port, dir)) {
    find(
      bag,
      'unfinished',
      '',
      'an update of this backup was cut off while its files got their names; `firn backup` or `firn restore` completes it',
    );
  }
  const place = { port, dir, bag };
  const jobs = new Map<string, Job>();
  checkPayload(place, jobs, options.checksums ?? 'all');
  checkTagManifests(place, jobs);
  checkFetch(bag);
  checkOxum(bag);
  checkClashes(bag);
  await checkChecksums(place, jobs, options);
  return resultOf(bag);
}

function resultOf(bag: Bag): VerifiedBag {
  const { declaration, manifests, payload } = bag;
  const errors = bag.findings.filter((finding) => finding.severity === 'error');
  return {
    version: declaration === undefined ? undefined : `${declaration.major}.${declaration.minor}`,
    complete: errors.every((finding) => INVALID_ONLY.has(finding.code)),
    valid: errors.length === 0,
    files: payload.size,
    bytes: [...payload.values()].reduce((sum, size) => sum + size, 0),
    algorithms: manifests.map((manifest) => manifest.algorithm),
    findings: [...errors, ...bag.findings.filter((finding) => finding.severity === 'warning')],
    bag,
  };
}

interface Place {
  port: ReadPort;
  dir: string;
  bag: Bag;
}

/** What is to be read of one file. */
interface Job {
  /** As on disk, in the bag. */
  file: string;
  bytes: number;
  /** What manifests say. Two files may be manifests of one algorithm: `sha256` and `SHA-256`. */
  expected: { algorithm: string; digest: string; manifest: string }[];
}

function checkPayload(place: Place, jobs: Map<string, Job>, checksums: 'all' | 'one' | 'tags'): void {
  const { bag } = place;
  const renamed = new Map([...bag.payload.keys()].map((path) => [path.normalize('NFC'), path]));
  const listed = new Set<string>();
  const said = new Set<string>();
  for (const manifest of bag.manifests) {
    for (const [path, digest] of manifest.entries) {
      const file = whereIs(place, path, renamed, said);
      if (file === undefined) continue;
      listed.add(file.path);
      if (checksums !== 'tags') expect(jobs, file, manifest, digest);
    }
  }
  if (checksums === 'one') for (const job of jobs.values()) keepStrongest(job);
  checkListed(bag, listed);
}

/** SHA-512 before SHA-256 and so on: the name of the algorithm in order of length. */
function keepStrongest(job: Job): void {
  const [strongest] = [...job.expected].sort((a, b) => digits(b.algorithm) - digits(a.algorithm));
  job.expected = job.expected.filter(({ algorithm }) => algorithm === strongest.algorithm);
}

function digits(algorithm: string): number {
  return Number(/\d+$/.exec(algorithm)?.[0] ?? 0);
}

function expect(jobs: Map<string, Job>, file: Found, manifest: Manifest, digest: string): void {
  if (!isKnownAlgorithm(manifest.algorithm)) return;
  const job: Job = jobs.get(file.path) ?? { file: file.path, bytes: file.bytes, expected: [] };
  job.expected.push({ algorithm: manifest.algorithm, digest, manifest: manifest.file });
  jobs.set(file.path, job);
}

interface Found {
  path: string;
  bytes: number;
}

/** The file that a payload manifest names; undefined, with one finding, when there is none. */
function whereIs(
  { port, dir, bag }: Place,
  path: string,
  renamed: ReadonlyMap<string, string>,
  said: Set<string>,
): Found | undefined {
  const bytes = bag.payload.get(path);
  if (bytes !== undefined) return { path, bytes };
  const first = !said.has(path);
  said.add(path);
  const other = renamed.get(path.normalize('NFC'));
  if (other !== undefined) {
    if (first)
      find(bag, 'normalization', path, 'is there under a name of another Unicode normalization', 'warning');
    return { path: other, bytes: bag.payload.get(other) as number };
  }
  const there = lookUp(port, dir, path);
  if (typeof there === 'number') return { path, bytes: there };
  if (!first) return undefined;
  if (there.code === 'missing' && bag.fetch.has(path))
    find(bag, 'to-fetch', path, `is not here: fetch.txt says where it is`);
  else find(bag, there.code, path, there.message);
  return undefined;
}

/** Before 1.0 a file could be listed in one manifest of several. */
function checkListed(bag: Bag, listed: ReadonlySet<string>): void {
  if (bag.manifests.length === 0) return;
  const every = majorOf(bag) >= 1;
  for (const path of bag.payload.keys()) {
    if (!listed.has(path)) {
      find(bag, 'unlisted', path, 'is in no manifest');
      continue;
    }
    if (!every) continue;
    const lacking = bag.manifests.filter(
      ({ entries }) => !entries.has(path) && !hasNormalized(entries, path),
    );
    for (const { file } of lacking) find(bag, 'unlisted', path, `is not in ${file}`);
  }
}

function hasNormalized(entries: ReadonlyMap<string, string>, path: string): boolean {
  const forms = ['NFC', 'NFD'].map((form) => path.normalize(form));
  return forms.some((form) => entries.has(form));
}

function checkTagManifests({ port, dir, bag }: Place, jobs: Map<string, Job>): void {
  const said = new Set<string>();
  for (const manifest of bag.tagManifests) {
    for (const [path, digest] of manifest.entries) {
      const there = lookUp(port, dir, path);
      if (typeof there === 'number') {
        expect(jobs, { path, bytes: there }, manifest, digest);
      } else if (!said.has(path)) {
        find(bag, there.code, path, there.message);
        said.add(path);
      }
    }
    for (const { file } of bag.manifests) {
      if (!manifest.entries.has(file))
        find(bag, 'unlisted', file, `is not in ${manifest.file}`, majorOf(bag) >= 1 ? 'error' : 'warning');
    }
  }
}

function checkFetch(bag: Bag): void {
  for (const path of bag.fetch.keys()) {
    const lacking = bag.manifests.filter(({ entries }) => !entries.has(path));
    const enough = majorOf(bag) >= 1 ? lacking.length === 0 : lacking.length < bag.manifests.length;
    if (!enough)
      find(bag, 'fetch', path, `is in fetch.txt and not in ${lacking.map(({ file }) => file).join(', ')}`);
  }
}

function checkOxum(bag: Bag): void {
  const values = infoValues(bag.info, 'Payload-Oxum');
  if (values.length > 1) find(bag, 'info', INFO_FILE, 'has Payload-Oxum more than once');
  const [value] = values;
  if (value === undefined) return;
  const oxum = parseOxum(value);
  if (oxum === undefined) {
    find(bag, 'info', INFO_FILE, `has the Payload-Oxum ${JSON.stringify(value)}, expected BYTES.FILES`);
    return;
  }
  const bytes = [...bag.payload.values()].reduce((sum, size) => sum + size, 0);
  const files = bag.payload.size;
  if (oxum.bytes === bytes && oxum.files === files) return;
  find(bag, 'oxum', INFO_FILE, `says ${oxum.bytes} bytes in ${oxum.files} files, found ${bytes} in ${files}`);
}

/** Files that a disk which does not tell their names apart would make one of. */
function checkClashes(bag: Bag): void {
  const names = new Map<string, string>();
  for (const path of new Set([
    ...bag.payload.keys(),
    ...bag.manifests.flatMap(({ entries }) => [...entries.keys()]),
  ])) {
    const folded = foldName(path);
    const other = names.get(folded);
    if (other !== undefined && other.normalize('NFC') !== path.normalize('NFC')) {
      find(
        bag,
        'clash',
        path,
        `and ${JSON.stringify(other)} are one file on disks that do not tell case apart`,
        'warning',
      );
    } else if (other !== undefined && bag.payload.has(path) && bag.payload.has(other)) {
      find(bag, 'clash', path, 'is there twice, in two Unicode normalizations', 'warning');
    }
    names.set(folded, path);
  }
}

async function checkChecksums(
  { port, dir, bag }: Place,
  jobs: ReadonlyMap<string, Job>,
  options: VerifyBagOptions,
): Promise<void> {
  const { signal, workers, onProgress } = options;
  const work = [...jobs.values()];
  const total = work.reduce((sum, job) => sum + job.bytes, 0);
  let done = 0;
  await atOnce(workers?.size ?? 1, work, async ({ file, expected }) => {
    signal?.throwIfAborted();
    const onBytes = (bytes: number): void => {
      done += bytes;
      onProgress?.(done, total);
    };
    try {
      const algorithms = [...new Set(expected.map(({ algorithm }) => algorithm))];
      const digests = await fileDigests(port, join(dir, file), algorithms, { signal, workers, onBytes });
      for (const { algorithm, digest, manifest } of expected) {
        if (digests[algorithms.indexOf(algorithm)] !== digest)
          find(bag, 'checksum', file, `is not what ${manifest} says (${algorithm})`);
      }
    } catch (error) {
      if (errnoOf(error) === undefined || signal?.aborted) throw error;
      find(bag, 'unreadable', file, `cannot be read: ${reasonOf(error)}`);
    }
  });
}
