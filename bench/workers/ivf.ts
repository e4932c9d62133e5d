/**
 * Firn's IVF index of an npy file, in a process of its own. Prints its own times in seconds.
 * Usage: ivf.js ARRAY OUT NLIST TRAINING_ROWS_PER_LIST
 */
import { openArray } from '../../src/arrays/open.js';
import { type BuildRequest, buildIndex } from '../../src/faiss/build.js';
import { disk } from '../../src/files/disk.js';

const [array, out, nlist, perList] = process.argv.slice(2);
const embeddings = await openArray(disk, array);
const began = performance.now();
let trained = began;
const request: BuildRequest & { trainingRowsPerList?: number } = {
  port: disk,
  embeddings,
  out,
  metric: 'l2',
  nlist: Number(nlist),
  nprobe: 1,
  trainingRowsPerList: Number(perList),
  onProgress: (_done, _total, phase) => {
    if (phase === 'train') trained = performance.now();
  },
};
const report = await buildIndex(request);
const ended = performance.now();
await embeddings.close();
const trainingRows = report.ivf?.training.sampleRows;
console.log(JSON.stringify({ train: (trained - began) / 1000, add: (ended - trained) / 1000, trainingRows }));
