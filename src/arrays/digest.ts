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
import { createHash } from 'node:crypto';
import { type ArrayReader, type ArrayShape, rowBytes } from './types.js';

const FORMAT = 'firn array 1';

/** The digest of an array whose rows come by piece by piece, as in a copy. */
export class ArrayHasher {
  private readonly hash = createHash('sha256');
  private missing: number;

  constructor(shape: ArrayShape) {
    for (const field of [FORMAT, `<${shape.dtype}`, String(shape.rows), String(shape.dims)]) {
      this.hash.update(`${field.length}:${field},`);
    }
    this.missing = shape.rows * rowBytes(shape);
  }

  /** The next values, little-endian in C order, split anywhere. */
  update(bytes: Uint8Array): void {
    this.hash.update(bytes);
    this.missing -= bytes.length;
  }

  /** `sha256:` and 64 hexadecimal digits. Throws when other than all values came by. */
  digest(): string {
    if (this.missing !== 0) throw new Error(`the digest lacks ${this.missing} bytes of the array`);
    return `sha256:${this.hash.digest('hex')}`;
  }
}

/** Reads the whole array and gives its digest. `onBytes` hears of each block's size. */
export async function arrayDigest(
  reader: ArrayReader,
  signal?: AbortSignal,
  onBytes?: (bytes: number) => void,
): Promise<string> {
  const hasher = new ArrayHasher(reader);
  for await (const block of reader.blocks({ signal })) {
    hasher.update(block.bytes);
    onBytes?.(block.bytes.length);
  }
  return hasher.digest();
}
