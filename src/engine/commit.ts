/**
 * Giving staged outputs their final names, all of them or, after a crash, at the next start. The journal holds the
 * moves and the record; once it is on disk the step has happened. Its format is that of the records. Knows no rule.
 */
import { createHash } from 'node:crypto';
import { dirname, join } from 'node:path';
import { FirnError } from '../errors.js';
import type { Port, ReadPort } from '../files/port.js';
import { unlinkIfThere } from '../files/remove.js';
import { isTemporary } from '../files/temporary.js';
import { reasonOf } from '../system-errors.js';
import { readLog, rewriteLog } from './log-file.js';
import { isMove, isRecord } from './record-shape.js';
import type { Records } from './records.js';
import type { Move } from './stage.js';
import type { StepRecord } from './types.js';

interface Journal {
  moves: readonly Move[];
  record: StepRecord;
}

/** A commit that was decided and may not be complete. */
export interface PendingCommit extends Journal {
  /** Of the journal. */
  path: string;
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
  for (const move of moves) await port.sync(join(root, move.from));
  const journal = journalOf(place, record.step);
  try {
    await rewriteLog(port, journal, [{ moves, record } satisfies Journal]);
    await finishCommit(place, { moves, record });
  } catch (error) {
    // Undone as long as no name has changed; later the journal stays, and the next build completes it.
    const staged = moves.every((move) => port.stat(join(root, move.from)) !== undefined);
    if (staged) await unlinkIfThere(port, journal);
    throw error;
  }
  // Somebody may have deleted `cache/` meanwhile: the step is done all the same.
  await unlinkIfThere(port, journal);
}

/** Whether a commit of this step was decided and could not be completed: what is staged is needed then. */
export function isUnfinished(place: CommitPlace, step: string): boolean {
  return place.port.stat(journalOf(place, step)) !== undefined;
}

function journalOf(place: CommitPlace, step: string): string {
  const name = createHash('sha256').update(step).digest('hex').slice(0, 24);
  return join(place.journalDirectory, `${name}.jsonl`);
}

/** Gives the names that are still to be given, and records the step. What was moved before a crash stays so. */
export async function finishCommit(place: CommitPlace, { moves, record }: Journal): Promise<void> {
  const { port, root } = place;
  // Before the first of them has its name: they are to appear together.
  const obstacle = whyUnfinished(place, { moves, record });
  if (obstacle !== undefined) throw obstacle;
  const folders = new Set<string>();
  for (const move of moves) {
    const folder = dirname(join(root, move.to));
    if (port.stat(join(root, move.from)) === undefined) {
      // Already moved when a crash came between two renames, and perhaps not synced.
      if (port.stat(folder) !== undefined) folders.add(folder);
      continue;
    }
    try {
      await port.rename(join(root, move.from), join(root, move.to));
    } catch (error) {
      throw notGiven(record, move, error);
    }
    folders.add(folder);
  }
  for (const folder of folders) await port.syncDirectory(folder);
  await place.records.add(record);
}

/** Why a commit cannot be completed, as far as that shows before it is tried. */
export function whyUnfinished(
  { port, root }: { port: ReadPort; root: string },
  { moves, record }: Journal,
): FirnError | undefined {
  const blocked = moves.find(
    ({ from, to }) =>
      port.stat(join(root, from)) !== undefined && port.stat(join(root, to))?.kind === 'directory',
  );
  return blocked && notGiven(record, blocked, { code: 'EISDIR' });
}

function notGiven({ step }: StepRecord, { to }: Move, cause: unknown): FirnError {
  return new FirnError('failed', `${step} is done, but this name could not be given: ${reasonOf(cause)}`, {
    path: to,
    advice: 'Remove what is in the way and build again.',
    cause,
  });
}

/** The journals of a killed build. Those that cannot be read were never decided and are passed over. */
export function pendingCommits(port: ReadPort, journalDirectory: string): PendingCommit[] {
  return port.list(journalDirectory).flatMap(({ name }) => {
    const path = join(journalDirectory, name);
    const journal = isTemporary(path) ? undefined : readJournal(port, path);
    return journal === undefined ? [] : [{ ...journal, path }];
  });
}

function readJournal(port: ReadPort, path: string): Journal | undefined {
  const [value] = readLog(port, path).entries as unknown as (Partial<Journal> | null | undefined)[];
  const isWhole = Array.isArray(value?.moves) && value.moves.every(isMove) && isRecord(value.record);
  return isWhole ? (value as Journal) : undefined;
}
