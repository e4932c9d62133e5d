/**
 * Tests that need something of the machine. Where it is lacking they are skipped and say so; a test that found out by itself
 * and returned would count as passed, and the runner fails a file that says of more tests that they are skipped than are.
 */
import { spawnSync } from 'node:child_process';

export type Run = () => void | Promise<void>;
export type Suite = { (name: string, run: Run): void; skip(name?: string, run?: Run): void };

/** Registers a test; where something `lacks`, it is skipped and says so. */
export function testWhere(suite: Suite, lacks: string | undefined, name: string, run: Run): void {
  if (lacks === undefined) {
    suite(name, run);
  } else {
    console.log(`SKIPPED ${name}: ${lacks}`);
    suite.skip(name, run);
  }
}

/** Why a program cannot be run here, or not so; undefined when it ends well. */
export function programLacks(program: string, ...args: string[]): string | undefined {
  const { status, stderr, error } = spawnSync(program, args, { encoding: 'utf8' });
  if (error !== undefined) return `${program} cannot be run: ${error.message}`;
  return status === 0 ? undefined : `${program} cannot do it here: ${stderr.trim().split('\n')[0]}`;
}

/** Nobody's user number, as Linux has it. */
const NOBODY = 65534;

/** Does the work as a user whom rights can refuse something: root lays down its own meanwhile. */
export async function withoutRights<T>(work: () => Promise<T>): Promise<T> {
  if (process.geteuid?.() !== 0) return work();
  process.seteuid?.(NOBODY);
  try {
    return await work();
  } finally {
    process.seteuid?.(0);
  }
}
