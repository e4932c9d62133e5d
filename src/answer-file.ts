/** The file that `search --output` writes. It replaces an earlier answer and nothing else. Knows no reference. */
import { FirnError } from './errors.js';
import type { ReadPort } from './files/port.js';

/** How an answer begins, or the list of answers to a file of sequences; those of the older system begin so, too. */
const ANSWER = /^\s*(\[\s*(\]|\{\s*"query"\s*:)|\{\s*"query"\s*:)/;
/** bytes */
const START = 100;

/** FirnError (conflict) when something is at `path` that is no answer of a search: a slip of the hand must not cost a run. */
export async function expectAnswerFile(port: ReadPort, path: string): Promise<void> {
  const stat = port.stat(path);
  if (stat === undefined || (stat.kind === 'file' && stat.size === 0)) return;
  if (stat.kind === 'file' && ANSWER.test(await startOf(port, path))) return;
  const what = stat.kind === 'file' ? 'is there already and is no answer of a search' : 'is no regular file';
  throw new FirnError('conflict', what, {
    path,
    advice: 'Name another file for --output, or print with --json.',
  });
}

async function startOf(port: ReadPort, path: string): Promise<string> {
  const handle = await port.open(path);
  try {
    const bytes = new Uint8Array(START);
    return Buffer.from(bytes.subarray(0, await handle.read(bytes, 0))).toString('latin1');
  } finally {
    await handle.close();
  }
}
