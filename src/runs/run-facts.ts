/** The small file that a run made by firn carries: how it was embedded. Knows only that file. */
import type { Json } from '../engine/types.js';
import type { ReadPort } from '../files/port.js';

export const RUN_FACTS_FILE = 'embedding_run.json';
export const SEQUENCE_NAMES_FILE = 'sequence_names.txt';
export const SKIPPED_FILE = 'skipped_sequences.tsv';

const LIMIT = 1024 * 1024;

/** The facts beside a run; undefined when there are none or they are not readable. */
export function readRunFacts(port: ReadPort, path: string): { [name: string]: Json } | undefined {
  try {
    const text = port.readText(path, LIMIT);
    // Two versions that are not UTF-8 could be taken for one.
    const value: unknown = text === undefined || text.includes('\ufffd') ? undefined : JSON.parse(text);
    return value !== null && typeof value === 'object' && !Array.isArray(value)
      ? (value as { [name: string]: Json })
      : undefined;
  } catch {
    return undefined;
  }
}

/** Whether there is such a file, and it does not tell what it should: cut short, altered, or no file that can be read. */
export function isDamaged(port: ReadPort, path: string): boolean {
  // Most runs have none, and what is not there need not be opened.
  if (port.stat(path) === undefined) return false;
  const facts = readRunFacts(port, path);
  return facts === undefined || (facts.version !== undefined && typeof facts.version !== 'string');
}

/** The model version that a run says of itself. */
export function versionInFacts(port: ReadPort, path: string): string | undefined {
  const version = readRunFacts(port, path)?.version;
  return typeof version === 'string' ? version : undefined;
}
