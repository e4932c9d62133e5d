/** What all commands share: options of the program, where text goes, exit codes, and the end by a signal. */
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { textOf } from '../system-errors.js';
import { areThreadsBusy } from '../workers/pool.js';
import { formatJson, safe } from './text.js';

export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export interface GlobalOptions {
  /** The folder of pipeline.yaml. */
  directory: string;
}

/** Results. */
export function print(text: string): void {
  process.stdout.write(`${text}\n`);
}

/** Messages. */
export function note(text: string): void {
  process.stderr.write(`${text}\n`);
}

export function printJson(value: unknown): void {
  print(formatJson(value));
}

/** As given nearest to the command. */
export function globalOptions(command: Command): GlobalOptions {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const { directory } = at.opts() as { directory?: string };
    if (directory !== undefined) return { directory };
  }
  return { directory: '.' };
}

const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs a command's action; turns what it throws into a message and an exit code. `endsBySignal`: Ctrl-C is how the command
 * ends, and the code is the one that the action returns.
 */
export async function act(
  action: (signal: AbortSignal) => Promise<number | undefined>,
  { endsBySignal = false } = {},
): Promise<void> {
  const abort = new AbortController();
  const stop = (signal: NodeJS.Signals): void => {
    // The second one leaves at once.
    if (abort.signal.aborted) leave(signal);
    abort.abort(new FirnError('interrupted', 'interrupted'));
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  let code: number | undefined;
  try {
    code = (await action(abort.signal)) ?? EXIT.done;
    process.exitCode = code;
  } catch (error) {
    // Some of what is interrupted throws an error of its own.
    process.exitCode = report(abort.signal.aborted ? abort.signal.reason : error);
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
  if (abort.signal.aborted && !(endsBySignal && code !== undefined)) process.exitCode = EXIT.interrupted;
}

/** Ends the program, and the programs it started. Threads that are at work are not waited for, so the system ends them. */
function leave(signal: NodeJS.Signals): void {
  if (!areThreadsBusy()) process.exit(EXIT.interrupted);
  process.emit('exit', EXIT.interrupted);
  process.removeAllListeners(signal);
  process.kill(process.pid, signal);
}

/** The text of an error for people: safe for a terminal, and with paths as seen from here. */
export function errorText(error: unknown): string {
  const here = `${process.cwd()}/`;
  const text = textOf(error);
  return safe(here === '//' ? text : text.replaceAll(here, ''), true);
}

/** Says what went wrong; the exit code that stands for it. */
export function report(error: unknown): number {
  note(`firn: ${errorText(error)}`);
  if (process.env.FIRN_DEBUG !== undefined && error instanceof Error) note(String(error.stack));
  if (!(error instanceof FirnError)) return EXIT.failed;
  if (error.kind === 'interrupted') return EXIT.interrupted;
  return error.kind === 'usage' ? EXIT.usage : EXIT.failed;
}

/** For commander: a whole number of at least `least`. */
export function wholeNumber(name: string, least: number): (text: string) => number {
  return (text) => {
    const value = Number(text);
    if (!/^\d+$/.test(text) || !Number.isSafeInteger(value) || value < least) {
      throw new FirnError('usage', `${name} must be a whole number of at least ${least}, found "${text}"`);
    }
    return value;
  };
}
