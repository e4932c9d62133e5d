/**
 * What no two steps may share and what no step may write, found before anything runs and named with its place in
 * pipeline.yaml. Pure over the steps.
 */
import { findCycle, providedBy } from '../engine/graph.js';
import { inputId, type Step } from '../engine/types.js';
import type { Pipeline, Target } from './load.js';
import { CACHE_FOLDER, checkProjectPath, PIPELINE_FILE } from './project-path.js';

/** Throws FirnError (usage) for outputs that collide or lie where none may be, and for steps that wait in a circle. */
export function checkSteps(pipeline: Pipeline, steps: readonly Step[]): void {
  const targetOf = (step: Step) => pipeline.targets.get(step.target) as Target;
  const problem = (step: Step, message: string, advice: string) => {
    const target = targetOf(step);
    return target.error(message, advice, target.out.length > 0 ? 'out' : undefined);
  };
  const ids = new Set<string>();
  const makers = new Map<string, Step>();
  const outputs = new Map<string, Step>();
  for (const step of steps) {
    for (const { path } of [...step.inputs, ...step.outputs]) {
      const plain = checkProjectPath(path, (message) => problem(step, `${step.id}: ${message}`, 'Every path of a step lies in the project.'));
      if (plain !== path) throw problem(step, `${step.id}: the path "${path}" is not in its plain form`, `Write ${plain}.`);
    }
    if (ids.has(step.id)) throw problem(step, `there are two steps ${step.id}`, 'Each step of a target needs an id of its own.');
    ids.add(step.id);
    for (const { path } of step.outputs) {
      const taken = outputs.get(path);
      if (taken === step) throw problem(step, `${step.id} names ${path} twice as its output`, 'Name each output once.');
      if (taken !== undefined) throw problem(step, `${taken.id} and ${step.id} both make ${path}`, ANOTHER_OUT);
      outputs.set(path, step);
      const reserved = whyReserved(path, pipeline);
      if (reserved !== undefined) throw problem(step, `${path} cannot be an output: ${reserved}`, 'Give it another `out`.');
    }
    for (const id of new Set(providedBy(step))) {
      const other = makers.get(id);
      if (other !== undefined && other !== step) throw problem(step, ...collision(other, step, id));
      makers.set(id, step);
      if (!isRewritten(step, id) && step.inputs.some((input) => inputId(input) === id)) {
        throw problem(step, `${step.id} would read and write ${pathOf(id)}`, 'A step makes new files from others: give it another `out`.');
      }
    }
  }
  for (const [path, step] of outputs) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const other = outputs.get(path.slice(0, end));
      if (other === undefined) continue;
      throw problem(step, `${path} needs a folder where ${other.id} makes a file`, ANOTHER_OUT);
    }
  }
  checkCircle(steps, makers, targetOf);
}

const ANOTHER_OUT = 'Give one of them another `out`, or take one out.';

function collision(first: Step, second: Step, id: string): [message: string, advice: string] {
  const rewriter = [first, second].find((step) => isRewritten(step, id));
  const maker = rewriter === first ? second : first;
  if (rewriter === undefined) return [`${first.id} and ${second.id} both make ${pathOf(id)}`, ANOTHER_OUT];
  return [
    `${rewriter.id} would put other values into ${pathOf(id)}, which ${maker.id} makes: they would undo each other`,
    'Compress it lossless, or keep the original (delete-original: false), or leave the run out with a filter under `runs`.',
  ];
}

function isRewritten(step: Step, id: string): boolean {
  return (step.rewrites ?? []).some((input) => inputId(input) === id);
}

function pathOf(id: string): string {
  return id.slice(id.indexOf(':') + 1);
}

function whyReserved(path: string, pipeline: Pipeline): string | undefined {
  if (path === PIPELINE_FILE || path.startsWith(`${PIPELINE_FILE}/`)) return 'it says what is built';
  if (path === CACHE_FOLDER || path.startsWith(`${CACHE_FOLDER}/`)) return 'firn keeps its own state there';
  if (path === pipeline.versionsFile) return 'it is the registry of model versions';
  return undefined;
}

function checkCircle(steps: readonly Step[], makers: ReadonlyMap<string, Step>, targetOf: (step: Step) => Target): void {
  const upstream = new Map(
    steps.map((step) => [step.id, step.inputs.flatMap((input) => makers.get(inputId(input)) ?? []).filter((maker) => maker !== step).map(({ id }) => id)]),
  );
  const circle = findCycle(upstream, new Set(upstream.keys()));
  const step = steps.find(({ id }) => id === circle[0]);
  if (step === undefined) return;
  throw targetOf(step).error(
    `these steps wait for each other: ${circle.join(' -> ')}`,
    'Each reads what the next one writes; take one of the dependencies out.',
    'from',
  );
}
