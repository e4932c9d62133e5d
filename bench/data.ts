/**
 * The generated data of one benchmark: made when first asked for, then shared by all questions, and by the next
 * benchmark when its folder is kept. Projects get their runs as hard links. Knows no question.
 */
import { existsSync, linkSync, mkdirSync, renameSync, rmSync, writeFileSync } from 'node:fs';
import { dirname, join } from 'node:path';
import { formatNpyHeader } from '../src/arrays/npy-header.js';
import { generateRuns, runName } from './generate.js';
import type { Sizes } from './sizes.js';

const SEED = 1;
const NPY = 'embeddings.npy';
/** Runs from this number on are in no collection: rows that nothing was trained on. */
const HELD_OUT = 900_000;
const RUNS_FOLDER = 'consolidated_data/runs';
const TINY = { rows: 4, dims: 8 };

export class Data {
  private readonly pool: string;

  constructor(
    readonly directory: string,
    private readonly sizes: Sizes,
    private readonly say: (line: string) => void,
  ) {
    this.pool = join(directory, `data-${sizes.rows}x${sizes.dims}`);
  }

  /** An npy file of so many rows of the same clusters that are in no collection. */
  async heldOut(rows: number): Promise<string> {
    const [path] = await this.files(HELD_OUT, 1, rows, join(this.pool, `held-out-${rows}`));
    return path;
  }

  /** An npy file of one run of the collection. */
  async run(number: number): Promise<string> {
    const [path] = await this.files(number, 1, this.sizes.rows, this.pool);
    return path;
  }

  /** Puts runs `from` up to, not including, `to` into a project. */
  async addRuns(project: string, from: number, to: number): Promise<void> {
    const files = await this.files(from, to - from, this.sizes.rows, this.pool);
    for (const [i, file] of files.entries()) {
      const path = join(runsOf(project), runName(from + i), NPY);
      mkdirSync(dirname(path), { recursive: true });
      linkSync(file, path);
    }
  }

  private async files(first: number, runs: number, rows: number, folder: string): Promise<string[]> {
    const numbers = Array.from({ length: runs }, (_, i) => first + i);
    const lacking = numbers.filter((run) => !existsSync(join(folder, runName(run))));
    if (lacking.length > 0) {
      this.say(`generating ${lacking.length} x ${rows} rows of ${this.sizes.dims} dimensions`);
      // Under another name until it is whole, so that what an interrupted benchmark left is not taken for data.
      const making = join(folder, 'making');
      rmSync(making, { recursive: true, force: true });
      const [start] = lacking;
      const span = lacking[lacking.length - 1] + 1 - start;
      await generateRuns(making, { first: start, runs: span, rows, dims: this.sizes.dims, seed: SEED });
      mkdirSync(join(folder, 'bench'), { recursive: true });
      for (const run of lacking) renameSync(join(making, runName(run)), join(folder, runName(run)));
      rmSync(making, { recursive: true });
    }
    return numbers.map((run) => join(folder, runName(run), NPY));
  }
}

/** The folder of runs of a project. */
export function runsOf(project: string): string {
  return join(project, RUNS_FOLDER);
}

/** Takes a run out of a project. */
export function removeRun(project: string, run: number): void {
  rmSync(join(runsOf(project), runName(run)), { recursive: true, force: true });
}

/** So many runs of 4 x 8 values, none twice; their files, relative to the project. */
export function addTinyRuns(project: string, runs: number): string[] {
  const header = formatNpyHeader({ dtype: 'f4', ...TINY });
  return Array.from({ length: runs }, (_, run) => {
    const path = join(RUNS_FOLDER, runName(run), NPY);
    mkdirSync(dirname(join(project, path)), { recursive: true });
    const values = Float32Array.from({ length: TINY.rows * TINY.dims }, (_, i) => Math.sin(run * 32 + i));
    writeFileSync(join(project, path), Buffer.concat([header, new Uint8Array(values.buffer)]));
    return path;
  });
}
