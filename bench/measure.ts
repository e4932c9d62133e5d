/** Running a program and saying what it took: wall-clock seconds and peak resident memory, by GNU time. */
import { spawn } from 'node:child_process';
import { mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

export interface Measured {
  seconds: number;
  /** peak resident set, MiB */
  memory: number;
  stdout: string;
}

export interface Program {
  argv: string[];
  cwd: string;
  /** Puts things as they were before the next run; not measured. */
  prepare?: () => void | Promise<void>;
}

/** Once. Throws with the program's output when it fails. */
export async function measureOnce(program: Program): Promise<Measured> {
  await program.prepare?.();
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-time-'));
  const report = join(folder, 'report');
  try {
    const began = process.hrtime.bigint();
    const stdout = await run(['/usr/bin/time', '-f', '%M', '-o', report, ...program.argv], program.cwd);
    const seconds = Number(process.hrtime.bigint() - began) / 1e9;
    return { seconds, memory: Number(readFileSync(report, 'utf8').trim()) / 1024, stdout };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** Firn and its peer in turn, so that both meet the same machine. Medians. */
export async function sideBySide(programs: Program[], repeats: number): Promise<Measured[]> {
  const all: Measured[][] = programs.map(() => []);
  for (let i = 0; i < repeats; i++) {
    for (const [p, program] of programs.entries()) all[p].push(await measureOnce(program));
  }
  return all.map((runs) => ({
    seconds: median(runs.map((one) => one.seconds)),
    memory: median(runs.map((one) => one.memory)),
    stdout: runs[runs.length - 1].stdout,
  }));
}

export function median(values: number[]): number {
  const sorted = [...values].sort((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length % 2 === 1 ? sorted[middle] : (sorted[middle - 1] + sorted[middle]) / 2;
}

function run(argv: string[], cwd: string): Promise<string> {
  return new Promise((resolve, reject) => {
    const child = spawn(argv[0], argv.slice(1), { cwd, stdio: ['ignore', 'pipe', 'pipe'] });
    let stdout = '';
    let stderr = '';
    child.stdout.on('data', (chunk) => {
      stdout += chunk;
    });
    child.stderr.on('data', (chunk) => {
      stderr += chunk;
    });
    child.on('error', reject);
    child.on('close', (code) => {
      if (code === 0) resolve(stdout);
      else reject(new Error(`${argv.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`));
    });
  });
}
