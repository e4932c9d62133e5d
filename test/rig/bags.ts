/** Bags for tests: made by hand, file by file, and judged by Python as RFC 8493 says. */
import { createHash } from 'node:crypto';
import { mkdirSync, readFileSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { temporaryFolder } from './folder.js';
import { python } from './python.js';

const VALIDATOR = fileURLToPath(new URL('../../../test/rig/validate_bag.py', import.meta.url));

/** What Python finds wrong with a bag, by the RFC alone. */
export function problemsByRfc(dir: string): string[] {
  const script = readFileSync(VALIDATOR, 'utf8');
  return python(script, dir)
    .split('\n')
    .filter((line) => line !== '');
}

export function hex(algorithm: string, content: string | Uint8Array): string {
  return createHash(algorithm).update(content).digest('hex');
}

export interface HandMade {
  version?: string;
  encoding?: string;
  /** path below the bag -> content */
  payload?: { [path: string]: string };
  /** The text of bagit.txt instead of one from `version` and `encoding`. */
  declaration?: string;
  algorithms?: string[];
  tagAlgorithms?: string[];
  /** More files, which also replace what was made. */
  files?: { [path: string]: string | Uint8Array };
  info?: string;
}

/** A bag in a folder of its own, valid unless `files` makes something else of it. */
export function makeBag(bag: HandMade = {}): string {
  const dir = temporaryFolder();
  const {
    version = '1.0',
    encoding = 'UTF-8',
    payload = { 'data/a.txt': 'hello' },
    algorithms = ['sha256'],
  } = bag;
  const files: { [path: string]: string | Uint8Array } = {
    'bagit.txt': bag.declaration ?? `BagIt-Version: ${version}\nTag-File-Character-Encoding: ${encoding}\n`,
    ...(bag.info === undefined ? {} : { 'bag-info.txt': bag.info }),
    ...payload,
  };
  mkdirSync(join(dir, 'data'));
  for (const algorithm of algorithms) {
    files[`manifest-${algorithm}.txt`] = Object.entries(payload)
      .map(([path, content]) => `${hex(algorithm, content)}  ${path}\n`)
      .join('');
  }
  Object.assign(files, bag.files);
  for (const algorithm of bag.tagAlgorithms ?? []) {
    files[`tagmanifest-${algorithm}.txt`] ??= Object.entries(files)
      .filter(([path]) => !path.startsWith('data/') && !path.startsWith('tagmanifest-'))
      .map(([path, content]) => `${hex(algorithm, content)}  ${path}\n`)
      .join('');
  }
  for (const [path, content] of Object.entries(files)) {
    mkdirSync(dirname(join(dir, path)), { recursive: true });
    writeFileSync(join(dir, path), content);
  }
  return dir;
}
