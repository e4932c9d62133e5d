/**
 * The digests of all runs of a collection, as a build takes them, in a process of its own. Prints its own time in seconds,
 * with the start of the threads. Usage: digest.js RUNS THREADS
 */
import { atOnce } from '../../src/at-once.js';
import { disk } from '../../src/files/disk.js';
import { discoverRuns } from '../../src/runs/discover.js';
import { runDigester } from '../../src/runs/run-array.js';
import { Workers } from '../../src/workers/pool.js';

const [directory, threads] = process.argv.slice(2);
const { runs } = discoverRuns(disk, directory);
const digester = runDigester(directory);
const began = performance.now();
const workers = new Workers(Number(threads));
await atOnce(workers.size, runs, async ({ name }) => {
  const options = { port: disk, workers, signal: undefined, onBytes: () => undefined };
  if ((await digester.digest(name, options)) === undefined) throw new Error(`${name} has no digest`);
});
const seconds = (performance.now() - began) / 1000;
await workers.close();
console.log(JSON.stringify({ seconds }));
