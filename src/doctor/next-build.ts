/**
 * What the next build would refuse, found out without building: each step is decided as a build does it. Without reading
 * every byte, only digests that are remembered count, and a step that would need others is left open.
 */
import { decide } from '../engine/decide.js';
import { NotRemembered } from '../engine/digests.js';
import { upstreamOf } from '../engine/graph.js';
import { openRecovered } from '../engine/plan.js';
import type { Digest, Digester, Reason, Step } from '../engine/types.js';
import { errnoOf, FirnError } from '../errors.js';
import { engineOptions, type Project } from '../project.js';
import { command } from '../shell-word.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';

export const nextBuildChecks: Group = {
  name: 'next build',
  checks: { 'the next build': refuses, 'outputs of steps': edited },
  whenLimited: true,
  async summary(context) {
    const steps = await foresee(context);
    if (steps.length === 0) return undefined;
    const fresh = steps.filter(({ state }) => state === 'fresh').length;
    const open = steps.filter(({ state }) => state === 'open').length;
    return `${fresh} of ${steps.length} steps fresh${open > 0 ? `, ${open} not known without reading` : ''}`;
  },
};

export interface ForeseenStep {
  step: Step;
  /** waits: for a step before it that is not fresh. open: digests are needed that nobody remembers. */
  state: 'fresh' | 'stale' | 'waits' | 'open' | 'refused';
  reasons: Reason[];
  error?: unknown;
  /** It cannot run here at all: a package is missing. */
  isLacking?: boolean;
}

const known = new WeakMap<DoctorContext, Promise<ForeseenStep[]>>();

/** The steps asked about, in the order of a build. Empty without a pipeline, and where the cache cannot be opened. */
export function foresee(context: DoctorContext): Promise<ForeseenStep[]> {
  let steps = known.get(context);
  if (steps === undefined) {
    steps = foreseeSteps(context);
    known.set(context, steps);
  }
  return steps;
}

async function foreseeSteps(context: DoctorContext): Promise<ForeseenStep[]> {
  const { project } = context.opening;
  // Without some of the runs a plan would be that of another project.
  if (project === undefined || context.engine() === undefined || context.refusedHere().length > 0) return [];
  const digesters = context.full ? await readAlready(context, project) : project.digesters;
  const options = { ...engineOptions(project, { signal: context.signal }), digesters, port: context.port };
  const engine = openRecovered(options, !context.full);
  const foreseen = new Map<string, ForeseenStep>();
  try {
    for (const step of context.steps) {
      context.signal.throwIfAborted();
      const lacks = await step.rule.obstacle?.(step);
      const before = upstreamOf(project.graph, step).some(
        (id) => (foreseen.get(id)?.state ?? 'fresh') !== 'fresh',
      );
      foreseen.set(step.id, {
        step,
        reasons: [],
        ...(lacks !== undefined
          ? { state: 'refused', error: lacks, isLacking: true }
          : before
            ? { state: 'waits' }
            : await foreseeStep(step, { ...engine, force: false })),
      });
    }
  } finally {
    await engine.workers.close();
  }
  return [...foreseen.values()];
}

async function foreseeStep(
  step: Step,
  engine: Parameters<typeof decide>[1],
): Promise<Pick<ForeseenStep, 'state'> & Partial<ForeseenStep>> {
  try {
    const decision = await decide(step, engine);
    return decision.action === 'fresh' ? { state: 'fresh' } : { state: 'stale', reasons: decision.reasons };
  } catch (error) {
    if (error instanceof NotRemembered) return { state: 'open' };
    const expected = error instanceof FirnError ? error.kind !== 'interrupted' : errnoOf(error) !== undefined;
    if (!expected) throw error;
    return { state: 'refused', error };
  }
}

/** What other checks have read is not read again. */
async function readAlready(
  context: DoctorContext,
  { digesters }: Project,
): Promise<ReadonlyMap<string, Digester>> {
  const contents = await context.contents();
  const looks = await context.looks();
  const digests = new Map(
    [...looks.values()].flatMap(({ run, npy, npz }) => {
      const { digest, copy, copyError } = contents.get(run.name) ?? {};
      const shape = (npy ?? npz)?.shape;
      const isSound = digest !== undefined && copyError === undefined && copy !== 'differs';
      return isSound && shape !== undefined
        ? [[context.shown(run.directory), { digest, facts: { ...shape } }] as const]
        : [];
    }),
  );
  const [run, file] = ['run', 'file'].map((kind) => digesters.get(kind) as Digester);
  return new Map<string, Digester>([
    ...digesters,
    ['run', { ...run, digest: async (path, options) => digests.get(path) ?? run.digest(path, options) }],
    [
      'file',
      { ...file, digest: (path, options) => digestFile(context, path, () => file.digest(path, options)) },
    ],
  ]);
}

async function digestFile(
  context: DoctorContext,
  path: string,
  otherwise: () => Promise<Digest | undefined>,
): Promise<Digest | undefined> {
  const file = `${context.root}/${path}`;
  return context.port.stat(file)?.kind === 'file' ? { digest: await context.fileDigest(file) } : otherwise();
}

async function* refuses(context: DoctorContext): AsyncIterable<Finding> {
  for (const { step, state, error, isLacking } of await foresee(context)) {
    if (state !== 'refused') continue;
    const [{ path }] = step.outputs;
    if (isLacking) {
      yield findingOf('package-missing', path, error, 'Install the package.');
      continue;
    }
    const at = error instanceof FirnError && error.path !== undefined ? error.path : undefined;
    const shown = at === undefined ? undefined : at.startsWith('/') ? context.shown(at) : at;
    // What is behind it has its own finding.
    if (context.told.has(step.id) || (shown !== undefined && context.told.has(shown))) continue;
    const found = findingOf(
      'build-blocked',
      shown ?? path,
      error,
      `${command('firn', 'why', step.id)} says more.`,
    );
    yield { ...found, message: `the next build would refuse ${step.id}: ${found.message}` };
  }
}

/** Among what was told: that this output is another program's by now. */
export function editedKey(path: string): string {
  return `edited ${path}`;
}

/** Files that are not as the step that wrote them left them. */
async function* edited(context: DoctorContext): AsyncIterable<Finding> {
  const engine = context.engine();
  if (engine === undefined) return;
  for (const step of context.steps) {
    const record = engine.records.of(step.id);
    for (const { path, kind, digest } of record?.outputs ?? []) {
      // A run is known by its values, and has checks of its own.
      if (kind !== 'file' || context.told.has(path) || context.told.has(editedKey(path))) continue;
      if (!(await isEdited(context, path, digest))) continue;
      yield finding(
        'output-edited',
        path,
        `is not what ${step.id} wrote`,
        `If the change is wanted, keep a copy under another name; ${command('firn', 'build', step.target)} puts back what was written, or makes it again.`,
      );
    }
  }
}

async function isEdited(context: DoctorContext, path: string, digest: string): Promise<boolean> {
  const file = `${context.root}/${path}`;
  if (context.port.stat(file)?.kind !== 'file') return false;
  if (context.full) return (await context.fileDigest(file)) !== digest;
  const digests = context.engine()?.digests;
  const found = digests?.recall({ kind: 'file', path });
  if (found !== undefined) return found.digest !== digest;
  return digests?.hasOtherSize({ kind: 'file', path }) ?? false;
}
