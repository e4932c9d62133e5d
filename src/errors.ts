/**
 * The errors a person is meant to read. Each names the path or line, what was expected and what to do.
 * Knows no command and no exit code: the command line maps `kind` to one.
 */

/**
 * usage: the request or pipeline.yaml is wrong. input: a file somebody made is not what it should be.
 * conflict: two truths, or something firn does not own. missing: nothing there. failed: work went wrong.
 */
export type ErrorKind = 'usage' | 'input' | 'conflict' | 'missing' | 'failed' | 'interrupted';

/** Where something is wrong and what to do about it. */
export interface ErrorDetails {
  /** The file at fault. */
  path?: string;
  /** What the reader can do about it, one sentence. */
  advice?: string;
  /** 1-based. */
  line?: number;
  column?: number;
  cause?: unknown;
}

/** An error with a path and advice. `message` alone is readable; `format()` adds where and what to do. */
export class FirnError extends Error {
  readonly kind: ErrorKind;
  readonly path: string | undefined;
  readonly advice: string | undefined;
  readonly line: number | undefined;
  readonly column: number | undefined;

  constructor(kind: ErrorKind, message: string, details: ErrorDetails = {}) {
    super(message, details.cause === undefined ? undefined : { cause: details.cause });
    this.name = 'FirnError';
    this.kind = kind;
    this.path = details.path;
    this.advice = details.advice;
    this.line = details.line;
    this.column = details.column;
  }

  /** `path:line:column: message` and, on a second line, the advice. */
  format(): string {
    const where = [this.path, this.line, this.column].filter((part) => part !== undefined).join(':');
    const head = where === '' ? this.message : `${where}: ${this.message}`;
    return this.advice === undefined ? head : `${head}\n  ${this.advice}`;
  }
}

/** The text of anything thrown, for people. */
export function messageOf(error: unknown): string {
  if (error instanceof FirnError) return error.format();
  return error instanceof Error ? error.message : String(error);
}

/** The errno name of a system error, such as ENOENT. */
export function errnoOf(error: unknown): string | undefined {
  if (error === null || typeof error !== 'object' || !('code' in error)) return undefined;
  return typeof error.code === 'string' ? error.code : undefined;
}

/** What goes by the number of an open file fails without its name. */
export async function named<T>(path: string, work: () => Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (errnoOf(error) !== undefined && error instanceof Error && !('path' in error))
      Object.assign(error, { path });
    throw error;
  }
}
