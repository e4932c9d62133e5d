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

export type SystemFacts = Partial<Pick<NodeJS.ErrnoException, 'errno' | 'code' | 'syscall' | 'path'>>;

export type Answer = { id: number; result: unknown } | { id: number; error: unknown; system: SystemFacts };

const THREAD = new URL('./thread.js', import.meta.url);
/** More threads than this would wait for memory. */
const MOST = 16;

/** Calls under way in all threads of this program. */
let underWay = 0;

/** Whether ending the program now would cut a library off in its work, at which some of them abort. */
export function areThreadsBusy(): boolean {
  return underWay > 0;
}

interface Pending {
  resolve(result: unknown): void;
  reject(error: unknown): void;
}

/** One thread. It does its calls one after the other, in the order they were made. */
export class Thread {
  private readonly worker = new Worker(THREAD);
  private settled: () => void = () => {};
  private readonly pending = new Map<number, Pending>();
  private calls = 0;
  private failure: unknown;

  constructor() {
    // A thread that waits keeps no process alive.
    this.worker.on('online', () => this.keepAlive());
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
      this.worker.postMessage(call);
      this.pending.set(call.id, { resolve: resolve as (result: unknown) => void, reject });
      underWay += 1;
      this.keepAlive();
    });
  }

  get hasFailed(): boolean {
    return this.failure !== undefined;
  }

  /** Takes no more calls, and ends when those it has are done: a library that is cut off in its work ends the process. */
  async end(): Promise<void> {
    this.failure ??= new Error('the worker threads are closed');
    if (this.pending.size > 0) {
      await new Promise<void>((resolve) => {
        this.settled = resolve;
      });
    }
    await this.worker.terminate();
  }

  private keepAlive(): void {
    if (this.pending.size > 0) this.worker.ref();
    else this.worker.unref();
  }

  private settle(answer: Answer): void {
    const waiting = this.pending.get(answer.id);
    if (this.pending.delete(answer.id)) underWay -= 1;
    this.keepAlive();
    if (this.pending.size === 0) this.settled();
    if ('error' in answer) {
      const { error, system } = answer;
      waiting?.reject(error instanceof Error ? Object.assign(error, system) : error);
    } else waiting?.resolve(answer.result);
  }

  private fail(error: unknown): void {
    this.failure ??= error;
    for (const { reject } of this.pending.values()) reject(this.failure);
    underWay -= this.pending.size;
    this.pending.clear();
    this.settled();
  }
}

export class Workers {
  private threads: Thread[] = [];
  private closed = false;

  constructor(readonly size = Math.min(MOST, availableParallelism())) {}

  /** Every thread, started. */
  all(): Thread[] {
    this.expectOpen();
    while (this.threads.length < this.size) this.threads.push(new Thread());
    return this.threads;
  }

  /** The thread with the fewest calls to do; a new one where all are busy and there may be more. */
  idlest(): Thread {
    this.expectOpen();
    const idle = this.threads.find((thread) => thread.load === 0);
    if (idle !== undefined) return idle;
    if (this.threads.length < this.size) {
      const thread = new Thread();
      this.threads.push(thread);
      return thread;
    }
    return this.threads.reduce((best, thread) => (thread.load < best.load ? thread : best));
  }

  /** A thread that ended by itself is replaced when there is need. */
  private expectOpen(): void {
    if (this.closed) throw new Error('the worker threads are closed');
    this.threads = this.threads.filter((thread) => !thread.hasFailed);
  }

  /** Ends every thread when it has done what it was asked for. */
  async close(): Promise<void> {
    this.closed = true;
    await Promise.all(this.threads.splice(0).map((thread) => thread.end()));
  }
}
