/**
 * A hash that follows a file while it is written: a thread reads back what was written, some stretches behind, so that
 * whoever writes waits for nothing but the disk. What is hashed is thereby what the file holds. Knows no format.
 */
import type { Stretch } from './hash-jobs.js';
import type { StreamHash } from './hashing.js';

/** The file behind it; a port that stands in for the disk has no `fd`. */
export interface WrittenFile {
  readonly fd?: number | undefined;
}

type Hash = Pick<StreamHash, 'update' | 'updateFromFile'>;

/** Bytes that are asked for at once: fewer would be asked for too often. */
const STRETCH = 8 * 1024 * 1024;
/** Bytes that the hash may lag behind: they are in the page cache still. */
const BEHIND = 64 * 1024 * 1024;

export class TrailingHash {
  private hashed: number;
  private written: number;
  private failure: { error: unknown } | undefined;
  private reading: Promise<void> | undefined;

  /** @param position the byte of the file that the hash begins at */
  constructor(
    private readonly hash: Hash,
    private readonly file: WrittenFile,
    position: number,
  ) {
    this.hashed = position;
    this.written = position;
  }

  /** The next bytes, which stand in the file by now; they may be reused once it resolves. */
  async follow(bytes: Uint8Array): Promise<void> {
    this.expectSound();
    this.written += bytes.length;
    if (this.file.fd === undefined || this.hash.updateFromFile === undefined) {
      await this.hash.update(bytes);
      this.hashed = this.written;
      return;
    }
    if (this.written - this.hashed >= STRETCH) this.read();
    while (this.written - this.hashed > BEHIND) await this.reading;
    this.expectSound();
  }

  /** All that was written is hashed. */
  async finish(): Promise<void> {
    while (this.failure === undefined && this.hashed < this.written) {
      this.read();
      await this.reading;
    }
    this.expectSound();
  }

  /** Gives up: when it resolves no thread reads the file any more, so that it may be closed. */
  async stop(): Promise<void> {
    this.failure ??= { error: new Error('the hash was given up') };
    await this.reading;
  }

  private expectSound(): void {
    if (this.failure !== undefined) throw this.failure.error;
  }

  private read(): void {
    if (this.reading !== undefined) return;
    this.reading = this.readBehind()
      .catch((error: unknown) => {
        this.failure ??= { error };
        this.hashed = this.written;
      })
      .finally(() => {
        this.reading = undefined;
      });
  }

  private async readBehind(): Promise<void> {
    const { fd } = this.file;
    const { updateFromFile } = this.hash;
    if (fd === undefined || updateFromFile === undefined) return;
    do {
      const bytes = this.written - this.hashed;
      const stretch: Stretch = { fd, position: this.hashed, bytes };
      const read = await updateFromFile.call(this.hash, stretch);
      if (read !== bytes) throw new Error(`the file being written ends at byte ${this.hashed + read}`);
      this.hashed += bytes;
    } while (this.failure === undefined && this.written - this.hashed >= STRETCH);
  }
}
