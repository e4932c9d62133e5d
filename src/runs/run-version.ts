/** The model version of a run that is on disk, from all places that can tell it. Knows no pipeline. */
import { sep } from 'node:path';
import type { ReadPort } from '../files/port.js';
import type { Run } from './discover.js';
import { RUN_FACTS_FILE, versionInFacts } from './run-facts.js';
import { type Registry, versionOf } from './versions.js';

/** The tag in the registry before what the run says of itself; undefined when nobody says. */
export function versionOfRun(port: ReadPort, registry: Registry, run: Run): string | undefined {
  return versionOf(registry, run.name) ?? versionInFacts(port, `${run.directory}${sep}${RUN_FACTS_FILE}`);
}

/** Whether all that is here of a run is its stub. */
export function isAway(run: Run): boolean {
  return run.npy === undefined && run.npz === undefined;
}
