/** What turns a sequence into a vector, and the embedders firn has by name. Knows no file and no run. */
import { FirnError } from '../errors.js';
import { createKmer, type KmerParameters } from './kmer.js';

export interface Embedder {
  readonly name: string;
  /** D, the length of every vector. */
  readonly dims: number;
  /** What a sequence must have to be embedded, for messages: `at least ...`. */
  readonly needs: string;
  /** A new vector of `dims` values, or undefined when the sequence lacks what is needed. */
  embed(sequence: string): Float32Array | undefined;
}

/** By the name used in pipeline.yaml. Parameters have been checked against the rule's schema before. */
export const embedders = {
  kmer: (parameters: KmerParameters): Embedder => createKmer(parameters),
};

/** The embedder of that name. FirnError (usage) when there is none, or its parameters are out of range. */
export function createEmbedder(name: string, parameters: KmerParameters = {}): Embedder {
  if (Object.hasOwn(embedders, name)) return embedders[name as keyof typeof embedders](parameters);
  throw new FirnError('usage', `there is no embedder ${JSON.stringify(name)}`, {
    advice: `Known: ${Object.keys(embedders).join(', ')}.`,
  });
}
