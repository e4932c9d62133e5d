/** Changing the registry of model versions, one process at a time, or one would undo what another does. Prints nothing. */
import { join } from 'node:path';
import { acquireLock } from './engine/lock.js';
import type { Port } from './files/port.js';
import { CACHE_FOLDER } from './pipeline/project-path.js';
import { loadRegistry, type Registry, saveRegistry } from './runs/versions.js';

export interface RegistryPlace {
  port: Port;
  /** Of the project, absolute. */
  root: string;
  /** Relative to it. */
  versionsFile: string;
  signal?: AbortSignal;
  /** Told once who holds the lock. */
  onWait: (holder: string) => void;
}

/** Reads the registry and writes back what `change` makes of it; nothing when that is the same one. */
export async function changeRegistry(
  place: RegistryPlace,
  change: (registry: Registry) => Registry | Promise<Registry>,
): Promise<void> {
  const { port, root, signal, onWait } = place;
  const lock = await acquireLock(port, join(root, CACHE_FOLDER, 'versions.lock'), {
    command: 'firn versions',
    onWait,
    ...(signal === undefined ? {} : { signal }),
  });
  try {
    const registry = loadRegistry(port, join(root, place.versionsFile));
    const changed = await change(registry);
    if (changed !== registry) await saveRegistry(port, registry.path, changed);
  } finally {
    await lock.release();
  }
}
