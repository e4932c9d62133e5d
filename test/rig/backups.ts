/** Backups in this process, over any port, with clocks that stand still. */
import { join } from 'node:path';
import { type BackupRequest, type BackupResult, backupProject } from '../../src/backup/backup.js';
import { type RestoreRequest, type RestoreResult, restoreProject } from '../../src/backup/restore.js';
import { disk } from '../../src/files/disk.js';
import { projectPlaces } from '../../src/project.js';
import type { TestProject } from './project.js';

/** Where bags of tests are: a folder of the project is allowed, and goes with it. */
export const BAG = 'backup';

const NOW = Date.UTC(2030, 0, 2, 12);

const quiet = {
  signal: new AbortController().signal,
  onProgress: () => undefined,
  onWait: (holder: string) => {
    throw new Error(`waits for ${holder}`);
  },
};

export async function backupHere(
  project: TestProject,
  more: Partial<BackupRequest> = {},
): Promise<BackupResult> {
  return backupProject({
    ...(await projectPlaces(project.root)),
    port: disk,
    // Copies of a project are the same one.
    project: 'lab',
    directory: join(project.root, BAG),
    now: () => NOW,
    ...quiet,
    ...more,
  });
}

export function restoreHere(
  project: TestProject,
  more: Partial<RestoreRequest> = {},
): Promise<RestoreResult> {
  return restoreProject({
    port: disk,
    root: project.root,
    directory: join(project.root, BAG),
    ...quiet,
    ...more,
  });
}
