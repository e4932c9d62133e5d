/**
 * Giving staged outputs their final names, all of them or, after a crash, at the next start. The journal holds the
 * moves and the record; once it is on disk the step has happened. Knows no rule.
 */
import { dirname, join } from 'node:path';
import { createHash } from 'node:crypto';
import type { Port } from '../files/port.js';
import { writeFileAtomic } from '../files/write-file.js';
import type { Records } from './records.js';
import type { Move } from './stage.js';
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
  const name = `${createHash('sha256').update(record.step).digest('hex').slice(0, 24)}.json`;
  const journal = join(place.journalDirectory, name);
  await port.makeDirectory(place.journalDirectory);
  await writeFileAtomic(port, journal, JSON.stringify({ moves, record } satisfies Journal));
  await finish(place, moves, record);
  await port.unlink(journal);
}

async function finish(place: CommitPlace, moves: readonly Move[], record: StepRecord): Promise<void> {
  const { port, root } = place;
  const folders = new Set<string>();
  for (const move of moves) {
    // Already moved when a crash came between two renames.
    if (port.stat(join(root, move.from)) === undefined) continue;
    await port.rename(join(root, move.from), join(root, move.to));
    folders.add(dirname(join(root, move.to)));
  }
  for (const folder of folders) await port.syncDirectory(folder);
  await place.records.add(record);
}

/** Completes what a killed build had decided. Journals that cannot be read were never decided and go. */
export async function recoverCommits(place: CommitPlace): Promise<string[]> {
  const recovered: string[] = [];
  for (const entry of place.port.list(place.journalDirectory)) {
    const path = join(place.journalDirectory, entry.name);
    const journal = parseJournal(place.port.readText(path) ?? '');
    if (journal !== undefined) {
      await finish(place, journal.moves, journal.record);
      recovered.push(journal.record.step);
    }
    await place.port.unlink(path);
  }
  return recovered;
}

function parseJournal(text: string): Journal | undefined {
  try {
    const value = JSON.parse(text) as Journal;
    return Array.isArray(value.moves) && typeof value.record?.step === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}
