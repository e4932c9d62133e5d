/**
 * How deep the JSON in a stream is nested. The parser that reads it keeps something for each open bracket, and a file may
 * hold nothing but brackets. Knows no value.
 */

/** Metadata of references needs 3. */
const DEEPEST = 100;

const QUOTE = 0x22;
const BACKSLASH = 0x5c;
const OPEN = [0x5b, 0x7b];
const CLOSE = [0x5d, 0x7d];

export class Nesting {
  private depth = 0;
  private inString = false;
  private escaped = false;

  /** Whether it is too deep by the end of this block. */
  isTooDeep(block: Uint8Array): boolean {
    for (const byte of block) {
      if (this.inString) {
        if (this.escaped) this.escaped = false;
        else if (byte === BACKSLASH) this.escaped = true;
        else if (byte === QUOTE) this.inString = false;
      } else if (byte === QUOTE) this.inString = true;
      else if (byte === OPEN[0] || byte === OPEN[1]) {
        this.depth += 1;
        if (this.depth > DEEPEST) return true;
      } else if (byte === CLOSE[0] || byte === CLOSE[1]) this.depth -= 1;
    }
    return false;
  }
}
