/**
 * The embedder `kmer`: how often each word of k bases occurs in a sequence, as a unit vector. Needs no model and no
 * training. Knows sequences as text only.
 */
import { FirnError } from '../errors.js';
import type { Embedder } from './embedder.js';

export interface KmerParameters {
  /** Length of a word, 1 to 6 (4). */
  k?: number;
  /** Count the opposite strand too, so that a sequence and its reverse complement get the same vector (false). */
  'reverse-complement'?: boolean;
}

/** For every ASCII code 0 to 3 for A, C, G and T or U in either case; 4 for anything else. */
const BASE = new Uint8Array(128).fill(4);
for (const [letters, code] of [
  ['Aa', 0],
  ['Cc', 1],
  ['Gg', 2],
  ['TtUu', 3],
] as const) {
  for (const letter of letters) BASE[letter.charCodeAt(0)] = code;
}

/**
 * With b(A)=0, b(C)=1, b(G)=2, b(T)=3, the word w of k bases has the index i(w) = sum of b(w[j]) * 4^(k-1-j): the words
 * in alphabetical order. n[i] is the number of places where the word begins, overlapping ones included; words with
 * any other letter are skipped. With reverse-complement, m[i(w)] = n[i(w)] + n[i(w')], w' being the reverse complement
 * of w; otherwise m = n. The vector is m / sqrt(sum of m[i]^2), computed in double precision and rounded to float32.
 * D = 4^k. A sequence without any counted word has no vector. FirnError (usage) when k is not 1 to 6.
 */
export function createKmer(parameters: KmerParameters = {}): Embedder {
  const { k = 4, 'reverse-complement': bothStrands = false } = parameters;
  if (!Number.isInteger(k) || k < 1 || k > 6) {
    throw new FirnError('usage', `kmer: k must be a whole number from 1 to 6, not ${k}`, {
      advice: 'The vectors have 4^k values; k is 4 unless told.',
    });
  }
  const dims = 4 ** k;
  const opposite = bothStrands
    ? Uint16Array.from({ length: dims }, (_, word) => complement(word, k))
    : undefined;
  const counts = new Float64Array(dims);

  return {
    name: 'kmer',
    dims,
    needs: `at least ${k} unambiguous bases in a row`,
    embed(sequence) {
      counts.fill(0);
      if (!count(sequence, k, counts)) return undefined;
      const both = opposite === undefined ? counts : counts.map((n, word) => n + counts[opposite[word]!]!);
      let squares = 0;
      for (const n of both) squares += n * n;
      return unit(both, Math.sqrt(squares));
    },
  };
}

/** Adds the words of `sequence` to `counts`; whether there was any. */
function count(sequence: string, k: number, counts: Float64Array): boolean {
  const mask = 4 ** k - 1;
  let word = 0;
  let valid = 0;
  let any = false;
  for (let i = 0; i < sequence.length; i += 1) {
    const character = sequence.charCodeAt(i);
    const base = character < 128 ? BASE[character]! : 4;
    if (base === 4) {
      valid = 0;
      continue;
    }
    word = ((word << 2) | base) & mask;
    valid += 1;
    if (valid >= k) {
      counts[word]! += 1;
      any = true;
    }
  }
  return any;
}

/** The index of the reverse complement: bases in reverse order, A with T and C with G exchanged. */
function complement(word: number, k: number): number {
  let result = 0;
  for (let rest = word, i = 0; i < k; i += 1, rest >>= 2) result = (result << 2) | (3 - (rest & 3));
  return result;
}

function unit(values: Float64Array, length: number): Float32Array {
  const vector = new Float32Array(values.length);
  for (let i = 0; i < vector.length; i += 1) vector[i] = values[i]! / length;
  return vector;
}
