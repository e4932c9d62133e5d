/** FASTA: a `>` header, then the sequence on any number of lines. Knows no file, only its path for errors. */
import { FirnError } from '../errors.js';
import { FASTA_LETTERS, LETTERS_ADVICE, SequenceBuilder } from './bases.js';
import { eachPiece, HeaderName, type NamedSequence, type SequenceParser } from './lines.js';

const GREATER = '>'.charCodeAt(0);

export class FastaParser implements SequenceParser {
  private readonly letters = new SequenceBuilder(FASTA_LETTERS);
  private header: HeaderName | undefined;
  private inHeader = false;
  private lineBegins = true;

  /** `line` is the number of the first line that will be pushed, which must begin with `>`. */
  constructor(
    private readonly path: string,
    private line: number,
  ) {}

  push(block: Buffer): Iterable<NamedSequence> {
    return eachPiece(block, (piece, ends) => this.take(piece, ends));
  }

  end(): NamedSequence | undefined {
    if (this.header === undefined) return undefined;
    return { name: this.header.toString(), sequence: this.letters.take() };
  }

  private take(piece: Buffer, ends: boolean): NamedSequence | undefined {
    let complete: NamedSequence | undefined;
    if (this.lineBegins && piece[0] === GREATER) {
      complete = this.end();
      this.header = new HeaderName();
      this.inHeader = true;
      this.addHeader(piece.subarray(1));
    } else if (this.inHeader) {
      this.addHeader(piece);
    } else {
      this.addLetters(piece);
    }
    this.lineBegins = ends;
    if (ends) {
      this.line += 1;
      this.inHeader = false;
    }
    return complete;
  }

  private addHeader(piece: Buffer): void {
    const wrong = this.header!.add(piece);
    if (wrong !== undefined) throw this.error(`the header ${wrong}`);
  }

  private addLetters(piece: Buffer): void {
    const wrong = this.letters.add(piece);
    if (wrong !== undefined) throw this.error(wrong, LETTERS_ADVICE);
  }

  private error(message: string, advice?: string): FirnError {
    return new FirnError('input', message, { path: this.path, line: this.line, advice });
  }
}
