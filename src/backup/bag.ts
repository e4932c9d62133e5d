/** A bag as it is read: what its tag files say, which files there are, and what is wrong. Knows no disk. */
import type { Declaration, InfoElement } from './bag-info.js';
import type { ToFetch } from './manifest.js';

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

export function find(
  bag: Bag,
  code: BagCode,
  path: string,
  message: string,
  severity: BagFinding['severity'] = 'error',
): void {
  bag.findings.push({ severity, code, path, message });
}

/** 1.0 where a bag does not say. */
export function majorOf(bag: Bag): number {
  return bag.declaration?.major ?? 1;
}
