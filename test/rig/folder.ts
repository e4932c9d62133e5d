/** Folders for tests, which go when the process ends. */
import { mkdtempSync, rmSync } from 'node:fs';
import { tmpdir } from 'node:os';
import { join } from 'node:path';

const made: string[] = [];
process.on('exit', () => {
  for (const folder of made) rmSync(folder, { recursive: true, force: true });
});

export function temporaryFolder(parent = tmpdir()): string {
  const folder = mkdtempSync(join(parent, 'firn-test-'));
  made.push(folder);
  return folder;
}
