/**
 * The row list of metadata that another program wrote (`sequences`: one object a row), read as a stream and kept as
 * ranges: consecutive rows of one run. Memory grows with runs, not with rows.
 */
import { JSONParser } from '@streamparser/json';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';

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

/** FirnError (input) when the file is not such metadata. */
export async function readRowSources(port: ReadPort, path: string): Promise<RowSource[]> {
  const ranges: RowSource[] = [];
  let rows = 0;
  // Older files are the bare list.
  const parser = new JSONParser({ paths: ['$.sequences.*', '$.*'], keepStack: false });
  parser.onValue = ({ value, key, stack }) => {
    const inList = typeof key === 'number' && (stack.length === 1 || stack[1]?.key === 'sequences' || stack[1]?.key === undefined);
    if (!inList) return;
    take(ranges, rows, value as unknown, path);
    rows += 1;
  };
  let failure: Error | undefined;
  parser.onError = (error) => {
    failure = error;
  };
  const handle = await port.open(path);
  try {
    const block = Buffer.allocUnsafe(BLOCK);
    for (let position = 0; failure === undefined; ) {
      const read = await handle.read(block, position);
      if (read === 0) break;
      parser.write(block.subarray(0, read));
      position += read;
    }
  } catch (error) {
    failure = error as Error;
  } finally {
    await handle.close();
  }
  if (failure instanceof FirnError) throw failure;
  if (failure !== undefined) throw new FirnError('input', `is not valid JSON: ${failure.message}`, { path });
  return ranges;
}

function take(ranges: RowSource[], row: number, value: unknown, path: string): void {
  const entry = value as { dataset?: unknown; run_id?: unknown; seq_idx?: unknown; source_file?: unknown } | null;
  if (typeof entry?.dataset !== 'string' || typeof entry.run_id !== 'string' || typeof entry.seq_idx !== 'number') {
    throw new FirnError('input', `says of row ${row} not what it needs to: dataset, run_id and seq_idx`, {
      path,
      advice: 'Expected {"sequences": [{"dataset": ..., "run_id": ..., "seq_idx": ..., "source_file": ...}, ...]}.',
    });
  }
  const last = ranges[ranges.length - 1];
  if (last !== undefined && last.dataset === entry.dataset && last.run_id === entry.run_id && last.seqIdx + last.count === entry.seq_idx) {
    last.count += 1;
    return;
  }
  ranges.push({
    dataset: entry.dataset,
    run_id: entry.run_id,
    start: row,
    count: 1,
    seqIdx: entry.seq_idx,
    source_file: typeof entry.source_file === 'string' ? entry.source_file : '',
  });
}
