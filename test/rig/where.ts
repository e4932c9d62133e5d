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

/** Why nothing is refused to this user; undefined where rights count. */
export function rightsLack(): string | undefined {
  return process.getuid?.() === 0 ? 'nothing is refused to root' : undefined;
}
