/** What the steps of a pipeline have to do with each run, looked up once for all of them. Pure. */
import { dirname } from 'node:path';
import type { StepGraph } from '../engine/graph.js';
import type { Step } from '../engine/types.js';

export interface StepsOfRun {
  /** Targets of references that select it. */
  selectedBy: Set<string>;
  /** Ids of steps that read its files, but for those that take it into references and those that compress it. */
  readers: Set<string>;
  /** The step that makes it, and the folders of other runs that it makes with it. */
  maker: { id: string; others: string[] } | undefined;
  /** The model version that a reference would note of it. */
  version: string | undefined;
}

/** By the name of a run. `runsDir` is relative to the project. */
export function stepsOfRuns({ order }: StepGraph, runsDir: string): (name: string) => StepsOfRun {
  const found = new Map<string, StepsOfRun>();
  const of = (name: string): StepsOfRun => {
    let steps = found.get(name);
    if (steps === undefined) {
      steps = { selectedBy: new Set(), readers: new Set(), maker: undefined, version: undefined };
      found.set(name, steps);
    }
    return steps;
  };
  /** `runs/dataset/run/file` -> `dataset/run`; undefined for what is in no run. */
  const runAt = (path: string): string | undefined => {
    if (!path.startsWith(`${runsDir}/`)) return undefined;
    const [dataset, run] = path.slice(runsDir.length + 1).split('/');
    return run === undefined ? undefined : `${dataset}/${run}`;
  };
  for (const step of order) {
    const takesIn = !step.rule.own && step.rule.name === 'consolidate';
    const compresses = !step.rule.own && step.rule.name === 'compress';
    for (const { path } of compresses ? [] : step.inputs) {
      const name = runAt(path);
      if (name === undefined) continue;
      if (takesIn) of(name).selectedBy.add(step.target);
      else of(name).readers.add(step.id);
    }
    if (takesIn) noteVersions(step, of);
    const made = step.outputs.filter(({ kind }) => kind === 'run').map(({ path }) => dirname(path));
    for (const directory of made) {
      const others = made.filter((other) => other !== directory);
      of(runAt(directory) as string).maker = { id: step.id, others };
    }
  }
  return of;
}

function noteVersions({ detail }: Step, of: (name: string) => StepsOfRun): void {
  const { versions } = detail as { versions: { [run: string]: string } };
  for (const [name, version] of Object.entries(versions)) of(name).version = version;
}
