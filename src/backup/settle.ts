/** What a backup will hold, once it is known what is in the project and what was copied. Pure; knows no disk. */
import { isoLocal } from '../runs/versions.js';
import { INFO_FILE } from './bag-info.js';
import { formatNotes, type Notes } from './notes.js';
import type { State, Work } from './stage-files.js';

/** What becomes of files that left the project; what firn notes of all. */
export function settle(
  { root, project = root, prune = false, now }: Pick<Work, 'root' | 'project' | 'prune' | 'now'>,
  state: State,
): Notes {
  const { backup, sources, files, staged, result } = state;
  result.unchanged = [...files.keys()].filter((path) => !staged.has(path)).length;
  for (const [path, held] of backup?.files ?? []) {
    if (files.has(path) || staged.has(path)) continue;
    if (isLeft(state, path)) files.set(path, held);
    else if (prune) result.pruned.push(path);
    else {
      const retained = held.note.retained ?? isoLocal(new Date(now())).slice(0, 10);
      files.set(path, { ...held, note: { ...held.note, retained } });
    }
  }
  result.copied = [...staged.keys()].sort();
  // Where the original is not to be trusted either, the copy stays as damaged as it is.
  for (const path of result.repaired.filter((damaged) => !staged.has(damaged)))
    result.problems.push({ path, message: 'its copy in the backup is damaged or lost, and stays so' });
  result.repaired = result.repaired.filter((path) => staged.has(path)).sort();
  result.copiedBytes = [...staged.values()].reduce((sum, { bytes }) => sum + bytes, 0);
  result.retained = [...files]
    .filter(([, { note }]) => note.retained !== undefined)
    .map(([path]) => path)
    .sort();
  result.pruned.sort();
  result.links = sources.otherLinks;
  result.files = files.size;
  result.bytes = [...files.values()].reduce((sum, { note }) => sum + note.size, 0);
  const merged = <T>(old: Map<string, T> | undefined, current: Map<string, T>): Map<string, T> =>
    new Map([...(prune ? [] : (old ?? [])), ...current]);
  return {
    project,
    include: state.include,
    files: new Map([...files].map(([path, { note }]) => [path, note])),
    folders: merged(backup?.notes.folders, sources.folders),
    links: merged(backup?.notes.links, sources.links),
  };
}

/** Whether it is part of what stays in the backup as it is there. */
export function isLeft({ left }: Pick<State, 'left'>, path: string): boolean {
  return [...left].some((group) => path.startsWith(`${group}/`));
}

export function isUpToDate({ backup, staged, result }: State, notes: Notes): boolean {
  if (backup === undefined || staged.size > 0 || result.pruned.length > 0) return false;
  // Somebody's change of bag-info.txt is taken over, so that the bag is valid again.
  if (backup.findings.some(({ path, code }) => path === INFO_FILE && code !== 'oxum')) return false;
  return formatNotes(backup.notes) === formatNotes(notes);
}
