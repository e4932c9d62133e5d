/** References and releases that must not get into a backup as they are, for what the backup holds is better. */
import { join } from 'node:path';
import type { Port } from '../files/port.js';
import { unlinkIfThere } from '../files/remove.js';
import { type Copies, judgeReference, judgeRelease } from './consistent.js';
import { payloadPath } from './destination.js';
import type { State } from './stage-files.js';
import { stagedPath } from './switch.js';

/** References whose files do not fit, and damaged releases, stay in the backup as they are there. */
export async function judgeGroups(
  { port, directory }: { port: Port; directory: string },
  state: State,
): Promise<void> {
  const { sources, staged, files, left, result } = state;
  const copies: Copies = new Map(
    [...files].map(([path, { digests }]) => {
      const place = staged.has(path)
        ? stagedPath(directory, payloadPath(path))
        : join(directory, payloadPath(path));
      return [path, { sha256: digests[0], place }];
    }),
  );
  const isHeld = (group: string): boolean =>
    sources.files.some((source) => source.group === group && state.backup?.files.has(source.path));
  for (const group of [...sources.references, ...sources.releases]) {
    if (left.has(group)) continue;
    const isRelease = sources.releases.includes(group);
    const { problem, remark } = isRelease
      ? judgeRelease(port, group, copies)
      : await judgeReference(port, group, copies);
    if (remark !== undefined) result.remarks.push({ path: group, message: remark });
    if (problem === undefined) continue;
    const kept = isHeld(group) ? 'in the backup it stays as it was' : 'it is backed up as it is';
    result.problems.push({ path: group, message: `${problem}; ${kept}` });
    left.add(group);
  }
  for (const { path, group } of sources.files) {
    if (group === undefined || !left.has(group) || !isHeld(group)) continue;
    const held = state.backup?.files.get(path);
    if (held !== undefined) files.set(path, held);
    else files.delete(path);
    if (staged.delete(path)) await unlinkIfThere(port, stagedPath(directory, payloadPath(path)));
  }
}
