/**
 * Deflates a stream in blocks of 1 MiB, several at a time in node:zlib's thread pool. Every block but the last ends
 * with a sync flush, hence at a byte, so that the blocks in order are one raw deflate stream (RFC 1951). Blocks are
 * cut at fixed places: the output depends on the bytes alone, not on how they arrive or which thread is faster.
 * Knows no container.
 */
import { promisify } from 'node:util';
import * as zlib from 'node:zlib';

/**
 * `default` looks for repeats, `huffman` only for frequent bytes: on float embeddings there are no repeats, and it is
 * as small in less than half the time. `auto` tries both on the first bytes.
 */
export type DeflateLevel = 'huffman' | 'default' | 'auto';

const BLOCK_BYTES = 1024 * 1024;
/** How far back deflate refers. */
const WINDOW_BYTES = 32 * 1024;
/** What `auto` tries both on. */
const SAMPLE_BYTES = 64 * 1024;
/** node:zlib's pool has four threads unless UV_THREADPOOL_SIZE says otherwise. */
const BLOCKS_AT_A_TIME = 4;
/** `auto` takes Huffman-only unless the default makes less than this share of its size. */
const NOTICEABLY_SMALLER = 0.97;

const deflateRaw = promisify<Uint8Array, zlib.ZlibOptions, Buffer>(zlib.deflateRaw);

export class ParallelDeflate {
  private block = new Uint8Array(BLOCK_BYTES);
  private filled = 0;
  private strategy: number | undefined;
  /** The end of the block before this one, that repeats in this one may refer to. */
  private before: Uint8Array | undefined;
  private readonly running: Promise<Uint8Array>[] = [];
  private readonly spare: Uint8Array<ArrayBuffer>[] = [];

  /** `sink` takes the compressed bytes in order, one call at a time. */
  constructor(
    level: DeflateLevel,
    private readonly sink: (bytes: Uint8Array) => Promise<void>,
  ) {
    if (level === 'huffman') this.strategy = zlib.constants.Z_HUFFMAN_ONLY;
    if (level === 'default') this.strategy = zlib.constants.Z_DEFAULT_STRATEGY;
  }

  /** Copies `bytes`, and waits while too many blocks are under way. */
  async write(bytes: Uint8Array): Promise<void> {
    for (let done = 0; done < bytes.length; ) {
      const piece = bytes.subarray(done, done + BLOCK_BYTES - this.filled);
      this.block.set(piece, this.filled);
      this.filled += piece.length;
      done += piece.length;
      if (this.filled === BLOCK_BYTES) await this.startBlock(zlib.constants.Z_SYNC_FLUSH);
    }
  }

  /** What follows is of another kind: how it is deflated is chosen anew by its first bytes. Only with `auto`. */
  async chooseAnew(): Promise<void> {
    if (this.filled > 0) await this.startBlock(zlib.constants.Z_SYNC_FLUSH);
    this.strategy = undefined;
  }

  /** Ends the stream; everything has gone to the sink. */
  async finish(): Promise<void> {
    await this.startBlock(zlib.constants.Z_FINISH);
    while (this.running.length > 0) await this.passOn();
  }

  private async startBlock(flush: number): Promise<void> {
    const memory = this.block;
    const block = memory.subarray(0, this.filled);
    this.strategy ??= await betterStrategy(block);
    const job = deflate(block, this.strategy, flush, this.before).finally(() => this.spare.push(memory));
    this.before = block.length < WINDOW_BYTES ? undefined : block.slice(-WINDOW_BYTES);
    // A failure is reported when its turn comes.
    job.catch(() => {});
    this.running.push(job);
    if (this.running.length >= BLOCKS_AT_A_TIME) await this.passOn();
    this.block = this.spare.pop() ?? new Uint8Array(BLOCK_BYTES);
    this.filled = 0;
  }

  private async passOn(): Promise<void> {
    const compressed = await this.running.shift();
    if (compressed !== undefined) await this.sink(compressed);
  }
}

function deflate(
  block: Uint8Array,
  strategy: number,
  finishFlush: number,
  before?: Uint8Array,
): Promise<Uint8Array> {
  const huffman = strategy === zlib.constants.Z_HUFFMAN_ONLY;
  return deflateRaw(block, {
    strategy,
    finishFlush,
    // More symbols to a table: without repeats all tables are alike, with them the usual number is the smaller.
    memLevel: huffman ? 9 : 8,
    ...(before === undefined || huffman ? {} : { dictionary: before }),
    // Room for all output in one go: otherwise the block returns to the main thread for every 16 KiB.
    chunkSize: BLOCK_BYTES + 4096,
  });
}

/** What `auto` would choose for a stream that begins with these bytes. */
export async function chooseLevel(start: Uint8Array): Promise<Exclude<DeflateLevel, 'auto'>> {
  return (await betterStrategy(start)) === zlib.constants.Z_HUFFMAN_ONLY ? 'huffman' : 'default';
}

async function betterStrategy(block: Uint8Array): Promise<number> {
  const { Z_HUFFMAN_ONLY, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH } = zlib.constants;
  const sample = block.subarray(0, SAMPLE_BYTES);
  const [huffman, usual] = await Promise.all([
    deflate(sample, Z_HUFFMAN_ONLY, Z_SYNC_FLUSH),
    deflate(sample, Z_DEFAULT_STRATEGY, Z_SYNC_FLUSH),
  ]);
  return usual.length < huffman.length * NOTICEABLY_SMALLER ? Z_DEFAULT_STRATEGY : Z_HUFFMAN_ONLY;
}
