/**
 * Giving staged outputs their final names, all of them or, after a crash, at the next start. The journal holds the
 * moves and the record; once it is on disk the step has happened. Knows no rule.
 */
import { createHash } from 'node:crypto';
import { basename, dirname, join } from 'node:path';
import { FirnError, messageOf } from '../errors.js';
import type { Port } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';
import { readLog, rewriteLog } from './log-file.js';
import type { Records } from './records.js';
import { type Move, removeTree } from './stage.js';
import type { StepRecord } from './types.js';

interface Journal {
  moves: readonly Move[];
  record: StepRecord;
}

export interface CommitPlace {
  port: Port;
  /** Absolute. */
  root: string;
  journalDirectory: string;
  records: Records;
}

/** Syncs the staged files, writes the journal, renames, records. */
export async function commit(place: CommitPlace, moves: readonly Move[], record: StepRecord): Promise<void> {
  const { port, root } = place;
  for (const move of moves) {
    const handle = await port.append(join(root, move.from));
    try {
      await handle.sync();
    } finally {
      await handle.close();
    }
  }
  const journal = journalOf(place, record.step);
  try {
    await rewriteLog(port, journal, [{ moves, record } satisfies Journal]);
    await finish(place, moves, record);
  } catch (error) {
    // Undone as long as no name has changed; later the journal stays, and the next build completes it.
    const staged = moves.every((move) => port.stat(join(root, move.from)) !== undefined);
    if (staged && port.stat(journal) !== undefined) await port.unlink(journal);
    throw error;
  }
  await port.unlink(journal);
}

/** Whether a commit of this step was decided and could not be completed: what is staged is needed then. */
export function isUnfinished(place: CommitPlace, step: string): boolean {
  return place.port.stat(journalOf(place, step)) !== undefined;
}

function journalOf(place: CommitPlace, step: string): string {
  const name = createHash('sha256').update(step).digest('hex').slice(0, 24);
  return join(place.journalDirectory, `${name}.jsonl`);
}

async function finish(place: CommitPlace, moves: readonly Move[], record: StepRecord): Promise<void> {
  const { port, root } = place;
  const folders = new Set<string>();
  for (const move of moves) {
    // Already moved when a crash came between two renames.
    if (port.stat(join(root, move.from)) === undefined) continue;
    try {
      await port.rename(join(root, move.from), join(root, move.to));
    } catch (error) {
      throw new FirnError(
        'failed',
        `${record.step} is done, but this name could not be given: ${messageOf(error)}`,
        {
          path: move.to,
          advice: 'Remove what is in the way and build again.',
          cause: error,
        },
      );
    }
    folders.add(dirname(join(root, move.to)));
  }
  for (const folder of folders) await port.syncDirectory(folder);
  await place.records.add(record);
}

/** Completes what a killed build had decided. Journals that cannot be read were never decided and go. */
export async function recoverCommits(place: CommitPlace): Promise<void> {
  const { port, root, journalDirectory } = place;
  for (const entry of port.list(journalDirectory)) {
    const path = join(journalDirectory, entry.name);
    const journal = isTemporary(path) ? undefined : readJournal(port, path);
    if (journal !== undefined) {
      await finish(place, journal.moves, journal.record);
      for (const folder of new Set(journal.moves.map((move) => dirname(move.from)))) {
        if (isTemporary(basename(folder))) await removeTree(port, join(root, folder));
      }
    }
    await port.unlink(path);
  }
}

function readJournal(port: Port, path: string): Journal | undefined {
  const [value] = readLog(port, path).entries as unknown as Partial<Journal>[];
  return Array.isArray(value?.moves) && typeof value.record?.step === 'string'
    ? (value as Journal)
    : undefined;
}
