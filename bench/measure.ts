/**
 * Running programs and saying what they took: wall-clock seconds, and peak resident memory by GNU time. Knows no
 * question.
 */
import { spawn, spawnSync } from 'node:child_process';
import { existsSync, mkdtempSync, readFileSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';
import { type Spread, spreadOf } from './spread.js';

export const GNU_TIME = '/usr/bin/time';

export interface Program {
  argv: string[];
  cwd: string;
  /** Puts things as they were before the next run; not measured. */
  prepare?: () => void | Promise<void>;
  /** Rounds it takes part in (all): for programs that are slow beside the others. */
  rounds?: number;
}

interface Sample {
  seconds: number;
  /** Peak resident set of the largest single process, MiB; null without GNU time. */
  memory: number | null;
  stdout: string;
}

export interface Measured {
  runs: number;
  seconds: Spread;
  memory: Spread | null;
  /** What each run printed. */
  outputs: string[];
}

/** Once. Throws with the program's output when it fails. */
export async function measureOnce(program: Program): Promise<Sample> {
  await program.prepare?.();
  if (!existsSync(GNU_TIME)) return { ...(await timed(program.argv, program.cwd)), memory: null };
  const folder = mkdtempSync(join(tmpdir(), 'firn-bench-time-'));
  const report = join(folder, 'report');
  try {
    const measured = await timed([GNU_TIME, '-f', '%M', '-o', report, ...program.argv], program.cwd);
    return { ...measured, memory: Number(readFileSync(report, 'utf8').trim()) / 1024 };
  } finally {
    rmSync(folder, { recursive: true });
  }
}

/** All programs in turn, round by round, so that they meet the same machine. */
export async function inTurn(programs: Program[], rounds: number): Promise<Measured[]> {
  const all: Sample[][] = programs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [p, program] of programs.entries()) {
      if (round < (program.rounds ?? rounds)) all[p].push(await measureOnce(program));
    }
  }
  return all.map(summary);
}

/**
 * For programs of milliseconds: one round to warm up, which also measures memory, then rounds without GNU time, since
 * starting that would count as well.
 */
export async function shortInTurn(programs: Program[], rounds: number): Promise<Measured[]> {
  const warm: Sample[] = [];
  for (const program of programs) warm.push(await measureOnce(program));
  const all: Sample[][] = programs.map(() => []);
  for (let round = 0; round < rounds; round++) {
    for (const [p, program] of programs.entries()) {
      if (round >= (program.rounds ?? rounds)) continue;
      await program.prepare?.();
      all[p].push({ ...(await timed(program.argv, program.cwd)), memory: warm[p].memory });
    }
  }
  return all.map(summary);
}

/** What was measured has to be what was meant: throws unless every run printed this. */
export function expectPrinted({ outputs }: Measured, expected: string): void {
  const other = outputs.find((text) => !text.includes(expected));
  if (other !== undefined) throw new Error(`expected "${expected}", but a run printed:\n${other}`);
}

function summary(samples: Sample[]): Measured {
  const memory = samples.map((sample) => sample.memory);
  return {
    runs: samples.length,
    seconds: spreadOf(samples.map(({ seconds }) => seconds)),
    memory: memory.some((value) => value === null) ? null : spreadOf(memory as number[]),
    outputs: samples.map(({ stdout }) => stdout),
  };
}

/**
 * Before a program that reads or writes much. Writes what the page cache still holds to disk, and touches the memory that
 * is free: a virtual machine may have lent it back to its host, and a program that is given such pages first waits for them,
 * while the next one is given those of the program before.
 */
export function settleMachine(): void {
  spawnSync('sync');
  spawnSync(process.execPath, ['-e', TOUCH_MEMORY]);
}

/** Up to 8 GiB, and less than is free, so that nothing has to leave the page cache. */
const TOUCH_MEMORY = `
const free = /^MemFree: *(\\d+) kB/m.exec(require('node:fs').readFileSync('/proc/meminfo', 'utf8'));
const blocks = [];
for (let left = Math.min(8 * 2 ** 30, 0.9 * 1024 * free[1]); left > 2 ** 28; left -= 2 ** 28)
  blocks.push(Buffer.alloc(2 ** 28, 1));
`;

/** Not measured. Throws with the program's output when it fails; what it printed. */
export async function runQuietly(argv: string[], cwd: string): Promise<string> {
  return (await timed(argv, cwd)).stdout;
}

function timed(argv: string[], cwd: string): Promise<{ seconds: number; stdout: string }> {
  return new Promise((resolve, reject) => {
    const began = process.hrtime.bigint();
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
      const seconds = Number(process.hrtime.bigint() - began) / 1e9;
      if (code === 0) resolve({ seconds, stdout });
      else reject(new Error(`${argv.join(' ')} ended with ${code}:\n${stdout}\n${stderr}`));
    });
  });
}
