/** Folders for tests, which go when the process ends. */
import { chmodSync, existsSync, mkdtempSync, readdirSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];
process.on('exit', () => {
  for (const folder of made) removeFolder(folder);
});

/** Where a disk that others keep busy makes nobody wait; in memory, where there is such a place. */
export const MEMORY = existsSync('/dev/shm') ? '/dev/shm' : tmpdir();

export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'firn-test-'));
  made.push(folder);
  return folder;
}

/** Also when it holds directories that are closed for writing, as releases are. */
export function removeFolder(folder: string): void {
  try {
    rmSync(folder, { recursive: true, force: true });
  } catch {
    open(folder);
    rmSync(folder, { recursive: true, force: true });
  }
}

function open(folder: string): void {
  chmodSync(folder, 0o755);
  for (const entry of readdirSync(folder, { withFileTypes: true }))
    if (entry.isDirectory()) open(join(folder, entry.name));
}
