/**
 * A project in a temporary folder, driven through the real program. Runs are made from a seed, so that a test can say
 * which values it expects without keeping them.
 */
import { type ChildProcess, spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import {
  cpSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNpy } from '../../src/arrays/npy-writer.js';
import { disk } from '../../src/files/disk.js';
import { temporaryFolder } from './folder.js';

export const PROGRAM = fileURLToPath(new URL('../../src/start.cjs', import.meta.url));
const LIMIT_MS = 120_000;

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface Running {
  child: ChildProcess;
  finished: Promise<Finished>;
}

export interface BuildJson {
  ran: number;
  fresh: number;
  restored: number;
  failed: number;
  skipped: number;
  steps: {
    id: string;
    status: string;
    reason: string;
    seconds: number;
    error?: string;
    stats?: Record<string, unknown>;
  }[];
}

export interface PlanJson {
  dryRun: true;
  steps: { id: string; status: 'fresh' | 'run' | 'restore' | 'maybe' | 'blocked'; reason: string }[];
}

/** What consolidated_metadata.json says, as far as tests ask. */
export interface Metadata {
  total_sequences: number;
  total_runs: number;
  embedding_dim: number;
  firn: { embeddings: string; layout: string; trained_rows?: number };
  runs: {
    dataset: string;
    run_id: string;
    start: number;
    count: number;
    version: string | null;
    retained: boolean;
  }[];
  sequences: { dataset: string; run_id: string; seq_idx: number; source_file: string }[];
}

export interface Reference {
  metadata: Metadata;
  /** `dataset/run` in the order of rows. */
  names: string[];
  retained: string[];
  /** The array behind its header. */
  data: Buffer;
  rowsOf(name: string): Float32Array;
}

/** Values in [-1, 1) that depend on the seed only (mulberry32). */
export function seededValues(seed: number, count: number): Float32Array {
  let state = seed >>> 0;
  return Float32Array.from({ length: count }, () => {
    state = (state + 0x6d2b79f5) >>> 0;
    let mixed = Math.imul(state ^ (state >>> 15), 1 | state);
    mixed = (mixed + Math.imul(mixed ^ (mixed >>> 7), 61 | mixed)) ^ mixed;
    return ((mixed ^ (mixed >>> 14)) >>> 0) / 2 ** 31 - 1;
  });
}

export class TestProject {
  readonly root: string;

  /** Added to the environment of the program. */
  env: Record<string, string> = {};

  constructor(pipeline?: string, root = temporaryFolder()) {
    this.root = root;
    if (pipeline !== undefined) this.write('pipeline.yaml', pipeline);
  }

  /** Another project with the same files, cache and all: as if it had been built the same way. */
  clone(): TestProject {
    const copy = new TestProject();
    cpSync(this.root, copy.root, { recursive: true, preserveTimestamps: true, verbatimSymlinks: true });
    return copy;
  }

  path(name: string): string {
    return join(this.root, name);
  }

  write(name: string, content: string | Uint8Array): void {
    mkdirSync(dirname(this.path(name)), { recursive: true });
    writeFileSync(this.path(name), content);
  }

  read(name: string): Buffer {
    return readFileSync(this.path(name));
  }

  exists(name: string): boolean {
    return existsSync(this.path(name));
  }

  remove(name: string): void {
    rmSync(this.path(name), { recursive: true });
  }

  sha256(name: string): string {
    return createHash('sha256').update(this.read(name)).digest('hex');
  }

  /** Sets mtime to so many days ago. */
  age(name: string, days: number): void {
    const time = (Date.now() - days * 86_400_000) / 1000;
    utimesSync(this.path(name), time, time);
  }

  mtime(name: string): number {
    return statSync(this.path(name)).mtimeMs;
  }

  /** Writes `consolidated_data/runs/<name>/embeddings.npy`; the same seed gives the same values. */
  async writeRun(name: string, { rows = 20, dims = 8, seed = 1 } = {}): Promise<Float32Array> {
    const values = seededValues(seed, rows * dims);
    const path = this.path(`consolidated_data/runs/${name}/embeddings.npy`);
    mkdirSync(dirname(path), { recursive: true });
    rmSync(path, { force: true });
    const writer = await createNpy(disk, path, { dtype: 'f4', dims, rows });
    await writer.write(new Uint8Array(values.buffer));
    await writer.finish();
    return values;
  }

  /** What is below a folder: path -> kind, size, mtime and digest of everything, folders included. */
  snapshot(folder = '.'): Map<string, string> {
    const found = new Map<string, string>();
    for (const name of readdirSync(this.path(folder), { recursive: true, encoding: 'utf8' }).sort()) {
      const path = join(folder, name);
      const stat = lstatSync(this.path(path), { bigint: true });
      const content = stat.isFile() ? this.sha256(path) : 'folder';
      found.set(path, `${stat.mode} ${stat.size} ${stat.mtimeNs} ${content}`);
    }
    return found;
  }

  /** path -> sha256 of the files in a folder. */
  digests(folder: string): { [path: string]: string } {
    const names = readdirSync(this.path(folder), { recursive: true, encoding: 'utf8' }).sort();
    const files = names
      .map((name) => join(folder, name))
      .filter((path) => statSync(this.path(path)).isFile());
    return Object.fromEntries(files.map((path) => [path, this.sha256(path)]));
  }

  /** Hidden files and folders that firn makes while it works, anywhere in the project. */
  leftovers(): string[] {
    const all = readdirSync(this.root, { recursive: true, encoding: 'utf8' });
    return all.filter((path) => /(^|\/)\.firn-/.test(path)).sort();
  }

  /** A reference as its files say. */
  reference(directory = 'data/reference'): Reference {
    const bytes = this.read(`${directory}/consolidated_embeddings.npy`);
    const data = bytes.subarray(10 + bytes.readUInt16LE(8));
    const metadata = JSON.parse(
      this.read(`${directory}/consolidated_metadata.json`).toString('utf8'),
    ) as Metadata;
    const dims = metadata.embedding_dim;
    return {
      metadata,
      names: metadata.runs.map((range) => `${range.dataset}/${range.run_id}`),
      retained: metadata.runs
        .filter((range) => range.retained)
        .map((range) => `${range.dataset}/${range.run_id}`),
      data,
      rowsOf(name) {
        const range = metadata.runs.find(({ dataset, run_id }) => `${dataset}/${run_id}` === name);
        if (range === undefined) throw new Error(`${name} is not in ${directory}`);
        const copy = Uint8Array.from(
          data.subarray(range.start * dims * 4, (range.start + range.count) * dims * 4),
        );
        return new Float32Array(copy.buffer);
      },
    };
  }

  /** Starts `firn` in the project. */
  start(...args: string[]): Running {
    const child = spawn(process.execPath, [PROGRAM, ...args], {
      cwd: this.root,
      env: { ...process.env, NO_COLOR: '1', ...this.env },
      stdio: ['ignore', 'pipe', 'pipe'],
      timeout: LIMIT_MS,
    });
    const finished = new Promise<Finished>((resolve, reject) => {
      let stdout = '';
      let stderr = '';
      child.stdout.on('data', (chunk) => {
        stdout += chunk;
      });
      child.stderr.on('data', (chunk) => {
        stderr += chunk;
      });
      child.on('error', reject);
      child.on('close', (code) => resolve({ code, stdout, stderr }));
    });
    return { child, finished };
  }

  /** Runs `firn` in the project. */
  firn(...args: string[]): Promise<Finished> {
    return this.start(...args).finished;
  }

  /** `firn build --json`, whatever its exit code. */
  async build(...args: string[]): Promise<BuildJson> {
    return parse<BuildJson>(await this.firn('build', '--json', ...args));
  }

  /** `firn build --dry-run --json`. */
  async plan(...args: string[]): Promise<PlanJson> {
    return parse<PlanJson>(await this.firn('build', '--dry-run', '--json', ...args));
  }
}

/** The one outcome of a step. */
export function stepOf<R extends BuildJson | PlanJson>(result: R, id: string): R['steps'][number] {
  const step = result.steps.find((one) => one.id === id);
  if (step === undefined)
    throw new Error(`no step ${id} among ${result.steps.map((one) => one.id).join(', ')}`);
  return step;
}

export function parse<T>(finished: Finished): T {
  try {
    return JSON.parse(finished.stdout) as T;
  } catch {
    throw new Error(`firn printed no JSON (exit ${finished.code}):\n${finished.stdout}\n${finished.stderr}`);
  }
}

/** The ids of steps with this status, sorted. */
export function idsWith(result: BuildJson | PlanJson, ...status: string[]): string[] {
  return result.steps
    .filter((step) => status.includes(step.status))
    .map((step) => step.id)
    .sort();
}
