/**
 * FASTQ in four lines a read: `@` header, sequence, `+`, quality. A sequence over several lines is refused, because
 * `@` and `+` are quality letters too and nothing then tells for certain where a read ends (Cock et al. 2010,
 * doi:10.1093/nar/gkp1137). The quality is checked for its length and then dropped.
 */
import { FirnError } from '../errors.js';
import { FASTQ_LETTERS, LETTERS_ADVICE, SequenceBuilder, showByte } from './bases.js';
import { eachPiece, HeaderName, type NamedSequence, type SequenceParser } from './lines.js';

const AT = '@'.charCodeAt(0);
const PLUS = '+'.charCodeAt(0);
const CARRIAGE_RETURN = 13;
const FOUR_LINES = 'Each read takes four lines: @name, the sequence on one line, +, the quality on one line.';

type Part = 'header' | 'sequence' | 'plus' | 'quality';
const NEXT: Record<Part, Part> = {
  header: 'sequence',
  sequence: 'plus',
  plus: 'quality',
  quality: 'header',
};

export class FastqParser implements SequenceParser {
  private readonly letters = new SequenceBuilder(FASTQ_LETTERS);
  private header = new HeaderName();
  private part: Part = 'header';
  private lineBegins = true;
  private qualities = 0;

  /** `line` is the number of the first line that will be pushed. */
  constructor(
    private readonly path: string,
    private line: number,
  ) {}

  push(block: Buffer): Iterable<NamedSequence> {
    return eachPiece(block, (piece, ends) => this.take(piece, ends));
  }

  end(): NamedSequence | undefined {
    if (this.part === 'quality') return this.complete();
    if (this.part !== 'header' || !this.lineBegins)
      throw this.error('the file ends within a read', FOUR_LINES);
    return undefined;
  }

  private take(piece: Buffer, ends: boolean): NamedSequence | undefined {
    // A line of nothing, or of the carriage return of CRLF, between reads.
    if (this.part === 'header' && this.lineBegins && (piece.length === 0 || piece[0] === CARRIAGE_RETURN)) {
      if (piece.length > 1) throw this.error('expected `@` and a name', FOUR_LINES);
      if (ends) this.line += 1;
      return undefined;
    }
    this.add(piece);
    this.lineBegins = ends;
    if (!ends) return undefined;
    const complete = this.part === 'quality' ? this.complete() : undefined;
    this.line += 1;
    this.part = NEXT[this.part];
    return complete;
  }

  private add(piece: Buffer): void {
    if (this.part === 'header') {
      this.addHeader(piece);
    } else if (this.part === 'sequence') {
      this.addLetters(piece);
    } else if (this.part === 'quality') {
      this.addQualities(piece);
    } else if (this.lineBegins && piece[0] !== PLUS) {
      throw this.error('expected the `+` line here', FOUR_LINES);
    }
  }

  private addHeader(piece: Buffer): void {
    if (this.lineBegins) {
      if (piece[0] !== AT)
        throw this.error(`expected \`@\` and a name, found ${showByte(piece[0]!)}`, FOUR_LINES);
      this.header = new HeaderName();
    }
    const wrong = this.header.add(this.lineBegins ? piece.subarray(1) : piece);
    if (wrong !== undefined) throw this.error(`the header ${wrong}`);
  }

  private addLetters(piece: Buffer): void {
    const wrong = this.letters.add(piece);
    if (wrong !== undefined) throw this.error(wrong, LETTERS_ADVICE);
  }

  private addQualities(piece: Buffer): void {
    for (const byte of piece) {
      if (byte === CARRIAGE_RETURN) continue;
      if (byte < 33 || byte > 126) throw this.error(`${showByte(byte)} is no quality letter`, FOUR_LINES);
      this.qualities += 1;
    }
  }

  private complete(): NamedSequence {
    const { places } = this.letters;
    if (places !== this.qualities) {
      throw this.error(`${places} letters of sequence, but ${this.qualities} of quality`, FOUR_LINES);
    }
    this.qualities = 0;
    return { name: this.header.toString(), sequence: this.letters.take() };
  }

  private error(message: string, advice?: string): FirnError {
    return new FirnError('input', message, { path: this.path, line: this.line, advice });
  }
}
