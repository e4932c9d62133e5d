/** Copies of files that left the project: nobody can make them again, so damage has to be told. Changes no copy. */
import { join } from 'node:path';
import { atOnce } from '../at-once.js';
import { goodSince } from './compare.js';
import { payloadPath } from './destination.js';
import { isLeft } from './settle.js';
import type { State, Work } from './stage-files.js';

/** Looks at them as at all other copies: by size and date, or at every byte. Damaged ones are problems of the result. */
export async function checkRetained(work: Work, state: State): Promise<void> {
  const { port, directory, prune = false, workers, signal } = work;
  const { backup, sources, result } = state;
  const present = new Set(sources.files.map(({ path }) => path));
  const retained = [...(backup?.files ?? [])].filter(
    ([path]) => !present.has(path) && (!prune || isLeft(state, path)),
  );
  let done = 0;
  const onBytes = (bytes: number): void => {
    done += bytes;
    work.onProgress({ phase: 'comparing', done, total: undefined });
  };
  const damaged: string[] = [];
  await atOnce(workers.size, retained, async ([path, held]) => {
    signal.throwIfAborted();
    const written = await goodSince({ ...work, onBytes }, path, held);
    if (written === undefined) damaged.push(path);
    else backup?.files.set(path, { ...held, note: { ...held.note, written } });
  });
  for (const path of damaged.sort()) {
    // That one is missing is told with the bag as it is in the end.
    if (port.stat(join(directory, payloadPath(path))) === undefined) continue;
    const message = 'its copy in the backup is damaged, and it is not in the project any more';
    result.problems.push({ path, message });
  }
}
