/**
 * The process that FAISS runs in, through faiss-node; see factory-process.ts. Its task is its argument, vectors come in on
 * standard input as float32, the answer goes to standard output. Knows nothing else.
 */
import { once } from 'node:events';
import { createRequire } from 'node:module';
import type { Readable } from 'node:stream';
import { type FactoryAnswer, type FactoryTask, NOT_INSTALLED } from './factory-process.js';

/** The part of faiss-node that is used; it takes plain arrays only. */
interface FaissIndex {
  ntotal(): number;
  getDimension(): number;
  isTrained(): boolean;
  train(vectors: number[]): void;
  add(vectors: number[]): void;
  search(queries: number[], k: number): { distances: number[]; labels: number[] };
  toBuffer(): Buffer;
}

interface Faiss {
  Index: {
    fromFactory(dims: number, factory: string, metric: number): FaissIndex;
    read(path: string): FaissIndex;
  };
}

/** Rows added at once. */
const ADD_ROWS = 4096;
const OUTPUT_BYTES = 1 << 20;

const require = createRequire(import.meta.url);

function loadFaiss(): Faiss {
  try {
    return require('faiss-node') as Faiss;
  } catch (error) {
    console.error(String(error instanceof Error ? error.message : error).split('\n')[0]);
    return process.exit(NOT_INSTALLED);
  }
}

/** Values from a stream of float32 bytes whose chunks end anywhere. */
class Values {
  private readonly chunks: AsyncIterator<Buffer>;
  private rest = Buffer.alloc(0);

  constructor(stream: Readable) {
    this.chunks = stream[Symbol.asyncIterator]();
  }

  async take(values: number): Promise<number[]> {
    const bytes = Buffer.alloc(values * 4);
    for (let filled = 0; filled < bytes.length; ) {
      if (this.rest.length === 0) {
        const next = await this.chunks.next();
        if (next.done === true) throw new Error('the values ended early');
        this.rest = Buffer.from(next.value);
      }
      const count = this.rest.copy(bytes, filled);
      this.rest = this.rest.subarray(count);
      filled += count;
    }
    return Array.from(new Float32Array(bytes.buffer, bytes.byteOffset, values));
  }
}

async function build(faiss: Faiss, task: FactoryTask & { task: 'build' }): Promise<Buffer> {
  const index = faiss.Index.fromFactory(task.dims, task.factory, task.metric);
  const input = new Values(process.stdin);
  const sample = await input.take(task.trainRows * task.dims);
  if (!index.isTrained()) index.train(sample);
  for (let done = 0; done < task.rows; ) {
    const rows = Math.min(ADD_ROWS, task.rows - done);
    index.add(await input.take(rows * task.dims));
    done += rows;
  }
  return index.toBuffer();
}

async function search(faiss: Faiss, task: FactoryTask & { task: 'search' }): Promise<Buffer> {
  const index = faiss.Index.read(task.path);
  const rows = index.ntotal();
  const dims = index.getDimension();
  const each = Math.min(task.k, rows);
  const queries = await new Values(process.stdin).take(task.values);
  const nothing = { distances: [], labels: [] };
  const searchable = each > 0 && queries.length > 0 && queries.length % dims === 0;
  const found = searchable ? index.search(queries, each) : nothing;
  const answer: FactoryAnswer = { rows, dims, each: searchable ? each : 0, ...found };
  return Buffer.from(JSON.stringify(answer));
}

const task = JSON.parse(process.argv[2]) as FactoryTask;
const faiss = loadFaiss();
let answer: Buffer;
try {
  answer = task.task === 'build' ? await build(faiss, task) : await search(faiss, task);
} catch (error) {
  console.error(error instanceof Error ? error.message : error);
  process.exit(1);
}
for (let from = 0; from < answer.length; from += OUTPUT_BYTES) {
  if (!process.stdout.write(answer.subarray(from, from + OUTPUT_BYTES))) await once(process.stdout, 'drain');
}
