/**
 * The words of the FAISS index format and the parts of it that firn writes: Flat and IVF,Flat headers. All numbers
 * are little-endian. Knows no file: the bytes it makes go wherever the caller puts them.
 *
 * The layout is that of faiss/impl/index_write.cpp: fourcc, d i32, ntotal i64, two unused i64 (1 << 20),
 * is_trained u8, metric i32; 37 bytes. Flat adds u64 d*ntotal and the floats. IVF,Flat adds nlist u64, nprobe u64,
 * the quantizer (a whole Flat index), a direct map (u8 0, u64 0), and the inverted lists: `ilar`, nlist u64,
 * code_size u64, then `full`, u64 nlist, nlist sizes, or `sprs`, u64 2*nonempty, (list, size) pairs; then, list by
 * list, the codes and the ids (i64) of those that are not empty.
 */

/** How vectors are compared: squared Euclidean distance (smaller is nearer) or inner product (larger is). */
export type Metric = 'l2' | 'ip';

export const HEADER_BYTES = 37;
/** Where the floats of a Flat index start. */
export const FLAT_DATA = HEADER_BYTES + 8;
/** Where every IVF index, whatever its codes, keeps the number of its lists and of those a search looks into. */
export const NLIST_AT = HEADER_BYTES;
export const NPROBE_AT = HEADER_BYTES + 8;
/** Where the nested quantizer of an IVF index starts. */
const QUANTIZER = HEADER_BYTES + 16;
export const ID_BYTES = 8;

const METRIC_CODE: Record<Metric, number> = { ip: 0, l2: 1 };
const FLAT_FOURCC: Record<Metric, string> = { ip: 'IxFI', l2: 'IxF2' };
const UNUSED = 1n << 20n;

/** firn's metric for a FAISS metric code; undefined for those it does not compute (L1, Linf, ...). */
export function metricOf(code: number): Metric | undefined {
  return code === 0 ? 'ip' : code === 1 ? 'l2' : undefined;
}

function header(fourcc: string, dims: number, rows: number, metric: Metric): Buffer {
  const bytes = Buffer.alloc(HEADER_BYTES);
  bytes.write(fourcc, 0, 'latin1');
  bytes.writeInt32LE(dims, 4);
  bytes.writeBigInt64LE(BigInt(rows), 8);
  bytes.writeBigInt64LE(UNUSED, 16);
  bytes.writeBigInt64LE(UNUSED, 24);
  bytes.writeUInt8(1, 32);
  bytes.writeInt32LE(METRIC_CODE[metric], 33);
  return bytes;
}

function u64(value: number): Buffer {
  const bytes = Buffer.alloc(8);
  bytes.writeBigUInt64LE(BigInt(value));
  return bytes;
}

/** The first 45 bytes of a Flat index; `rows * dims` float32 follow. */
export function flatHead(dims: number, rows: number, metric: Metric): Buffer {
  return Buffer.concat([header(FLAT_FOURCC[metric], dims, rows, metric), u64(dims * rows)]);
}

/** Where everything stands in an IVF,Flat file, known as soon as the rows of every list are counted. */
export interface IvfLayout {
  dims: number;
  rows: number;
  metric: Metric;
  nlist: number;
  /** Rows in each list. */
  sizes: Float64Array;
  /** Position of each list's codes, in bytes from the start of the file. Its ids follow its codes. */
  offsets: Float64Array;
  /** Bytes of the whole index. */
  end: number;
}

/** FAISS writes every size when more than half of the lists hold something, and only those that do otherwise. */
function sizesAreFull(sizes: Float64Array): boolean {
  return sizes.reduce((count, size) => count + (size > 0 ? 1 : 0), 0) > sizes.length / 2;
}

/** The layout of an index whose lists have these sizes. */
export function ivfLayout(dims: number, metric: Metric, sizes: Float64Array): IvfLayout {
  const nlist = sizes.length;
  const nonEmpty = sizes.reduce((count, size) => count + (size > 0 ? 1 : 0), 0);
  const table = sizesAreFull(sizes) ? 8 * nlist : 16 * nonEmpty;
  const offsets = new Float64Array(nlist);
  let end = QUANTIZER + FLAT_DATA + 4 * dims * nlist + 9 + 4 + 8 + 8 + 4 + 8 + table;
  let rows = 0;
  for (let list = 0; list < nlist; list++) {
    offsets[list] = end;
    end += sizes[list] * (4 * dims + ID_BYTES);
    rows += sizes[list];
  }
  return { dims, rows, metric, nlist, sizes, offsets, end };
}

/** Everything before the first list. `centroids` holds nlist * dims values. */
export function ivfHead(layout: IvfLayout, nprobe: number, centroids: Float32Array): Buffer {
  const { dims, rows, metric, nlist, sizes } = layout;
  return Buffer.concat([
    header('IwFl', dims, rows, metric),
    u64(nlist),
    u64(nprobe),
    flatHead(dims, nlist, metric),
    floatBytes(centroids),
    Buffer.alloc(9), // direct map: type 0, no entries
    Buffer.from('ilar', 'latin1'),
    u64(nlist),
    u64(4 * dims),
    sizesTable(sizes),
  ]);
}

function sizesTable(sizes: Float64Array): Buffer {
  if (sizesAreFull(sizes)) {
    const full = BigUint64Array.from(sizes, (size) => BigInt(size));
    return Buffer.concat([Buffer.from('full', 'latin1'), u64(sizes.length), Buffer.from(full.buffer)]);
  }
  const pairs: bigint[] = [];
  for (const [list, size] of sizes.entries()) {
    if (size > 0) pairs.push(BigInt(list), BigInt(size));
  }
  const sparse = Buffer.from(BigUint64Array.from(pairs).buffer);
  return Buffer.concat([Buffer.from('sprs', 'latin1'), u64(pairs.length), sparse]);
}

/** The bytes of float32 values, sharing their memory. Every platform that Node runs on is little-endian. */
export function floatBytes(values: Float32Array): Buffer {
  return Buffer.from(values.buffer, values.byteOffset, values.byteLength);
}
