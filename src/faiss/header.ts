/**
 * Reading what stands before the vectors of a FAISS index: which kind it is and where its parts are. Nothing in the
 * file is believed: every count is checked against the size of the file before memory is taken for it, and the
 * tables kept are as long as the number of lists. Knows no vector and no search.
 */
import { FirnError } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { HEADER_BYTES, ID_BYTES, type Metric, metricOf } from './format.js';

/**
 * A file may be as long as it says and hold nothing but holes, so its size alone is no reason to take memory for what is
 * held at once: a vector, the tables of the lists, the centroids.
 */
const MAX_DIMS = 16 * 1024 * 1024;
const MAX_LISTS = 16 * 1024 * 1024;
const MAX_CENTROID_BYTES = 4 * 1024 * 1024 * 1024;

/** A Flat index: every vector as it is, in the order of its ids. */
export interface FlatHeader {
  kind: 'flat';
  fourcc: string;
  dims: number;
  rows: number;
  metric: Metric;
  /** Position of the first vector. */
  data: number;
  /** Position after the index; a trailer may follow. */
  end: number;
}

/** An IVF,Flat index: vectors grouped in lists, one centroid each. */
export interface IvfHeader {
  kind: 'ivf';
  fourcc: string;
  dims: number;
  rows: number;
  metric: Metric;
  /** How query and centroids are compared; FAISS keeps it apart from the metric of the vectors. */
  quantizer: Metric;
  nlist: number;
  nprobe: number;
  /** Position of the centroids, nlist * dims float32. */
  centroids: number;
  /** Rows of each list, and the position of each list's codes; its ids follow its codes. */
  sizes: Float64Array;
  offsets: Float64Array;
  end: number;
}

/** A FAISS index of a kind that only FAISS reads. */
export interface OtherHeader {
  kind: 'other';
  fourcc: string;
  /** What it is, for a message: "a FAISS index of type IHNf". */
  what: string;
}

export type IndexHeader = FlatHeader | IvfHeader | OtherHeader;

/**
 * Reads the header of the index at `path`.
 * @throws FirnError of kind `input` when it is no FAISS index, is cut short or contradicts itself, `missing` when
 *   there is no such file
 */
export async function readIndexHeader(port: ReadPort, path: string): Promise<IndexHeader> {
  if (port.stat(path)?.kind !== 'file') {
    throw new FirnError('missing', 'there is no such index', { path, advice: 'Build it first.' });
  }
  const handle = await port.open(path);
  try {
    return await parseIndexHeader(handle);
  } finally {
    await handle.close();
  }
}

/** The same, of a file that is open. */
export async function parseIndexHeader(handle: ReadHandle): Promise<IndexHeader> {
  const cursor = new Cursor(handle);
  const fourcc = await cursor.fourcc('the type of the index');
  if (fourcc === 'IwFl') return readIvf(cursor, fourcc);
  if (isFlat(fourcc)) {
    const flat = await readFlat(cursor, fourcc);
    return flat ?? other(fourcc, `a FAISS index of type ${fourcc} with a metric of its own`);
  }
  return other(fourcc, `a FAISS index of type ${fourcc}`);
}

function other(fourcc: string, what: string): OtherHeader {
  return { kind: 'other', fourcc, what };
}

function isFlat(fourcc: string): boolean {
  return fourcc === 'IxF2' || fourcc === 'IxFI' || fourcc === 'IxFl';
}

interface Common {
  dims: number;
  rows: number;
  trained: boolean;
  /** Undefined for a metric that firn does not compute. */
  metric: Metric | undefined;
}

async function readCommon(cursor: Cursor): Promise<Common> {
  const bytes = await cursor.take(HEADER_BYTES - 4, 'the header of the index');
  const dims = bytes.readInt32LE(0);
  if (dims < 1 || dims > MAX_DIMS) throw cursor.wrong(`its vectors have ${dims} dimensions`);
  const rows = cursor.count(bytes.readBigInt64LE(4), 'the number of vectors');
  return { dims, rows, trained: bytes.readUInt8(28) !== 0, metric: metricOf(bytes.readInt32LE(29)) };
}

/** The rest of a Flat index, whose fourcc is read; undefined when its metric is not one of firn's. */
async function readFlat(cursor: Cursor, fourcc: string): Promise<FlatHeader | undefined> {
  const { dims, rows, metric } = await readCommon(cursor);
  if (metric === undefined) return undefined;
  if ((fourcc === 'IxF2' && metric !== 'l2') || (fourcc === 'IxFI' && metric !== 'ip')) {
    throw cursor.wrong(`its type ${fourcc} contradicts its metric`);
  }
  const floats = await cursor.number('the number of values');
  if (floats !== rows * dims) {
    throw cursor.wrong(`it announces ${rows} vectors of ${dims} values but holds ${floats} values`);
  }
  const data = cursor.position;
  cursor.skip(4 * floats, `${rows} vectors`);
  return { kind: 'flat', fourcc, dims, rows, metric, data, end: cursor.position };
}

