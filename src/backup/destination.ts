/**
 * The folder that a backup goes to: whether firn may write there, and what the backup that is there holds. Writes nothing.
 */
import { dirname, isAbsolute, join, relative, resolve, sep } from 'node:path';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { TEMPORARY_PREFIX } from '../files/temporary.js';
import type { BagFinding } from './bag.js';
import { DECLARATION_FILE, type InfoElement, PAYLOAD_FOLDER } from './bag-info.js';
import { manifestName } from './manifest.js';
import { type FileNote, NOTES_FILE, type Notes, parseNotes } from './notes.js';
import { isUnfinished } from './switch.js';
import { verifyBag } from './verify-bag.js';

/** The algorithms of a bag that firn writes, in the order of `digests` everywhere. */
export const ALGORITHMS = ['sha256', 'sha512'] as const;
/** Whoever writes a backup holds it. */
export const BAG_LOCK = `${TEMPORARY_PREFIX}lock`;
const NOTES_LIMIT = 512 * 1024 * 1024;
/** What a disk of its own has at its top without anybody's doing. */
const OF_THE_DISK = new Set(['lost+found']);

export function payloadPath(path: string): string {
  return `${PAYLOAD_FOLDER}/${path}`;
}

/** A file of a backup. */
export interface Held {
  note: FileNote;
  /** By ALGORITHMS. */
  digests: string[];
  /** Whether its copy is there, as long as it should be. */
  there: boolean;
}

export interface Backup {
  notes: Notes;
  info: InfoElement[];
  /** By path in the project. */
  files: Map<string, Held>;
  /** What is wrong with the files below data/. */
  findings: BagFinding[];
}

/**
 * @throws FirnError `usage` when the folder is no place for a backup of this project, `conflict` when it holds something
 *   that firn did not write
 */
export function checkDestination(
  port: ReadPort,
  dir: string,
  root: string,
  outputs: readonly string[],
): void {
  const stat = port.stat(dir);
  if (stat !== undefined && stat.kind !== 'directory') {
    throw new FirnError('usage', 'is no folder', { path: dir, advice: 'Name a folder for the backup.' });
  }
  const place = realPlace(port, dir);
  const project = port.realPath(root) ?? root;
  if (isBelow(project, place)) {
    throw new FirnError('usage', 'holds the project itself', {
      path: dir,
      advice: 'Name a folder of its own for the backup.',
    });
  }
  const output = outputs.find((path) => isBelow(place, join(project, path)));
  if (output !== undefined) {
    throw new FirnError('usage', `is part of the project's own ${output}`, {
      path: dir,
      advice: 'Name a folder elsewhere, best on another disk.',
    });
  }
  const entries = port
    .list(dir)
    .filter(({ name }) => !OF_THE_DISK.has(name) && !name.startsWith(TEMPORARY_PREFIX));
  if (entries.length === 0 || isUnfinished(port, dir) || entries.some(({ name }) => name === NOTES_FILE))
    return;
  const isBag = entries.some(({ name }) => name === DECLARATION_FILE);
  throw new FirnError(
    'conflict',
    isBag ? 'is a bag that another program wrote' : 'is not empty, and no backup of firn',
    {
      path: dir,
      advice: 'Name an empty folder, a new one, or a backup that firn made.',
    },
  );
}

/** Where the folder is or will be, with links followed. */
export function realPlace(port: ReadPort, dir: string): string {
  const path = resolve(dir);
  const real = port.realPath(path);
  if (real !== undefined || path === dirname(path)) return real ?? path;
  return join(realPlace(port, dirname(path)), path.slice(dirname(path).length));
}

/** Or the same. Both absolute. */
export function isBelow(path: string, folder: string): boolean {
  const way = relative(folder, path);
  return way === '' || (way !== '..' && !way.startsWith(`..${sep}`) && !isAbsolute(way));
}

/**
 * The backup in a folder; undefined when there is none yet.
 * @throws FirnError when its tag files are not as firn wrote them: then nothing tells which copies are good
 */
export async function readBackup(
  port: ReadPort,
  dir: string,
  signal?: AbortSignal,
): Promise<Backup | undefined> {
  if (port.stat(join(dir, NOTES_FILE)) === undefined) return undefined;
  const { bag, findings } = await verifyBag(port, dir, {
    checksums: 'tags',
    ...(signal === undefined ? {} : { signal }),
  });
  const damage = findings.find((finding) => finding.severity === 'error' && isTagDamage(finding));
  const manifests = ALGORITHMS.map((name) => bag.manifests.find(({ algorithm }) => algorithm === name));
  if (damage !== undefined || manifests.includes(undefined)) {
    if (isUnfinished(port, dir)) {
      throw new FirnError(
        'conflict',
        'an update of this backup was cut off while its files got their names',
        {
          path: dir,
          advice: '`firn backup` or `firn restore` completes it; a dry run writes nothing.',
        },
      );
    }
    const { path, message } = damage ?? { path: '', message: 'lacks a manifest' };
    throw new FirnError('conflict', `the backup is damaged: ${message}`, {
      path: join(dir, path),
      advice:
        '`firn verify` lists all that is wrong with it. Nothing was changed; back up into another folder.',
    });
  }
  const path = join(dir, NOTES_FILE);
  const notes = parseNotes(port.readText(path, NOTES_LIMIT) ?? '', path);
  const files = new Map<string, Held>();
  for (const [name, note] of notes.files) {
    const digests = manifests.map((manifest) => manifest?.entries.get(payloadPath(name)));
    if (!digests.every((digest) => digest !== undefined)) {
      throw new FirnError('conflict', `the backup is damaged: ${JSON.stringify(name)} is in no manifest`, {
        path,
      });
    }
    files.set(name, { note, digests, there: bag.payload.get(payloadPath(name)) === note.size });
  }
  return { notes, info: bag.info, files, findings: findings.filter((finding) => !isTagDamage(finding)) };
}

/** People add to bag-info.txt and put files of their own beside it; the first is written anew, the others are let be. */
function isTagDamage({ path }: BagFinding): boolean {
  return path === '' || path === DECLARATION_FILE || path === NOTES_FILE || manifestName(path) !== undefined;
}
