/** Running a program in a process group of its own, so that stopping it leaves no orphans. Knows no step. */
import { FirnError } from '../errors.js';

/** How long a program may take to end after SIGTERM before it is killed. */
const GRACE_MS = 5000;
/** Lines of output that an error repeats. */
const TAIL = 20;

export interface ProgramOptions {
  cwd: string;
  signal: AbortSignal;
  onLine: (line: string) => void;
}

/** Runs `words[0]` with the other words as its arguments. Throws FirnError (failed) with its last lines when it fails. */
export async function runProgram(words: readonly string[], options: ProgramOptions): Promise<void> {
  // Loaded here: most builds run no program, and zx costs start-up time.
  const { $ } = await import('zx');
  options.signal.throwIfAborted();
  const child = $({
    cwd: options.cwd,
    detached: process.platform !== 'win32',
    nothrow: true,
    quiet: true,
    verbose: false,
    stdio: ['ignore', 'pipe', 'pipe'],
  })`${[...words]}`;
  const tail: string[] = [];
  const take = (line: string): void => {
    tail.push(line);
    if (tail.length > TAIL) tail.shift();
    options.onLine(line);
  };
  const streams = [lines(child.stdout, take), lines(child.stderr, take)];
  let killer: NodeJS.Timeout | undefined;
  const stop = (): void => {
    signalGroup(child.pid, 'SIGTERM');
    killer = setTimeout(() => signalGroup(child.pid, 'SIGKILL'), GRACE_MS);
  };
  options.signal.addEventListener('abort', stop, { once: true });
  try {
    const result = await child;
    await Promise.all(streams);
    options.signal.throwIfAborted();
    if (result.exitCode !== 0) throw failure(words, result.exitCode, result.signal, tail);
  } finally {
    clearTimeout(killer);
    options.signal.removeEventListener('abort', stop);
  }
}

function failure(words: readonly string[], code: number | null, signal: string | null, tail: readonly string[]): FirnError {
  const how = signal !== null ? `was ended by ${signal}` : `ended with exit code ${code}`;
  const said = tail.length === 0 ? 'It printed nothing.' : `It last printed:\n    ${tail.join('\n    ')}`;
  const advice = code === 127 ? `Is ${words[0]} installed and on the PATH? ${said}` : said;
  return new FirnError('failed', `${words.join(' ')} ${how}`, { advice });
}

function signalGroup(pid: number | undefined, signal: NodeJS.Signals): void {
  if (pid === undefined) return;
  try {
    process.kill(process.platform === 'win32' ? pid : -pid, signal);
  } catch {
    // It has ended.
  }
}

async function lines(stream: NodeJS.ReadableStream | null, take: (line: string) => void): Promise<void> {
  if (stream === null) return;
  let rest = '';
  stream.setEncoding('utf8');
  for await (const chunk of stream) {
    const parts = (rest + String(chunk)).split('\n');
    rest = parts.pop() ?? '';
    for (const part of parts) take(part.replace(/\r$/, ''));
    // A program that never ends its line must not fill the memory.
    if (rest.length > 65536) {
      take(rest);
      rest = '';
    }
  }
  if (rest !== '') take(rest);
}
