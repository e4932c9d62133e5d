/**
 * firn's own bytes behind a FAISS index: a JSON object with what the index was built from. FAISS reads an index
 * from its start and never looks behind its end. Knows nothing of what the facts mean.
 *
 * Layout, at the very end of the file: JSON (UTF-8), SHA-256 of it (32 bytes), its length (u32), `firnidx1`.
 */
import { createHash } from 'node:crypto';
import type { ReadPort } from '../files/port.js';

const MAGIC = Buffer.from('firnidx1', 'latin1');
const DIGEST_BYTES = 32;
const TAIL_BYTES = DIGEST_BYTES + 4 + MAGIC.length;
const LIMIT = 16 * 1024 * 1024;

export type Trailer = Record<string, unknown>;

/** The bytes to append. Equal facts give equal bytes: keys are in code-unit order at every level. */
export function encodeTrailer(facts: Trailer): Buffer {
  const json = Buffer.from(JSON.stringify(facts, sortKeys), 'utf8');
  if (json.length > LIMIT) throw new RangeError(`a trailer of ${json.length} bytes is larger than ${LIMIT}`);
  const length = Buffer.alloc(4);
  length.writeUInt32LE(json.length);
  return Buffer.concat([json, sha256(json), length, MAGIC]);
}

function sortKeys(_key: string, value: unknown): unknown {
  if (value === null || typeof value !== 'object' || Array.isArray(value)) return value;
  const entries = Object.entries(value).sort(([a], [b]) => (a < b ? -1 : a > b ? 1 : 0));
  return Object.fromEntries(entries);
}

function sha256(bytes: Uint8Array): Buffer {
  return createHash('sha256').update(bytes).digest();
}

/** The facts behind the index at `path`; undefined when there are none, or none that can be trusted. */
export async function readTrailer(port: ReadPort, path: string): Promise<Trailer | undefined> {
  if (port.stat(path)?.kind !== 'file') return undefined;
  const handle = await port.open(path);
  try {
    if (handle.size < TAIL_BYTES) return undefined;
    const tail = Buffer.alloc(TAIL_BYTES);
    if ((await handle.read(tail, handle.size - TAIL_BYTES)) !== TAIL_BYTES) return undefined;
    if (!tail.subarray(DIGEST_BYTES + 4).equals(MAGIC)) return undefined;
    const length = tail.readUInt32LE(DIGEST_BYTES);
    if (length > LIMIT || length > handle.size - TAIL_BYTES) return undefined;
    const json = Buffer.alloc(length);
    if ((await handle.read(json, handle.size - TAIL_BYTES - length)) !== length) return undefined;
    if (!sha256(json).equals(tail.subarray(0, DIGEST_BYTES))) return undefined;
    const facts: unknown = JSON.parse(json.toString('utf8'));
    return isObject(facts) ? facts : undefined;
  } catch (error) {
    if (error instanceof SyntaxError) return undefined;
    throw error;
  } finally {
    await handle.close();
  }
}

function isObject(value: unknown): value is Trailer {
  return value !== null && typeof value === 'object' && !Array.isArray(value);
}
