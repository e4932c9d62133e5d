/** The arrays of runs by their headers: what opens, with which shape, and what does not. Knows no reference. */
import { join } from 'node:path';
import { openArray } from '../arrays/open.js';
import type { ArrayShape } from '../arrays/types.js';
import { atOnce } from '../at-once.js';
import type { FileStat, ReadPort } from '../files/port.js';
import { NPY_FILE, NPZ_FILE, type Run } from '../runs/discover.js';
import { type CopyNote, readCopyNote } from '../runs/run-array.js';

/** One file of a run; it has a shape, or an error that says why not. */
export interface ArrayLook {
  /** Absolute. */
  path: string;
  stat: FileStat;
  shape?: ArrayShape;
  error?: unknown;
}

export interface RunLook {
  run: Run;
  npy: ArrayLook | undefined;
  npz: ArrayLook | undefined;
  /** Of the npz, when firn made it. */
  note: CopyNote | undefined;
}

/** Files that are open at a time. */
const AT_ONCE = 16;

/** The file that holds the truth of the run. */
export function truthOf({ npy, npz }: RunLook): ArrayLook {
  return (npy ?? npz) as ArrayLook;
}

/** Reads headers only. By the names of the runs, in their order. */
export async function lookAtRuns(
  port: ReadPort,
  runs: readonly Run[],
  signal: AbortSignal,
): Promise<Map<string, RunLook>> {
  const looks = new Map<string, RunLook>();
  for (const run of runs) looks.set(run.name, { run, npy: undefined, npz: undefined, note: undefined });
  await atOnce(AT_ONCE, runs, async (run) => {
    signal.throwIfAborted();
    const look = looks.get(run.name) as RunLook;
    if (run.npy !== undefined) look.npy = await lookAtArray(port, join(run.directory, NPY_FILE), run.npy);
    if (run.npz === undefined) return;
    look.npz = await lookAtArray(port, join(run.directory, NPZ_FILE), run.npz);
    if (run.npy !== undefined) look.note = await readCopyNote(port, look.npz.path);
  });
  return looks;
}

export async function lookAtArray(port: ReadPort, path: string, stat: FileStat): Promise<ArrayLook> {
  try {
    const reader = await openArray(port, path);
    const { dtype, rows, dims } = reader;
    await reader.close();
    return { path, stat, shape: { dtype, rows, dims } };
  } catch (error) {
    return { path, stat, error };
  }
}
