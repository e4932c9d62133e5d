/**
 * Looks at a project and at the machine it is on, and says what is wrong with either and what to do. Each check runs by
 * itself: one that fails is a finding, and the others go on. Changes nothing and prints nothing.
 */
import { disk } from '../files/disk.js';
import { textOf } from '../system-errors.js';
import { archivedRunChecks } from './archived-runs.js';
import { cacheChecks } from './cache.js';
import type { Check, Group } from './check.js';
import { clockChecks } from './clocks.js';
import { DoctorContext, type DoctorRequest } from './context.js';
import { diskChecks } from './disk.js';
import { CODES, type Finding, finding, type Severity } from './finding.js';
import { indexChecks } from './indexes.js';
import { leftoverChecks } from './leftovers.js';
import { machineChecks } from './machine.js';
import { nextBuildChecks } from './next-build.js';
import { pipelineChecks } from './pipeline.js';
import { bytesToRead } from './reading.js';
import { referenceChecks } from './references.js';
import { releaseChecks } from './releases.js';
import { rightsChecks } from './rights.js';
import { runArrayChecks } from './run-arrays.js';
import { runFolderChecks } from './run-folders.js';
import { versionChecks } from './versions.js';

export type { DoctorRequest } from './context.js';
export type { Code, Finding, Severity } from './finding.js';

/** In an order in which causes come before what hangs on them. */
const GROUPS: readonly Group[] = [
  runFolderChecks,
  runArrayChecks,
  archivedRunChecks,
  versionChecks,
  pipelineChecks,
  referenceChecks,
  indexChecks,
  releaseChecks,
  nextBuildChecks,
  cacheChecks,
  leftoverChecks,
  clockChecks,
  diskChecks,
  machineChecks,
  rightsChecks,
];

const SEVERITIES: readonly Severity[] = ['error', 'warning', 'advice'];

export interface Diagnosis {
  /** Absolute. */
  root: string;
  mode: 'quick' | 'full';
  /** What was looked at, one line a group. */
  checked: { group: string; text: string }[];
  /** Errors first, then warnings, then advice. */
  findings: Finding[];
}

/**
 * @throws FirnError `usage` for a word in `only` that is nothing, and the signal's reason; never for what is wrong with the
 *   project
 */
export async function diagnose(request: DoctorRequest): Promise<Diagnosis> {
  const context = await DoctorContext.open({ port: disk, ...request });
  try {
    if (context.full) context.foretell(await bytesToRead(context).catch(() => 0));
    const found: Finding[] = [];
    const checked: Diagnosis['checked'] = [];
    // One failure behind several checks is one finding.
    const failures = new Set<unknown>();
    const fail = (check: string, error: unknown): boolean => {
      if (failures.has(error)) return false;
      failures.add(error);
      request.onFailure?.(check, error);
      return true;
    };
    for (const group of GROUPS) {
      if (context.isLimited && !group.whenLimited) continue;
      for (const [name, check] of Object.entries(group.checks))
        for await (const one of guarded(context, name, check, fail)) found.push(one);
      const text = await summaryOf(context, group);
      if (text !== undefined) checked.push({ group: group.name, text });
    }
    const findings = SEVERITIES.flatMap((severity) => found.filter((one) => one.severity === severity));
    return { root: context.root, mode: context.full ? 'full' : 'quick', checked, findings };
  } finally {
    await context.close();
  }
}

async function* guarded(
  context: DoctorContext,
  name: string,
  check: Check,
  fail: (check: string, error: unknown) => boolean,
): AsyncIterable<Finding> {
  try {
    for await (const one of check(context)) {
      context.signal.throwIfAborted();
      yield one;
    }
  } catch (error) {
    context.signal.throwIfAborted();
    if (!fail(name, error)) return;
    yield finding(
      'check-failed',
      null,
      `the check of ${name} failed: ${textOf(error)}`,
      'The other checks are not touched by it. `FIRN_DEBUG=1 firn doctor` shows more; it may be a mistake in firn.',
    );
  }
}

/** What could not be looked at has its findings. */
async function summaryOf(context: DoctorContext, group: Group): Promise<string | undefined> {
  try {
    return await group.summary(context);
  } catch {
    context.signal.throwIfAborted();
    return undefined;
  }
}

/** Whether something is wrong: advice alone is not. */
export function isWrong({ findings }: Pick<Diagnosis, 'findings'>): boolean {
  return findings.some(({ code }) => CODES[code] !== 'advice');
}
