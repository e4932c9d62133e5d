/** Counts the rows that pass through a writer and holds it to the number it was told. Knows no file. */
import { FirnError } from '../errors.js';
import { type ArrayShape, rowBytes } from './types.js';

export class RowCount {
  rows = 0;
  private readonly row: number;

  /** `expected` rows, or any number. */
  constructor(
    private readonly path: string,
    shape: ArrayShape,
    private readonly expected: number | undefined,
  ) {
    this.row = rowBytes(shape);
  }

  /** Counts `bytes` before they are written: whole rows, and not more than expected. */
  add(bytes: number): void {
    if (bytes % this.row !== 0) throw this.failed(`was given ${bytes} bytes, expected rows of ${this.row}`);
    this.rows += bytes / this.row;
    if (this.expected !== undefined && this.rows > this.expected) {
      throw this.failed(`was given ${this.rows} rows, expected ${this.expected}`);
    }
  }

  /** Throws when rows are missing. */
  check(): void {
    if (this.expected !== undefined && this.rows !== this.expected) {
      throw this.failed(`was given ${this.rows} rows, expected ${this.expected}`);
    }
  }

  private failed(message: string): FirnError {
    return new FirnError('failed', message, { path: this.path });
  }
}
