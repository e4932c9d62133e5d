/**
 * Nucleotide letters: which bytes are one, and the spelling firn works with (upper case, T for U, no gaps).
 * Knows no file and no embedding.
 */
import { constants } from 'node:buffer';
import { FirnError } from '../errors.js';

/** The letters of IUPAC-IUB 1984 for one base or a choice of bases. U is read as T. */
const LETTERS = 'ACGTRYSWKMBDHVN';

export const LETTERS_ADVICE = `firn reads DNA and RNA: the IUPAC letters ${LETTERS} and U, in either case, and the gaps - . *`;

const BAD = 0;
const SPACE = 1;
const GAP = 2;

/**
 * For every byte: the letter it stands for, or BAD, SPACE (no part of the sequence) or GAP (a place in it without a
 * base). In an alignment `.` is a gap; in the FASTQ of early Illumina machines it is an N.
 */
function letterTable(dot: 'gap' | 'N', spaces: string): Uint8Array {
  const table = new Uint8Array(256).fill(BAD);
  for (const letter of LETTERS) {
    table[letter.charCodeAt(0)] = letter.charCodeAt(0);
    table[letter.toLowerCase().charCodeAt(0)] = letter.charCodeAt(0);
  }
  for (const letter of 'Uu') table[letter.charCodeAt(0)] = 'T'.charCodeAt(0);
  for (const letter of '-*') table[letter.charCodeAt(0)] = GAP;
  table['.'.charCodeAt(0)] = dot === 'gap' ? GAP : 'N'.charCodeAt(0);
  for (const letter of spaces) table[letter.charCodeAt(0)] = SPACE;
  return table;
}

export const FASTA_LETTERS = letterTable('gap', ' \t\v\f\r\n');
export const FASTQ_LETTERS = letterTable('N', '\r');

const PIECE = 64 * 1024;

/** What a string of this Node can hold, less what may still be in the buffer. */
const LONGEST = constants.MAX_STRING_LENGTH - 2 * PIECE;

/** Collects one sequence from the pieces a file comes in. Holds one byte a base. */
export class SequenceBuilder {
  private readonly buffer = Buffer.allocUnsafe(PIECE);
  private filled = 0;
  private text = '';
  /** Letters and gaps since the last `take`. */
  places = 0;

  constructor(private readonly table: Uint8Array) {}

  /** Adds a piece. What is wrong with it, or undefined. */
  add(bytes: Uint8Array): string | undefined {
    for (let i = 0; i < bytes.length; i += 1) {
      const letter = this.table[bytes[i]!]!;
      if (letter > GAP) {
        this.buffer[this.filled] = letter;
        this.filled += 1;
        this.places += 1;
        if (this.filled === PIECE) {
          if (this.text.length > LONGEST) return `the sequence has more than ${LONGEST} bases`;
          this.flush();
        }
      } else if (letter === GAP) {
        this.places += 1;
      } else if (letter === BAD) {
        return `${showByte(bytes[i]!)} is no nucleotide letter`;
      }
    }
    return undefined;
  }

  /** The sequence so far; the builder is empty again. */
  take(): string {
    this.flush();
    const { text } = this;
    this.text = '';
    this.places = 0;
    return text;
  }

  private flush(): void {
    this.text += this.buffer.toString('latin1', 0, this.filled);
    this.filled = 0;
  }
}

/** How a byte is shown in a message. */
export function showByte(byte: number): string {
  return byte > 0x20 && byte < 0x7f
    ? `'${String.fromCharCode(byte)}'`
    : `byte 0x${byte.toString(16).padStart(2, '0')}`;
}

/**
 * A sequence somebody typed, in firn's spelling: upper case, T for U, gaps and white space dropped.
 * Throws FirnError (usage) naming the first character that is no nucleotide letter.
 */
export function cleanSequence(typed: string): string {
  const builder = new SequenceBuilder(FASTA_LETTERS);
  const wrong = builder.add(Buffer.from(typed, 'utf8'));
  if (wrong === undefined) return builder.take();
  throw new FirnError('usage', `${wrong} (after ${builder.places} others)`, { advice: LETTERS_ADVICE });
}
