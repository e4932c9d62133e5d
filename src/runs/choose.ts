/** Runs as people choose them on the command line: by names or patterns, and by age. Pure; knows no command. */
import type { RunFilter } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { suggest } from '../pipeline/nearest.js';
import type { Run } from './discover.js';
import { parseDuration, selectRuns } from './select.js';

export interface RunChoice {
  /** `dataset/run`, `run` or patterns; all runs when empty. */
  patterns: readonly string[];
  /** Days, or a duration such as 12h. */
  olderThan?: string | undefined;
}

/**
 * The filter that a target would have for these of the `runs`. What is the name of one of them is that run, whatever it would
 * match as a pattern. FirnError (usage) for what is no duration.
 */
export function filterOf({ patterns, olderThan }: RunChoice, runs: readonly Run[]): RunFilter {
  if (patterns.length === 0 && olderThan === undefined) return 'all';
  const names = new Set(runs.flatMap(({ name, run }) => [name, run]));
  const run = patterns.map((pattern) => wholeName(names.has(pattern) ? literal(pattern) : pattern));
  return {
    ...(patterns.length === 0 ? {} : { run }),
    ...(olderThan === undefined ? {} : { 'older-than': durationOf(olderThan) }),
  };
}

/** A pattern that matches this text only. */
function literal(name: string): string {
  return name.replace(/[\\*?[\]{},]/g, '\\$&');
}

/** A pattern without `/` is for the run in any dataset. */
function wholeName(pattern: string): string {
  return pattern.includes('/') ? pattern : `*/${pattern}`;
}

/** `30` -> `30d` */
function durationOf(text: string): string {
  const duration = /^\d+$/.test(text) ? `${text}d` : text;
  parseDuration(duration);
  return duration;
}

/** A name that no run has is a typing error, and silence would look like success: FirnError (usage). */
export function expectNames(patterns: readonly string[], runs: readonly Run[], runsDir: string): void {
  for (const pattern of patterns) {
    if (selectByName(runs, pattern).length > 0) continue;
    throw new FirnError('usage', `no run is called ${pattern}`, {
      path: runsDir,
      advice: runs.some(({ dataset }) => dataset === pattern)
        ? `For all runs of this dataset: '${pattern}/*'.`
        : suggest(
            pattern,
            runs.map(({ name }) => name),
          ),
    });
  }
}

function selectByName(runs: readonly Run[], pattern: string): Run[] {
  return selectRuns(runs, filterOf({ patterns: [pattern] }, runs), { versionOf: () => undefined, nowMs: 0 });
}
