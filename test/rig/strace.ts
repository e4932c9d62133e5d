/**
 * Faults from outside the process, so that nothing in it can hide them: strace lets a system call fail, or kills the program
 * when it makes it. All work on files is done by one thread (UV_THREADPOOL_SIZE=1), so that "the third fsync" is the same one
 * every time.
 */
import { spawn } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { join } from 'node:path';
import { temporaryFolder } from './folder.js';
import { PROGRAM, type TestProject } from './project.js';
import { programLacks } from './where.js';

/** Calls that change files, as Node makes them. */
export const CALLS = ['mkdir', 'pwrite64', 'fsync', 'rename', 'unlink', 'rmdir', 'copy_file_range'] as const;
export type Call = (typeof CALLS)[number];

export interface Traced {
  /** Null when it was killed. */
  code: number | null;
  stderr: string;
  /** The calls that change files, one a line, with the paths of open files. */
  calls: string[];
}

/** Why strace cannot be used here; undefined when it can. */
export function straceLacks(): string | undefined {
  return programLacks('strace', '-f', '-o', '/dev/null', 'true');
}

/** Runs `firn` in the project; `inject` as strace's option of that name, such as `fsync:error=EIO:when=3`. */
export function traced(project: TestProject, inject: string | undefined, ...args: string[]): Promise<Traced> {
  const log = join(temporaryFolder(), 'calls');
  const options = ['-f', '-y', '-o', log, '-e', `trace=${CALLS.join()}`];
  if (inject !== undefined) options.push('-e', `inject=${inject}`);
  const child = spawn('strace', [...options, process.execPath, PROGRAM, ...args], {
    cwd: project.root,
    env: { ...process.env, NO_COLOR: '1', UV_THREADPOOL_SIZE: '1', UV_USE_IO_URING: '0', ...project.env },
    stdio: ['ignore', 'ignore', 'pipe'],
  });
  let stderr = '';
  child.stderr.on('data', (chunk) => {
    stderr += chunk;
  });
  return new Promise((resolve, reject) => {
    child.on('error', reject);
    child.on('close', (code) => {
      resolve({ code, stderr, calls: readFileSync(log, 'utf8').split('\n') });
    });
  });
}

/** How often a call was made. */
export function countOf(calls: readonly string[], call: Call): number {
  return calls.filter((line) => new RegExp(`^\\d+ +${call}\\(`).test(line)).length;
}
