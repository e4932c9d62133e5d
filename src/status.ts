/** What is stale and what is fresh by target, with what finished steps said of themselves. Prints nothing. */
import type { PlannedStep } from './engine/plan.js';
import type { Json } from './engine/types.js';
import { type BuildRequest, type Project, plan } from './project.js';
import { recordedStats } from './recorded-stats.js';

/** A step as it stands, and what it said of itself when it was last built: rows, ratios, recall. */
export interface StepState extends PlannedStep {
  stats: { [name: string]: Json } | null;
}

/** A target as it stands. */
export interface TargetStatus {
  target: string;
  /** The name of its rule. */
  rule: string;
  /** What is most worth knowing of its steps, in the order blocked, run, restore, maybe, fresh; empty: it has none. */
  state: PlannedStep['action'] | 'empty';
  steps: StepState[];
}

/** In the order of pipeline.yaml; with `targets`, those and what they depend on. */
export async function targetStatus(
  project: Project,
  request: Pick<BuildRequest, 'targets' | 'signal'> = {},
): Promise<TargetStatus[]> {
  const { targets = [] } = request;
  const planned = await plan(project, request);
  const stats = recordedStats(project);
  const steps = new Map<string, StepState[]>();
  for (const step of planned) {
    const own = steps.get(step.target) ?? [];
    own.push({ ...step, stats: stats.get(step.id) ?? null });
    steps.set(step.target, own);
  }
  // What a named target hangs on is shown with it; targets without a step belong to no other.
  return [...project.pipeline.targets.values()]
    .filter(({ name }) => targets.length === 0 || targets.includes(name) || steps.has(name))
    .map(({ name, rule }) => {
      const own = steps.get(name) ?? [];
      return { target: name, rule: rule.name, state: stateOf(own), steps: own };
    });
}

function stateOf(steps: readonly PlannedStep[]): TargetStatus['state'] {
  const order = ['blocked', 'run', 'restore', 'maybe', 'fresh'] as const;
  return order.find((action) => steps.some((step) => step.action === action)) ?? 'empty';
}
