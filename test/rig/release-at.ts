/** Takes a release and kills itself, with SIGKILL, at the N-th change to the disk. Usage: release-at.js ROOT TAG N */
import { join } from 'node:path';
import { projectPlaces } from '../../src/project.js';
import { takeRelease } from '../../src/release/take.js';
import { faultyPort } from './faulty-port.js';

const [directory, tag, at] = process.argv.slice(2);
const { port } = faultyPort(Number(at), (operation) => {
  process.stdout.write(operation);
  process.kill(process.pid, 'SIGKILL');
  throw new Error('not reached');
});
const { root, pipeline } = await projectPlaces(directory);
await takeRelease({
  port,
  root,
  pipeline,
  reference: join(root, 'data/reference'),
  name: 'reference',
  tag,
  archive: 'tar.gz',
  signal: new AbortController().signal,
  onProgress: () => undefined,
  onWait: () => undefined,
});
