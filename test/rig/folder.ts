/** Folders for tests, which go when the process ends. */
import { existsSync, mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];
process.on('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

/** Where a disk that others keep busy makes nobody wait; in memory, where there is such a place. */
export const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'firn-test-'));
  made.push(folder);
  return folder;
}
