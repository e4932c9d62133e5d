/** What runs in a worker thread: it loads modules that calls name and calls their functions, one at a time. Knows no work. */
import { parentPort } from 'node:worker_threads';
import { errnoOf } from '../errors.js';
import type { Answer, Call, SystemFacts } from './pool.js';

type Work = (args: unknown) => unknown;

let queue: Promise<void> = Promise.resolve();

parentPort?.on('message', (call: Call) => {
  queue = queue.then(async () => parentPort?.postMessage(await answer(call)));
});

async function answer({ id, module, name, args }: Call): Promise<Answer> {
  try {
    const loaded = (await import(module)) as { [name: string]: Work };
    return { id, result: await loaded[name](args) };
  } catch (error) {
    return { id, error, system: systemFacts(error) };
  }
}

/** Of an error only its words reach the other thread, and these tell what the system refused. */
function systemFacts(error: unknown): SystemFacts {
  const { errno, code, syscall, path } = error as NodeJS.ErrnoException;
  return errnoOf(error) === undefined
    ? {}
    : { errno, code, syscall, ...(path === undefined ? {} : { path }) };
}
