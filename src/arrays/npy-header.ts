/**
 * The header of an npy file, read and written: magic, version, length, and a Python dictionary of descr,
 * fortran_order and shape. Source: numpy's own description in numpy/lib/format.py and NEP 1.
 * Knows bytes only: who reads them and from where is not its concern.
 */
import { FirnError } from '../errors.js';
import { type Literal, LiteralError, parseLiteral, Tuple } from './python-literal.js';
import { type ArrayShape, BYTES_OF, type Dtype, rowBytes } from './types.js';

export interface NpyHeader extends ArrayShape {
  bigEndian: boolean;
  /** Columns stand one after the other instead of rows. */
  fortran: boolean;
  /** Byte at which the values start. */
  dataStart: number;
}

export const NPY_MAGIC: Uint8Array = Buffer.from('\x93NUMPY', 'latin1');
/** The bytes that `npyDataStart` looks at. Every complete npy file has more. */
export const NPY_PREAMBLE_BYTES = 12;

/** numpy itself stops at 10,000 characters unless told otherwise; a padded header may be longer. */
const MAX_HEADER_BYTES = 1024 * 1024;
/** No embedding has millions of dimensions, and one row must fit in memory. */
const MAX_ROW_BYTES = 64 * 1024 * 1024;
/** numpy pads the first dimension to this many characters, so that it can grow in place. */
const GROWTH_AXIS_MAX_DIGITS = 21;
const ALIGNMENT = 64;
const AS_FLOATS =
  'Save it as an N x D float array: np.save(path, array.astype(np.float32), allow_pickle=False).';

/**
 * The byte at which the values start, from the first `NPY_PREAMBLE_BYTES` bytes of a file. Everything before it is
 * what `parseNpyHeader` wants. Refused beyond 1 MiB.
 */
export function npyDataStart(preamble: Uint8Array, path: string): number {
  const bytes = Buffer.from(preamble.buffer, preamble.byteOffset, preamble.byteLength);
  if (!isNpy(bytes))
    throw new FirnError('input', 'is not an npy file: it does not begin with \\x93NUMPY', { path });
  if (bytes.length < NPY_PREAMBLE_BYTES) {
    throw truncated(path, `it ends after ${bytes.length} bytes, within its header`);
  }
  const [major, minor] = [bytes[6], bytes[7]];
  if (minor !== 0 || major < 1 || major > 3) {
    const message = `has npy format version ${major}.${minor}, expected 1.0, 2.0 or 3.0`;
    throw new FirnError('input', message, { path, advice: 'Save it again with numpy.save.' });
  }
  const start = major === 1 ? 10 + bytes.readUInt16LE(8) : 12 + bytes.readUInt32LE(8);
  if (start > MAX_HEADER_BYTES) {
    throw new FirnError(
      'input',
      `claims a header of ${start} bytes, more than the ${MAX_HEADER_BYTES} read here`,
      {
        path,
        advice: AS_FLOATS,
      },
    );
  }
  return start;
}

/** Whether bytes begin as an npy file does. */
export function isNpy(start: Uint8Array): boolean {
  return Buffer.compare(start.subarray(0, NPY_MAGIC.length), NPY_MAGIC) === 0;
}

/** Parses a whole header: `head` holds the file's bytes up to the start of the values. */
export function parseNpyHeader(head: Uint8Array, path: string): NpyHeader {
  const bytes = Buffer.from(head.buffer, head.byteOffset, head.byteLength);
  const dataStart = npyDataStart(bytes, path);
  const text = bytes.toString(bytes[6] === 3 ? 'utf8' : 'latin1', bytes[6] === 1 ? 10 : 12, dataStart);
  const fields = dictionary(text, path);
  const { dtype, bigEndian } = parseDescr(fields.get('descr') as Literal, path);
  const fortran = fields.get('fortran_order');
  if (typeof fortran !== 'boolean') throw malformed(path, 'fortran_order is neither True nor False');
  return { dtype, bigEndian, fortran, ...parseShape(fields.get('shape') as Literal, dtype, path), dataStart };
}

/** Bytes of the values that a header promises. */
export function npyDataBytes(shape: ArrayShape): number {
  return shape.rows * rowBytes(shape);
}

/** Throws unless `available` bytes, counted from the start of the header, hold all values. More is fine, as in numpy. */
export function requireData(header: NpyHeader, available: number, path: string): void {
  const expected = header.dataStart + npyDataBytes(header);
  if (available >= expected) return;
  const shape = `${header.rows} x ${header.dims} ${header.dtype}`;
  throw truncated(path, `it has ${available} bytes, and ${shape} needs ${expected}`);
}

