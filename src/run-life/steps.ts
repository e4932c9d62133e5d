/** What the steps of a pipeline have to do with a run. Pure. */
import { dirname } from 'node:path';
import type { StepGraph } from '../engine/graph.js';
import type { Step } from '../engine/types.js';

/** Ids of steps that read its files, but for those that take it into references and those that compress it. */
export function readersOf({ order }: StepGraph, directory: string): string[] {
  const isInside = (path: string) => path === directory || path.startsWith(`${directory}/`);
  return order
    .filter(({ rule }) => rule.own || !['consolidate', 'compress'].includes(rule.name))
    .filter(({ inputs }) => inputs.some(({ path }) => isInside(path)))
    .map(({ id }) => id);
}

/** The step that makes a run, and the folders of the other runs that it makes with it. */
export function makerOf(
  { order }: StepGraph,
  directory: string,
): { step: Step; others: string[] } | undefined {
  for (const step of order) {
    const runs = step.outputs.filter(({ kind }) => kind === 'run').map(({ path }) => dirname(path));
    if (runs.includes(directory)) return { step, others: runs.filter((path) => path !== directory) };
  }
  return undefined;
}

/** The model version that a reference would note of a run; undefined when there is none, or no reference takes the run in. */
export function versionIn({ order }: StepGraph, run: string): string | undefined {
  for (const { rule, detail } of order) {
    if (rule.name !== 'consolidate' || rule.own) continue;
    const version = (detail as { versions: { [run: string]: string } }).versions[run];
    if (version !== undefined) return version;
  }
  return undefined;
}
