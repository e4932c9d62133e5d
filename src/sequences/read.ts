/** Sequences from a file on disk: chooses the parser by content. Knows no embedding. */
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { showByte } from './bases.js';
import { type ReadOptions, readBytes } from './bytes.js';
import { FastaParser } from './fasta.js';
import { FastqParser } from './fastq.js';
import type { NamedSequence, SequenceParser } from './lines.js';

const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);

/**
 * The sequences of a FASTA or four-line FASTQ file, plain or gzip, in file order. One sequence at a time is held.
 * An empty file has none. Names are the first word of the header and need not be unique; a sequence may be empty.
 *
 * FirnError with path and line: text before the first header, a character that is no nucleotide letter, a read that is
 * not four lines. With path: missing, unreadable, gzip data cut short or damaged. An abort throws the signal's reason.
 */
export async function* readSequences(
  port: ReadPort,
  path: string,
  options: ReadOptions = {},
): AsyncGenerator<NamedSequence> {
  const start = new Start(path);
  let parser: SequenceParser | undefined;
  for await (const block of readBytes(port, path, options)) {
    let rest = block;
    if (parser === undefined) {
      const found = start.look(block);
      if (found === undefined) continue;
      parser = found.parser;
      rest = found.rest;
    }
    yield* parser.push(rest);
  }
  const last = parser?.end();
  if (last !== undefined) yield last;
}

/** The beginning of a file, up to the byte that tells what it is. */
class Start {
  private line = 1;
  private atStart = true;

  constructor(private readonly path: string) {}

  /** Undefined while there are only blank lines. */
  look(block: Buffer): { parser: SequenceParser; rest: Buffer } | undefined {
    let at = this.atStart && block.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
    this.atStart = false;
    for (; at < block.length; at += 1) {
      const byte = block[at]!;
      if (byte === 10) this.line += 1;
      else if (byte !== 13 && byte !== 32 && byte !== 9)
        return { parser: this.choose(byte), rest: block.subarray(at) };
    }
    return undefined;
  }

  private choose(byte: number): SequenceParser {
    if (byte === '>'.charCodeAt(0)) return new FastaParser(this.path, this.line);
    if (byte === '@'.charCodeAt(0)) return new FastqParser(this.path, this.line);
    throw new FirnError('input', `expected \`>\` (FASTA) or \`@\` (FASTQ), found ${showByte(byte)}`, {
      path: this.path,
      line: this.line,
      advice: 'The file must begin with the header of its first sequence.',
    });
  }
}