/**
 * The header np.save writes for a C-order little-endian array: version 1.0, padded to 64 bytes. Its length does not
 * depend on `rows`, since numpy pads that number: a header for other rows can be written over it.
 */
export function formatNpyHeader(shape: ArrayShape): Uint8Array {
  const { dtype, rows, dims } = shape;
  const growth = ' '.repeat(GROWTH_AXIS_MAX_DIGITS - String(rows).length);
  const text = `{'descr': '<${dtype}', 'fortran_order': False, 'shape': (${rows}, ${dims}), }${growth}`;
  // numpy counts the newline, then adds 1 to 64 spaces, never none.
  const unpadded = 10 + text.length + 1;
  const total = unpadded + ALIGNMENT - (unpadded % ALIGNMENT);
  const header = Buffer.alloc(total, ' ');
  header.set(NPY_MAGIC);
  header.set([1, 0], 6);
  header.writeUInt16LE(total - 10, 8);
  header.write(text, 10, 'latin1');
  header.write('\n', total - 1, 'latin1');
  return header;
}

function dictionary(text: string, path: string): Map<string, Literal> {
  let parsed: Literal;
  try {
    parsed = parseLiteral(text);
  } catch (error) {
    if (!(error instanceof LiteralError)) throw error;
    // A structured dtype may hold any text; its descr is a list and it is refused either way.
    if (/['"]descr['"]\s*:\s*\[/.test(text)) throw structured(path);
    throw malformed(path, `its dictionary cannot be read: ${error.message}`);
  }
  if (!(parsed instanceof Map)) throw malformed(path, 'it is not a dictionary');
  const keys = [...parsed.keys()].sort();
  if (keys.join() !== 'descr,fortran_order,shape') {
    throw malformed(path, `its keys are ${JSON.stringify(keys)}, expected descr, fortran_order and shape`);
  }
  return parsed;
}

function parseDescr(descr: Literal, path: string): { dtype: Dtype; bigEndian: boolean } {
  if (typeof descr !== 'string') throw structured(path);
  // Without < or > it is the byte order of the machine that reads, which for firn is little-endian.
  const found = /^([<>=|]?)(f[248])$/.exec(descr);
  if (found !== null) return { dtype: found[2] as Dtype, bigEndian: found[1] === '>' };
  if (/^[<>=|]?O\d*$/.test(descr)) {
    const message = `holds pickled Python objects (dtype ${descr}), which are never loaded`;
    throw new FirnError('input', message, { path, advice: AS_FLOATS });
  }
  throw new FirnError('input', `has dtype ${JSON.stringify(descr)}, expected float16, float32 or float64`, {
    path,
    advice: AS_FLOATS,
  });
}

function parseShape(shape: Literal, dtype: Dtype, path: string): { rows: number; dims: number } {
  const sizes = shape instanceof Tuple ? shape.items : [];
  if (!(shape instanceof Tuple) || !sizes.every((size): size is bigint => typeof size === 'bigint')) {
    throw malformed(path, 'shape is not a tuple of integers');
  }
  const written = `(${sizes.join(', ')}${sizes.length === 1 ? ',' : ''})`;
  const expectation = `has shape ${written}, expected N x D: one row a sequence, one column a dimension`;
  if (sizes.length !== 2) {
    throw new FirnError('input', expectation, {
      path,
      advice: 'Save the embeddings as one two-dimensional array.',
    });
  }
  const [rows, dims] = sizes;
  if (rows < 0n || dims < 1n) throw new FirnError('input', expectation, { path });
  const row = dims * BigInt(BYTES_OF[dtype]);
  if (row > MAX_ROW_BYTES) {
    throw new FirnError('input', `has shape ${written}: a row is more than ${MAX_ROW_BYTES} bytes`, { path });
  }
  // Head room, so that no later sum with a header or an offset leaves the exact integers.
  if (rows * row > Number.MAX_SAFE_INTEGER / 2) {
    throw new FirnError('input', `has shape ${written}: more values than any file can hold`, { path });
  }
  return { rows: Number(rows), dims: Number(dims) };
}

function structured(path: string): FirnError {
  const message = 'has a structured dtype, expected float16, float32 or float64';
  return new FirnError('input', message, { path, advice: AS_FLOATS });
}

function malformed(path: string, problem: string): FirnError {
  const message = `has a malformed npy header: ${problem}`;
  return new FirnError('input', message, { path, advice: 'Save it again with numpy.save.' });
}

function truncated(path: string, problem: string): FirnError {
  const advice = 'It was cut short while it was written or copied: write or copy it again.';
  return new FirnError('input', `is truncated: ${problem}`, { path, advice });
}
