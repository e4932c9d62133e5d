/** The disk with one fault: something happens at the N-th operation that changes it, instead of the operation. */
import { disk } from '../../src/files/disk.js';
import type { Port, WriteHandle } from '../../src/files/port.js';

/** Called instead of the N-th change; a write has put half of its bytes down by then. */
export type Fault = (operation: string) => never;

const CHANGES = [
  'create',
  'append',
  'makeDirectory',
  'rename',
  'unlink',
  'removeDirectory',
  'sync',
  'syncDirectory',
  'copy',
  'setTimes',
  'setMode',
] as const;

/** `count.done` is how many changes were asked for. */
export function faultyPort(at: number, fault: Fault): { port: Port; count: { done: number } } {
  const count = { done: 0 };
  const strikes = (): boolean => {
    count.done += 1;
    return count.done === at;
  };
  const port = { ...disk } as unknown as Record<string, (...args: unknown[]) => Promise<unknown>>;
  for (const name of CHANGES) {
    const real = disk[name].bind(disk) as (...args: unknown[]) => Promise<unknown>;
    port[name] = async (...args) => {
      if (strikes()) fault(`${name} ${args[0]}`);
      const result = await real(...args);
      return name === 'create' || name === 'append'
        ? faultyHandle(result as WriteHandle, strikes, fault)
        : result;
    };
  }
  return { port: port as unknown as Port, count };
}

function faultyHandle(handle: WriteHandle, strikes: () => boolean, fault: Fault): WriteHandle {
  return {
    path: handle.path,
    async write(data, position) {
      if (strikes()) {
        await handle.write(data.subarray(0, data.length >> 1), position);
        fault(`write ${handle.path}`);
      }
      await handle.write(data, position);
    },
    async sync() {
      if (strikes()) fault(`sync ${handle.path}`);
      await handle.sync();
    },
    close: () => handle.close(),
  };
}
