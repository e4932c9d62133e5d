/**
 * The digest of an array: its dtype, shape and values, whatever file they stand in. Knows no file format.
 *
 * It is SHA-256 over four length-framed fields (decimal length, `:`, text, `,`) and then all values, little-endian in
 * C order, bit for bit (0.0 and -0.0 differ, as do two NaNs of other payload). In Python:
 *
 *     fields = ['firn array 1', '<' + a.dtype.str[1:], str(a.shape[0]), str(a.shape[1])]
 *     h = hashlib.sha256(''.join(f'{len(f)}:{f},' for f in fields).encode())
 *     h.update(np.ascontiguousarray(a, fields[1]).tobytes())
 *     digest = 'sha256:' + h.hexdigest()
 */
import { hashFromFile, type StreamHash, streamHash } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { endedEarly } from './read-exactly.js';
import { type ArrayReader, type ArrayShape, rowBytes } from './types.js';

const FORMAT = 'firn array 1';

/** The digest of an array whose rows come by piece by piece, as in a copy. Large ones are hashed by workers. */
export class ArrayHasher {
  private readonly hash: StreamHash;
  private readonly framed: void | Promise<void>;
  private missing: number;

  constructor(shape: ArrayShape, workers?: Workers) {
    this.missing = shape.rows * rowBytes(shape);
    this.hash = streamHash(this.missing, workers);
    const fields = [FORMAT, `<${shape.dtype}`, String(shape.rows), String(shape.dims)];
    this.framed = this.hash.update(Buffer.from(fields.map((field) => `${field.length}:${field},`).join('')));
    // A failure is told by `digest`, if it comes to that.
    this.framed?.catch(() => {});
  }

  /** The next values, little-endian in C order, split anywhere; they may be reused once it resolves. */
  async update(bytes: Uint8Array): Promise<void> {
    this.missing -= bytes.length;
    await this.hash.update(bytes);
  }

  /** The next values out of a file, which a thread reads by itself; how many bytes there were. Only where a thread hashes. */
  get updateFromFile(): StreamHash['updateFromFile'] {
    if (this.hash.updateFromFile === undefined) return undefined;
    return async (stretch) => {
      const read = await this.hash.updateFromFile?.(stretch);
      this.missing -= read ?? 0;
      return read ?? 0;
    };
  }

  /** All values at once, read by the thread that hashes them; false, and nothing is done, where that cannot be. */
  async updateFromArray({ stretch, path }: ArrayReader, options: DigestOptions): Promise<boolean> {
    if (stretch === undefined) return false;
    const { handle, position } = stretch;
    const read = await hashFromFile(this.hash, handle, { position, bytes: this.missing }, options);
    if (read === undefined) return false;
    if (read < this.missing) throw endedEarly(path, position + read, position + this.missing);
    this.missing = 0;
    return true;
  }

  /** `sha256:` and 64 hexadecimal digits. Throws when other than all values came by. */
  async digest(): Promise<string> {
    if (this.missing !== 0) throw new Error(`the digest lacks ${this.missing} bytes of the array`);
    await this.framed;
    return `sha256:${await this.hash.digest()}`;
  }
}

export interface DigestOptions {
  signal?: AbortSignal | undefined;
  /** Hears of each block's size. */
  onBytes?: ((bytes: number) => void) | undefined;
  workers?: Workers | undefined;
}

/** Reads the whole array and gives its digest. */
export async function arrayDigest(reader: ArrayReader, options: DigestOptions = {}): Promise<string> {
  const { signal, onBytes, workers } = options;
  const hasher = new ArrayHasher(reader, workers);
  if (await hasher.updateFromArray(reader, options)) return hasher.digest();
  for await (const block of reader.blocks({ ...(signal === undefined ? {} : { signal }) })) {
    await hasher.update(block.bytes);
    onBytes?.(block.bytes.length);
  }
  return hasher.digest();
}
