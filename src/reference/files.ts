/** The files of a reference directory, under the names of today and of earlier systems. Knows names only. */
import { join } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';

/** Where a reference is expected when nobody says where it is. */
export const DEFAULT_REFERENCE = 'data/reference';

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

/**
 * `consolidated_*`, the one array of a release with its metadata, or the older `reference_*`. Throws FirnError when the
 * directory holds none of them.
 */
export function findReference(port: ReadPort, directory: string): ReferenceFiles {
  const called = [namesOf('consolidated'), ...releasedNames(port, directory), namesOf('reference')];
  for (const names of called) {
    const [embeddings, metadata, index] = names.map((name) => join(directory, name));
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

type Names = [embeddings: string, metadata: string, index: string];

function namesOf(prefix: string): Names {
  return [`${prefix}_embeddings.npy`, `${prefix}_metadata.json`, `${prefix}_index.faiss`];
}

/** `X.npy` with `X.json`, when there is one such pair: as releases are called, whatever their directory is. */
function releasedNames(port: ReadPort, directory: string): Names[] {
  const names = new Set(port.list(directory).flatMap(({ name, kind }) => (kind === 'file' ? [name] : [])));
  const stems = [...names]
    .filter((name) => name.endsWith('.npy'))
    .map((name) => name.slice(0, -'.npy'.length))
    .filter((stem) => names.has(`${stem}.json`));
  return stems.length === 1 ? [[`${stems[0]}.npy`, `${stems[0]}.json`, `${stems[0]}.faiss`]] : [];
}
