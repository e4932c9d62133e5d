/**
 * A project in a temporary folder, driven through the real program. Runs are made from a seed, so that a test can say
 * which values it expects without keeping them.
 */
import { spawn } from 'node:child_process';
import { createHash } from 'node:crypto';
import { existsSync, mkdirSync, mkdtempSync, readFileSync, rmSync, statSync, utimesSync, writeFileSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { createNpy } from '../../src/arrays/npy-writer.js';
import { disk } from '../../src/files/disk.js';

const PROGRAM = fileURLToPath(new URL('../../src/cli.js', import.meta.url));
const LIMIT_MS = 120_000;

export interface Finished {
  code: number | null;
  stdout: string;
  stderr: string;
}

export interface BuildJson {
  ran: number;
  fresh: number;
  restored: number;
  failed: number;
  skipped: number;
  steps: { id: string; status: string; reason: string; seconds: number; error?: string; stats?: Record<string, unknown> }[];
}

export interface PlanJson {
  dryRun: true;
  steps: { id: string; status: 'fresh' | 'run' | 'restore' | 'maybe' | 'blocked'; reason: string }[];
}

const made: string[] = [];
process.on('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

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
  readonly root = mkdtempSync(join(tmpdir(), 'firn-test-'));

  constructor(pipeline?: string) {
    made.push(this.root);
    if (pipeline !== undefined) this.write('pipeline.yaml', pipeline);
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

  /** Runs `firn` in the project. */
  firn(...args: string[]): Promise<Finished> {
    return new Promise((resolve, reject) => {
      const child = spawn(process.execPath, [PROGRAM, ...args], {
        cwd: this.root,
        env: { ...process.env, NO_COLOR: '1' },
        stdio: ['ignore', 'pipe', 'pipe'],
        timeout: LIMIT_MS,
      });
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

function parse<T>(finished: Finished): T {
  try {
    return JSON.parse(finished.stdout) as T;
  } catch {
    throw new Error(`firn printed no JSON (exit ${finished.code}):\n${finished.stdout}\n${finished.stderr}`);
  }
}

/** The ids of steps with this status, sorted. */
export function idsWith(result: BuildJson | PlanJson, ...status: string[]): string[] {
  return result.steps.filter((step) => status.includes(step.status)).map((step) => step.id).sort();
}
