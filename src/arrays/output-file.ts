/** A new file that either becomes complete and durable or goes away again. Knows no format. */
import { errnoOf, FirnError } from '../errors.js';
import type { WriteHandle, WritePort } from '../files/port.js';
import { adviceFor, reasonOf } from '../system-errors.js';

export class OutputFile {
  private state: 'open' | 'closed' | 'finished' = 'open';
  /** Bytes written one after the other. */
  bytes = 0;

  private constructor(
    private readonly port: WritePort,
    readonly path: string,
    private readonly handle: WriteHandle,
  ) {}

  /** The open file, for other threads to read back. */
  get fd(): number | undefined {
    return this.handle.fd;
  }

  /** Creates `path`, which must not exist. */
  static async create(port: WritePort, path: string): Promise<OutputFile> {
    try {
      return new OutputFile(port, path, await port.create(path));
    } catch (error) {
      if (errnoOf(error) !== 'EEXIST') throw failure(error, path, 0);
      throw new FirnError('conflict', 'already exists', {
        path,
        advice: 'Move it away, then try again.',
        cause: error,
      });
    }
  }

  /** Appends, or with `position` writes over what is there. */
  async write(data: Uint8Array, position?: number): Promise<void> {
    try {
      await this.handle.write(data, position);
    } catch (error) {
      throw failure(error, this.path, this.bytes + data.length);
    }
    if (position === undefined) this.bytes += data.length;
  }

  /** fsync, and close when `reading`, of what was written, is over too. */
  async finish(reading?: Promise<void>): Promise<void> {
    try {
      await Promise.all([this.handle.sync(), reading]);
      this.state = 'closed';
      await this.handle.close();
    } catch (error) {
      throw failure(error, this.path, this.bytes);
    }
    this.state = 'finished';
  }

  /** Closes and deletes, unless it was finished. Does not throw: what made the caller give up is the error to show. */
  async abort(): Promise<void> {
    if (this.state === 'finished') return;
    if (this.state === 'open') await this.handle.close().catch(() => undefined);
    this.state = 'finished';
    await this.port.unlink(this.path).catch(() => undefined);
  }
}

function failure(error: unknown, path: string, needed: number): unknown {
  const code = errnoOf(error);
  if (code === undefined || error instanceof FirnError) return error;
  if (code !== 'ENOSPC' && code !== 'EDQUOT') {
    return new FirnError('failed', `cannot be written: ${reasonOf(error)}`, {
      path,
      advice: adviceFor(error) ?? 'Look at the disk, then try again.',
      cause: error,
    });
  }
  return new FirnError('failed', `the disk is full (${code}): at least ${needed} bytes are needed`, {
    path,
    advice: 'Free space on this disk, then try again.',
    cause: error,
  });
}
