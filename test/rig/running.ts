/** A `firn` that runs while the test does something: what its programs write is waited for, never the clock. */
import { spawnSync } from 'node:child_process';
import { type Finished, PROGRAM, type Running, type TestProject } from './project.js';

/** Settles when the condition holds; fails when firn ends before. */
export async function waitFor(running: Running, what: string, holds: () => boolean): Promise<void> {
  let ended: Finished | undefined;
  void running.finished.then((finished) => {
    ended = finished;
  });
  while (!holds()) {
    if (ended !== undefined) throw new Error(`firn ended (${ended.code}) before ${what}:\n${ended.stderr}`);
    await new Promise((resolve) => setTimeout(resolve, 10));
  }
}

/** Settles when the file is there, as a program that firn runs may write it. */
export function waitForFile(project: TestProject, name: string, running: Running): Promise<void> {
  return waitFor(running, `${name} was there`, () => project.exists(name));
}

/** A shell line in the project, with `firn` as a function; its standard output and error as they came. */
export function shell(project: TestProject, line: string, env: Record<string, string> = {}): Finished {
  const script = `firn() { '${process.execPath}' '${PROGRAM}' "$@"; }\n${line}`;
  const { status, stdout, stderr } = spawnSync('bash', ['-c', script], {
    cwd: project.root,
    env: { ...process.env, ...env },
    encoding: 'utf8',
    timeout: 60_000,
  });
  return { code: status, stdout, stderr };
}

/** Runs the work for all items, two at a time: starting a program takes longer than what it does. */
export async function forAll<T>(items: readonly T[], work: (item: T) => Promise<void>): Promise<void> {
  const queue = [...items];
  const one = async (): Promise<void> => {
    for (let item = queue.shift(); item !== undefined; item = queue.shift()) await work(item);
  };
  await Promise.all([one(), one()]);
}
