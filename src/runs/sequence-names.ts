/** Names of sequences, from the file that a run made by firn carries: line i names row i. */
import { join } from 'node:path';
import type { ReadPort } from '../files/port.js';
import { SEQUENCE_NAMES_FILE } from './run-facts.js';
import { isRunName } from './run-name.js';

const BLOCK = 256 * 1024;

/** For each place its name, or null where the run has none (or a name that leads elsewhere). Each file is read once, up to the last line asked for. */
export async function readNames(
  port: ReadPort,
  runsDir: string,
  places: readonly { run: string; seqIdx: number }[],
): Promise<(string | null)[]> {
  const wanted = new Map<string, Set<number>>();
  for (const { run, seqIdx } of places) wanted.set(run, (wanted.get(run) ?? new Set()).add(seqIdx));
  const found = new Map<string, Map<number, string>>();
  for (const [run, lines] of wanted) {
    if (!isRunName(run)) continue;
    const path = join(runsDir, run, SEQUENCE_NAMES_FILE);
    if (port.stat(path)?.kind === 'file') found.set(run, await readLines(port, path, lines));
  }
  return places.map(({ run, seqIdx }) => found.get(run)?.get(seqIdx) ?? null);
}

async function readLines(
  port: ReadPort,
  path: string,
  wanted: ReadonlySet<number>,
): Promise<Map<number, string>> {
  const found = new Map<number, string>();
  const handle = await port.open(path);
  try {
    const block = Buffer.allocUnsafe(BLOCK);
    let line = 0;
    let rest = Buffer.alloc(0);
    for (let position = 0; found.size < wanted.size; ) {
      const read = await handle.read(block, position);
      position += read;
      const text = Buffer.concat([rest, block.subarray(0, read)]);
      let start = 0;
      for (let end = text.indexOf(10); end !== -1; end = text.indexOf(10, start)) {
        if (wanted.has(line)) found.set(line, text.toString('utf8', start, end));
        line += 1;
        start = end + 1;
      }
      if (read === 0) break;
      rest = Buffer.from(text.subarray(start));
    }
    return found;
  } finally {
    await handle.close();
  }
}
