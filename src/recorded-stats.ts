/** What finished steps said of themselves (rows, ratios, nlist, recall), from the project's records. */
import { join } from 'node:path';
import { Records } from './engine/records.js';
import type { Json } from './engine/types.js';
import { cacheDirectory, type Project } from './project.js';

/** By step id. */
export function recordedStats(project: Project): Map<string, { [name: string]: Json }> {
  const records = new Records(project.port, join(cacheDirectory(project), 'records.jsonl'));
  return new Map(
    records.all().flatMap((record) => (record.stats === undefined ? [] : [[record.step, record.stats]])),
  );
}
