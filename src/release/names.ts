/**
 * The names of a release: its tag, its directory and the files in it. Pure; knows no disk. The names of the arrays are
 * those of the older system's advice (`reference_2024-11.npy`).
 */
import { FirnError } from '../errors.js';

/** The folder of releases inside the directory of their reference, unless pipeline.yaml names another. */
export const RELEASES_FOLDER = 'releases';
export const DEFAULT_NAME = 'reference';
export const SUMS_FILE = 'SHA256SUMS';
export const CRATE_FILE = 'ro-crate-metadata.json';

/** Of the directory: with the endings of files and archives, names stay below the 255 bytes that file systems take. */
const LONGEST_BYTES = 200;
/** C0, DEL, C1, and the separators of lines and paragraphs. */
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]/;

/** Names, without folders. */
export interface ReleaseFiles {
  directory: string;
  embeddings: string;
  index: string;
  metadata: string;
  /** The in-toto statement with SLSA provenance. */
  statement: string;
}

/** The names of a release that was found to be called so. */
export function filesIn(directory: string): ReleaseFiles {
  return {
    directory,
    embeddings: `${directory}.npy`,
    index: `${directory}.faiss`,
    metadata: `${directory}.json`,
    statement: `${directory}.provenance.json`,
  };
}

/** @throws FirnError `usage` for a name or tag that cannot be part of a file's name */
export function releaseFiles(name: string, tag: string): ReleaseFiles {
  for (const [what, text] of [
    ['the name', name],
    ['the tag', tag],
  ]) {
    const problem = nameProblem(text);
    if (problem !== undefined) {
      throw new FirnError('usage', `${what} of a release ${problem}: ${JSON.stringify(text)}`, {
        advice: 'Choose one such as 2024-11 or v1.0.',
      });
    }
  }
  const directory = `${name}_${tag}`;
  if (Buffer.byteLength(directory) > LONGEST_BYTES) {
    throw new FirnError('usage', `the name of a release is longer than ${LONGEST_BYTES} bytes: ${directory}`);
  }
  return filesIn(directory);
}

/** Why a text cannot be the tag of a release or the name before it; undefined when it can. */
export function nameProblem(text: string): string | undefined {
  if (typeof text !== 'string') return 'is no text';
  if (text === '') return 'is empty';
  if (CONTROL.test(text)) return 'holds a control character';
  if (/[/\\]/.test(text)) return 'holds a part of a path';
  if (text !== text.trim()) return 'begins or ends with a space';
  if (/^[.-]/.test(text)) return 'begins with a dot or a dash';
  // Half of a surrogate pair cannot be written as UTF-8.
  if (/\p{Surrogate}/u.test(text)) return 'is no valid Unicode';
  return undefined;
}

/** The names under which tools of the older system look for the files of a reference, and what they stand for here. */
export function olderNames(files: ReleaseFiles, hasIndex: boolean): [link: string, file: string][] {
  const names: [string, string][] = [
    ['reference_embeddings.npy', files.embeddings],
    ['reference_metadata.json', files.metadata],
  ];
  if (hasIndex) names.push(['reference_index.faiss', files.index]);
  // A tag may be one of these very words.
  const taken = new Set([files.embeddings, files.metadata, files.index, files.statement]);
  return names.filter(([link]) => !taken.has(link));
}
