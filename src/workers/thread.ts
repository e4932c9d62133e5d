/** What runs in a worker thread: it loads modules that calls name and calls their functions, one at a time. Knows no work. */
import { parentPort } from 'node:worker_threads';
import type { Answer, Call } from './pool.js';

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
    return { id, error };
  }
}
