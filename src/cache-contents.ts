/** What is in the cache folder of a project, and what of that is firn's. Removes nothing. */
import { join, relative } from 'node:path';
import { journalIn, lockIn, openContext } from './engine/context.js';
import { describeHolder, readLock } from './engine/lock.js';
import { FirnError } from './errors.js';
import type { DirectoryEntry, ReadPort } from './files/port.js';
import { TEMPORARY_PREFIX } from './files/temporary.js';
import { CACHE_FOLDER } from './pipeline/project-path.js';
import { cacheDirectory, engineOptions, type Project } from './project.js';

/** In cache/, besides what is not finished. */
const KNOWN = new Set([
  'records.jsonl',
  'digests.jsonl',
  'pipeline.jsonl',
  'fresh.jsonl',
  'objects',
  'journal',
  'lock',
  'unswept',
]);

export interface CacheInfo {
  /** bytes; 0 when there is no such file */
  records: { steps: number; earlier: number; bytes: number };
  digests: { bytes: number };
  /** `limit`: bytes that stored outputs may take. `oldest`: when the longest unused was last used, in ms since 1970. */
  objects: { count: number; bytes: number; limit: number; oldest: number | null };
  /** Commits that a killed build had decided, which the next one completes. */
  pending: number;
  /** Who holds the lock. */
  holder: string | null;
  /** What is not firn's, by its name in cache/. */
  foreign: string[];
}

export function cacheInfo(project: Project, signal: AbortSignal): CacheInfo {
  const { port, pipeline } = project;
  const cache = expectOwn(project);
  const { records, store } = openContext(engineOptions(project, { signal }), false);
  const objects = store.objects();
  const bytesOf = (name: string): number => port.stat(join(cache, name))?.size ?? 0;
  const histories = [...records.histories().values()];
  const found = readLock(port, lockIn(cache));
  return {
    records: {
      steps: histories.length,
      earlier: histories.reduce((sum, list) => sum + list.length - 1, 0),
      bytes: bytesOf('records.jsonl'),
    },
    digests: { bytes: bytesOf('digests.jsonl') },
    objects: {
      count: objects.length,
      bytes: objects.reduce((sum, { size }) => sum + size, 0),
      limit: pipeline.cacheLimit,
      oldest:
        objects.length === 0
          ? null
          : Number(
              objects.reduce((least, { used }) => (used < least ? used : least), objects[0].used) /
                1_000_000n,
            ),
    },
    pending: port.list(journalIn(cache)).length,
    holder: found === undefined ? null : describeHolder(found.holder),
    foreign: foreignIn(port, cache),
  };
}

/** firn's own, and not finished. Names that are no text it never makes, and cannot remove. */
export function isUnfinished({ name, kind, notUtf8 }: DirectoryEntry): boolean {
  return name.startsWith(TEMPORARY_PREFIX) && kind !== 'link' && !notUtf8;
}

/** What firn does not know, also among the stored outputs; links are nobody's. */
export function foreignIn(port: ReadPort, cache: string): string[] {
  const foreign: string[] = [];
  for (const entry of port.list(cache)) {
    const isKnown = KNOWN.has(entry.name) && entry.kind !== 'link';
    if (!isKnown && !isUnfinished(entry)) foreign.push(entry.name);
  }
  for (const { name, kind } of foreign.includes('objects') ? [] : port.list(join(cache, 'objects'))) {
    if (kind !== 'directory' || !/^[0-9a-f]{2}$/.test(name)) {
      foreign.push(`objects/${name}`);
      continue;
    }
    for (const inner of port.list(join(cache, 'objects', name))) {
      const isOurs =
        inner.kind === 'file' &&
        (/^[0-9a-f]{64}$/.test(inner.name) || inner.name.startsWith(TEMPORARY_PREFIX)) &&
        (inner.name.startsWith(TEMPORARY_PREFIX) || inner.name.startsWith(name));
      if (!isOurs) foreign.push(`objects/${name}/${inner.name}`);
    }
  }
  return foreign;
}

/** The cache folder, which has to be in the project and not behind a link. */
export function expectOwn(project: Project): string {
  const { port, root } = project;
  const cache = cacheDirectory(project);
  for (const path of [cache, join(cache, 'objects')]) {
    const real = port.realPath(root);
    const leads = port.realPath(path);
    if (real === undefined || leads === undefined || leads === join(real, relative(root, path))) continue;
    throw new FirnError(
      'conflict',
      `leads to ${leads}: it is a link, and nothing outside of ${CACHE_FOLDER}/ is touched`,
      {
        path,
        advice: 'Replace the link by a folder, or mount that place as the folder.',
      },
    );
  }
  return cache;
}
