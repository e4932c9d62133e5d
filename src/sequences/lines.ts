/**
 * Lines for parsers that are fed block by block, so that a line of any length needs no memory of its own.
 * Knows neither FASTA nor FASTQ beyond their names in headers.
 */
import { isUtf8 } from 'node:buffer';

export interface NamedSequence {
  /** The header up to the first white space. */
  name: string;
  /** Upper case, T for U, without gaps. */
  sequence: string;
}

/** Turns blocks of a file into sequences. Both calls may throw FirnError with path and line. */
export interface SequenceParser {
  push(block: Buffer): Iterable<NamedSequence>;
  /** What the end of the file completes. */
  end(): NamedSequence | undefined;
}

const NEWLINE = 10;

/**
 * Hands every piece of a line in `block` to `take`, without its line feed; `ends` tells whether the line ends there.
 * Yields what `take` returns.
 */
export function* eachPiece(
  block: Buffer,
  take: (piece: Buffer, ends: boolean) => NamedSequence | undefined,
): Generator<NamedSequence> {
  for (let at = 0; at < block.length; ) {
    const newline = block.indexOf(NEWLINE, at);
    const end = newline === -1 ? block.length : newline;
    const complete = take(block.subarray(at, end), newline !== -1);
    if (complete !== undefined) yield complete;
    at = end + 1;
  }
}

const NAME_LIMIT = 64 * 1024;
const CARRIAGE_RETURN = 13;

/** The name in a header line: its first word, as Biopython reads it. */
export class HeaderName {
  private bytes: number[] = [];
  private past = false;
  private returned = false;

  /** Adds a piece of the header after its `>` or `@`. What is wrong with it, or undefined. */
  add(piece: Uint8Array): string | undefined {
    for (const byte of piece) {
      if (this.returned) return 'holds a carriage return within the line; lines must end in LF or CRLF';
      this.returned = byte === CARRIAGE_RETURN;
      const space = byte === 32 || (byte >= 9 && byte <= 13);
      if (space) this.past ||= this.bytes.length > 0;
      else if (!this.past) this.bytes.push(byte);
    }
    return this.bytes.length > NAME_LIMIT ? `has a name of more than ${NAME_LIMIT} bytes` : undefined;
  }

  /** UTF-8; a name that is not UTF-8 is read as Latin-1, so that different bytes stay different names. */
  toString(): string {
    const bytes = Buffer.from(this.bytes);
    return bytes.toString(isUtf8(bytes) ? 'utf8' : 'latin1');
  }
}
