/** What all commands share: options of the program, where text goes, exit codes, and the end by a signal. */
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { disk } from '../files/disk.js';
import { textOf } from '../system-errors.js';
import { areThreadsBusy } from '../workers/pool.js';
import { isGitHubLog, neutral, neutralJson, placeOf, workflowCommand } from './github.js';
import { formatJson, safe, safeLines } from './text.js';

export const EXIT = { done: 0, failed: 1, usage: 2, interrupted: 130 } as const;

export interface GlobalOptions {
  /** The folder of pipeline.yaml. */
  directory: string;
}

/** Results. */
export function print(text: string): void {
  process.stdout.write(`${isGitHubLog() ? neutral(text) : text}\n`);
}

/** Messages. */
export function note(text: string): void {
  process.stderr.write(`${isGitHubLog() ? neutral(text) : text}\n`);
}

/** A command for the runner, among the messages: their order is kept. */
export function noteCommand(command: string): void {
  process.stderr.write(`${command}\n`);
}

/** Whether messages may have a line among them that is drawn over. */
export function canDraw(): boolean {
  return process.stderr.isTTY && process.env.TERM !== 'dumb' && !process.env.CI;
}

/** `indent` 0: on one line. */
export function printJson(value: unknown, indent = 2): void {
  const json = formatJson(value, indent);
  process.stdout.write(`${isGitHubLog() ? neutralJson(json) : json}\n`);
}

/** As given nearest to the command. */
export function globalOptions(command: Command): GlobalOptions {
  for (let at: Command | null = command; at !== null; at = at.parent) {
    const { directory } = at.opts() as { directory?: string };
    if (directory !== undefined) return { directory };
  }
  return { directory: '.' };
}

/** Of the flags of an open file, by fcntl(2): which part says what it is open for, and what that is for writing alone. */
const O_ACCMODE = 3;
const O_WRONLY = 1;
const SIGNALS = ['SIGINT', 'SIGTERM', 'SIGHUP'] as const;

/**
 * Runs a command's action; turns what it throws into a message and an exit code. Paths in it are seen from `directory`.
 * `endsBySignal`: Ctrl-C is how the command ends, and the code is the one that the action returns.
 */
export async function act(
  action: (signal: AbortSignal) => Promise<number | undefined>,
  directory = '.',
  { endsBySignal = false } = {},
): Promise<void> {
  const abort = new AbortController();
  let first: NodeJS.Signals | undefined;
  const stop = (signal: NodeJS.Signals): void => {
    if (signal === 'SIGHUP' && isUnderNohup()) return;
    // The second one leaves at once.
    if (abort.signal.aborted) leave(signal);
    first = signal;
    abort.abort(new FirnError('interrupted', 'interrupted'));
  };
  for (const signal of SIGNALS) process.on(signal, stop);
  let code: number | undefined;
  try {
    code = (await action(abort.signal)) ?? EXIT.done;
    process.exitCode = code;
  } catch (error) {
    // Some of what is interrupted throws an error of its own.
    process.exitCode = report(abort.signal.aborted ? abort.signal.reason : error, directory);
  } finally {
    for (const signal of SIGNALS) process.off(signal, stop);
  }
  if (abort.signal.aborted && !(endsBySignal && code !== undefined)) process.exitCode = EXIT.interrupted;
  // On its way out Node puts the terminal back as it was, and aborts where it cannot.
  if (first === 'SIGHUP' && isOnTerminal()) process.kill(process.pid, first);
}

/**
 * Whether `nohup` has started it, so that it goes on when the terminal is closed. Node takes back that SIGHUP is ignored,
 * before any of our code runs. What stays: the input that GNU nohup opens for writing alone, so that nobody reads it, and
 * the name of the program, which bash and zsh leave in `_`.
 */
function isUnderNohup(): boolean {
  if (process.env._?.split('/').at(-1) === 'nohup') return true;
  const flags = /^flags:\s*([0-7]+)$/m.exec(disk.readText('/proc/self/fdinfo/0') ?? '');
  return flags !== null && (Number.parseInt(flags[1], 8) & O_ACCMODE) === O_WRONLY;
}

function isOnTerminal(): boolean {
  return [process.stdin, process.stdout, process.stderr].some((stream) => stream.isTTY);
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
  return safeLines(fromHere(textOf(error), process.cwd()));
}

/** Paths in a text as seen from a folder. Only where one begins: `/data/` is in the middle of `/mnt/data/runs` as well. */
function fromHere(text: string, folder: string): string {
  if (folder === '/') return text;
  return text
    .split(`${folder}/`)
    .reduce((seen, rest) => seen + (/^[\s"'`(=]?$/.test(seen.slice(-1)) ? '' : `${folder}/`) + rest);
}

/** Says what went wrong; the exit code that stands for it. */
export function report(error: unknown, directory = '.'): number {
  const interrupted = error instanceof FirnError && error.kind === 'interrupted';
  if (isGitHubLog() && !interrupted)
    noteCommand(workflowCommand('error', errorText(error), { title: 'firn', ...placeOf(error, directory) }));
  else note(`firn: ${errorText(error)}`);
  if (process.env.FIRN_DEBUG !== undefined && error instanceof Error) note(safe(String(error.stack), true));
  if (!(error instanceof FirnError)) return EXIT.failed;
  if (interrupted) return EXIT.interrupted;
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
