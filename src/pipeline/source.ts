/**
 * pipeline.yaml as text: its values, and where in the file each of them stands. Knows YAML and nothing of targets.
 */
import {
  type Document,
  isAlias,
  isMap,
  isNode,
  isScalar,
  isSeq,
  LineCounter,
  type ParsedNode,
  parseDocument,
  type YAMLError,
} from 'yaml';
import type { Json } from '../engine/types.js';
import { FirnError } from '../errors.js';

export type YamlPath = (string | number)[];

/** Brackets and indentation nested deeper than this are no pipeline, and would exhaust the stack of the parser. */
const MAX_BRACKETS = 256;
const MAX_INDENT = 1000;
/** Each alias costs a walk through the file. */
const MAX_ALIASES = 500;

export class YamlSource {
  readonly value: Json;
  private readonly lines = new LineCounter();
  private readonly document: Document;

  /** Throws FirnError (usage) with file:line:column for anything that is not well-formed YAML. */
  constructor(
    readonly path: string,
    private readonly text: string,
  ) {
    checkNesting(path, text);
    // Doubled keys are found below: the parser compares every key with every other.
    this.document = parseDocument(text, {
      lineCounter: this.lines,
      uniqueKeys: false,
      prettyErrors: false,
      logLevel: 'error',
    });
    const lost = text.indexOf('\ufffd');
    if (lost !== -1) {
      throw this.errorAt(lost, 'not UTF-8 here, or U+FFFD, which stands for text that was lost', LOST);
    }
    const problem = this.document.errors[0] ?? this.document.warnings[0];
    if (problem !== undefined)
      throw this.errorAt(problem.pos[0], `not valid YAML: ${wordsFor(problem)}`, QUOTES);
    this.checkNodes();
    try {
      this.value = this.document.toJS({ maxAliasCount: 100 }) as Json;
    } catch {
      throw this.errorAt(0, 'its aliases (*name) stand for too much', 'Write out what they stand for.');
    }
  }

  /** An error that points at the value at `path`, or with `atKey` at its key. */
  error(path: YamlPath, message: string, advice?: string, atKey = false): FirnError {
    return this.errorAt(this.offsetOf(path, atKey), message, advice);
  }

  /** What stands at `path` as it is written; undefined when it is long or runs over lines. */
  textAt(path: YamlPath): string | undefined {
    const { range } = this.nodeAt(path) ?? {};
    const text = range == null ? '' : this.text.slice(range[0], range[1]);
    return text === '' || text.length > 60 || text.includes('\n') ? undefined : text;
  }

  /** Whether `path` leads to an item of a list. */
  isItem(path: YamlPath): boolean {
    return isSeq(this.nodeAt(path.slice(0, -1)));
  }

  private errorAt(offset: number, message: string, advice?: string): FirnError {
    const { line, col } = this.lines.linePos(offset);
    return new FirnError('usage', message, {
      path: this.path,
      line: Math.max(1, line),
      column: Math.max(1, col),
      ...(advice === undefined ? {} : { advice }),
    });
  }

  /** Offset of the deepest part of `path` that exists. */
  private offsetOf(path: YamlPath, atKey: boolean): number {
    let node: unknown = this.document.contents;
    let offset = startOf(node) ?? 0;
    for (const [depth, part] of path.entries()) {
      const last = depth === path.length - 1;
      if (isMap(node)) {
        const pair = node.items.find((item) => keyText(item.key) === String(part));
        if (pair === undefined) return offset;
        // A value that is not there has no place of its own.
        const value = isScalar(pair.value) && pair.value.source === '' ? undefined : pair.value;
        offset = (last && atKey ? startOf(pair.key) : (startOf(value) ?? startOf(pair.key))) ?? offset;
        node = pair.value;
      } else if (isSeq(node)) {
        node = node.items[Number(part)];
        offset = startOf(node) ?? offset;
      } else {
        return offset;
      }
    }
    return offset;
  }

  private nodeAt(path: YamlPath): ParsedNode | undefined {
    const node = this.document.getIn(path, true);
    return isNode(node) ? (node as ParsedNode) : undefined;
  }

  /** What YAML allows and a pipeline does not: doubled keys, keys that are no text, values that hold themselves. */
  private checkNodes(): void {
    const open = new Set<string>();
    const anchors = new Set<string>();
    let aliases = 0;
    const visit = (node: unknown): void => {
      if (isNode(node) && 'anchor' in node && node.anchor !== undefined) anchors.add(node.anchor);
      if (isAlias(node)) {
        aliases += 1;
        if (!anchors.has(node.source))
          throw this.errorAt(startOf(node) ?? 0, `*${node.source} stands for nothing`, QUOTES);
        if (open.has(node.source))
          throw this.errorAt(startOf(node) ?? 0, `*${node.source} stands for what it stands in`);
        if (aliases > MAX_ALIASES)
          throw this.errorAt(startOf(node) ?? 0, `more than ${MAX_ALIASES} aliases (*name)`);
      } else if (isMap(node) || isSeq(node)) {
        const { anchor } = node;
        if (anchor !== undefined) open.add(anchor);
        if (isMap(node)) this.checkKeys(node.items.map((pair) => pair.key));
        for (const item of node.items) visit(isMap(node) ? (item as { value: unknown }).value : item);
        if (anchor !== undefined) open.delete(anchor);
      }
    };
    visit(this.document.contents);
  }

  private checkKeys(keys: readonly unknown[]): void {
    const seen = new Set<string>();
    for (const key of keys) {
      const offset = startOf(key) ?? 0;
      if (!isScalar(key)) throw this.errorAt(offset, 'a key must be a word', QUOTES);
      const text = keyText(key);
      if (text === '__proto__') throw this.errorAt(offset, 'the key __proto__ is not allowed');
      if (seen.has(text)) throw this.errorAt(offset, `"${text}" is here twice`, 'Keep one of the two.');
      seen.add(text);
    }
  }
}

const LOST = 'Save the file as UTF-8; in a name that does hold U+FFFD write it in quotes as \\ufffd.';
const QUOTES = 'Text that begins with one of {[*&!%@`>| or holds a colon before a space needs "quotes".';

/** The library's own words, and ours where those are hard to understand. */
function wordsFor(problem: YAMLError): string {
  if (problem.code === 'TAB_AS_INDENT') return 'a tab cannot indent, use spaces';
  if (problem.code === 'MULTIPLE_DOCS') return 'a second document begins here';
  return problem.message;
}

function keyText(key: unknown): string {
  return isScalar(key) ? String(key.value) : String(key);
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? node.range?.[0] : undefined;
}

function checkNesting(path: string, text: string): void {
  const fail = (offset: number): never => {
    const before = text.slice(0, offset);
    const line = before.split('\n').length;
    throw new FirnError('usage', 'nested too deeply to be a pipeline', {
      path,
      line,
      column: offset - before.lastIndexOf('\n'),
    });
  };
  // Lists in lists can be nested without brackets and without indentation; dashes in a comment or in quotes are none.
  const bare = text.replace(/[#"'].*/g, (rest) => '_'.repeat(rest.length));
  const compact =
    /(?:[-?:][ \t]+){33}/.exec(bare) ?? new RegExp(`^[ \\t]{${MAX_INDENT},}\\S`, 'm').exec(text);
  if (compact !== null) fail(compact.index);
  let depth = 0;
  for (const { 0: bracket, index } of text.matchAll(/[[\]{}]/g)) {
    depth = bracket === '[' || bracket === '{' ? depth + 1 : Math.max(0, depth - 1);
    if (depth > MAX_BRACKETS) fail(index);
  }
}
