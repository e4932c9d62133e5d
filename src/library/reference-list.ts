/** The references of a project: those that its targets make, and the usual one. */
import { join } from 'node:path';
import { errnoOf, FirnError, messageOf } from '../errors.js';
import { disk } from '../files/disk.js';
import { projectPlaces } from '../project.js';
import { referenceContents } from '../reference/contents.js';
import { DEFAULT_REFERENCE } from '../reference/files.js';
import { referenceMeant } from '../release/find.js';
import type { ReferenceInfo } from './data-manager.js';

/** In the order of pipeline.yaml; the usual one last, when it is there and no target makes it. */
export async function findReferences(directory: string): Promise<ReferenceInfo[]> {
  const { root, pipeline } = await projectPlaces(directory);
  const targets = [...(pipeline.targets?.values() ?? [])].filter(({ rule }) => rule.name === 'consolidate');
  const found: ReferenceInfo[] = [];
  for (const { name, out } of targets) found.push(await infoOf(name, join(root, out[0])));
  const usual = join(root, DEFAULT_REFERENCE);
  if (found.some((info) => info.directory === usual)) return found;
  const info = await infoOf(null, usual);
  return info.contents === null && info.problem === null ? found : [...found, info];
}

/** What is meant by a directory as seen from the project, the tag of a release or a target; absolute. */
export async function referenceDirectory(directory: string, text = DEFAULT_REFERENCE): Promise<string> {
  return referenceMeant(disk, await projectPlaces(directory), text);
}

async function infoOf(target: string | null, directory: string): Promise<ReferenceInfo> {
  try {
    return { target, directory, contents: await referenceContents(disk, directory), problem: null };
  } catch (error) {
    if (!(error instanceof FirnError) && errnoOf(error) === undefined) throw error;
    const notBuilt = error instanceof FirnError && error.kind === 'missing' && error.path === directory;
    return { target, directory, contents: null, problem: notBuilt ? null : messageOf(error) };
  }
}
