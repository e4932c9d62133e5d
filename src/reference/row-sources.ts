/**
 * The row list of metadata that another program wrote (`sequences`: one object a row), read as a stream and kept as
 * ranges: consecutive rows of one run. Memory grows with runs, not with rows.
 */
import { FirnError, messageOf } from '../errors.js';
import type { ReadHandle, ReadPort } from '../files/port.js';
import { Nesting } from './nesting.js';

/** Consecutive rows `start`.. of one run, whose sequences are `seqIdx`... */
export interface RowSource {
  dataset: string;
  run_id: string;
  start: number;
  count: number;
  seqIdx: number;
  source_file: string;
}

const BLOCK = 1024 * 1024;
export const BYTE_ORDER_MARK = Buffer.from([0xef, 0xbb, 0xbf]);
/** What stands where bytes were no text. */
const LOST = '\ufffd';
const ADVICE =
  'Expected {"sequences": [{"dataset": ..., "run_id": ..., "seq_idx": ..., "source_file": ...}, ...]}.';

/** FirnError (input) when the file is not such metadata. */
export async function readRowSources(port: ReadPort, path: string): Promise<RowSource[]> {
  const handle = await port.open(path);
  try {
    const block = Buffer.allocUnsafe(BLOCK);
    const first = block.subarray(0, await handle.read(block, 0));
    const start = first.subarray(0, 3).equals(BYTE_ORDER_MARK) ? 3 : 0;
    return await readList(handle, start, listIn(first.subarray(start), path));
  } finally {
    await handle.close();
  }
}

/**
 * Where the rows stand: in the member `sequences`, or, in older files, the list is all there is. The parser keeps what a
 * pattern may still match, so it is given the one that applies: with both it would keep the whole list.
 */
function listIn(start: Uint8Array, path: string): '$.sequences.*' | '$.*' {
  const byte = start.find((one) => one !== 0x20 && one !== 0x09 && one !== 0x0a && one !== 0x0d);
  if (byte === '{'.charCodeAt(0)) return '$.sequences.*';
  if (byte === '['.charCodeAt(0)) return '$.*';
  throw new FirnError('input', start.length === 0 ? 'is empty' : 'is no metadata of a reference', {
    path,
    advice: ADVICE,
  });
}

async function readList(handle: ReadHandle, start: number, list: string): Promise<RowSource[]> {
  const { path } = handle;
  const ranges: RowSource[] = [];
  let rows = 0;
  let failure: Error | undefined;
  // Loaded here: most builds read no such list.
  const { JSONParser } = await import('@streamparser/json');
  const parser = new JSONParser({ paths: [list], keepStack: false });
  parser.onValue = ({ value, key }) => {
    if (typeof key !== 'number')
      throw new FirnError('input', '`sequences` is not a list', { path, advice: ADVICE });
    take(ranges, rows, value, path);
    rows += 1;
  };
  parser.onError = (error) => {
    failure ??= error;
  };
  const nesting = new Nesting();
  const block = Buffer.allocUnsafe(BLOCK);
  for (let position = start; failure === undefined; ) {
    const read = await handle.read(block, position);
    if (read === 0) break;
    if (nesting.isTooDeep(block.subarray(0, read)))
      throw new FirnError('input', 'is nested too deeply to be metadata of a reference', {
        path,
        advice: ADVICE,
      });
    try {
      parser.write(block.subarray(0, read));
    } catch (error) {
      failure ??= error as Error;
    }
    position += read;
  }
  if (failure instanceof FirnError) throw failure;
  const advice = 'Restore the file, or have the program that wrote it write it again.';
  if (failure !== undefined)
    throw new FirnError('input', `is not valid JSON: ${messageOf(failure)}`, { path, advice });
  if (!parser.isEnded)
    throw new FirnError('input', `is cut short: it ends after ${rows} rows`, { path, advice });
  if (rows === 0) throw new FirnError('input', 'lists no rows', { path, advice: ADVICE });
  return ranges;
}

function take(ranges: RowSource[], row: number, value: unknown, path: string): void {
  const entry = value as {
    dataset?: unknown;
    run_id?: unknown;
    seq_idx?: unknown;
    source_file?: unknown;
  } | null;
  const seqIdx = entry?.seq_idx;
  if (typeof entry?.dataset !== 'string' || typeof entry.run_id !== 'string' || !isRow(seqIdx)) {
    throw new FirnError('input', `says of row ${row} not what it needs to: dataset, run_id and seq_idx`, {
      path,
      advice: ADVICE,
    });
  }
  const { dataset, run_id } = entry;
  // Two such names may have been different ones; firn itself never writes them so.
  if (dataset.includes(LOST) || run_id.includes(LOST)) {
    throw new FirnError(
      'input',
      `names a run ${JSON.stringify(`${dataset}/${run_id}`)}, part of whose name was lost`,
      {
        path,
        advice:
          'The file is not UTF-8, or the name was not when it was written: mend the name of the run in it.',
      },
    );
  }
  const source_file = typeof entry.source_file === 'string' ? entry.source_file : '';
  const last = ranges[ranges.length - 1];
  const goesOn =
    last !== undefined &&
    last.dataset === dataset &&
    last.run_id === run_id &&
    last.source_file === source_file &&
    last.seqIdx + last.count === seqIdx;
  if (goesOn) last.count += 1;
  else ranges.push({ dataset, run_id, start: row, count: 1, seqIdx, source_file });
}

function isRow(value: unknown): value is number {
  return Number.isSafeInteger(value) && (value as number) >= 0;
}
