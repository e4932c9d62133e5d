/** Checks of model versions: the registry can be read, each run has one version, and runs of one version fit together. */
import { join } from 'node:path';
import { someOf } from '../reference/warnings.js';
import type { Run } from '../runs/discover.js';
import { isDamaged, RUN_FACTS_FILE } from '../runs/run-facts.js';
import { command } from '../shell-word.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import { truthOf } from './run-looks.js';

export const versionChecks: Group = {
  name: 'versions',
  checks: {
    'the registry': readable,
    'versions of runs': agree,
    'what runs say of themselves': said,
    'untagged runs': untagged,
    'dimensions of versions': dimensions,
  },
  whenLimited: true,
  summary(context) {
    if (context.told.has(context.opening.versionsFile)) return undefined;
    const { versions, runs } = context.registry();
    return versions.size === 0 && runs.size === 0
      ? undefined
      : `${versions.size} registered, ${runs.size} runs tagged`;
  },
};

function* readable(context: DoctorContext): Iterable<Finding> {
  const { versionsFile } = context.opening;
  try {
    context.registry();
  } catch (error) {
    context.told.add(versionsFile);
    yield findingOf(
      'registry-invalid',
      versionsFile,
      error,
      `Mend the file, or move it away and register the versions again: ${command('mv', '--', versionsFile, `${versionsFile}.bad`)}.`,
    );
  }
}

/** What the registry says and what the run says of itself. */
function* agree(context: DoctorContext): Iterable<Finding> {
  const { versionsFile } = context.opening;
  for (const run of context.runs()) {
    const [tagged, own] = [context.taggedVersion(run), context.ownVersion(run)];
    if (tagged === undefined || own === undefined || tagged === own) continue;
    context.told.add(versionsFile);
    yield finding(
      'version-conflict',
      context.shown(run.directory),
      `is in two versions: the registry says "${tagged}", its embedding_run.json "${own}"`,
      command('firn', 'versions', 'tag-run', run.name, '--version', own, '--force'),
    );
  }
}

/** Where it cannot be read, nobody knows how the run was embedded, and of which version it is. */
function* said(context: DoctorContext): Iterable<Finding> {
  for (const run of context.runs()) {
    const path = join(run.directory, RUN_FACTS_FILE);
    if (!isDamaged(context.port, path)) continue;
    yield finding(
      'run-facts-damaged',
      context.shown(path),
      'does not say how the run was embedded: it was cut short or altered',
      `Put it back from a backup; or move it away, and tag the run: ${command('firn', 'versions', 'tag-run', run.name, '--version', 'VERSION')}.`,
    );
  }
}

/** A filter by version silently leaves out runs of which nobody said one. */
function* untagged(context: DoctorContext): Iterable<Finding> {
  const { pipeline, project } = context.opening;
  if (pipeline === undefined || project === undefined) return;
  const filters = [...pipeline.targets.values()].flatMap(({ name, runs, rule }) =>
    rule.name === 'consolidate' && runs !== undefined && runs !== 'all' && runs.version !== undefined
      ? [{ name, version: runs.version }]
      : [],
  );
  if (filters.length === 0) return;
  const consolidated = new Set(
    project.graph.order.flatMap(({ rule, inputs }) =>
      rule.name === 'consolidate' ? inputs.flatMap(({ name }) => name ?? []) : [],
    ),
  );
  const left = context
    .runs()
    .filter((run) => !consolidated.has(run.name) && context.versionOf(run) === undefined);
  if (left.length === 0) return;
  const targets = filters.map(({ name, version }) => `${name} (${version})`);
  const version = filters.length === 1 ? filters[0].version : 'V';
  yield finding(
    'version-missing',
    context.opening.versionsFile,
    `${left.length} ${left.length === 1 ? 'run has' : 'runs have'} no version, and targets filter by one, so no reference holds ${left.length === 1 ? 'it' : 'them'}: ${someOf(left.map((run) => run.name))}; the targets are ${someOf(targets)}`,
    left.length === 1
      ? command('firn', 'versions', 'tag-run', left[0].name, '--version', version)
      : `${command('firn', 'versions', 'auto-tag', '--version', version)} tags all of them, ${command('firn', 'versions', 'tag-run', left[0].name, '--version', version)} one.`,
  );
}

/** Vectors of one model have one length. */
async function* dimensions(context: DoctorContext): AsyncIterable<Finding> {
  const byVersion = new Map<string, Map<number, Run[]>>();
  for (const look of (await context.looks()).values()) {
    const version = context.versionOf(look.run);
    const dims = truthOf(look).shape?.dims;
    if (version === undefined || dims === undefined) continue;
    const groups = byVersion.get(version) ?? new Map<number, Run[]>();
    byVersion.set(version, groups);
    const runs = groups.get(dims);
    if (runs === undefined) groups.set(dims, [look.run]);
    else runs.push(look.run);
  }
  for (const [version, groups] of byVersion) {
    const [most, ...others] = [...groups].sort((a, b) => b[1].length - a[1].length);
    for (const [dims, runs] of others) {
      for (const run of runs) {
        yield finding(
          'version-dims',
          context.shown(run.directory),
          `has ${dims} dimensions, and the other runs of version "${version}" have ${most[0]}: it is tagged wrongly, or of another model`,
          `${command('firn', 'versions', 'tag-run', run.name, '--version', 'RIGHT_VERSION', '--force')}, with the version it is of.`,
        );
      }
    }
  }
}
