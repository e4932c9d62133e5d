/** The references of a project: those that its targets make, and where a name leads. */
import { join, resolve } from 'node:path';
import { errnoOf, FirnError, messageOf } from '../errors.js';
import { disk } from '../files/disk.js';
import { PIPELINE_FILE } from '../pipeline/project-path.js';
import { readPipeline } from '../project.js';
import { referenceContents } from '../reference/contents.js';
import type { ReferenceInfo } from './data-manager.js';

/** In the order of pipeline.yaml; `fallback` (a directory) last, when it holds a reference that no target makes. */
export async function findReferences(root: string, fallback: string): Promise<ReferenceInfo[]> {
  const made = await madeIn(root);
  const found: ReferenceInfo[] = [];
  for (const [target, directory] of made) found.push(await infoOf(target, directory));
  const usual = resolve(root, fallback);
  if ([...made.values()].includes(usual)) return found;
  const info = await infoOf(null, usual);
  return info.contents === null && info.problem === null ? found : [...found, info];
}

/** Of a target that makes a reference, or a directory as seen from the project. */
export async function referenceDirectory(root: string, name: string): Promise<string> {
  return (await madeIn(root)).get(name) ?? resolve(root, name);
}

/** target -> directory, absolute */
async function madeIn(root: string): Promise<Map<string, string>> {
  if (disk.stat(join(root, PIPELINE_FILE)) === undefined) return new Map();
  const { targets } = await readPipeline(disk, root);
  const making = [...targets.values()].filter(
    ({ rule, out }) => rule.name === 'consolidate' && out.length > 0,
  );
  return new Map(making.map(({ name, out }) => [name, join(root, out[0])]));
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
