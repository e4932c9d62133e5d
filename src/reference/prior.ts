/**
 * What a reference holds now: as its metadata says or, where that is lost, as the record does. Knows the outputs of the
 * step that writes it, and not what is to become of them.
 */
import { dirname, join } from 'node:path';
import { openArray } from '../arrays/open.js';
import { fileDigest } from '../engine/store.js';
import type { MemoryContext, Step } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Range } from './layout.js';
import { readMetadata } from './metadata.js';
import { areRanges } from './metadata-head.js';
import { readRowSources } from './row-sources.js';

export interface Prior {
  ranges: Range[];
  trainedRows?: number | undefined;
  /** `sha256:` of the bytes of the array these ranges are of, when known. */
  embeddings?: string | undefined;
}

/**
 * Where the metadata does not tell, the record may, but only of the array it was written with: believing an older state
 * would give up rows of runs that are gone. Metadata of another program is refused later.
 * @throws FirnError `conflict` when an array is there and nothing says of which runs
 */
export async function readPrior(step: Step, context: MemoryContext): Promise<Prior> {
  const { port, root, recorded, force } = context;
  const [embeddings, metadata] = step.outputs.map((output) => output.path);
  let altered: unknown;
  try {
    const facts = await readMetadata(port, join(root, metadata));
    if (facts !== undefined) return facts;
  } catch (error) {
    altered = error;
  }
  const state = recorded?.state as unknown as Prior | undefined;
  const written = recorded?.outputs.find((output) => output.path === embeddings);
  const known = areRanges(state?.ranges)
    ? {
        ranges: (state as Prior).ranges,
        trainedRows: (state as Prior).trainedRows,
        embeddings: written?.digest,
      }
    : undefined;
  if (port.stat(join(root, embeddings)) === undefined) return known ?? { ranges: [] };
  if (known !== undefined && written !== undefined) {
    if (await isWhatWasWritten(port, join(root, embeddings), written.digest)) return known;
  } else if (altered === undefined && !force) {
    // Nobody knows of what these rows are: they are replaced by equal ones only.
    return { ranges: [] };
  } else if (altered === undefined && port.stat(join(root, metadata)) !== undefined) {
    // Another program's, and --force says to overwrite it.
    return { ranges: [] };
  }
  const away = 'move both files away to begin anew without the rows of runs that are gone';
  if (altered === undefined && (await listsRows(port, join(root, metadata)))) {
    throw new FirnError('conflict', 'is not what firn wrote, and another program wrote its metadata', {
      path: embeddings,
      advice: `\`firn adopt ${dirname(metadata)}\` takes the rows over as that metadata lists them; or ${away}.`,
    });
  }
  throw new FirnError('conflict', 'holds rows, and nothing that is left says of which runs', {
    path: embeddings,
    advice: `Put ${metadata} back as it was, or ${away}.`,
    cause: altered,
  });
}

/** Whether another program's metadata says of every row where it is from. */
async function listsRows(port: ReadPort, metadata: string): Promise<boolean> {
  if (port.stat(metadata)?.kind !== 'file') return false;
  return readRowSources(port, metadata).then(
    () => true,
    () => false,
  );
}

/** Whether the array is the recorded one, or so damaged that nothing can be read from it. */
async function isWhatWasWritten(port: ReadPort, path: string, digest: string): Promise<boolean> {
  if ((await fileDigest(port, path)) === digest) return true;
  try {
    await (await openArray(port, path)).close();
    return false;
  } catch (error) {
    if (error instanceof FirnError) return true;
    throw error;
  }
}
