/**
 * The array of a reference, written range by range: rows of runs from their own arrays, kept rows (of runs that are gone
 * or archived) from the array as it stands. Each run is proven on the way to be what its digest names. Knows no step, and
 * not where ranges come from.
 */
import { join } from 'node:path';
import { convertBytes } from '../arrays/convert-bytes.js';
import { ArrayHasher } from '../arrays/digest.js';
import { firstNonFinite, nonFiniteName } from '../arrays/finite.js';
import { createNpy } from '../arrays/npy-writer.js';
import { openArray } from '../arrays/open.js';
import { type ArrayReader, type ArrayWriter, BYTES_OF, type Dtype, type RowBlock } from '../arrays/types.js';
import { FirnError } from '../errors.js';
import type { Port } from '../files/port.js';
import { openRun } from '../runs/run-array.js';
import { streamHash } from '../workers/hashing.js';
import type { Workers } from '../workers/pool.js';
import { TrailingHash } from '../workers/trailing-hash.js';
import { type Range, runName, startsOf } from './layout.js';
import { isWidened } from './prove-rows.js';
import { someOf } from './warnings.js';

const LOST_ADVICE =
  'Put the file back from a release or backup, restore the run if it is archived (`firn runs restore`), or give it up by naming it under `prune`.';

export interface RowsRequest {
  port: Port;
  /** A name that is not taken. */
  out: string;
  ranges: readonly Range[];
  /** Absolute. */
  runsDir: string;
  /** The array as it stands, and the first row there of each kept range, by run. */
  standing: string;
  /** Where to read it from, when its own file cannot give the rows. */
  standingCopy?: string;
  keptAt: { [run: string]: number };
  /** Of the runs; kept rows must agree. Undefined when all ranges are kept. */
  dims: number | undefined;
  /** Refuse values that are not finite. */
  finite: boolean;
  workers: Workers;
  signal: AbortSignal;
  onRows: (done: number, total: number) => void;
}

/**
 * Writes the array and syncs it, and gives the digest of the file; on any failure nothing is left at `out`.
 * @throws FirnError `missing` or `conflict` when kept rows are lost, `input` when dimensions differ or a value is not
 *   finite, `failed` when a run changes meanwhile
 */
export async function writeRows(
  request: RowsRequest,
): Promise<{ dims: number; dtype: Dtype; fileDigest: string }> {
  const { port, out, ranges, workers } = request;
  const standing = await openStanding(request);
  try {
    const dims = standing?.dims ?? request.dims;
    if (dims === undefined) {
      throw new FirnError('failed', 'would hold no run at all', {
        path: request.standing,
        advice: 'Look at the `runs` and `prune` of its target.',
      });
    }
    const dtype = widestOf(ranges);
    const rows = startsOf(ranges)[ranges.length];
    const hash = streamHash(rows * dims * BYTES_OF[dtype], workers);
    const writer = await createNpy(port, out, { dtype, dims, rows, hash });
    try {
      await copyRanges({ request, standing, writer, dims, dtype, rows });
      await writer.finish();
    } catch (error) {
      await writer.abort();
      throw error;
    }
    return { dims, dtype, fileDigest: `sha256:${await hash.digest()}` };
  } finally {
    await standing?.close();
  }
}

/** Whether this is about kept rows that the array as it stands does not give. */
export function isLoss(error: unknown, { standing }: RowsRequest): boolean {
  return error instanceof FirnError && error.path === standing && error.kind !== 'failed';
}

/** Only the array as it stands has its rows here. */
function isKept(range: Range, { keptAt }: RowsRequest): boolean {
  return Object.hasOwn(keptAt, runName(range));
}

/** As numpy's vstack would choose. */
function widestOf(ranges: readonly Range[]): Dtype {
  let widest: Dtype = ranges.length === 0 ? 'f4' : 'f2';
  for (const range of ranges) if (BYTES_OF[range.dtype] > BYTES_OF[widest]) widest = range.dtype;
  return widest;
}

/** The array as it stands, when kept rows have to come from it. */
async function openStanding(request: RowsRequest): Promise<ArrayReader | undefined> {
  const { port, ranges, standing, standingCopy = standing } = request;
  const kept = ranges.filter((range) => isKept(range, request)).map(runName);
  if (kept.length === 0) return undefined;
  if (port.stat(standingCopy) === undefined) {
    throw new FirnError('missing', `held the only copy of ${someOf(kept)}, and it is gone`, {
      path: standing,
      advice: LOST_ADVICE,
    });
  }
  return openArray(port, standingCopy);
}

