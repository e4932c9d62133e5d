/**
 * An IVF,Flat index with more rows than an earlier one of the same training: the lists of the earlier one are copied as
 * they are, each with room for its new rows, and only these are compared with centroids. The bytes are those that building
 * the whole index would give. Knows no pipeline; that the earlier index is whole, and of the first rows, is the caller's to
 * say.
 */
import { atOnce } from '../at-once.js';
import type { ReadHandle, WriteHandle } from '../files/port.js';
import { quantizerOf } from './assignment.js';
import { ID_BYTES, type IvfLayout, ivfHead, ivfLayout } from './format.js';
import { type IvfHeader, parseIndexHeader } from './header.js';
import {
  assign,
  type IvfFacts,
  type IvfRequest,
  type IvfResult,
  place,
  sharedLists,
  sizesOf,
} from './ivf-build.js';
import { ALGORITHM, gridOf, readCentroids } from './ivf-train.js';
import type { Grid } from './quantize.js';
import { readTrailer } from './trailer.js';
import { imbalanceOf } from './training.js';

/** Lists copied at a time, and bytes of one held at once. */
const LISTS_AT_ONCE = 4;
const PIECE_BYTES = 4 * 1024 * 1024;

/** The earlier index, as far as it serves. */
interface Earlier {
  header: IvfHeader;
  centroids: Float32Array;
  grid: Grid;
  facts: IvfFacts;
}

/** Undefined when the earlier index cannot be carried on: other parameters, another training, another kind. */
export async function appendIvf(request: IvfRequest, path: string): Promise<IvfResult | undefined> {
  const { port, embeddings, metric, nlist, out, onProgress } = request;
  const { rows, dims } = embeddings;
  const handle = await port.open(path);
  try {
    const earlier = await earlierIndex(request, handle);
    if (earlier === undefined) return undefined;
    const { header, centroids, grid, facts } = earlier;
    const lists = sharedLists(rows, nlist);
    const quantizer = quantizerOf({ centroids, grid, metric }, facts.training.scoring);
    await assign({ ...request, quantizer, lists, from: header.rows });
    const come = sizesOf(lists, nlist, header.rows, rows);
    const layout = ivfLayout(
      dims,
      metric,
      header.sizes.map((size, list) => size + come[list]),
    );
    await copyLists(handle, header, out, layout, (done) => {
      request.signal?.throwIfAborted();
      onProgress(done, rows, 'copy');
    });
    await place(request, layout, lists, { firstRow: header.rows });
    await out.write(ivfHead(layout, facts.nprobe, centroids), 0);
    return {
      end: layout.end,
      reusedCentroids: true,
      facts: { ...facts, imbalance: imbalanceOf(layout.sizes) },
    };
  } finally {
    await handle.close();
  }
}

async function earlierIndex(request: IvfRequest, handle: ReadHandle): Promise<Earlier | undefined> {
  const { port, embeddings, metric, nlist, nprobe, recall, trainedRows } = request;
  const header = await parseIndexHeader(handle).catch(() => undefined);
  if (header?.kind !== 'ivf' || header.nlist !== nlist || header.dims !== embeddings.dims) return undefined;
  if (header.metric !== metric || header.rows > embeddings.rows || header.rows < trainedRows)
    return undefined;
  const index = (await readTrailer(port, handle.path))?.index as (IvfFacts & { rows: number }) | undefined;
  if (index?.rows !== header.rows || index.training?.rows !== trainedRows) return undefined;
  if (index.training.algorithm !== ALGORITHM) return undefined;
  if (index.training.sampleRows !== request.sampleRows) return undefined;
  const sameNprobe = nprobe === undefined ? index.recall.goal === recall : index.nprobe === nprobe;
  if (!sameNprobe || (nprobe !== undefined && index.recall.goal !== null)) return undefined;
  const grid = gridOf(index.training, header.dims);
  const centroids = await readCentroids(port, handle.path, index.training);
  if (grid === undefined || centroids === undefined) return undefined;
  const { nprobe: kept, recall: measured, imbalance, trainedImbalance, training } = index;
  const facts = { nlist, nprobe: kept, recall: measured, imbalance, trainedImbalance, training };
  return { header, centroids, grid, facts };
}

/** Copies the codes and the ids of every list to where the larger index has them. */
async function copyLists(
  from: ReadHandle,
  header: IvfHeader,
  out: WriteHandle,
  layout: IvfLayout,
  onRows: (done: number) => void,
): Promise<void> {
  const codeBytes = 4 * header.dims;
  let done = 0;
  await atOnce(LISTS_AT_ONCE, Array(header.nlist).keys(), async (list) => {
    const size = header.sizes[list];
    const [codes, ids] = [header.offsets[list], header.offsets[list] + size * codeBytes];
    await copyBytes(from, codes, size * codeBytes, out, layout.offsets[list]);
    await copyBytes(from, ids, size * ID_BYTES, out, layout.offsets[list] + layout.sizes[list] * codeBytes);
    done += size;
    onRows(done);
  });
}

async function copyBytes(
  from: ReadHandle,
  position: number,
  bytes: number,
  out: WriteHandle,
  to: number,
): Promise<void> {
  const piece = new Uint8Array(Math.min(bytes, PIECE_BYTES));
  for (let done = 0; done < bytes; done += piece.length) {
    const part = piece.subarray(0, Math.min(piece.length, bytes - done));
    if ((await from.read(part, position + done)) !== part.length) {
      throw new Error(`${from.path} became shorter while it was copied`);
    }
    await out.write(part, to + done);
  }
}
