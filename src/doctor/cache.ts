/**
 * Checks of cache/: can its records be read, who holds the lock, what a killed build left, and are stored outputs what they
 * were. Nothing of it can lose a result; it costs time.
 */
import { join } from 'node:path';
import { pendingCommits } from '../engine/commit.js';
import { journalIn, lockIn, recordsIn } from '../engine/context.js';
import { describeHolder } from '../engine/lock.js';
import { readLog } from '../engine/log-file.js';
import { Records } from '../engine/records.js';
import { FirnError } from '../errors.js';
import { isTemporary } from '../files/temporary.js';
import { command } from '../shell-word.js';
import { formatBytes, plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';

export const cacheChecks: Group = {
  name: 'cache',
  checks: { 'the lock': lock, records, 'commits that were cut off': commits, 'stored outputs': objects },
  whenLimited: false,
  summary(context) {
    const { port, cacheDirectory } = context;
    if (port.stat(cacheDirectory) === undefined) return undefined;
    const count = context.engine()?.records.all().length;
    const stored = storedFiles(context);
    const bytes = formatBytes(stored.reduce((sum, file) => sum + file.bytes, 0));
    return `${plural(count ?? 0, 'record')}, ${plural(stored.length, 'stored output')} (${bytes} of ${formatBytes(context.opening.cacheLimit)})`;
  },
};

function* lock(context: DoctorContext): Iterable<Finding> {
  const found = context.lock();
  if (found === undefined) return;
  const path = context.shown(lockIn(context.cacheDirectory));
  const who = describeHolder(found.holder);
  if (found.gone) {
    yield finding(
      'lock-left',
      path,
      `was left by ${found.holder?.command} (pid ${found.holder?.pid} on ${found.holder?.host}), which is gone`,
      `The next ${command('firn', 'build')} takes it over and clears what that build left.`,
    );
  } else if (found.isNear) {
    yield finding(
      'lock-held',
      path,
      `${who} works in this project now, so what was found may change`,
      `Wait for it, then use ${command('firn', 'doctor')} again.`,
    );
  } else {
    yield finding(
      'lock-unknown',
      path,
      `is held by ${who}: builds wait for it`,
      `If you are sure that nothing runs there: ${command('firn', 'unlock', '--force')}.`,
    );
  }
}

/** Logs of the cache, and what each is good for. */
const LOGS: [name: string, holds: string][] = [
  ['records.jsonl', 'what steps were built from'],
  ['digests.jsonl', 'digests of files'],
  ['pipeline.jsonl', 'pipeline.yaml as it was checked'],
  ['fresh.jsonl', 'what was looked at when there was nothing to do'],
];

function* records(context: DoctorContext): Iterable<Finding> {
  const { port, cacheDirectory } = context;
  if (context.engine() === undefined) {
    const path = context.shown(recordsIn(cacheDirectory));
    try {
      new Records(port, recordsIn(cacheDirectory));
    } catch (error) {
      const newer = error instanceof FirnError && error.kind === 'conflict';
      context.told.add(path);
      yield newer
        ? finding(
            'cache-newer',
            path,
            error.message,
            `Use that firn; or ${command('mv', '--', context.shown(cacheDirectory), `${context.shown(cacheDirectory)}.newer`)}: everything is checked and built again.`,
          )
        : findingOf('cache-unreadable', path, error, command('ls', '-ld', context.shown(cacheDirectory)));
    }
  }
  for (const [name, holds] of LOGS) {
    const path = join(cacheDirectory, name);
    const shown = context.shown(path);
    if (context.told.has(shown)) continue;
    try {
      const { lost } = readLog(port, path);
      if (lost > 0)
        yield finding(
          'cache-damaged',
          shown,
          `${lost} ${lost === 1 ? 'line is' : 'lines are'} not readable; it holds ${holds}`,
          'Nothing has to be done: the next build passes over them, and at worst does some work again.',
        );
    } catch (error) {
      yield findingOf('cache-unreadable', shown, error, command('rm', '--', shown));
    }
  }
}

function* commits(context: DoctorContext): Iterable<Finding> {
  if (isBusy(context)) return;
  const { port, root, cacheDirectory } = context;
  for (const { path, moves, record } of pendingCommits(port, journalIn(cacheDirectory))) {
    const inTheWay = moves.find(({ to }) => port.stat(join(root, to))?.kind === 'directory');
    yield finding(
      'commit-pending',
      context.shown(path),
      `${record.step} is done, and a build that was killed had not given all its files their names${inTheWay === undefined ? '' : `; a folder stands in the way: ${inTheWay.to}`}`,
      inTheWay === undefined
        ? `The next ${command('firn', 'build')} completes it.`
        : `${command('mv', '--', inTheWay.to, `${inTheWay.to}.away`)}, then ${command('firn', 'build')}.`,
    );
  }
}

/** Whether a build works here, or may: what it is making is not left over. */
export function isBusy(context: DoctorContext): boolean {
  const found = context.lock();
  return found !== undefined && !found.gone;
}

interface StoredFile {
  path: string;
  name: string;
  bytes: number;
}

export function storedFiles({ port, cacheDirectory }: DoctorContext): StoredFile[] {
  const objects = join(cacheDirectory, 'objects');
  return port.list(objects).flatMap((folder) =>
    port.list(join(objects, folder.name)).flatMap(({ name }) => {
      const path = join(objects, folder.name, name);
      const stat = port.stat(path);
      return stat?.kind === 'file' ? [{ path, name, bytes: stat.size }] : [];
    }),
  );
}

async function* objects(context: DoctorContext): AsyncIterable<Finding> {
  const files = storedFiles(context);
  const bytes = files.reduce((sum, file) => sum + file.bytes, 0);
  const { cacheLimit } = context.opening;
  if (bytes > cacheLimit)
    yield finding(
      'cache-full',
      context.shown(join(context.cacheDirectory, 'objects')),
      `holds ${formatBytes(bytes)}, more than the limit of ${formatBytes(cacheLimit)}`,
      `${command('firn', 'cache', 'gc')} removes what nothing needs, and the next build that does something the longest unused; \`cache: {limit: 500MB}\` in pipeline.yaml sets another limit.`,
    );
  if (!context.full) return;
  for (const { path, name } of files) {
    if (isTemporary(name)) continue;
    const shown = context.shown(path);
    try {
      if ((await context.fileDigest(path)) === `sha256:${name}`) continue;
      yield finding(
        'cache-object',
        shown,
        'is not what it was when it was stored: it would never be restored',
        command('rm', '--', shown),
      );
    } catch (error) {
      context.signal.throwIfAborted();
      yield findingOf('cache-unreadable', shown, error, command('rm', '--', shown));
    }
  }
}