interface Copy {
  request: RowsRequest;
  standing: ArrayReader | undefined;
  writer: ArrayWriter;
  dims: number;
  dtype: Dtype;
  rows: number;
}

async function copyRanges(copy: Copy): Promise<void> {
  const { request, standing } = copy;
  let done = 0;
  // The hashes of a range end while the next one is copied.
  let proof: Promise<void> = Promise.resolve();
  try {
    for (const range of request.ranges) {
      const kept = isKept(range, request);
      const reader = kept
        ? lender(standing, range, request)
        : await openRun(request.port, join(request.runsDir, runName(range)));
      try {
        const start = kept ? request.keptAt[runName(range)] : 0;
        const prove = await copyRange(copy, range, reader, start, done);
        await proof;
        proof = prove();
        // It is waited for later, and a failure told then.
        proof.catch(() => {});
      } finally {
        if (reader !== standing) await reader.close();
      }
      done += range.count;
    }
    await proof;
  } finally {
    // Nobody reads the array any more, so that it may be closed.
    await proof.catch(() => {});
  }
}

/** The array as it stands, if it has the rows of that range. */
function lender(standing: ArrayReader | undefined, range: Range, request: RowsRequest): ArrayReader {
  const start = request.keptAt[runName(range)];
  if (standing === undefined || start + range.count > standing.rows) throw lostRows(range, request.standing);
  return standing;
}

/** Copies one range. What it gives back proves that the rows are those that the range names, and throws otherwise. */
async function copyRange(
  copy: Copy,
  range: Range,
  reader: ArrayReader,
  start: number,
  done: number,
): Promise<() => Promise<void>> {
  const { writer } = copy;
  const { signal, onRows, workers } = copy.request;
  // The name that people know, also where a copy is read.
  const kept = isKept(range, copy.request);
  const path = kept ? copy.request.standing : reader.path;
  if (reader.dims !== copy.dims) {
    throw new FirnError('input', `has ${reader.dims} dimensions where the reference has ${copy.dims}`, {
      path,
      advice:
        'Rows of runs that are gone fix the number: give those runs up under `prune`, or make another reference.',
    });
  }
  const hasher = new ArrayHasher({ dtype: range.dtype, rows: range.count, dims: copy.dims }, workers);
  // Where the values stand in the file as the run has them, they are hashed from there.
  const written = range.dtype === copy.dtype ? writer.file : undefined;
  const trail = new TrailingHash(hasher, written ?? {}, written?.bytes ?? 0);
  try {
    for await (const block of reader.blocks({ from: start, to: start + range.count, signal })) {
      if (copy.request.finite) checkFinite(range, block, reader, start, path);
      const values = convertBytes(block.bytes, reader.dtype, range.dtype);
      if (kept && !isWidened(values, range.dtype, block.bytes, reader.dtype)) throw lostRows(range, path);
      await writer.write(convertBytes(block.bytes, reader.dtype, copy.dtype));
      await trail.follow(values);
      onRows(done + block.start - start + block.rows, copy.rows);
    }
  } catch (error) {
    await trail.stop();
    throw error;
  }
  return async () => {
    await trail.finish();
    if ((await hasher.digest()) === range.digest) return;
    if (kept) throw lostRows(range, path);
    throw new FirnError('failed', 'changed while it was read into the reference', {
      path,
      advice: 'The reference is as it was. Build again when the run is complete.',
    });
  };
}

/** Names the run and its row, where the block holds a value that is not finite. */
function checkFinite(
  range: Range,
  block: RowBlock,
  { dtype, dims }: ArrayReader,
  start: number,
  path: string,
): void {
  const at = firstNonFinite(block.bytes, dtype);
  if (at === -1) return;
  const row = block.start - start + Math.floor(at / dims);
  const value = nonFiniteName(block.bytes, dtype, at);
  const mend = range.retained ? 'Name the run under `prune`' : 'Embed that sequence again, or remove its row';
  throw new FirnError(
    'input',
    `${runName(range)} holds ${value} in row ${row}, and nothing is near to that`,
    {
      path,
      advice: `${mend}; or take such values as they are, with \`non-finite: allow\` in the target (no index is made of them).`,
    },
  );
}

function lostRows(range: Range, path: string): FirnError {
  return new FirnError(
    'conflict',
    `holds the only copy of ${runName(range)}, and its rows are not what they were`,
    { path, advice: LOST_ADVICE },
  );
}
