/**
 * What people should know when rows come, go or stay against what they asked for: each thing once, by the build that
 * does it. Pure; knows neither how a layout is decided nor how it is written.
 */
import type { RunFilter } from '../engine/types.js';
import { selectRuns } from '../runs/select.js';
import { type Range, runName } from './layout.js';

/** As many names as a message can hold. */
const NAMED = 5;
/** As many runs of each of several versions. */
const FEW = 3;

/** What the build before had to tell; it is not told again. */
export interface Told {
  /** Retained runs that the filter did not select. */
  unselected: string[];
  /** All names under `prune`. */
  prune: string[];
  /** Model versions of the rows. */
  versions: string[];
  /** Archived runs that are selected, and whose values the reference does not hold. Records of before have none. */
  leftOut?: string[];
}

export interface Change {
  prior: readonly Range[];
  ranges: readonly Range[];
  /** Whether a run is still on disk. */
  isPresent: (name: string) => boolean;
  /** The folder of runs, when no run is in it, archived ones neither. */
  emptyRuns?: string;
  /** What is to be told by now, and what was. */
  now: Told;
  before: Told | undefined;
}

/**
 * Retained runs that `filter` would not select. They had their version when they went; their age is nobody's to say, and
 * does not count.
 */
export function unselectedRuns(ranges: readonly Range[], filter: RunFilter): string[] {
  if (filter === 'all') return [];
  const { 'older-than': _age, ...lasting } = filter;
  const gone = ranges
    .filter((range) => range.retained)
    .map((range) => ({ ...range, name: runName(range), run: range.run_id, directory: '' }));
  const versions = new Map(gone.map(({ name, version }) => [name, version ?? undefined]));
  const selected = new Set(selectRuns(gone, lasting, { versionOf: (name) => versions.get(name), nowMs: 0 }));
  return gone.filter((run) => !selected.has(run)).map(({ name }) => name);
}

export function warningsOf({ prior, ranges, isPresent, emptyRuns, now, before }: Change): string[] {
  const said: string[] = [];
  if (emptyRuns !== undefined && prior.some((range) => !range.retained)) {
    said.push(
      `no run is in ${emptyRuns} any more: all rows stay, marked retained; if the runs are elsewhere, correct \`runs\` at the top of pipeline.yaml`,
    );
  }
  const held = new Set(prior.map(runName));
  const holds = new Set(ranges.map(runName));
  const leaving = [...held].filter((name) => !holds.has(name) && !now.prune.includes(name));
  if (leaving.length > 0) {
    said.push(
      `no longer selected by \`runs\`: rows of ${someOf(leaving)} leave the reference, and rows after them get other row numbers`,
    );
  }
  const rowsOf = new Map(prior.map((range) => [runName(range), range.count]));
  const emptied = ranges.filter((range) => range.count === 0 && (rowsOf.get(runName(range)) ?? 0) > 0);
  if (emptied.length > 0) {
    said.push(
      `without any row now: rows of ${someOf(emptied.map(runName))} leave the reference, and rows after them get other row numbers`,
    );
  }
  const staying = now.unselected.filter((name) => !before?.unselected.includes(name));
  if (staying.length > 0) {
    said.push(
      `gone from disk and not selected by \`runs\`: rows of ${someOf(staying)} stay, since there is no other copy; \`prune\` drops those of the runs it names`,
    );
  }
  const unknown = now.prune.filter(
    (name) => !held.has(name) && !isPresent(name) && !before?.prune.includes(name),
  );
  if (unknown.length > 0) {
    said.push(`\`prune\` names ${someOf(unknown)}, but no such run is in the reference or on disk`);
  }
  const leftOut = (now.leftOut ?? []).filter((name) => !before?.leftOut?.includes(name));
  if (leftOut.length > 0) {
    said.push(
      `archived, and not here as they are: ${someOf(leftOut)}; \`firn runs restore\` brings them back, and the next build takes their rows in`,
    );
  }
  const { versions } = now;
  if (versions.length > 1 && !versions.every((version) => before?.versions?.includes(version))) {
    const each = versions.map((version) => {
      const runs = ranges.filter((range) => range.version === version).map(runName);
      return `${version} (${someOf(runs, FEW)})`;
    });
    said.push(
      `holds runs of ${versions.length} model versions: ${someOf(each)}; vectors of different models do not compare: build one reference for each, with \`runs: {version: ...}\``,
    );
  }
  return [...said, ...renames(ranges)];
}

/** In the order of the rows; runs of which nobody said a version do not count. */
export function versionsOf(ranges: readonly Range[]): string[] {
  return [...new Set(ranges.flatMap(({ version }) => version ?? []))];
}

/** The values of a run that is gone, under another name: most likely it was renamed, and its rows now count twice. */
function renames(ranges: readonly Range[]): string[] {
  const present = new Map(
    ranges.filter((range) => !range.retained).map((range) => [range.digest, runName(range)]),
  );
  return ranges.flatMap((range) => {
    const twin = present.get(range.digest);
    if (!range.retained || range.count === 0 || twin === undefined) return [];
    const old = runName(range);
    return `${old} is gone and ${twin} has its values: if it was renamed, name ${old} under \`prune\`, or its rows stand here twice`;
  });
}

/** `a, b and 3 more` */
export function someOf(names: readonly string[], limit = NAMED): string {
  const more = names.length - limit;
  return names.slice(0, limit).join(', ') + (more > 0 ? ` and ${more} more` : '');
}
