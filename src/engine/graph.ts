/** Which step waits for which. Small pure functions over steps; they know no disk and no record. */
import { FirnError } from '../errors.js';
import { inputId, type Step } from './types.js';

export interface StepGraph {
  /** In an order where each step stands after all it waits for. */
  order: Step[];
  /** Ids of the steps that a step waits for, by its id. */
  upstream: Map<string, string[]>;
  downstream: Map<string, string[]>;
}

/** The inputs of other steps that a step makes true. */
export function providedBy(step: Step): string[] {
  const ids: string[] = [];
  for (const output of step.outputs) {
    ids.push(inputId({ kind: 'file', path: output.path }));
    if (output.kind !== 'file') ids.push(inputId({ kind: output.kind, path: parentOf(output.path) }));
  }
  for (const input of step.rewrites ?? []) ids.push(inputId(input));
  return ids;
}

/** The ids of the steps that a step waits for. */
export function upstreamOf(graph: Pick<StepGraph, 'upstream'>, step: Pick<Step, 'id'>): string[] {
  return graph.upstream.get(step.id) ?? [];
}

function parentOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** Throws FirnError (usage) when two steps make the same thing or when steps wait for each other in a circle. */
export function buildGraph(steps: readonly Step[]): StepGraph {
  const maker = new Map<string, Step>();
  for (const step of steps) {
    for (const id of providedBy(step)) {
      const other = maker.get(id);
      if (other !== undefined && other.id !== step.id) {
        throw new FirnError(
          'usage',
          `${other.id} and ${step.id} both make ${id.slice(id.indexOf(':') + 1)}`,
          {
            advice: 'Give one of them another `out`, or take one out of pipeline.yaml.',
          },
        );
      }
      maker.set(id, step);
    }
  }
  const upstream = new Map<string, string[]>();
  const downstream = new Map<string, string[]>(steps.map((step) => [step.id, []]));
  for (const step of steps) {
    const waitsFor = new Set<string>();
    for (const input of step.inputs) {
      const from = maker.get(inputId(input));
      if (from !== undefined && from.id !== step.id) waitsFor.add(from.id);
    }
    upstream.set(step.id, [...waitsFor]);
    for (const id of waitsFor) downstream.get(id)?.push(step.id);
  }
  return { order: sortSteps(steps, upstream, downstream), upstream, downstream };
}

/** Kahn's algorithm; ties keep the order in which the steps were given. */
function sortSteps(
  steps: readonly Step[],
  upstream: ReadonlyMap<string, string[]>,
  downstream: ReadonlyMap<string, string[]>,
): Step[] {
  const byId = new Map(steps.map((step) => [step.id, step]));
  const waiting = new Map([...upstream].map(([id, ids]) => [id, ids.length]));
  const order = steps.filter((step) => waiting.get(step.id) === 0);
  for (const step of order) {
    for (const id of downstream.get(step.id) ?? []) {
      const left = (waiting.get(id) ?? 0) - 1;
      waiting.set(id, left);
      const next = byId.get(id);
      if (left === 0 && next !== undefined) order.push(next);
    }
  }
  if (order.length < steps.length) {
    const circle = findCycle(upstream, new Set(steps.map((step) => step.id)));
    throw new FirnError('usage', `these targets wait for each other: ${circle.join(' -> ')}`, {
      advice: 'Take one of the dependencies out of pipeline.yaml.',
    });
  }
  return order;
}

/** The ids along one cycle, first repeated at the end; empty when there is none. */
export function findCycle(
  upstream: ReadonlyMap<string, readonly string[]>,
  ids: ReadonlySet<string>,
): string[] {
  const state = new Map<string, 'open' | 'done'>();
  for (const root of ids) {
    if (state.has(root)) continue;
    const path: { id: string; next: number }[] = [{ id: root, next: 0 }];
    state.set(root, 'open');
    while (path.length > 0) {
      const top = path[path.length - 1];
      const waits = upstream.get(top.id) ?? [];
      if (top.next >= waits.length) {
        state.set(top.id, 'done');
        path.pop();
        continue;
      }
      const id = waits[top.next++];
      if (state.get(id) === 'open') {
        const ring = path.slice(path.findIndex((entry) => entry.id === id)).map((entry) => entry.id);
        return [...ring, id];
      }
      if (!state.has(id) && ids.has(id)) {
        state.set(id, 'open');
        path.push({ id, next: 0 });
      }
    }
  }
  return [];
}

/** The steps of the wanted targets and all they wait for, in graph order. No target named: every step. */
export function selectSteps(graph: StepGraph, targets: readonly string[]): Step[] {
  if (targets.length === 0) return graph.order;
  const wanted = new Set<string>();
  const queue = graph.order.filter((step) => targets.includes(step.target)).map((step) => step.id);
  for (let id = queue.pop(); id !== undefined; id = queue.pop()) {
    if (wanted.has(id)) continue;
    wanted.add(id);
    queue.push(...(graph.upstream.get(id) ?? []));
  }
  return graph.order.filter((step) => wanted.has(step.id));
}