async function readIvf(cursor: Cursor, fourcc: string): Promise<IvfHeader | OtherHeader> {
  const { dims, rows, trained, metric } = await readCommon(cursor);
  if (metric === undefined) return other(fourcc, 'an IVF,Flat index with a metric of its own');
  const nlist = await cursor.number('the number of lists');
  const nprobe = await cursor.number('nprobe');
  const quantizerType = await cursor.fourcc('the type of the quantizer');
  const quantizer = isFlat(quantizerType) ? await readFlat(cursor, quantizerType) : undefined;
  if (quantizer === undefined) return other(fourcc, `an IVF,Flat index with a ${quantizerType} quantizer`);
  if (!trained || nlist < 1) throw cursor.wrong('it was never trained');
  if (nlist > MAX_LISTS || 4 * nlist * dims > MAX_CENTROID_BYTES) {
    throw cursor.wrong(`its ${nlist} lists of ${dims} dimensions are more than is held in memory here`);
  }
  if (quantizer.dims !== dims || quantizer.rows !== nlist) {
    throw cursor.wrong(
      `${nlist} lists of ${dims} dimensions need as many centroids, but there are ${quantizer.rows} of ${quantizer.dims}`,
    );
  }
  if (nprobe < 1) throw cursor.wrong('its nprobe is 0');
  await skipDirectMap(cursor);
  const { sizes, offsets } = await readLists(cursor, nlist, dims);
  const held = sizes.reduce((sum, size) => sum + size, 0);
  if (held !== rows) throw cursor.wrong(`it announces ${rows} vectors but its lists hold ${held}`);
  const common = { kind: 'ivf' as const, fourcc, dims, rows, metric, quantizer: quantizer.metric };
  return { ...common, nlist, nprobe, centroids: quantizer.data, sizes, offsets, end: cursor.position };
}

/** The direct map (id to place) helps FAISS to remove vectors; a search has no use for it. */
async function skipDirectMap(cursor: Cursor): Promise<void> {
  const type = (await cursor.take(1, 'the direct map')).readUInt8(0);
  if (type > 2) throw cursor.wrong(`it has a direct map of the unknown type ${type}`);
  cursor.skip(ID_BYTES * (await cursor.number('the direct map')), 'the direct map');
  if (type === 2) cursor.skip(2 * ID_BYTES * (await cursor.number('the direct map')), 'the direct map');
}

async function readLists(cursor: Cursor, nlist: number, dims: number) {
  const type = await cursor.fourcc('the type of the lists');
  if (type !== 'ilar')
    throw cursor.wrong(`its lists are of type ${type}; only lists in the file (ilar) are read`);
  const lists = await cursor.number('the number of lists');
  if (lists !== nlist) throw cursor.wrong(`it announces ${nlist} lists but has ${lists}`);
  const codeSize = await cursor.number('the size of a code');
  if (codeSize !== 4 * dims) {
    throw cursor.wrong(`a vector of ${dims} values takes ${4 * dims} bytes, but its codes take ${codeSize}`);
  }
  const sizes = await readSizes(cursor, nlist);
  const offsets = new Float64Array(nlist);
  for (let list = 0; list < nlist; list++) {
    offsets[list] = cursor.position;
    cursor.skip(sizes[list] * (codeSize + ID_BYTES), `list ${list} with ${sizes[list]} vectors`);
  }
  return { sizes, offsets };
}

async function readSizes(cursor: Cursor, nlist: number): Promise<Float64Array> {
  const type = await cursor.fourcc('the sizes of the lists');
  const length = await cursor.number('the sizes of the lists');
  if (type === 'full') {
    if (length !== nlist) throw cursor.wrong(`${nlist} lists have ${length} sizes`);
    return cursor.numbers(nlist, 'the sizes of the lists');
  }
  if (type !== 'sprs') throw cursor.wrong(`the sizes of its lists are stored as ${type}, not full or sprs`);
  if (length % 2 !== 0 || length > 2 * nlist) throw cursor.wrong(`${nlist} lists have ${length / 2} sizes`);
  const pairs = await cursor.numbers(length, 'the sizes of the lists');
  const sizes = new Float64Array(nlist);
  for (let i = 0; i < length; i += 2) {
    const list = pairs[i];
    if (list >= nlist) throw cursor.wrong(`it gives a size to list ${list} of ${nlist}`);
    if (sizes[list] !== 0) throw cursor.wrong(`it gives two sizes to list ${list}`);
    sizes[list] = pairs[i + 1];
  }
  return sizes;
}

/** A place in the file that only moves forward and never past its end. */
class Cursor {
  position = 0;

  constructor(private readonly handle: ReadHandle) {}

  wrong(problem: string): FirnError {
    return new FirnError('input', `is not a usable FAISS index: ${problem}`, {
      path: this.handle.path,
      advice: 'Build the index again.',
    });
  }

  /** Moves on by `length` bytes, which must exist. */
  skip(length: number, what: string): void {
    const { size } = this.handle;
    // Written so that a length too large to add is refused as well.
    if (!(length <= size - this.position)) {
      throw this.wrong(
        `it is cut short: ${what} needs ${length} bytes from byte ${this.position}, the file has ${size}`,
      );
    }
    this.position += length;
  }

  async take(length: number, what: string): Promise<Buffer> {
    const from = this.position;
    this.skip(length, what);
    const bytes = Buffer.alloc(length);
    const got = await this.handle.read(bytes, from);
    if (got !== length) throw this.wrong(`it became shorter while ${what} was read`);
    return bytes;
  }

  async fourcc(what: string): Promise<string> {
    const text = (await this.take(4, what)).toString('latin1');
    if (!/^[\x20-\x7e]{4}$/.test(text)) throw this.wrong(`${what} is not a word of four letters`);
    return text;
  }

  /** A 64-bit number as a JavaScript one; negative and unsafe values are refused. */
  count(value: bigint, what: string): number {
    if (value < 0n || value > BigInt(Number.MAX_SAFE_INTEGER)) throw this.wrong(`${what} is ${value}`);
    return Number(value);
  }

  async number(what: string): Promise<number> {
    return this.count((await this.take(8, what)).readBigUInt64LE(0), what);
  }

  async numbers(length: number, what: string): Promise<Float64Array> {
    const bytes = await this.take(8 * length, what);
    const values = new Float64Array(length);
    for (let i = 0; i < length; i++) values[i] = this.count(bytes.readBigUInt64LE(8 * i), what);
    return values;
  }
}
