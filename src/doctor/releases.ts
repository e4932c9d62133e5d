/** Checks of releases: all their files are there and, when every byte is read, are what they were. Knows no reference. */

import { someOf } from '../reference/warnings.js';
import type { FoundRelease } from '../release/find.js';
import { listReleases } from '../release/list.js';
import { verifyRelease } from '../release/verify.js';
import { command } from '../shell-word.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

export const releaseChecks: Group = {
  name: 'releases',
  checks: { 'files of releases': whole, 'bytes of releases': bytes },
  whenLimited: true,
  async summary(context) {
    const found = await releases(context);
    if (found.length === 0) return undefined;
    return `${plural(found.length, 'release')}: ${someOf(found.map(({ tag }) => tag))}`;
  },
};

async function releases(context: DoctorContext) {
  const { root, opening } = context;
  const listed = await listReleases(context.port, { root, pipeline: opening.pipeline ?? {} });
  return listed.filter(({ directory }) => context.includes(context.shown(directory)));
}

async function* whole(context: DoctorContext): AsyncIterable<Finding> {
  for (const release of await releases(context)) {
    const problems = [
      ...(release.missing.length > 0 ? [`lacks ${someOf(release.missing)}`] : []),
      ...(release.problem === null ? [] : [release.problem]),
    ];
    if (problems.length > 0) yield damaged(context, release, problems);
  }
}

async function* bytes(context: DoctorContext): AsyncIterable<Finding> {
  if (!context.full) return;
  const { port, workers, signal } = context;
  for (const release of await releases(context)) {
    if (context.told.has(context.shown(release.directory))) continue;
    const { directory } = release;
    // Bytes of its files, and then rows and vectors: only the first count.
    const share = context.share(release.bytes);
    const onProgress = (done: number, total: number, unit: string): void => {
      if (unit === 'bytes') share(done, total);
    };
    const { findings } = await verifyRelease({ port, directory, workers, signal, onProgress });
    if (findings.length > 0)
      yield damaged(
        context,
        release,
        findings.map(({ path, problem }) => `${path} ${problem}`),
      );
  }
}

function damaged(
  context: DoctorContext,
  { tag, directory }: FoundRelease,
  problems: readonly string[],
): Finding {
  const shown = context.shown(directory);
  context.told.add(shown);
  return finding(
    'release-damaged',
    shown,
    `the release ${tag} is not whole: ${someOf(problems)}`,
    `Put its files back from its archive or a backup; ${command('firn', 'verify', shown)} says more. A release is never built again: make another one under a new tag.`,
  );
}
