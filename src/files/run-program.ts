/**
 * Running a program in a process group of its own, so that stopping it leaves no orphans. The words go to the program as
 * they are: no shell reads them, and none of its builtins can stand in for a program. What the program prints passes by
 * line by line; only the last lines are kept. Knows no step.
 */
import { type ChildProcess, type SpawnOptions, spawn } from 'node:child_process';
import { once } from 'node:events';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, FirnError } from '../errors.js';

/** How long a program may take to end after SIGTERM before it is killed. */
const GRACE_MS = 5000;
/** Between two looks whether its group is empty. */
const LOOK_MS = 20;
/** Lines of output that an error repeats. */
const TAIL = 20;
/** A line longer than this is cut into several. */
const LINE_LIMIT = 64 * 1024;

export interface ProgramOptions {
  cwd: string;
  signal: AbortSignal;
  onLine: (line: string) => void;
}

/** Programs of this process that have not ended, for when firn itself is made to leave at once. */
const running = new Set<ChildProcess>();

function killAll(): void {
  for (const child of running) signalGroup(child, 'SIGKILL');
}

/**
 * Runs `words[0]` with the other words as its arguments, and waits until it and whatever it left running in its group
 * has closed its output. Throws FirnError (failed), with its last lines, when it cannot be started or does not end well.
 */
export async function runProgram(words: readonly string[], options: ProgramOptions): Promise<void> {
  options.signal.throwIfAborted();
  const child = await start(words, options.cwd);
  const tail: string[] = [];
  const take = (line: string): void => {
    tail.push(line);
    if (tail.length > TAIL) tail.shift();
    options.onLine(line);
  };
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    signalGroup(child, 'SIGTERM');
    killer = setTimeout(() => {
      signalGroup(child, 'SIGKILL');
      // One that left the group may still hold the pipes.
      child.stdout?.destroy();
      child.stderr?.destroy();
    }, GRACE_MS);
  };
  options.signal.addEventListener('abort', stop, { once: true });
  // One that came while the program was being started is not told again.
  if (options.signal.aborted) stop();
  if (running.size === 0) process.on('exit', killAll);
  running.add(child);
  try {
    const ended = once(child, 'close') as Promise<[number | null, NodeJS.Signals | null]>;
    await Promise.all([eachLine(child.stdout, take), eachLine(child.stderr, take)]);
    const [code, signal] = await ended;
    options.signal.throwIfAborted();
    if (code !== 0) throw failure(words, code, signal, tail);
  } finally {
    if (options.signal.aborted) await endGroup(child);
    clearTimeout(killer);
    running.delete(child);
    if (running.size === 0) process.off('exit', killAll);
    options.signal.removeEventListener('abort', stop);
  }
}

/**
 * Through zx, but for two of its ways: the words go to the program and not to a shell, and what it prints is not kept,
 * since a program may print for hours.
 */
async function start(words: readonly string[], cwd: string): Promise<ChildProcess> {
  const [program, ...args] = words;
  try {
    // Loaded here: most builds run no program, and zx costs start-up time.
    const { $ } = await import('zx/core');
    let child: ChildProcess | undefined;
    const direct = ((_shell: string, _line: string[], options: SpawnOptions) => {
      child = spawn(program, args, { ...options, shell: false });
      return child;
    }) as typeof spawn;
    const run = $({
      cwd,
      detached: process.platform !== 'win32',
      quiet: true,
      nothrow: true,
      stdio: ['ignore', 'pipe', 'pipe'],
      spawn: direct,
      store: { stdout: new Nothing(), stderr: new Nothing(), stdall: new Nothing() },
      // zx looks for a shell and how to quote for it; none is needed here, nor has to be installed.
      shell: true,
      quote: (word) => word,
      prefix: '',
      postfix: '',
    });
    run`${[...words]}`.catch(() => undefined);
    if (child === undefined) throw new Error('zx started nothing');
    await once(child, 'spawn');
    return child;
  } catch (error) {
    throw new FirnError('failed', `${show(program)} cannot be started: ${whyNotStarted(error)}`, {
      advice: `It was called as: ${showAll(words)}`,
      cause: error,
    });
  }
}

/** Where zx would gather the output. */
class Nothing extends Array<string | Buffer> {
  override push(): number {
    return 0;
  }
}

function whyNotStarted(error: unknown): string {
  switch (errnoOf(error)) {
    case 'ENOENT':
      return 'there is no such program, neither on the PATH nor by this path from the project (or what its first line names is not there)';
    case 'EACCES':
      return 'it may not be executed (chmod +x), or it is a folder';
    case 'E2BIG':
      return 'its arguments are longer than the system allows; hand it a folder or a list in a file instead';
    default:
      return error instanceof Error ? error.message : String(error);
  }
}

function failure(
  words: readonly string[],
  code: number | null,
  signal: string | null,
  tail: readonly string[],
): FirnError {
  const how = signal !== null ? `was ended by ${signal}` : `ended with exit code ${code}`;
  const said = tail.length === 0 ? 'It printed nothing.' : `It last printed:\n    ${tail.join('\n    ')}`;
  return new FirnError('failed', `${showAll(words)} ${how}`, { advice: said });
}

function showAll(words: readonly string[]): string {
  const text = words.map(show).join(' ');
  return text.length > 400 ? `${text.slice(0, 397)}...` : text;
}

/** For people: a word that a shell would read otherwise is shown in quotes. */
function show(word: string): string {
  return /^[A-Za-z0-9_./:=@%+,-]+$/.test(word) ? word : JSON.stringify(word);
}

/** Of a group that was asked to end, some may have closed their output and be at work still. */
async function endGroup(child: ChildProcess): Promise<void> {
  for (let waited = 0; signalGroup(child, 0); waited += LOOK_MS) {
    if (waited >= GRACE_MS) {
      signalGroup(child, 'SIGKILL');
      return;
    }
    await delay(LOOK_MS);
  }
}

/** False when there is nobody left to hear it. */
function signalGroup(child: ChildProcess, signal: NodeJS.Signals | 0): boolean {
  if (child.pid === undefined) return false;
  try {
    return process.kill(process.platform === 'win32' ? child.pid : -child.pid, signal);
  } catch {
    return false;
  }
}

async function eachLine(stream: NodeJS.ReadableStream | null, take: (line: string) => void): Promise<void> {
  if (stream === null) return;
  let rest = '';
  stream.setEncoding('utf8');
  try {
    for await (const chunk of stream) {
      const parts = (rest + String(chunk)).split('\n');
      rest = parts.pop() ?? '';
      for (const part of parts) take(lastState(part));
      if (rest.length > LINE_LIMIT) {
        take(rest);
        rest = '';
      }
    }
  } catch (error) {
    if (errnoOf(error) !== 'ERR_STREAM_PREMATURE_CLOSE') throw error;
  }
  if (rest !== '') take(lastState(rest));
}

/** Of a line that was drawn over again and again, as progress bars do, what stood there last. */
function lastState(line: string): string {
  const plain = line.replace(/\r+$/, '');
  return plain.slice(plain.lastIndexOf('\r') + 1);
}
