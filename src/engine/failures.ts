/**
 * Steps that failed, for whoever builds again and again: a step that would fail as it did is not repeated. It would while
 * its key is the same and so are the files that stand where it writes; where it failed before it had a key, while all files
 * behind it have the same stat. Remembered for as long as the program runs. Knows no rule.
 */
import { createHash } from 'node:crypto';
import { join } from 'node:path';
import { errnoOf } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Digester, Reason, Step } from './types.js';

/** These are no fault of what the step reads, and pass. */
const PASSING = new Set([
  'ENOSPC',
  'EDQUOT',
  'EROFS',
  'EIO',
  'EMFILE',
  'ENFILE',
  'ENOMEM',
  'EAGAIN',
  'ESTALE',
  'ETIMEDOUT',
  'EHOSTDOWN',
  'ENETUNREACH',
]);
const FIRST_RETRY_MS = 60_000;
const LAST_RETRY_MS = 3_600_000;

export interface FailurePlace {
  port: ReadPort;
  /** Absolute. */
  root: string;
  digesters: ReadonlyMap<string, Digester>;
  /** milliseconds since 1970 */
  now: () => number;
}

interface Failure {
  /** What the step is, and the stats of all files it reads or writes. */
  sight: string;
  /** Undefined when it failed before that was known. */
  key: string | undefined;
  /** The stats of the files it writes. */
  outputs: string;
  /** When it is tried again although nothing has changed, in ms since 1970. */
  retryAt: number;
  retryAfter: number;
}

export class Failures {
  private readonly byStep = new Map<string, Failure>();

  /** Ids of the steps that would fail again. */
  get steps(): string[] {
    return [...this.byStep.keys()];
  }

  /** Why the step need not even be looked into. */
  standing(step: Step, place: FailurePlace): Reason | undefined {
    const failure = this.byStep.get(step.id);
    if (failure === undefined || place.now() >= failure.retryAt) return undefined;
    return failure.sight === sightOf(step, place) ? again() : undefined;
  }

  /** Why it need not run, its key being this one. */
  recurring(step: Step, key: string, place: FailurePlace): Reason | undefined {
    const failure = this.byStep.get(step.id);
    if (failure === undefined || failure.key !== key || place.now() >= failure.retryAt) return undefined;
    return failure.outputs === statsOf(outputsOf(step), place) ? again() : undefined;
  }

  /**
   * `before`: its sight when it was begun. A step whose files changed meanwhile may have failed for that, and is tried again.
   */
  note(
    step: Step,
    failed: { before: string; key: string | undefined; error: unknown },
    place: FailurePlace,
  ): void {
    const { before, key, error } = failed;
    const earlier = this.byStep.get(step.id);
    this.byStep.delete(step.id);
    const sight = sightOf(step, place);
    if (sight !== before) return;
    const retryAfter = Math.min(LAST_RETRY_MS, 2 * (earlier?.retryAfter ?? FIRST_RETRY_MS / 2));
    this.byStep.set(step.id, {
      sight,
      key,
      outputs: statsOf(outputsOf(step), place),
      retryAt: passes(error) ? place.now() + retryAfter : Number.POSITIVE_INFINITY,
      retryAfter,
    });
  }

  forget(step: Step): void {
    this.byStep.delete(step.id);
  }

  /** Forgets steps that are not among these. */
  keepOnly(steps: readonly Step[]): void {
    const ids = new Set(steps.map(({ id }) => id));
    for (const id of this.byStep.keys()) if (!ids.has(id)) this.byStep.delete(id);
  }
}

/** Also where an error for people stands before that of the system. */
function passes(error: unknown): boolean {
  for (let at = error; at instanceof Error; at = at.cause) if (PASSING.has(errnoOf(at) ?? '')) return true;
  return false;
}

function again(): Reason {
  return { code: 'failed', text: 'it failed, and nothing that it reads has changed' };
}

/** Changes when the step does, or the stat of any file it reads or writes. */
export function sightOf(step: Step, place: FailurePlace): string {
  const { rule, ...rest } = step;
  const files = step.inputs.flatMap(({ kind, path }) => place.digesters.get(kind)?.files(path) ?? [path]);
  return createHash('sha256')
    .update(JSON.stringify([rule.name, rule.version, rule.tools?.(step) ?? [], rest]))
    .update(statsOf([...files, ...outputsOf(step)], place))
    .digest('hex');
}

function outputsOf(step: Step): string[] {
  return [...step.outputs.map(({ path }) => path), ...(step.removes ?? [])];
}

function statsOf(paths: readonly string[], { port, root }: FailurePlace): string {
  return paths.map((path) => statOf(join(root, path), port)).join('\n');
}

function statOf(path: string, port: ReadPort): string | undefined {
  try {
    const stat = port.stat(path);
    return stat && [stat.kind, stat.size, stat.mtimeNs, stat.ctimeNs, stat.ino].join(' ');
  } catch (error) {
    // What may not be looked at is in that state until it may.
    return errnoOf(error);
  }
}
