/**
 * File patterns: `*`, `?` and `[abc]` within a name, `**` for any folders (at the end: every file below), `{word}` for a
 * named part that an output can use again. Pure matching, and a walk over the port that enters only folders that can match.
 */
import { join } from 'node:path';
import type { FileMatch } from '../engine/types.js';
import { errnoOf, FirnError } from '../errors.js';
import type { FileStat, ReadPort } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';
import { NOT_UTF8 } from '../runs/discover.js';
import { compilePattern } from './match.js';

export function isPattern(path: string): boolean {
  return /[*?[{]/.test(path);
}

/** The names in braces, in order. */
export function wildcardsOf(pattern: string): string[] {
  return [...pattern.matchAll(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map((found) => found[1]);
}

/** What the named wildcards of `pattern` stand for in `path`; undefined when it does not match. */
export function matchPattern(pattern: string, path: string): { [name: string]: string } | undefined {
  return compilePattern(pattern)(path);
}

/** Throws FirnError (usage) for a pattern that can match nothing, such as `[z-a]`. */
export function checkPattern(pattern: string): void {
  try {
    compilePattern(pattern);
  } catch {
    throw new FirnError('usage', `"${pattern}" is no pattern`, {
      advice: 'A set is written [abc] or [a-z], lower end first.',
    });
  }
}

/** Hears of what matches and is no file that can be read, and why. */
type PassedOver = (path: string, reason: string) => void;

/** Files below `root` that match, by path in code-unit order. Hidden names match only patterns that name the dot. */
export function findFiles(
  port: ReadPort,
  root: string,
  pattern: string,
  passedOver: PassedOver = () => undefined,
): FileMatch[] {
  const { files } = walk(port, root, pattern, passedOver);
  return [...files].sort().flatMap((path) => {
    const wildcards = matchPattern(pattern, path);
    return wildcards === undefined ? [] : [{ path, wildcards }];
  });
}

/** The folders below `root` in which a file that matches could appear; some may not be there. `''` is `root` itself. */
export function findFolders(port: ReadPort, root: string, pattern: string): string[] {
  return [...walk(port, root, pattern, () => undefined).folders];
}

/** What may match, and where it was looked for. */
function walk(
  port: ReadPort,
  root: string,
  pattern: string,
  passedOver: PassedOver,
): { files: Set<string>; folders: Set<string> } {
  // `**` twice in a row would walk every folder twice.
  const parts = pattern.replace(/(?<![^/])(?:\*\*\/)+/g, '**/').split('/');
  if (parts[parts.length - 1] === '**') parts.push('*');
  const files = new Set<string>();
  const folders = new Set<string>();
  const visit = (folder: string, depth: number): void => {
    const part = parts[depth];
    const last = depth === parts.length - 1;
    if (last || isPattern(part)) folders.add(folder);
    if (!isPattern(part)) {
      const path = below(folder, part);
      if (!last) visit(path, depth + 1);
      else if (port.stat(join(root, path))?.kind === 'file') files.add(path);
      return;
    }
    if (part === '**') visit(folder, depth + 1);
    const matches = nameMatcher(part);
    for (const entry of port.list(join(root, folder))) {
      if (isTemporary(entry.name) || (entry.name.startsWith('.') && !part.startsWith('.'))) continue;
      if (!matches(entry.name)) continue;
      const path = below(folder, entry.name);
      if (entry.notUtf8) {
        const isMeant = last ? entry.kind !== 'directory' : entry.kind !== 'file';
        if (isMeant) passedOver(path, NOT_UTF8);
        continue;
      }
      if (part === '**') {
        // A linked folder could lead round in a circle.
        if (entry.kind === 'directory') visit(path, depth);
        continue;
      }
      const kind = entry.kind === 'link' ? behindLink(port, join(root, path)) : entry.kind;
      if (kind === undefined) passedOver(path, 'is a link that leads nowhere');
      else if (last && kind === 'file') files.add(path);
      else if (!last && kind === 'directory') visit(path, depth + 1);
    }
  };
  visit('', 0);
  return { files, folders };
}

/** For one name of a path. What a named part stands for is seen when the whole path is matched. */
function nameMatcher(part: string): (name: string) => boolean {
  if (part === '**') return () => true;
  const matcher = compilePattern(part.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, '*'));
  return (name) => matcher(name) !== undefined;
}

/** Undefined where it leads nowhere, also round in a circle. */
function behindLink(port: ReadPort, path: string): FileStat['kind'] | undefined {
  try {
    return port.stat(path)?.kind;
  } catch (error) {
    if (errnoOf(error) === 'ELOOP') return undefined;
    throw error;
  }
}

function below(folder: string, name: string): string {
  return folder === '' ? name : `${folder}/${name}`;
}

/** `out` with its `{name}`s replaced; undefined when it names a wildcard that is not there. */
export function fillWildcards(template: string, wildcards: { [name: string]: string }): string | undefined {
  let missing = false;
  const text = template.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, (_, name: string) => {
    if (!Object.hasOwn(wildcards, name)) missing = true;
    return wildcards[name] ?? '';
  });
  return missing ? undefined : text;
}
