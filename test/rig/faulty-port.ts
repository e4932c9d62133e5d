/**
 * A disk on which something happens instead of one of the operations that change it: a failure, or the end of the
 * program. Every change is asked about before it is done; of a write or a copy that is not to be done, half the bytes are
 * put down. Or every read is asked about, and no change.
 */
import { disk } from '../../src/files/disk.js';
import type { Port, ReadHandle, ReadPort, WriteHandle, WritePort } from '../../src/files/port.js';

/** An operation that changes the disk, or reads a file. */
export interface Change {
  /** The how-manieth of this port, from 1. */
  at: number;
  /** The name in the port: `rename`, `write`, `sync`, ... */
  what: string;
  path: string;
}

/** What happens instead of a change; it throws, or never settles. */
export type Fault = () => Promise<never>;

/** Undefined lets the change be done. */
export type Judge = (change: Change) => Fault | undefined;

/** All of them: the compiler misses one that the port has got since. */
const CHANGES: Record<keyof WritePort, true> = {
  create: true,
  append: true,
  makeDirectory: true,
  rename: true,
  unlink: true,
  removeDirectory: true,
  removeAll: true,
  sync: true,
  syncDirectory: true,
  copy: true,
  setTimes: true,
  probe: true,
  setMode: true,
  link: true,
  hardLink: true,
};
const LOOKS: Record<Exclude<keyof ReadPort, 'open'>, true> = {
  stat: true,
  list: true,
  readText: true,
  realPath: true,
  readLink: true,
  space: true,
  refusal: true,
};

const never = (): Promise<never> => new Promise(() => undefined);

export class FaultyPort {
  readonly port: Port;
  /** Changes (or reads) that were asked for. */
  done = 0;
  /** Settles when the program that uses the port is as good as killed, and the disk as it left it. */
  readonly died: Promise<void>;
  private dead = false;
  private buried: () => void = () => undefined;
  private readonly underWay = new Set<Promise<unknown>>();
  private readonly open = new Set<{ close(): Promise<void> }>();

  constructor(
    private readonly judge: Judge,
    base: Port = disk,
    private readonly asks: 'changes' | 'reads' = 'changes',
  ) {
    this.died = new Promise((resolve) => {
      this.buried = resolve;
    });
    this.port = this.portOver(base);
  }

  /**
   * The end of the program, as far as the disk can tell: from now on nothing is done and nothing answers, so whatever
   * waits for the port waits for ever, and no cleaning up is reached. What was begun before is completed, as the kernel
   * would.
   */
  readonly die: Fault = async () => {
    this.dead = true;
    await Promise.allSettled(this.underWay);
    for (const handle of this.open) await handle.close().catch(() => undefined);
    this.buried();
    return never();
  };

  private portOver(base: Port): Port {
    const port = { ...base } as unknown as Record<string, (...args: never[]) => unknown>;
    for (const name of Object.keys(LOOKS) as (keyof typeof LOOKS)[]) {
      const real = base[name].bind(base) as (...args: unknown[]) => unknown;
      port[name] = (...args: unknown[]) => {
        // What cannot be kept waiting is refused. Nothing that comes of it reaches the disk.
        if (this.dead) throw new Error('the program is dead');
        return real(...args);
      };
    }
    port.open = (path: string) => this.pass(async () => this.reading(await base.open(path)));
    for (const name of Object.keys(CHANGES) as (keyof WritePort)[]) {
      const real = base[name].bind(base) as (...args: unknown[]) => Promise<unknown>;
      port[name] = (...args: unknown[]) =>
        this.change(
          name,
          String(args[0]),
          async () => {
            const result = await real(...args);
            return name === 'create' || name === 'append' ? this.writing(result as WriteHandle) : result;
          },
          name === 'copy' ? () => halfCopy(base, String(args[0]), String(args[1])) : undefined,
        );
    }
    return port as unknown as Port;
  }

  private reading(handle: ReadHandle): ReadHandle {
    this.open.add(handle);
    return {
      path: handle.path,
      size: handle.size,
      read: (into, position) => this.ask('reads', 'read', handle.path, () => handle.read(into, position)),
      stat: () => this.pass(() => handle.stat()),
      close: () => this.pass(() => this.close(handle)),
    };
  }

  private writing(handle: WriteHandle): WriteHandle {
    this.open.add(handle);
    const { path } = handle;
    return {
      path,
      write: (data, position) =>
        this.change(
          'write',
          path,
          () => handle.write(data, position),
          () => handle.write(data.subarray(0, data.length >> 1), position),
        ),
      sync: () => this.change('sync', path, () => handle.sync()),
      close: () => this.pass(() => this.close(handle)),
    };
  }

  private close(handle: { close(): Promise<void> }): Promise<void> {
    this.open.delete(handle);
    return handle.close();
  }

  private change<T>(
    what: string,
    path: string,
    work: () => Promise<T>,
    half?: () => Promise<unknown>,
  ): Promise<T> {
    return this.ask('changes', what, path, work, half);
  }

  private async ask<T>(
    kind: 'changes' | 'reads',
    what: string,
    path: string,
    work: () => Promise<T>,
    half?: () => Promise<unknown>,
  ): Promise<T> {
    if (this.dead) return never();
    if (kind !== this.asks) return this.pass(work);
    this.done += 1;
    const fault = this.judge({ at: this.done, what, path });
    if (fault === undefined) return this.pass(work);
    await half?.();
    return fault();
  }

  /** Nothing is begun and nothing answers once the program is dead. */
  private async pass<T>(work: () => Promise<T>): Promise<T> {
    if (this.dead) return never();
    const running = work();
    this.underWay.add(running);
    try {
      return await running;
    } finally {
      this.underWay.delete(running);
      if (this.dead) await never();
    }
  }
}

async function halfCopy(base: Port, from: string, to: string): Promise<void> {
  const source = await base.open(from);
  const target = await base.create(to);
  const half = new Uint8Array(source.size >> 1);
  await source.read(half, 0);
  await target.write(half);
  await source.close();
  await target.close();
}

/** A system error as node gives it. */
export function systemError(code: string, { what, path }: Change): NodeJS.ErrnoException {
  return Object.assign(new Error(`${code}: a fault that was asked for, ${what} '${path}'`), {
    code,
    syscall: what,
    path,
  });
}
