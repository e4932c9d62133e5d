/**
 * The process that FAISS runs in, seen from firn: starting factory-worker.ts, feeding it vectors, taking its answer,
 * and turning its end into an error. Knows no index.
 */
import { type ChildProcessWithoutNullStreams, spawn } from 'node:child_process';
import { once } from 'node:events';
import { fileURLToPath } from 'node:url';
import { FirnError } from '../errors.js';
import type { WriteHandle } from '../files/port.js';

export type Worker = ChildProcessWithoutNullStreams;

/** What the worker is asked to do: its only argument, as JSON. */
export type FactoryTask =
  | { task: 'build'; factory: string; dims: number; metric: number; trainRows: number; rows: number }
  | { task: 'search'; path: string; k: number; values: number };

/** The worker's exit code when the package or its binary is missing. */
export const NOT_INSTALLED = 3;

const ADVICE =
  'faiss-node is optional and its installer downloads a binary. Without a network on Debian: ' +
  'apt-get install g++ libfaiss-dev libopenblas-dev, npm ci, npm run faiss-node. Flat and IVF,Flat need none of it.';

/**
 * What the worker answers to a search: `each` places a query, label -1 where it found nothing. It does not search
 * when the values are not queries of `dims` dimensions.
 */
export interface FactoryAnswer {
  rows: number;
  dims: number;
  each: number;
  distances: number[];
  labels: number[];
}

/** Bytes of the answer that are kept at hand. */
const HEAD_BYTES = 64;

/** It is killed when `signal` says so, also when that was before. */
export function startWorker(task: FactoryTask, signal?: AbortSignal): Worker {
  const script = fileURLToPath(new URL('./factory-worker.js', import.meta.url));
  const env = { ...process.env, OMP_NUM_THREADS: '1', OPENBLAS_NUM_THREADS: '1' };
  const options = { env, signal, killSignal: 'SIGKILL' as const };
  const worker = spawn(process.execPath, [script, JSON.stringify(task)], options);
  // A worker that ends early closes its pipe; its exit code says why.
  worker.stdin.on('error', () => {});
  return worker;
}

/** Sends bytes as fast as the worker takes them; quietly stops when it is gone. */
export async function send(worker: Worker, bytes: Buffer): Promise<void> {
  if (worker.stdin.destroyed || worker.stdin.write(bytes)) return;
  const over = new AbortController();
  const heard = ['drain', 'close'].map((name) => once(worker.stdin, name, { signal: over.signal }));
  await Promise.race(heard).catch(() => {});
  // Takes the listener that heard nothing away.
  over.abort();
}

export async function collect(worker: Worker, about: string): Promise<Buffer> {
  const chunks: Buffer[] = [];
  await listen(worker, about, async (chunk) => {
    chunks.push(chunk);
  });
  return Buffer.concat(chunks);
}

export async function collectInto(worker: Worker, out: WriteHandle, about: string) {
  let end = 0;
  const head = Buffer.alloc(HEAD_BYTES);
  await listen(worker, about, async (chunk) => {
    if (end < head.length) chunk.copy(head, end);
    await out.write(chunk, end);
    end += chunk.length;
  });
  return { head, end };
}

async function listen(worker: Worker, about: string, take: (chunk: Buffer) => Promise<void>): Promise<void> {
  let complaint = '';
  worker.stderr.on('data', (chunk) => {
    complaint = (complaint + chunk).slice(-4096);
  });
  const closed = new Promise<[number | null, string | null]>((resolve) => {
    worker.once('close', (code, signal) => resolve([code, signal]));
  });
  let failure: Error | undefined;
  worker.on('error', (error) => {
    failure = error;
  });
  try {
    for await (const chunk of worker.stdout) await take(chunk);
  } catch (error) {
    worker.kill('SIGKILL');
    await closed;
    throw error;
  }
  const [code, signal] = await closed;
  if (failure !== undefined) {
    throw new FirnError('failed', `the process of FAISS did not run: ${failure.message}`, { cause: failure });
  }
  if (code === 0) return;
  if (code === NOT_INSTALLED) {
    throw new FirnError('missing', `the package faiss-node is needed here: ${complaint.trim()}`, {
      advice: ADVICE,
    });
  }
  // The last words of an uncaught C++ exception.
  const said = /what\(\):\s*(.*)/.exec(complaint)?.[1] ?? complaint.trim();
  throw new FirnError('failed', `FAISS stopped (${signal ?? `exit ${code}`}) on ${about}: ${said}`);
}
