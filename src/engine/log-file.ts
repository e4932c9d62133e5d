/**
 * An append-only file of JSON lines, each led by a checksum. A line that was cut or altered is passed over, so a crash
 * costs the last line and never the file. Knows nothing of what the lines mean.
 */
import { hash } from 'node:crypto';
import { dirname } from 'node:path';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port, ReadPort, WriteHandle } from '../files/port.js';
import { writeFileAtomic } from '../files/write-file.js';
import type { Json } from './types.js';

/** Far beyond what thousands of runs need. */
const LIMIT = 256 * 1024 * 1024;

function checksum(text: string): string {
  return hash('sha1', text, 'hex').slice(0, 12);
}

function encode(value: unknown): string {
  const text = JSON.stringify(value);
  return `${checksum(text)} ${text}\n`;
}

export interface LogContent {
  entries: Json[];
  /** Lines that could not be read. */
  lost: number;
}

/** What is readable of the log at `path`; nothing when there is no such file. */
export function readLog(port: ReadPort, path: string): LogContent {
  // A log beyond all bounds is worth no more than none: it is a hint, and begins anew.
  const tooLarge = (port.stat(path)?.size ?? 0) > LIMIT;
  const text = tooLarge ? undefined : port.readText(path, LIMIT);
  const entries: Json[] = [];
  let lost = 0;
  for (const line of text?.split('\n') ?? []) {
    if (line === '') continue;
    const body = line.slice(13);
    const whole = line[12] === ' ' && checksum(body) === line.slice(0, 12);
    const entry = whole ? parsed(body) : undefined;
    if (entry === undefined) lost += 1;
    else entries.push(entry);
  }
  return { entries, lost };
}

/** Undefined for what is no JSON: another program may know how a line is led. */
function parsed(text: string): Json | undefined {
  try {
    return JSON.parse(text) as Json;
  } catch {
    return undefined;
  }
}

/** Appends to a log; opened at the first line written. */
export class LogWriter {
  private handle: WriteHandle | undefined;
  /** Whether what stands before is known to be a whole line. */
  private afterWhole = false;
  /** Lines are written one after the other, whoever calls. */
  private last: Promise<void> = Promise.resolve();

  constructor(
    private readonly port: Port,
    private readonly path: string,
  ) {}

  append(value: unknown): Promise<void> {
    const written = this.last.then(() => this.write(value));
    // One line that finds the disk full is the caller's to judge; it does not speak for the next.
    this.last = written.catch(() => undefined);
    return written;
  }

  private async write(value: unknown): Promise<void> {
    if (this.handle === undefined) {
      await makeDurableDirectory(this.port, dirname(this.path));
      this.handle = await this.port.append(this.path);
    }
    // A line that a crash or a full disk cut short must not swallow this one.
    const lead = this.afterWhole ? '' : '\n';
    this.afterWhole = false;
    await this.handle.write(Buffer.from(lead + encode(value)));
    this.afterWhole = true;
  }

  async close(): Promise<void> {
    await this.last;
    await this.handle?.close();
    this.handle = undefined;
    this.afterWhole = false;
  }
}

/** Replaces the log as a whole. */
export async function rewriteLog(port: Port, path: string, values: readonly unknown[]): Promise<void> {
  await makeDurableDirectory(port, dirname(path));
  await writeFileAtomic(port, path, values.map(encode).join(''));
}
