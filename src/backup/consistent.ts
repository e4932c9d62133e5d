/**
 * Whether the files of a reference or release that were copied belong together: a backup must not replace a good copy by
 * what does not fit. Knows no bag; is handed the places and digests of the copies.
 */
import { messageOf } from '../errors.js';
import { readTrailer } from '../faiss/trailer.js';
import type { ReadPort } from '../files/port.js';
import { EMBEDDINGS_FILE, INDEX_FILE, METADATA_FILE } from '../reference/files.js';
import { readMetadata } from '../reference/metadata.js';
import { readSums } from '../release/check-files.js';
import { SUMS_FILE } from '../release/names.js';

/** Where a text is looked at for how it begins and ends. */
const END_BYTES = 64;

/** The files of one group as they are in the backup now: path in the project -> SHA-256 and place. */
export type Copies = ReadonlyMap<string, { sha256: string; place: string }>;

export interface Judgement {
  /** Why the files do not belong together; undefined when they do. */
  problem?: string;
  /** What people should know all the same. */
  remark?: string;
}

/** By the digests that metadata and index name. Of another program's metadata nothing can be said. */
export async function judgeReference(port: ReadPort, directory: string, copies: Copies): Promise<Judgement> {
  const embeddings = copies.get(`${directory}/${EMBEDDINGS_FILE}`);
  const metadata = copies.get(`${directory}/${METADATA_FILE}`);
  const index = copies.get(`${directory}/${INDEX_FILE}`);
  if (embeddings === undefined) return {};
  if (metadata === undefined) return { problem: `${METADATA_FILE} is missing, which says what its rows are` };
  let named: string | undefined;
  try {
    named = (await readMetadata(port, metadata.place))?.embeddings;
  } catch (error) {
    return { problem: `${METADATA_FILE} cannot be used: ${messageOf(error)}` };
  }
  if (!(await isWholeObject(port, metadata.place)))
    return { problem: `${METADATA_FILE} is cut off, or no JSON` };
  if (named === undefined) return {};
  if (named !== `sha256:${embeddings.sha256}`) {
    return { problem: `${METADATA_FILE} is of another state of ${EMBEDDINGS_FILE}` };
  }
  if (index === undefined) return {};
  const trailer = await readTrailer(port, index.place);
  if (trailer === undefined || trailer.embeddings === named) return {};
  return {
    remark: `${INDEX_FILE} is of an earlier state of ${EMBEDDINGS_FILE}; \`firn build\` brings it up to date`,
  };
}

/** Whether a text begins and ends as a JSON object does: what was cut off, or filled with zeros, does not. */
async function isWholeObject(port: ReadPort, path: string): Promise<boolean> {
  const handle = await port.open(path);
  try {
    const ends = [];
    for (const position of [0, Math.max(0, handle.size - END_BYTES)]) {
      const bytes = Buffer.alloc(END_BYTES);
      ends.push(bytes.toString('utf8', 0, await handle.read(bytes, position)).trim());
    }
    return ends[0].startsWith('{') && ends[1].endsWith('}');
  } finally {
    await handle.close();
  }
}

/** By its SHA256SUMS: a release never changes, so any difference is damage. */
export function judgeRelease(port: ReadPort, directory: string, copies: Copies): Judgement {
  const list = copies.get(`${directory}/${SUMS_FILE}`);
  if (list === undefined) return { problem: `${SUMS_FILE} is missing` };
  const { sums, problems } = readSums(port, list.place);
  const wrong = sums.find(({ name, sha256 }) => copies.get(`${directory}/${name}`)?.sha256 !== sha256);
  if (wrong === undefined) return problems.length === 0 ? {} : { problem: `${SUMS_FILE} ${problems[0]}` };
  const isThere = copies.has(`${directory}/${wrong.name}`);
  return { problem: `${wrong.name} ${isThere ? `is not what ${SUMS_FILE} says` : 'is missing'}` };
}
