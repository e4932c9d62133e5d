/**
 * Reads the Python literals that npy headers are written in: dictionaries with string keys, tuples, lists, strings,
 * integers, True, False and None. Knows nothing of numpy.
 */

/** A Python tuple, kept apart from a list because numpy tells them apart. */
export class Tuple {
  constructor(readonly items: Literal[]) {}
}

export type Literal = string | bigint | boolean | null | Tuple | Literal[] | Map<string, Literal>;

/** The text is not a literal of the kinds above. */
export class LiteralError extends Error {}

const MAX_DEPTH = 16;
/** More digits than any 64-bit size has; bounds the work of making a bigint. */
const MAX_DIGITS = 40;
const WORDS: ReadonlyMap<string, Literal> = new Map<string, Literal>([
  ['True', true],
  ['False', false],
  ['None', null],
]);

/** Parses `text`, which must hold one literal and white space only. Throws a LiteralError. */
export function parseLiteral(text: string): Literal {
  const parser = new Parser(text);
  const value = parser.value(0);
  parser.end();
  return value;
}

class Parser {
  private at = 0;

  constructor(private readonly text: string) {}

  value(depth: number): Literal {
    if (depth > MAX_DEPTH) throw this.error('nested too deeply');
    const next = this.peek();
    if (next === '{') return this.dictionary(depth);
    if (next === '(') return this.parenthesis(depth);
    if (next === '[') {
      this.at += 1;
      return this.items(']', depth).values;
    }
    if (next === "'" || next === '"') return this.string();
    return this.word();
  }

  end(): void {
    if (this.peek() !== undefined) throw this.error('more text after the end');
  }

  private dictionary(depth: number): Map<string, Literal> {
    this.at += 1;
    const found = new Map<string, Literal>();
    while (!this.take('}')) {
      const quote = this.peek();
      if (quote !== "'" && quote !== '"') throw this.error('expected a quoted key');
      const key = this.string();
      if (!this.take(':')) throw this.error('expected ":"');
      found.set(key, this.value(depth + 1));
      if (!this.take(',') && this.peek() !== '}') throw this.error('expected "," or "}"');
    }
    return found;
  }

  /** `(x)` is x itself; `(x,)` and `()` are tuples. */
  private parenthesis(depth: number): Literal {
    this.at += 1;
    const { values, comma } = this.items(')', depth);
    return values.length === 1 && !comma ? values[0] : new Tuple(values);
  }

  private items(close: string, depth: number): { values: Literal[]; comma: boolean } {
    const values: Literal[] = [];
    let comma = false;
    while (!this.take(close)) {
      values.push(this.value(depth + 1));
      if (this.take(',')) comma = true;
      else if (this.peek() !== close) throw this.error(`expected "," or "${close}"`);
    }
    return { values, comma };
  }

  private string(): string {
    const quote = this.text[this.at];
    const end = this.text.indexOf(quote, this.at + 1);
    if (end < 0) throw this.error('a string without its end');
    const content = this.text.slice(this.at + 1, end);
    // The strings of a plain array's header are ASCII words; escapes occur in the names of structured fields only.
    if (/[\\\n]/.test(content)) throw this.error('an escape in a string');
    this.at = end + 1;
    return content;
  }

  private word(): Literal {
    const rest = /-?\w+/y;
    rest.lastIndex = this.at;
    const word = rest.exec(this.text)?.[0];
    if (word === undefined) throw this.error('expected a value');
    const named = WORDS.get(word);
    // Python 2 wrote long integers as 10L; no Python reads 010.
    const digits = /^(-?(?:0|[1-9]\d*))L?$/.exec(word)?.[1];
    if (named === undefined && (digits === undefined || digits.length > MAX_DIGITS)) {
      throw this.error(`"${word.slice(0, MAX_DIGITS)}" is not a value`);
    }
    this.at += word.length;
    return named === undefined ? BigInt(digits as string) : named;
  }

  private peek(): string | undefined {
    while (' \t\r\n'.includes(this.text[this.at] ?? 'x')) this.at += 1;
    return this.text[this.at];
  }

  private take(character: string): boolean {
    if (this.peek() !== character) return false;
    this.at += 1;
    return true;
  }

  private error(problem: string): LiteralError {
    return new LiteralError(`${problem} at character ${this.at}`);
  }
}
