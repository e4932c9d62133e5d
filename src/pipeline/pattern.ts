/**
 * File patterns: `*`, `?` and `[abc]` within a name, `**` for any folders (at the end: every file below), `{word}` for a
 * named part that an output can use again. Pure matching, and a walk over the port that enters only folders that can match.
 */
import { join } from 'node:path';
import type { FileMatch } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';

export function isPattern(path: string): boolean {
  return /[*?[{]/.test(path);
}

/** The names in braces, in order. */
export function wildcardsOf(pattern: string): string[] {
  return [...pattern.matchAll(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g)].map((found) => found[1]);
}

/** What the named wildcards of `pattern` stand for in `path`; undefined when it does not match. */
export function matchPattern(pattern: string, path: string): { [name: string]: string } | undefined {
  const found = toRegExp(pattern).exec(path);
  return found === null ? undefined : { ...found.groups };
}

/** Throws FirnError (usage) for a pattern that can match nothing, such as `[z-a]`. */
export function checkPattern(pattern: string): void {
  try {
    toRegExp(pattern);
  } catch {
    throw new FirnError('usage', `"${pattern}" is no pattern`, {
      advice: 'A set is written [abc] or [a-z], lower end first.',
    });
  }
}

const TOKEN = /(?<![^/])(?:\*\*\/)+|(?<![^/])\*\*$|\*+|\?|\[!?[^\]/]+\]|\{[A-Za-z_][A-Za-z0-9_]*\}|[\s\S]/g;

/** A named wildcard that comes again must stand for the same text. */
function toRegExp(pattern: string): RegExp {
  const seen = new Set<string>();
  const source = pattern.replace(TOKEN, (token, offset: number) => {
    if (token.startsWith('**/')) return '(?:[^/]+/)*';
    if (token === '**' && offset + 2 === pattern.length && (offset === 0 || pattern[offset - 1] === '/'))
      return '(?:[^/]+/)*[^/]+';
    if (token.startsWith('*')) return '[^/]*';
    if (token === '?') return '[^/]';
    if (token.startsWith('[') && token.length > 1) {
      const body = token
        .slice(1, -1)
        .replace(/^!/, '')
        .replace(/[\\^\]]/g, '\\$&');
      return token[1] === '!' ? `(?!/)[^${body}]` : `(?!/)[${body}]`;
    }
    if (token.startsWith('{') && token.length > 1) {
      const name = token.slice(1, -1);
      if (seen.has(name)) return `\\k<${name}>`;
      seen.add(name);
      return `(?<${name}>[^/]+?)`;
    }
    return token.replace(/[.*+?^${}()|[\]\\/]/g, '\\$&');
  });
  return new RegExp(`^${source}$`, 'su');
}

/** Files below `root` that match, by path in code-unit order. Hidden names match only patterns that name the dot. */
export function findFiles(port: ReadPort, root: string, pattern: string): FileMatch[] {
  const { files } = walk(port, root, pattern);
  return [...files].sort().flatMap((path) => {
    const wildcards = matchPattern(pattern, path);
    return wildcards === undefined ? [] : [{ path, wildcards }];
  });
}

/** The folders below `root` in which a file that matches could appear; some may not be there. `''` is `root` itself. */
export function findFolders(port: ReadPort, root: string, pattern: string): string[] {
  return [...walk(port, root, pattern).folders];
}

/** What may match, and where it was looked for. */
function walk(port: ReadPort, root: string, pattern: string): { files: Set<string>; folders: Set<string> } {
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
    const name = part === '**' ? undefined : toRegExp(part.replace(/\{([A-Za-z_][A-Za-z0-9_]*)\}/g, '*'));
    for (const entry of port.list(join(root, folder))) {
      if (isTemporary(entry.name) || (entry.name.startsWith('.') && !part.startsWith('.'))) continue;
      if (name !== undefined && !name.test(entry.name)) continue;
      const path = below(folder, entry.name);
      const kind = entry.kind === 'link' ? port.stat(join(root, path))?.kind : entry.kind;
      if (part === '**') {
        // A linked folder could lead round in a circle.
        if (entry.kind === 'directory') visit(path, depth);
      } else if (last && kind === 'file') files.add(path);
      else if (!last && kind === 'directory') visit(path, depth + 1);
    }
  };
  visit('', 0);
  return { files, folders };
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
