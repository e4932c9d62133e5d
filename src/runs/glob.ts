/**
 * Patterns for names of datasets and runs, as a shell has them: `*` any text, `?` one character, `[a-z]` and `[!a-z]`
 * one of a set, `{a,b}` either, `\` before a character takes it literally. The whole name must match; `*`, `?` and sets
 * never match `/`. Case counts. Pure text; knows no disk.
 */
import { FirnError } from '../errors.js';

type Token =
  | { match: 'any' }
  | { match: 'one' }
  | { match: 'set'; ranges: [string, string][]; negated: boolean }
  | string;

/** Nested braces multiply; nobody writes this many on purpose. */
const ALTERNATIVES = 1000;
/** Of one pattern, and of all its alternatives together. A list of patterns may be as long as it likes. */
const CHARACTERS = 16_384;
const CHARACTERS_IN_ALL = 1_000_000;

/** A test for names. Takes time in proportion to name x pattern at worst. FirnError (usage) on too many `{a,b}`. */
export function compileGlob(pattern: string): (name: string) => boolean {
  if (pattern.length > CHARACTERS) {
    throw new FirnError('usage', `a pattern has ${pattern.length} characters`, {
      advice: `At most ${CHARACTERS}: give a list of patterns.`,
    });
  }
  const alternatives = expandBraces([...pattern]).map(tokensOf);
  return (name) => {
    const characters = [...name];
    return alternatives.some((tokens) => matches(tokens, characters));
  };
}

/** Every way to choose among `{a,b}`, outermost first. Braces without a comma or without an end are themselves. */
function expandBraces(pattern: string[]): string[][] {
  const done: string[][] = [];
  const todo = [pattern];
  let characters = pattern.length;
  for (let next = todo.pop(); next !== undefined; next = todo.pop()) {
    const braces = findBraces(next);
    if (braces === undefined) {
      done.push(next);
      continue;
    }
    const before = next.slice(0, braces.from);
    const after = next.slice(braces.to + 1);
    characters -= next.length;
    for (const choice of braces.choices) {
      characters += before.length + choice.length + after.length;
      if (characters > CHARACTERS_IN_ALL || done.length + todo.length >= ALTERNATIVES) {
        const shown = pattern.slice(0, 60).join('') + (pattern.length > 60 ? '...' : '');
        throw new FirnError('usage', `the pattern ${JSON.stringify(shown)} has too many alternatives`, {
          advice: `At most ${ALTERNATIVES}, of ${CHARACTERS_IN_ALL} characters together.`,
        });
      }
      todo.push([...before, ...choice, ...after]);
    }
  }
  return done;
}

/** The first braces that are closed and hold a comma of their own. One pass: a name may be made of braces. */
function findBraces(text: string[]): { from: number; to: number; choices: string[][] } | undefined {
  const open: { from: number; commas: number[] }[] = [];
  let first: { from: number; to: number; commas: number[] } | undefined;
  for (let at = 0; at < text.length; at += 1) {
    if (text[at] === '\\') at += 1;
    else if (text[at] === '{') open.push({ from: at, commas: [] });
    else if (text[at] === ',') open.at(-1)?.commas.push(at);
    else if (text[at] === '}') {
      const closed = open.pop();
      const counts = closed !== undefined && closed.commas.length > 0;
      if (counts && (first === undefined || closed.from < first.from)) first = { ...closed, to: at };
    }
  }
  if (first === undefined) return undefined;
  const starts = [first.from, ...first.commas];
  const ends = [...first.commas, first.to];
  return {
    from: first.from,
    to: first.to,
    choices: starts.map((start, i) => text.slice(start + 1, ends[i])),
  };
}

function tokensOf(pattern: string[]): Token[] {
  const tokens: Token[] = [];
  for (let at = 0; at < pattern.length; at += 1) {
    const character = pattern[at]!;
    const set = character === '[' ? readSet(pattern, at + 1) : undefined;
    if (set !== undefined) {
      tokens.push(set.token);
      at = set.end;
    } else if (character === '*') {
      if (!isAny(tokens.at(-1))) tokens.push({ match: 'any' });
    } else if (character === '?') {
      tokens.push({ match: 'one' });
    } else if (character === '\\' && at + 1 < pattern.length) {
      at += 1;
      tokens.push(pattern[at]!);
    } else {
      tokens.push(character);
    }
  }
  return tokens;
}

/** A set from behind its `[` to its `]`; the first `]` in it is a member. Undefined when it does not end. */
function readSet(pattern: string[], from: number): { token: Token; end: number } | undefined {
  const negated = pattern[from] === '!' || pattern[from] === '^';
  const first = negated ? from + 1 : from;
  const end = pattern.indexOf(']', first + 1);
  if (end === -1) return undefined;
  const ranges: [string, string][] = [];
  for (let at = first; at < end; at += 1) {
    if (pattern[at + 1] === '-' && at + 2 < end) {
      ranges.push([pattern[at]!, pattern[at + 2]!]);
      at += 2;
    } else {
      ranges.push([pattern[at]!, pattern[at]!]);
    }
  }
  return { token: { match: 'set', ranges, negated }, end };
}

function isAny(token: Token | undefined): boolean {
  return typeof token === 'object' && token.match === 'any';
}

/** On a mismatch only the latest `*` needs to take more: an earlier one could reach nothing that this one cannot. */
function matches(tokens: Token[], name: string[]): boolean {
  let at = 0;
  let token = 0;
  let star = -1;
  let taken = 0;
  while (at < name.length) {
    if (isAny(tokens[token])) {
      star = token;
      taken = at;
      token += 1;
    } else if (token < tokens.length && matchesOne(tokens[token]!, name[at]!)) {
      token += 1;
      at += 1;
    } else if (star !== -1 && name[taken] !== '/') {
      taken += 1;
      at = taken;
      token = star + 1;
    } else {
      return false;
    }
  }
  while (isAny(tokens[token])) token += 1;
  return token === tokens.length;
}

function matchesOne(token: Token, character: string): boolean {
  if (typeof token === 'string') return token === character;
  if (character === '/' || token.match === 'any') return false;
  if (token.match === 'one') return true;
  const code = character.codePointAt(0)!;
  const inside = token.ranges.some(
    ([low, high]) => low.codePointAt(0)! <= code && code <= high.codePointAt(0)!,
  );
  return inside !== token.negated;
}
