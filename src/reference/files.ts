/** The files of a reference directory, under the names of today and of earlier systems. Knows names only. */
import { join } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';

export const EMBEDDINGS_FILE = 'consolidated_embeddings.npy';
export const METADATA_FILE = 'consolidated_metadata.json';
export const INDEX_FILE = 'consolidated_index.faiss';

export interface ReferenceFiles {
  directory: string;
  embeddings: string;
  metadata: string;
  /** Undefined when there is no index yet. */
  index: string | undefined;
}

/** `consolidated_*`, or the older `reference_*`. Throws FirnError when the directory holds neither. */
export function findReference(port: ReadPort, directory: string): ReferenceFiles {
  for (const prefix of ['consolidated', 'reference']) {
    const embeddings = join(directory, `${prefix}_embeddings.npy`);
    const metadata = join(directory, `${prefix}_metadata.json`);
    const index = join(directory, `${prefix}_index.faiss`);
    if (port.stat(embeddings)?.kind !== 'file') continue;
    if (port.stat(metadata)?.kind !== 'file') {
      throw new FirnError('missing', 'the metadata of this reference is not there', {
        path: metadata,
        advice: 'It says which row came from which run. Build the reference, or restore the file.',
      });
    }
    return { directory, embeddings, metadata, index: port.stat(index)?.kind === 'file' ? index : undefined };
  }
  throw new FirnError('missing', 'there is no reference here', {
    path: directory,
    advice: `Expected ${EMBEDDINGS_FILE} and ${METADATA_FILE}. Run \`firn build\`, or name another directory with --reference.`,
  });
}
