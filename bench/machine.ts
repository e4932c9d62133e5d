/** What a measurement was made on and with. Knows no question. */
import { spawnSync } from 'node:child_process';
import { readFileSync } from 'node:fs';
import { availableParallelism, cpus, loadavg, release, totalmem, type } from 'node:os';
import { join } from 'node:path';
import { REPOSITORY } from './programs.js';
import type { Versions } from './tools.js';

/** Names and values in the order in which they are shown. */
export type Environment = { [name: string]: string };

/** Everything but the load, which changes from question to question. */
export function environmentOf(tools: Versions): Environment {
  const found: Environment = {
    CPU: cpus()[0]?.model ?? 'unknown',
    cores: String(availableParallelism()),
    memory: `${(totalmem() / 2 ** 30).toFixed(1)} GiB`,
    kernel: `${type()} ${release()}`,
    firn: firnVersion(),
    'Node.js': process.version.slice(1),
  };
  for (const [tool, version] of Object.entries(tools)) {
    if (tool !== 'time' && tool !== 'taskset') found[tool] = version ?? 'missing';
  }
  return found;
}

/** Load average of one, five and fifteen minutes. */
export function loadNow(): string {
  return loadavg()
    .map((load) => load.toFixed(2))
    .join(', ');
}

function firnVersion(): string {
  const { version } = JSON.parse(readFileSync(join(REPOSITORY, 'package.json'), 'utf8')) as {
    version: string;
  };
  const commit = git('rev-parse', '--short', 'HEAD');
  if (commit === undefined) return version;
  const changed = git('status', '--porcelain', '--', 'src', 'rules', 'bench') === '' ? '' : ', with changes';
  return `${version}, commit ${commit}${changed}`;
}

function git(...args: string[]): string | undefined {
  const result = spawnSync('git', args, { cwd: REPOSITORY, encoding: 'utf8' });
  return result.status === 0 ? result.stdout.trim() : undefined;
}
