/**
 * Checks of the disk that the project is on: room for what the next build writes, rights, and file systems on which less
 * can be promised.
 */
import { dirname, join } from 'node:path';
import { journalIn } from '../engine/context.js';
import { nearestDirectory } from '../files/make-directory.js';
import { networkName } from '../files/network-file-systems.js';
import { runName } from '../reference/layout.js';
import { someOf } from '../reference/warnings.js';
import type { Run } from '../runs/discover.js';
import { command } from '../shell-word.js';
import { reasonOf } from '../system-errors.js';
import { formatBytes, plural } from '../units.js';
import { neededByDisk } from './build-space.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

export const diskChecks: Group = {
  name: 'disk',
  checks: {
    'room for the next build': room,
    'files that the disk can hold': inodes,
    'rights to write': rights,
    'kinds of file system': network,
  },
  whenLimited: false,
  async summary(context) {
    const space = context.port.space(context.root);
    if (space === undefined) return undefined;
    const needed = (await neededByDisk(context)).reduce((sum, { bytes }) => sum + bytes, 0);
    const next =
      needed === 0 ? 'the next build needs none' : `the next build needs about ${formatBytes(needed)}`;
    return `${formatBytes(space.free)} free, ${next}`;
  },
};

/** Below this share of a disk, room is short whatever comes next. */
const TIGHT = 0.05;
const DAY = 86_400_000;
const COMPRESS_DAYS = 30;
const ARCHIVE_DAYS = 180;
/** A build makes folders, records and a few files for each step. */
const FEW_FILES = 1000;

async function* room(context: DoctorContext): AsyncIterable<Finding> {
  const needs = await neededByDisk(context);
  let isTight = false;
  for (const { folder, space, bytes } of needs) {
    if (bytes <= space.free) continue;
    isTight = true;
    yield finding(
      'disk-full',
      context.shown(folder),
      `the next build needs about ${formatBytes(bytes)} here, and ${formatBytes(space.free)} are free`,
      `Make room for ${formatBytes(bytes - space.free)}: ${command('df', '-h', context.shown(folder))} shows the disk, ${command('du', '-sh', context.opening.runsDir, 'data', 'cache')} what the project takes.`,
    );
  }
  const own = context.port.space(context.root);
  if (own !== undefined && own.free < TIGHT * own.total) isTight = true;
  if (isTight) yield* storage(context);
}

/** What the lab's guide advises when disk space is tight. */
async function* storage(context: DoctorContext): AsyncIterable<Finding> {
  const { runsDir } = context.opening;
  const age = ({ npy, npz }: Run): number =>
    (context.nowMs - Number((npy ?? npz)?.mtimeNs ?? 0n) / 1e6) / DAY;
  const old = context
    .runs()
    .filter((run) => run.npy !== undefined && run.npz === undefined && age(run) > COMPRESS_DAYS);
  if (old.length > 0) {
    const bytes = old.reduce((sum, run) => sum + (run.npy?.size ?? 0), 0);
    yield finding(
      'storage-compress',
      runsDir,
      `room is short, and ${plural(old.length, 'run')} older than ${COMPRESS_DAYS} days (${formatBytes(bytes)}) ${isOrAre(old)} not compressed`,
      `${command('firn', 'compress', '--older-than', String(COMPRESS_DAYS), '--execute', '--delete-original')}; without \`--execute\` it says what it would do.`,
    );
  }
  const held = new Set(
    (await context.references()).flatMap(({ metadata }) => metadata?.facts?.ranges.map(runName) ?? []),
  );
  const archivable = context.runs().filter((run) => held.has(run.name) && age(run) > ARCHIVE_DAYS);
  if (archivable.length > 0) {
    yield finding(
      'storage-archive',
      runsDir,
      `room is short, and ${plural(archivable.length, 'run')} older than ${ARCHIVE_DAYS} days ${isOrAre(archivable)} in a reference: ${someOf(archivable.map((run) => run.name))}`,
      `${command('firn', 'runs', 'archive', '--older-than', String(ARCHIVE_DAYS), '--to', 'DIR', '--execute')}, with DIR on another disk; without \`--execute\` it says what it would do. Rows stay in the reference, which always has to be kept.`,
    );
  }
}

function isOrAre(things: readonly unknown[]): string {
  return things.length === 1 ? 'is' : 'are';
}

function* inodes(context: DoctorContext): Iterable<Finding> {
  const space = context.port.space(context.root);
  if (space === undefined || space.files === 0 || space.filesFree >= FEW_FILES) return;
  yield finding(
    'disk-inodes',
    '.',
    `the disk has room for ${space.filesFree} more files only, however large (inodes)`,
    `${command('df', '-i', '.')} shows it; remove or pack what has very many small files.`,
  );
}

/** Folders that a build writes to. */
function* rights(context: DoctorContext): Iterable<Finding> {
  const { port, root, cacheDirectory } = context;
  const steps = context.opening.project?.graph.order ?? [];
  const wanted = new Set([
    cacheDirectory,
    ...steps.flatMap(({ outputs }) => outputs.map(({ path }) => dirname(join(root, path)))),
    journalIn(cacheDirectory),
  ]);
  const standing = new Set([...wanted].map((folder) => nearestDirectory(port, folder)));
  const refused = new Map<string, string[]>();
  for (const folder of standing) {
    if (port.stat(folder)?.kind !== 'directory') {
      const shown = context.shown(folder);
      yield finding(
        'folder-blocked',
        shown,
        'the next build cannot write: a file stands where a folder is needed',
        `${command('mv', '--', shown, `${shown}.away`)}, or let the target write to another place.`,
      );
      continue;
    }
    const code = port.refusal(folder, 'write');
    if (code === undefined) continue;
    const folders = refused.get(code);
    if (folders === undefined) refused.set(code, [context.shown(folder)]);
    else folders.push(context.shown(folder));
  }
  for (const [code, folders] of refused) {
    const error = Object.assign(new Error(code), { code });
    const all = folders.length === 1 ? '' : `, and so are others: ${someOf(folders.slice(1))}`;
    yield code === 'EROFS'
      ? finding(
          'disk-read-only',
          folders[0],
          `is on a file system that is mounted read-only${all}`,
          `Mount it for writing (${command('findmnt', '-T', folders[0])} shows it); it may have become so after an error of the disk: ${command('dmesg')}.`,
        )
      : finding(
          'disk-permission',
          folders[0],
          `cannot be written to: ${reasonOf(error)}${all === '' ? '' : `; nor can others: ${someOf(folders.slice(1))}`}`,
          `${command('ls', '-ld', folders[0])} shows whose it is: change that, or run firn as that user.`,
        );
  }
}

/** Less is promised where other machines write, too. */
function* network(context: DoctorContext): Iterable<Finding> {
  const { port, root, opening, cacheDirectory } = context;
  const told = new Set<string>();
  for (const path of [root, join(root, opening.runsDir), join(root, 'data'), cacheDirectory]) {
    const space = port.stat(path) === undefined ? undefined : port.space(path);
    const name = space && networkName(space.type);
    if (name === undefined || told.has(name)) continue;
    told.add(name);
    yield finding(
      'disk-network',
      context.shown(path),
      `is on a network file system (${name}): locks and what reaches the disk are as good as its server, and changes by other machines are not announced`,
      `Build on one machine at a time; ${command('firn', 'watch')} polls there.`,
    );
  }
}
