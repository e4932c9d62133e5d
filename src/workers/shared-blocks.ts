/**
 * Memory for blocks of a file on their way through the program, shared with threads and used again: a thread that has seen
 * a block keeps its memory until it tidies up, so that new blocks for every file would pile up. Knows no file.
 */

/** bytes of a block that is used again */
const BLOCK = 4 * 1024 * 1024;
/** Smaller ones are not worth sharing. */
const SHARED_FROM = 1024 * 1024;
/** Blocks that are kept for the next reader. */
const KEPT = 8;

const free: SharedArrayBuffer[] = [];

/** Memory of that many bytes, holding anything. */
export function takeBlock(bytes: number): Uint8Array {
  if (bytes < SHARED_FROM) return new Uint8Array(bytes);
  if (bytes > BLOCK) return new Uint8Array(new SharedArrayBuffer(bytes));
  return new Uint8Array(free.pop() ?? new SharedArrayBuffer(BLOCK), 0, bytes);
}

/** The block is no longer used by anybody. */
export function giveBack({ buffer }: Uint8Array): void {
  if (buffer instanceof SharedArrayBuffer && buffer.byteLength === BLOCK && free.length < KEPT)
    free.push(buffer);
}
