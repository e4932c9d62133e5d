/** Builds a project and kills itself, with SIGKILL, at the N-th change to the disk. Usage: kill-at.js ROOT N */
import { build, openProject } from '../../src/project.js';
import { faultyPort } from './faulty-port.js';

const [directory, at] = process.argv.slice(2);
const { port } = faultyPort(Number(at), (operation) => {
  process.stdout.write(operation);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('not reached');
});
const summary = await build(await openProject({ directory, port }));
process.exitCode = summary.failed;
