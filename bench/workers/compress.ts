/**
 * Firn's compressed copy of an npy file, without a project, in a process of its own. Prints its own time in seconds.
 * Usage: compress.js ARRAY OUT
 */
import { createNpz } from '../../src/arrays/npz-writer.js';
import { openArray } from '../../src/arrays/open.js';
import { disk } from '../../src/files/disk.js';
import type { Port } from '../../src/files/port.js';

/** The disk, but nobody waits for it: numpy does not either. */
const unsynced: Port = {
  ...disk,
  async create(path) {
    const handle = await disk.create(path);
    return {
      path,
      write: (data, position) => handle.write(data, position),
      sync: async () => {},
      close: () => handle.close(),
    };
  },
};

const [array, out] = process.argv.slice(2);
const began = performance.now();
const reader = await openArray(disk, array);
const { dtype, dims, rows } = reader;
const copy = await createNpz(unsynced, out, { dtype, dims, rows });
for await (const block of reader.blocks()) await copy.write(block.bytes);
await copy.finish();
await reader.close();
console.log(JSON.stringify({ seconds: (performance.now() - began) / 1000 }));
