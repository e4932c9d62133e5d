/**
 * pipeline.yaml as text: its values, and where in the file each of them stands. Knows YAML and nothing of targets.
 */
import { type Document, isMap, isNode, isPair, isSeq, LineCounter, type Node, parseDocument } from 'yaml';
import { FirnError } from '../errors.js';
import type { Json } from '../engine/types.js';

export type YamlPath = (string | number)[];

/** Values nested deeper than this are no pipeline. */
const MAX_DEPTH = 32;

export class YamlSource {
  readonly value: Json;
  private readonly lines = new LineCounter();
  private readonly document: Document;

  /** Throws FirnError (usage) with file:line:column for anything that is not well-formed YAML. */
  constructor(
    readonly path: string,
    text: string,
  ) {
    checkNesting(path, text);
    this.document = parseDocument(text, { lineCounter: this.lines, uniqueKeys: true, prettyErrors: false });
    const problem = this.document.errors[0] ?? this.document.warnings[0];
    if (problem !== undefined) throw this.errorAt(problem.pos[0], `not valid YAML: ${problem.message}`);
    const evil = this.findKey('__proto__');
    if (evil !== undefined) throw this.errorAt(evil, 'the key __proto__ is not allowed');
    try {
      this.value = this.document.toJS({ maxAliasCount: 100 }) as Json;
    } catch (error) {
      throw this.errorAt(0, `not usable YAML: ${error instanceof Error ? error.message : String(error)}`);
    }
  }

  /** An error that points at the value at `path`, or with `atKey` at its key. */
  error(path: YamlPath, message: string, advice?: string, atKey = false): FirnError {
    return this.errorAt(this.offsetOf(path, atKey), message, advice);
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
        const pair = node.items.find((item) => isPair(item) && keyText(item.key) === String(part));
        if (pair === undefined) return offset;
        offset = (last && atKey ? startOf(pair.key) : (startOf(pair.value) ?? startOf(pair.key))) ?? offset;
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

  private findKey(name: string): number | undefined {
    const queue: unknown[] = [this.document.contents];
    for (let node = queue.pop(); node !== undefined; node = queue.pop()) {
      if (isMap(node)) {
        for (const pair of node.items) {
          if (keyText(pair.key) === name) return startOf(pair.key) ?? 0;
          if (pair.value !== null && pair.value !== undefined) queue.push(pair.value);
        }
      } else if (isSeq(node)) {
        queue.push(...node.items);
      }
    }
    return undefined;
  }
}

function keyText(key: unknown): string {
  return isNode(key) && 'value' in key ? String((key as { value: unknown }).value) : String(key);
}

function startOf(node: unknown): number | undefined {
  return isNode(node) ? (node as Node).range?.[0] : undefined;
}

/** Deep nesting would exhaust the stack of the parser before it could say where. */
function checkNesting(path: string, text: string): void {
  let line = 1;
  let lineStart = 0;
  let depth = 0;
  for (let i = 0; i < text.length; i++) {
    const char = text[i];
    if (char === '\n') {
      line += 1;
      lineStart = i + 1;
    } else if (char === '[' || char === '{') {
      depth += 1;
    } else if (char === ']' || char === '}') {
      depth = Math.max(0, depth - 1);
    }
    const indent = i - lineStart;
    const compactNesting = /^(?:[-?:] ){33}/.test(text.slice(i, i + 66));
    if (depth > MAX_DEPTH * 8 || compactNesting || (indent > 2000 && /\S/.test(char) && text.slice(lineStart, i).trim() === '')) {
      throw new FirnError('usage', 'nested too deeply to be a pipeline', { path, line, column: indent + 1 });
    }
  }
}
