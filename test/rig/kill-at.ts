/** Builds a project and kills itself, with SIGKILL, at the N-th change to the disk. Usage: kill-at.js ROOT N */
import { writeSync } from 'node:fs';
import { buildHere } from './build-here.js';
import { FaultyPort } from './faulty-port.js';

const [root, at] = process.argv.slice(2);
const { port } = new FaultyPort((change) => {
  if (change.at !== Number(at)) return undefined;
  return () => {
    writeSync(1, `${change.what} ${change.path}`);
    process.kill(process.pid, 'SIGKILL');
    return new Promise(() => undefined);
  };
});
await buildHere({ root }, port);
