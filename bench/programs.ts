/** Where firn, its workers and the peers stand, and how they are started. Runs nothing. */
import { fileURLToPath } from 'node:url';

export const REPOSITORY = fileURLToPath(new URL('../..', import.meta.url));

const CLI = fileURLToPath(new URL('../src/start.cjs', import.meta.url));

/** The program `firn` as a user starts it. */
export function firn(...args: string[]): string[] {
  return [process.execPath, CLI, ...args];
}

/** A part of firn's library in a process of its own. */
export function worker(name: string, ...args: string[]): string[] {
  return [process.execPath, fileURLToPath(new URL(`workers/${name}.js`, import.meta.url)), ...args];
}

/** The path of a script in bench/peers/. */
export function peer(script: string): string {
  return fileURLToPath(new URL(`../../bench/peers/${script}`, import.meta.url));
}
