/**
 * The releases of a project: where they are and what they are called, and the directory that people mean by a tag. Looks
 * at names and at the heads of metadata; whether a release is whole is not its matter.
 */
import { basename, join, resolve } from 'node:path';
import { errnoOf, FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Pipeline } from '../pipeline/load.js';
import { DEFAULT_REFERENCE } from '../reference/files.js';
import { readMetadata } from '../reference/metadata.js';
import { filesIn, RELEASES_FOLDER, SUMS_FILE } from './names.js';

/** A project, as far as it says where references and releases are. */
export interface ReleasePlaces {
  /** Absolute. */
  root: string;
  pipeline: Partial<Pick<Pipeline, 'targets' | 'releasesDir'>>;
}

export interface FoundRelease {
  /** What stands before the tag: `reference` unless told. */
  name: string;
  tag: string;
  /** Absolute. */
  directory: string;
}

/** The directories of references, absolute: of targets that make one, and where one is expected without a pipeline. */
export function referenceDirectories({ root, pipeline }: ReleasePlaces): string[] {
  const made = [...(pipeline.targets?.values() ?? [])]
    .filter(({ rule }) => rule.name === 'consolidate')
    .flatMap(({ out }) => out);
  return [...new Set([...made, DEFAULT_REFERENCE])].map((path) => join(root, path));
}

/** Where the releases of a reference go, absolute. */
export function releasesFolderOf(reference: string, { root, pipeline }: ReleasePlaces): string {
  return pipeline.releasesDir === undefined
    ? join(reference, RELEASES_FOLDER)
    : join(root, pipeline.releasesDir);
}

/** Every folder that may hold releases, absolute. */
export function releasesFolders(places: ReleasePlaces): string[] {
  return [
    ...new Set([
      // Releases stay where they were made when pipeline.yaml names another folder later.
      ...referenceDirectories(places).map((reference) => join(reference, RELEASES_FOLDER)),
      ...(places.pipeline.releasesDir === undefined ? [] : [join(places.root, places.pipeline.releasesDir)]),
    ]),
  ];
}

/** All releases, by folder and then by name. Damaged ones are among them, and folders that may not be looked into. */
export async function findReleases(port: ReadPort, places: ReleasePlaces): Promise<FoundRelease[]> {
  const found: FoundRelease[] = [];
  for (const folder of releasesFolders(places)) {
    for (const { name, kind } of port.list(folder)) {
      const directory = join(folder, name);
      if (kind !== 'directory' || name.startsWith('.')) continue;
      try {
        if (isRelease(port, directory)) found.push({ ...(await calledIn(port, directory)), directory });
      } catch (error) {
        if (errnoOf(error) === undefined) throw error;
        found.push({ ...calledBy(name), directory });
      }
    }
  }
  return found;
}

/** Whether a directory is a release, whole or not. */
export function isRelease(port: ReadPort, directory: string): boolean {
  const has = (name: string): boolean => port.stat(join(directory, name))?.kind === 'file';
  const { embeddings, metadata, statement } = filesIn(stemIn(port, directory));
  return [SUMS_FILE, embeddings, metadata, statement].filter(has).length >= 2;
}

/** What its files are called: as the directory, unless that was given another name since. */
export function stemIn(port: ReadPort, directory: string): string {
  const names = new Set(port.list(directory).flatMap(({ name, kind }) => (kind === 'file' ? [name] : [])));
  const own = basename(directory);
  if (names.has(`${own}.npy`) || names.has(`${own}.json`)) return own;
  const stems = [...names]
    .filter((name) => name.endsWith('.provenance.json'))
    .map((name) => name.slice(0, -'.provenance.json'.length));
  return stems.length === 1 ? stems[0] : own;
}

/** As its metadata says; where that cannot be read, as the name of its directory does. */
async function calledIn(port: ReadPort, directory: string): Promise<Pick<FoundRelease, 'name' | 'tag'>> {
  const stem = stemIn(port, directory);
  const facts = await readMetadata(port, join(directory, filesIn(stem).metadata)).catch(() => undefined);
  if (facts?.release !== undefined) return { name: facts.release.name, tag: facts.release.tag };
  return calledBy(stem);
}

function calledBy(stem: string): Pick<FoundRelease, 'name' | 'tag'> {
  const cut = stem.indexOf('_');
  return cut === -1 ? { name: '', tag: stem } : { name: stem.slice(0, cut), tag: stem.slice(cut + 1) };
}

/**
 * The release that a tag (or the name of its directory) means; undefined when there is none.
 * @throws FirnError `usage` when several have it
 */
export async function releaseOfTag(
  port: ReadPort,
  places: ReleasePlaces,
  tag: string,
): Promise<FoundRelease | undefined> {
  const releases = await findReleases(port, places);
  const meant = releases.filter((release) => release.tag === tag || `${release.name}_${release.tag}` === tag);
  if (meant.length < 2) return meant[0];
  const directories = meant.map(({ directory }) => `\n    ${directory}`).join('');
  throw new FirnError('usage', `there are ${meant.length} releases "${tag}"`, {
    advice: `Name the directory:${directories}`,
  });
}

/**
 * The directory of the reference that people mean: a directory, the tag of a release, or a target that makes one. What is
 * nothing of it comes back as the path of a directory that is not there.
 */
export async function referenceMeant(port: ReadPort, places: ReleasePlaces, text: string): Promise<string> {
  const path = resolve(places.root, text);
  if (port.stat(path)?.kind === 'directory') return path;
  const release = await releaseOfTag(port, places, text);
  if (release !== undefined) return release.directory;
  const target = places.pipeline.targets?.get(text);
  return target?.rule.name === 'consolidate' ? join(places.root, target.out[0]) : path;
}
