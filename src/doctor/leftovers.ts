/** Files and folders that were never finished: of a killed build, or of a program that outlived it. */
import { dirname, join } from 'node:path';
import { pendingCommits } from '../engine/commit.js';
import { journalIn, lockIn } from '../engine/context.js';
import { UNSWEPT } from '../engine/recover.js';
import { isTemporary } from '../files/temporary.js';
import { CACHE_FOLDER } from '../project.js';
import { command } from '../shell-word.js';
import { isBusy } from './cache.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

export const leftoverChecks: Group = {
  name: 'leftovers',
  checks: { 'unfinished files': temporaries },
  whenLimited: true,
  summary: () => undefined,
};

async function* temporaries(context: DoctorContext): AsyncIterable<Finding> {
  // While a build works here they are its own.
  if (isBusy(context)) return;
  const { port, cacheDirectory } = context;
  const needed = new Set(
    pendingCommits(port, journalIn(cacheDirectory)).flatMap(({ moves }) =>
      moves.map(({ from }) => dirname(from)),
    ),
  );
  const swept = sweptFolders(context);
  for (const folder of await placesOf(context)) {
    for (const { name } of port.list(folder)) {
      const path = join(folder, name);
      const shown = context.shown(path);
      if (!isTemporary(name) || needed.has(shown) || !context.includes(shown)) continue;
      yield finding(
        'temporary-left',
        shown,
        'was never finished, and no build works here',
        swept.has(context.shown(folder))
          ? `The next ${command('firn', 'build')} that does something removes it; so does ${command('rm', '-r', '--', shown)}.`
          : command('rm', '-r', '--', shown),
      );
    }
  }
}

/** Folders in which the next build looks for leftovers by itself. */
function sweptFolders({ port, cacheDirectory, opening }: DoctorContext): Set<string> {
  const always = [CACHE_FOLDER];
  const marked = port.stat(join(cacheDirectory, UNSWEPT)) !== undefined;
  if (!marked && port.stat(lockIn(cacheDirectory)) === undefined) return new Set(always);
  const steps = opening.project?.graph.order ?? [];
  return new Set([...always, ...steps.flatMap(({ outputs }) => outputs.map(({ path }) => dirname(path)))]);
}

/** Wherever firn writes. */
async function placesOf(context: DoctorContext): Promise<Set<string>> {
  const { port, root, cacheDirectory, opening } = context;
  const runsDir = join(root, opening.runsDir);
  const places = new Set([
    root,
    cacheDirectory,
    journalIn(cacheDirectory),
    dirname(join(root, opening.versionsFile)),
    runsDir,
  ]);
  for (const dataset of port.list(runsDir)) {
    if (dataset.kind !== 'directory' || isTemporary(dataset.name)) continue;
    const folder = join(runsDir, dataset.name);
    places.add(folder);
    for (const run of port.list(folder))
      if (run.kind === 'directory' && !isTemporary(run.name)) places.add(join(folder, run.name));
  }
  for (const { directory } of await context.references()) places.add(join(root, directory));
  for (const { outputs } of opening.project?.graph.order ?? [])
    for (const { path } of outputs) places.add(dirname(join(root, path)));
  const objects = join(cacheDirectory, 'objects');
  for (const { name } of port.list(objects)) places.add(join(objects, name));
  return places;
}
