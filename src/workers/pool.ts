/**
 * Threads for work that would keep the program from answering: digests, distances. They are started when first asked
 * for, one a core, and end with the pool. Knows no work: a call names a module and a function in it.
 */
import { availableParallelism } from 'node:os';
import { Worker } from 'node:worker_threads';

/** What goes to a thread; bytes in SharedArrayBuffers are shared, everything else is copied. */
export interface Call {
  id: number;
  /** URL of the module. */
  module: string;
  name: string;
  args: unknown;
}

export type Answer = { id: number; result: unknown } | { id: number; error: unknown };

const THREAD = new URL('./thread.js', import.meta.url);
/** More threads than this would wait for memory. */
const MOST = 16;

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** One thread. It does its calls one after the other, in the order they were made. */
export class Thread {
  private readonly worker = new Worker(THREAD);
  private readonly pending = new Map<number, Pending>();
  private calls = 0;
  private failure: unknown;

  constructor() {
    // A thread that waits keeps no process alive.
    this.worker.unref();
    this.worker.on('message', (answer: Answer) => this.settle(answer));
    this.worker.on('error', (error) => this.fail(error));
    this.worker.on('exit', () => this.fail(new Error('a worker thread ended early')));
  }

  /** Streams of calls that are still to come: who starts something long counts himself in, and out again. */
  held = 0;

  /** Calls that are not done, and streams of them. */
  get load(): number {
    return this.pending.size + this.held;
  }

  /** Calls the exported function `name` of a module there. Its result comes back as a copy. */
  call<T>(module: URL, name: string, args: unknown): Promise<T> {
    if (this.failure !== undefined) return Promise.reject(this.failure);
    const call: Call = { id: this.calls++, module: module.href, name, args };
    return new Promise<T>((resolve, reject) => {
      this.pending.set(call.id, { resolve: resolve as (result: unknown) => void, reject });
      this.worker.ref();
      this.worker.postMessage(call);
    });
  }

  async end(): Promise<void> {
    this.failure ??= new Error('the worker threads are closed');
    await this.worker.terminate();
  }

  private settle(answer: Answer): void {
    const waiting = this.pending.get(answer.id);
    this.pending.delete(answer.id);
    if (this.pending.size === 0) this.worker.unref();
    if ('error' in answer) waiting?.reject(answer.error);
    else waiting?.resolve(answer.result);
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const { reject } of this.pending.values()) reject(this.failure);
    this.pending.clear();
  }
}

export class Workers {
  private readonly threads: Thread[] = [];

  constructor(readonly size = Math.min(MOST, availableParallelism())) {}

  /** Every thread, started. */
  all(): Thread[] {
    while (this.threads.length < this.size) this.threads.push(new Thread());
    return this.threads;
  }

  /** The thread with the fewest calls to do; a new one where all are busy and there may be more. */
  idlest(): Thread {
    const idle = this.threads.find((thread) => thread.load === 0);
    if (idle !== undefined) return idle;
    if (this.threads.length < this.size) {
      const thread = new Thread();
      this.threads.push(thread);
      return thread;
    }
    return this.threads.reduce((best, thread) => (thread.load < best.load ? thread : best));
  }

  /** Ends every thread; what they were doing fails. */
  async close(): Promise<void> {
    await Promise.all(this.threads.splice(0).map((thread) => thread.end()));
  }
}
