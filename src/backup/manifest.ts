/**
 * Manifests of a bag: which files it holds, with a checksum each. Text to entries and back. Pure; knows no disk.
 * Source: RFC 8493, sections 2.1.3, 2.2.1, 2.2.3 and 2.4, and the drafts before it (BagIt 0.93 to 0.97).
 */
import { decodePath, encodePath, hasStrayPercent, isPlain, whyUnsafe } from './bag-paths.js';

/** Hexadecimal digits of a checksum, by algorithm as node:crypto names them. */
const DIGITS: { [algorithm: string]: number } = {
  md5: 32,
  sha1: 40,
  sha224: 56,
  sha256: 64,
  sha384: 96,
  sha512: 128,
};

export function isKnownAlgorithm(algorithm: string): boolean {
  return Object.hasOwn(DIGITS, algorithm);
}

export interface ManifestName {
  /** `tagmanifest-*.txt`: of tag files, not of the payload. */
  tag: boolean;
  /** Lower case and without punctuation, as RFC 8493 (2.4) writes them: `sha256` for `SHA-256`. */
  algorithm: string;
}

/** What a file of that name lists; undefined when it is no manifest. */
export function manifestName(file: string): ManifestName | undefined {
  const found = /^(tag)?manifest-(.+)\.txt$/i.exec(file);
  if (found === null) return undefined;
  return { tag: found[1] !== undefined, algorithm: found[2].toLowerCase().replace(/[^a-z0-9]/g, '') };
}

/** Something in a tag file that is not as it should be. */
export interface Problem {
  /** 1-based. */
  line: number;
  code: 'line' | 'unsafe-path' | 'duplicate' | 'percent';
  severity: 'error' | 'warning';
  message: string;
  /** The file that the line names, where it can be read. */
  path?: string;
}

export interface Parsed<T> {
  /** By path, in the order of the file. Lines with an unsafe or repeated path are not among them. */
  entries: Map<string, T>;
  problems: Problem[];
}

/** path -> checksum in lower case */
export function parseManifest(text: string, major: number, algorithm: string): Parsed<string> {
  return parseLines(text, major, (line) => {
    const found = /^([0-9A-Fa-f]+)[ \t]+(.*)$/s.exec(line);
    if (found === null) return `expected a checksum and a path, found ${JSON.stringify(line.slice(0, 200))}`;
    const digits = DIGITS[algorithm];
    if (digits !== undefined && found[1].length !== digits) {
      return `expected ${digits} hexadecimal digits (${algorithm}), found ${found[1].length}`;
    }
    return { name: found[2], value: found[1].toLowerCase() };
  });
}

export interface ToFetch {
  url: string;
  /** bytes; undefined when the line does not say */
  length: number | undefined;
}

/** fetch.txt: payload files that are elsewhere. */
export function parseFetch(text: string, major: number): Parsed<ToFetch> {
  return parseLines(text, major, (line) => {
    const found = /^(\S+)[ \t]+(\d+|-)[ \t]+(.*)$/s.exec(line);
    if (found === null)
      return `expected a URL, a length and a path, found ${JSON.stringify(line.slice(0, 200))}`;
    const [, url, length, name] = found;
    return { name, value: { url, length: length === '-' ? undefined : Number(length) } };
  });
}

function parseLines<T>(
  text: string,
  major: number,
  read: (line: string) => string | { name: string; value: T },
): Parsed<T> {
  const entries = new Map<string, T>();
  const problems: Problem[] = [];
  for (const [i, line] of text.split(/\r\n|\n|\r/).entries()) {
    const say = (
      code: Problem['code'],
      severity: Problem['severity'],
      message: string,
      path?: string,
    ): void => {
      problems.push({ line: i + 1, code, severity, message, ...(path === undefined ? {} : { path }) });
    };
    // The last line may end or not; an empty one in between belongs to no file.
    if (line === '') continue;
    const found = read(line);
    if (typeof found === 'string') {
      say('line', 'error', found);
      continue;
    }
    // `./` is written by find, and `*` by md5sum for "read as binary"; neither is part of a name.
    const name = found.name.replace(/^\*?(?:\.\/+)*/, '');
    const unsafe = whyUnsafe(name, major);
    const path = decodePath(name, major);
    if (unsafe !== undefined) {
      say('unsafe-path', 'error', unsafe, path);
    } else if (!isPlain(path)) {
      say('line', 'error', 'is no plain path (`a//b`, `a/./b` or with a slash at the end)', path);
    } else if (entries.has(path)) {
      const same = JSON.stringify(entries.get(path)) === JSON.stringify(found.value);
      // Before 1.0 nothing forbade it, as long as there is one truth.
      say('duplicate', major >= 1 || !same ? 'error' : 'warning', 'is listed twice', path);
    } else {
      entries.set(path, found.value);
      if (major >= 1 && hasStrayPercent(name))
        say('percent', 'warning', 'has a "%" that should be written as %25', path);
    }
  }
  return { entries, problems };
}

/** The lines of a manifest, in code-unit order of the paths. */
export function formatManifest(entries: Iterable<readonly [path: string, digest: string]>): string {
  return [...entries]
    .sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0))
    .map(([path, digest]) => `${digest}  ${encodePath(path)}\n`)
    .join('');
}
