/**
 * What a file pattern means, letter by letter. Tries in the order of a regular expression (`*` as much as possible,
 * `{name}` as little), but remembers what failed, so that no name makes it take long. Pure text; knows no disk.
 */

type Token =
  /** Any text within a name, also none. */
  | { match: 'any' }
  /** Any number of folders, each with its `/`. */
  | { match: 'folders' }
  /** At the end: a file in any folder. */
  | { match: 'below' }
  /** A named part, at least one character. */
  | { match: 'name'; name: string }
  /** The text that a named part before it stands for. */
  | { match: 'again'; name: string }
  /** One character: of a set, or (undefined) any. */
  | { match: 'one'; set: RegExp | undefined }
  | string;

/** What the named parts of a pattern stand for. */
export type Parts = { [name: string]: string };

/** Tells what the named parts stand for in a path; undefined when it does not match. */
export type Matcher = (path: string) => Parts | undefined;

const TOKEN = /(?<![^/])(?:\*\*\/)+|(?<![^/])\*\*$|\*+|\?|\[!?[^\]/]+\]|\{[A-Za-z_][A-Za-z0-9_]*\}|[\s\S]/gu;

let last: { pattern: string; matcher: Matcher } | undefined;

/** Throws a SyntaxError for a set that is none, such as `[z-a]`. */
export function compilePattern(pattern: string): Matcher {
  // Mostly many paths are held against one pattern.
  if (last?.pattern !== pattern) last = { pattern, matcher: matcherOf(tokensOf(pattern)) };
  return last.matcher;
}

function tokensOf(pattern: string): Token[] {
  const seen = new Set<string>();
  return Array.from(pattern.matchAll(TOKEN), ({ 0: text, index }): Token => {
    if (text.startsWith('**/')) return { match: 'folders' };
    const isWhole = index === 0 || pattern[index - 1] === '/';
    if (text === '**' && isWhole && index + 2 === pattern.length) return { match: 'below' };
    if (text.startsWith('*')) return { match: 'any' };
    if (text === '?') return { match: 'one', set: undefined };
    if (text.length > 1 && text.startsWith('[')) return { match: 'one', set: setOf(text) };
    if (text.length > 1 && text.startsWith('{')) {
      const name = text.slice(1, -1);
      if (seen.has(name)) return { match: 'again', name };
      seen.add(name);
      return { match: 'name', name };
    }
    return text;
  });
}

function setOf(text: string): RegExp {
  const members = text
    .slice(1, -1)
    .replace(/^!/, '')
    .replace(/[\\^\]]/g, '\\$&');
  return new RegExp(`^[${text[1] === '!' ? '^' : ''}${members}]$`, 'u');
}

function matcherOf(tokens: readonly Token[]): Matcher {
  const repeated = [...new Set(tokens.flatMap((token) => (isA(token, 'again') ? [token.name] : [])))];
  return (path) => {
    const characters = [...path];
    const bound = new Map<string, { from: number; to: number }>();
    const textOf = (name: string): string[] => {
      const { from, to } = bound.get(name) as { from: number; to: number };
      return characters.slice(from, to);
    };
    const failed = new Set<number | string>();

    /** What was tried in vain: at this place, and with these texts for the parts that come again. */
    const stateOf = (token: number, at: number): number | string => {
      const place = token * (characters.length + 1) + at;
      if (repeated.length === 0) return place;
      return repeated.reduce((state, name) => {
        const part = bound.get(name);
        return `${state} ${part?.from} ${part?.to}`;
      }, String(place));
    };

    const matches = (from: number, start: number): boolean => {
      let token = from;
      let at = start;
      // As long as there is nothing to choose.
      for (; token < tokens.length; token += 1) {
        const next = tokens[token];
        if (typeof next === 'string' || next.match === 'one') {
          if (!isOne(next, characters[at])) return false;
          at += 1;
        } else if (next.match === 'again') {
          const text = textOf(next.name);
          if (!text.every((character, i) => characters[at + i] === character)) return false;
          at += text.length;
        } else break;
      }
      if (token === tokens.length) return at === characters.length;
      const state = stateOf(token, at);
      if (failed.has(state)) return false;
      if (choose(token, at)) return true;
      failed.add(state);
      return false;
    };

    const choose = (token: number, at: number): boolean => {
      const next = tokens[token] as Exclude<Token, string>;
      if (next.match === 'below') return isBelow(characters, at);
      if (next.match === 'folders') return foldersFrom(characters, at).some((to) => matches(token + 1, to));
      const slash = characters.indexOf('/', at);
      const end = slash === -1 ? characters.length : slash;
      if (next.match === 'any') {
        for (let to = end; to >= at; to -= 1) if (matches(token + 1, to)) return true;
        return false;
      }
      const part = (next as { name: string }).name;
      for (let to = at + 1; to <= end; to += 1) {
        bound.set(part, { from: at, to });
        if (matches(token + 1, to)) return true;
      }
      bound.delete(part);
      return false;
    };

    if (!matches(0, 0)) return undefined;
    return Object.fromEntries([...bound.keys()].map((name) => [name, textOf(name).join('')]));
  };
}

function isA<M extends string>(token: Token, match: M): token is Extract<Token, { match: M }> {
  return typeof token === 'object' && token.match === match;
}

function isOne(token: string | { set: RegExp | undefined }, character: string | undefined): boolean {
  if (typeof token === 'string') return token === character;
  if (character === undefined || character === '/') return false;
  return token.set === undefined || token.set.test(character);
}

/** Where the folders from here on end, the innermost first; none of them is one of it. */
function foldersFrom(characters: readonly string[], at: number): number[] {
  const ends = [at];
  for (let from = at; ; ) {
    const slash = characters.indexOf('/', from);
    if (slash <= from) return ends.reverse();
    from = slash + 1;
    ends.push(from);
  }
}

/** Whether the rest is a path with a name in each of its parts. */
function isBelow(characters: readonly string[], at: number): boolean {
  for (let i = at; i <= characters.length; i += 1) {
    const ends = i === characters.length || characters[i] === '/';
    if (ends && (i === at || characters[i - 1] === '/')) return false;
  }
  return true;
}
