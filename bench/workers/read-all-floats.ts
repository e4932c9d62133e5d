/** A float32 array of a file as one piece of memory: for queries, which are few. */
import { openArray } from '../../src/arrays/open.js';
import { disk } from '../../src/files/disk.js';

export async function readAllFloats(path: string): Promise<Float32Array> {
  const reader = await openArray(disk, path);
  try {
    const values = new Float32Array(reader.rows * reader.dims);
    for await (const block of reader.blocks()) {
      values.set(
        new Float32Array(block.bytes.buffer, 0, block.rows * reader.dims),
        block.start * reader.dims,
      );
    }
    return values;
  } finally {
    await reader.close();
  }
}
