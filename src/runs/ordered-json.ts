/**
 * JSON that is read and written again without a change: members keep their order (JavaScript objects move keys such as
 * "2024" to the front) and numbers their spelling (1.0, 1e+16, integers of any size, Python's NaN). Written exactly as
 * Python's `json.dump(value, file, indent=2)` writes it. Knows no schema.
 */
import { FirnError } from '../errors.js';

/** A number as it was spelt. */
export class NumberText {
  constructor(readonly text: string) {}
}

export type OrderedJson = null | boolean | string | NumberText | OrderedJson[] | JsonObject;
export type JsonObject = Map<string, OrderedJson>;

const DEPTH = 200;
const NUMBER = /-?(?:Infinity|(?:0|[1-9]\d*)(?:\.\d+)?(?:[eE][+-]?\d+)?)|NaN/y;
const BLANK = /[ \t\n\r]*/y;
const WORD = /true|false|null/y;

/** Reads one JSON value. FirnError (input) with `path`, line and column: syntax, a key given twice, nesting over 200. */
export function parseOrdered(text: string, path: string): OrderedJson {
  const reader = new Reader(text, path);
  reader.expectWhole();
  const value = reader.value(0);
  reader.expectEnd();
  return value;
}

class Reader {
  private at = 0;

  constructor(
    private readonly text: string,
    private readonly path: string,
  ) {}

  /** What was lost when the bytes became text would be lost in the file as well, once it is written. */
  expectWhole(): void {
    const lost = this.text.indexOf('\ufffd');
    if (lost !== -1)
      throw this.error('it is not UTF-8 here, or U+FFFD, which stands for text that was lost', lost);
  }

  value(depth: number): OrderedJson {
    this.take(BLANK);
    if (depth > DEPTH) throw this.error(`nested deeper than ${DEPTH}`);
    switch (this.text[this.at]) {
      case '{':
        return this.object(depth);
      case '[':
        return this.array(depth);
      case '"':
        return this.string();
    }
    const word = this.take(WORD);
    if (word !== undefined) return word === 'null' ? null : word === 'true';
    const number = this.take(NUMBER);
    if (number !== undefined) return new NumberText(number);
    throw this.error('expected a JSON value');
  }

  expectEnd(): void {
    this.take(BLANK);
    if (this.at < this.text.length) throw this.error('expected the end of the file');
  }

  private object(depth: number): JsonObject {
    const members: JsonObject = new Map();
    this.items('}', () => {
      const start = this.at;
      const key = this.string();
      if (members.has(key)) throw this.error(`the key ${JSON.stringify(key)} is here twice`, start);
      this.expect(':');
      members.set(key, this.value(depth + 1));
    });
    return members;
  }

  private array(depth: number): OrderedJson[] {
    const values: OrderedJson[] = [];
    this.items(']', () => values.push(this.value(depth + 1)));
    return values;
  }

  /** Between brackets, `item` after item, with commas. */
  private items(close: string, item: () => void): void {
    this.at += 1;
    this.take(BLANK);
    if (this.text[this.at] === close) {
      this.at += 1;
      return;
    }
    for (;;) {
      this.take(BLANK);
      item();
      this.take(BLANK);
      if (this.text[this.at] === close) break;
      this.expect(',', close);
    }
    this.at += 1;
  }

  private string(): string {
    if (this.text[this.at] !== '"') throw this.error('expected a string in double quotes');
    // No expression finds the end: of millions of escapes it would remember each, and exhaust the stack.
    let end = this.at + 1;
    while (end < this.text.length && this.text[end] !== '"') end += this.text[end] === '\\' ? 2 : 1;
    let read: string;
    try {
      // Cut short, a control character, or an escape that is none.
      read = JSON.parse(this.text.slice(this.at, end + 1)) as string;
    } catch {
      throw this.error('expected a string in double quotes');
    }
    this.at = end + 1;
    return read;
  }

  private expect(character: string, or?: string): void {
    this.take(BLANK);
    if (this.text[this.at] !== character) {
      throw this.error(`expected \`${character}\`${or === undefined ? '' : ` or \`${or}\``}`);
    }
    this.at += 1;
  }

  private take(pattern: RegExp): string | undefined {
    pattern.lastIndex = this.at;
    const found = pattern.exec(this.text)?.[0];
    this.at += found?.length ?? 0;
    return found;
  }

  private error(message: string, at = this.at): FirnError {
    const before = this.text.slice(0, at).split('\n');
    return new FirnError('input', `is not JSON: ${message}`, {
      path: this.path,
      line: before.length,
      column: before.at(-1)!.length + 1,
    });
  }
}

/** The text of `json.dumps(value, indent=2)`: ASCII only, no line feed at the end. */
export function formatOrdered(value: OrderedJson, indent = ''): string {
  if (value === null || typeof value === 'boolean') return String(value);
  if (typeof value === 'string') return quote(value);
  if (value instanceof NumberText) return value.text;
  const inner = `${indent}  `;
  const isArray = Array.isArray(value);
  const items = isArray
    ? value.map((item) => formatOrdered(item, inner))
    : [...value].map(([key, item]) => `${quote(key)}: ${formatOrdered(item, inner)}`);
  const [open, close] = isArray ? '[]' : '{}';
  return items.length === 0
    ? `${open}${close}`
    : `${open}\n${inner}${items.join(`,\n${inner}`)}\n${indent}${close}`;
}

/** Python escapes what is not printable ASCII, by UTF-16 unit, in lower-case hex. */
function quote(text: string): string {
  const escaped = (unit: string) => `\\u${unit.charCodeAt(0).toString(16).padStart(4, '0')}`;
  return JSON.stringify(text).replace(/[\u007f-\uffff]/g, escaped);
}

/** An ordinary value as ordered JSON. */
export function toOrdered(value: unknown): OrderedJson {
  if (value === null || typeof value === 'boolean' || typeof value === 'string') return value;
  if (typeof value === 'number') return new NumberText(String(value));
  if (Array.isArray(value)) return value.map(toOrdered);
  if (typeof value === 'object') {
    return new Map(Object.entries(value).map(([key, item]) => [key, toOrdered(item)]));
  }
  throw new TypeError(`a ${typeof value} has no place in JSON`);
}

/** Ordered JSON as an ordinary value: numbers as JavaScript has them, objects without their order. */
export function toPlain(value: OrderedJson): unknown {
  if (value instanceof NumberText) return Number(value.text);
  if (Array.isArray(value)) return value.map(toPlain);
  if (value instanceof Map) return Object.fromEntries([...value].map(([key, item]) => [key, toPlain(item)]));
  return value;
}
