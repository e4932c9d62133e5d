/**
 * Checks of the runs folder by names alone: is it there, do arrays stand where runs are looked for and under the right
 * name, what is passed over, what may not be read. Knows no array from inside.
 */
import { dirname, join } from 'node:path';
import type { DirectoryEntry } from '../files/port.js';
import { isTemporary } from '../files/temporary.js';
import { NPY_FILE, NPZ_FILE } from '../runs/discover.js';
import { meantArrayName } from '../runs/near-names.js';
import { command } from '../shell-word.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';
import { notReadable, refusedFolders } from './rights.js';

export const runFolderChecks: Group = {
  name: 'runs folder',
  checks: {
    'the runs folder': isThere,
    rights: unreadable,
    'what is passed over': passedOver,
    'run folders': layout,
  },
  whenLimited: true,
  summary: () => undefined,
};

const EXPECTED = 'Expected <runs>/<dataset>/<run>/embeddings.npy or .npz.';

function* isThere(context: DoctorContext): Iterable<Finding> {
  const { opening, port, root } = context;
  const { runsDir } = opening;
  if (context.isLimited || makesRuns(context)) return;
  const path = join(root, runsDir);
  const stat = port.stat(path);
  if (context.refused.has(path)) return;
  if (stat?.kind !== 'directory') {
    context.told.add(runsDir);
    yield finding(
      'runs-missing',
      runsDir,
      stat === undefined ? 'there is no such folder, so there are no runs' : 'is no folder',
      `${EXPECTED} Correct the field \`runs\` at the top of pipeline.yaml, or run the analysis.`,
    );
  } else if (context.discovered().runs.length + context.discovered().archived.length === 0) {
    context.told.add(runsDir);
    yield finding(
      'runs-empty',
      runsDir,
      'no run was found in it',
      `${EXPECTED} Look at the warnings for arrays in other places or under other names, and verify that the analysis ended well.`,
    );
  }
}

/** Whether runs will come from a target, so that there need be none yet. */
function makesRuns({ opening }: DoctorContext): boolean {
  return (
    opening.project?.graph.order.some(({ outputs }) => outputs.some(({ kind }) => kind === 'run')) ?? false
  );
}

/** Arrays and folders that the system does not show. */
function* unreadable(context: DoctorContext): Iterable<Finding> {
  context.discovered();
  for (const { npy, npz, directory } of context.runs()) {
    for (const [stat, name] of [
      [npy, NPY_FILE],
      [npz, NPZ_FILE],
    ] as const) {
      if (stat === undefined) continue;
      const path = join(directory, name);
      const code = context.port.refusal(path, 'read');
      if (code !== undefined) yield notReadable(context, path, Object.assign(new Error(code), { code }));
    }
  }
  yield* refusedFolders(context);
}

/** Links, names that are not UTF-8, and arrays too high up. */
function* passedOver(context: DoctorContext): Iterable<Finding> {
  const { runsDir } = context.opening;
  for (const { path, reason } of context.discovered().ignored) {
    const shown = context.shown(path);
    if (!context.includes(shown)) continue;
    const name = shown.slice(shown.lastIndexOf('/') + 1);
    if (name !== NPY_FILE && name !== NPZ_FILE) {
      yield finding(
        'run-ignored',
        shown,
        `is passed over: it ${reason}`,
        reason.includes('UTF-8')
          ? 'Rename it, for example with `convmv`, or with a pattern: `mv -- PATTERN NEW_NAME`.'
          : 'Put the folder itself here instead of a link, or mount that place as the folder; remove the link when it only repeats a run.',
      );
      continue;
    }
    const above = shown.slice(0, shown.lastIndexOf('/'));
    if (reason.includes('link') || reason.includes('regular')) {
      yield finding(
        'run-ignored',
        shown,
        `is passed over: it ${reason}`,
        'Put the file itself here instead of a link.',
      );
      continue;
    }
    const place = above === runsDir ? `${runsDir}/DATASET/RUN` : `${above}/RUN`;
    yield finding(
      'run-misplaced',
      shown,
      'is passed over: an array belongs in <runs>/<dataset>/<run>/, and this one stands too high up',
      `${command('mkdir', '-p', '--', place)} and ${command('mv', '--', shown, `${place}/`)}, with names of your own for the words in capitals.`,
    );
  }
}

/** Run folders that hold no array: why not? */
function* layout(context: DoctorContext): Iterable<Finding> {
  const { port, root, opening } = context;
  const { runs: here, archived } = context.discovered();
  const runs = new Set([...here, ...archived].map((run) => run.directory));
  const made = new Set(
    context.opening.project?.graph.order.flatMap((step) => step.outputs.map(({ path }) => dirname(path))),
  );
  const top = join(root, opening.runsDir);
  for (const dataset of foldersIn(port.list(top))) {
    for (const run of foldersIn(port.list(join(top, dataset)))) {
      const folder = join(top, dataset, run);
      const shown = `${opening.runsDir}/${dataset}/${run}`;
      if (runs.has(folder) || made.has(shown) || context.refused.has(folder) || !context.includes(shown))
        continue;
      yield* whyNoRun(context, folder, shown);
    }
  }
}

function foldersIn(entries: readonly DirectoryEntry[]): string[] {
  return entries
    .filter(({ name, kind }) => kind === 'directory' && !name.startsWith('.'))
    .map(({ name }) => name);
}

function* whyNoRun({ port }: DoctorContext, folder: string, shown: string): Iterable<Finding> {
  const entries = port.list(folder);
  // What is an array of another kind, or not readable as one, is told by other checks.
  if (entries.some(({ name }) => name === NPY_FILE || name === NPZ_FILE)) return;
  let found = false;
  for (const { name, kind } of entries) {
    const meant = kind === 'file' && !isTemporary(name) ? meantArrayName(name) : undefined;
    if (meant === undefined) continue;
    found = true;
    yield finding(
      'run-misnamed',
      `${shown}/${name}`,
      `is passed over: the array of a run is called ${meant}`,
      command('mv', '--', `${shown}/${name}`, `${shown}/${meant}`),
    );
  }
  for (const inner of foldersIn(entries)) {
    for (const { name } of port.list(join(folder, inner))) {
      if (name !== NPY_FILE && name !== NPZ_FILE) continue;
      found = true;
      yield finding(
        'run-misplaced',
        `${shown}/${inner}/${name}`,
        'is passed over: an array belongs in <runs>/<dataset>/<run>/, and this one stands a folder too deep',
        command('mv', '--', `${shown}/${inner}/${name}`, `${shown}/`),
      );
    }
  }
  if (found) return;
  yield finding(
    'run-without-array',
    shown,
    entries.length === 0 ? 'is empty: there is no array in it' : `holds neither ${NPY_FILE} nor ${NPZ_FILE}`,
    'Verify that the analysis ended well, and run it again; remove the folder if nothing is to come.',
  );
}
