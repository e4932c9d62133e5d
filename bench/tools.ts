/** The programs that firn is measured against, and their versions. Knows no question. */
import { spawnSync } from 'node:child_process';
import { existsSync } from 'node:fs';
import { GNU_TIME } from './measure.js';
import { peer } from './programs.js';

/** `time` is GNU time, which tells the memory; `taskset` holds a program to one core. */
export type Tool = 'numpy' | 'faiss' | 'ninja' | 'make' | 'snakemake' | 'openssl' | 'taskset' | 'time';

/** The version of each tool, or undefined where it is missing. */
export type Versions = { [tool in Tool]: string | undefined };

export function findTools(python: string): Versions {
  const modules = pythonModules(python);
  return {
    numpy: modules.numpy,
    faiss: modules.faiss,
    ninja: firstLine('ninja', '--version'),
    make: firstLine('make', '--version')?.replace(/^GNU Make /, ''),
    snakemake: firstLine('snakemake', '--version'),
    openssl: firstLine('openssl', 'version')?.replace(/^OpenSSL (\S+).*/, '$1'),
    taskset: firstLine('taskset', '--version')?.replace(/^taskset from /, ''),
    time: existsSync(GNU_TIME) ? 'GNU' : undefined,
  };
}

function pythonModules(python: string): { numpy?: string; faiss?: string } {
  const result = spawnSync(python, [peer('versions.py')], { encoding: 'utf8' });
  if (result.error !== undefined || result.status !== 0) return {};
  return JSON.parse(result.stdout) as { numpy?: string; faiss?: string };
}

function firstLine(program: string, ...args: string[]): string | undefined {
  const result = spawnSync(program, args, { encoding: 'utf8' });
  if (result.error !== undefined || result.status !== 0) return undefined;
  return result.stdout.split('\n')[0].trim();
}
