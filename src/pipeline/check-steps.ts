/**
 * What no two steps may share and what no step may write, found before anything runs and named with its place in
 * pipeline.yaml. Pure over the steps.
 */
import { findCycle, providedBy } from '../engine/graph.js';
import { inputId, type Step, type StepDraft } from '../engine/types.js';
import { NPY_FILE, NPZ_FILE } from '../runs/discover.js';
import { isRunName } from '../runs/run-name.js';
import type { Pipeline, Target } from './load.js';
import { CACHE_FOLDER, checkProjectPath, PIPELINE_FILE } from './project-path.js';

/** Checks the steps that a rule gives for one target; a rule may be a user's JavaScript. Throws FirnError (usage). */
export function checkDrafts(target: Target, drafts: readonly StepDraft[], runsDir: string): void {
  const wrong = draftsProblem(target, drafts);
  if (wrong !== undefined) throw target.error(`the rule ${target.rule.name} makes no usable steps: ${wrong}`);
  for (const { id, inputs, outputs, removes = [] } of drafts) {
    const problem = (message: string, advice: string) =>
      target.error(`${id}: ${message}`, advice, target.out.length > 0 ? 'out' : undefined);
    for (const path of [...inputs, ...outputs].map((item) => item.path).concat(removes)) {
      const plain = checkProjectPath(path, (message) =>
        problem(message, 'Every path of a step lies in the project.'),
      );
      if (plain !== path) throw problem(`the path "${path}" is not in its plain form`, `Write ${plain}.`);
    }
    // What is made elsewhere would count as a run, and be looked for here.
    const misplaced = outputs.find(({ kind, path }) => kind === 'run' && !isRunArray(path, runsDir));
    if (misplaced !== undefined) {
      throw problem(
        `${misplaced.path} is no place for a run`,
        `Runs are made at ${runsDir}/<dataset>/<run>/${NPY_FILE}.`,
      );
    }
  }
}

function draftsProblem(target: Target, drafts: unknown): string | undefined {
  if (!Array.isArray(drafts)) return '`expand` gives no list';
  for (const draft of drafts as Partial<StepDraft>[]) {
    const { id, params, inputs, outputs } = draft ?? {};
    if (typeof id !== 'string' || (id !== target.name && !id.startsWith(`${target.name}:`))) {
      return `a step has the id ${JSON.stringify(id)}, expected "${target.name}" or "${target.name}:..."`;
    }
    if (params === undefined) return `${id} has no \`params\``;
    for (const [name, list] of Object.entries({ inputs, outputs })) {
      if (!isItems(list)) return `\`${name}\` of ${id} is no list of {kind: "file" or "run", path}`;
    }
    if (outputs?.length === 0) return `${id} has no outputs`;
    const { removes = [], rewrites = [] } = draft;
    if (!Array.isArray(removes) || !removes.every((path) => typeof path === 'string'))
      return `\`removes\` of ${id} is no list of paths`;
    if (!isItems(rewrites)) return `\`rewrites\` of ${id} is no list of {kind: "file" or "run", path}`;
  }
  return undefined;
}

const KINDS = ['file', 'run'];

function isItems(list: unknown): boolean {
  return (
    Array.isArray(list) && list.every((item) => KINDS.includes(item?.kind) && typeof item.path === 'string')
  );
}

function isRunArray(path: string, runsDir: string): boolean {
  const folder = path.slice(0, path.lastIndexOf('/'));
  const file = path.slice(folder.length + 1);
  const isArray = file === NPY_FILE || file === NPZ_FILE;
  return isArray && folder.startsWith(`${runsDir}/`) && isRunName(folder.slice(runsDir.length + 1));
}

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
    if (ids.has(step.id))
      throw problem(step, `there are two steps ${step.id}`, 'Each step of a target needs an id of its own.');
    ids.add(step.id);
    for (const { path } of step.outputs) {
      const taken = outputs.get(path);
      if (taken === step)
        throw problem(step, `${step.id} names ${path} twice as its output`, 'Name each output once.');
      if (taken !== undefined)
        throw problem(step, `${taken.id} and ${step.id} both make ${path}`, apart(taken, step));
      outputs.set(path, step);
      const reserved = whyReserved(path, pipeline);
      if (reserved !== undefined)
        throw problem(step, `${path} cannot be an output: ${reserved}`, 'Give it another `out`.');
    }
    for (const id of new Set(providedBy(step))) {
      const other = makers.get(id);
      if (other !== undefined && other !== step) throw problem(step, ...collision(other, step, id));
      makers.set(id, step);
      if (!isRewritten(step, id) && step.inputs.some((input) => inputId(input) === id)) {
        throw problem(
          step,
          `${step.id} would read and write ${pathOf(id)}`,
          'A step makes new files from others: give it another `out`.',
        );
      }
    }
  }
  for (const [path, step] of outputs) {
    for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1)) {
      const other = outputs.get(path.slice(0, end));
      if (other === undefined) continue;
      throw problem(step, `${path} needs a folder where ${other.id} makes a file`, apart(other, step));
    }
  }
  const removers = new Map(
    steps.flatMap((step) => (step.removes ?? []).map((path) => [path, step] as const)),
  );
  for (const step of steps) {
    const input = step.inputs.find(({ kind, path }) => kind === 'file' && removers.has(path));
    if (input === undefined) continue;
    const remover = removers.get(input.path) as Step;
    throw targetOf(step).error(
      `${step.id} reads ${input.path}, which ${remover.id} removes`,
      'Keep the original (delete-original: false), or leave the run out with a filter under `runs`.',
    );
  }
  checkCircle(steps, makers, targetOf);
}

/** How two steps come not to make the same; where a rule takes no `out`, what it makes follows from what it reads. */
function apart(...steps: Step[]): string {
  const name = steps.find((step) => step.rule.fields.out !== undefined)?.target;
  if (name === undefined) return 'Take one of them out, or have it read something else.';
  return steps.every((step) => step.rule.fields.out !== undefined)
    ? 'Give one of them another `out`, or take one out.'
    : `Give ${name} another \`out\`, or take one out.`;
}

function collision(first: Step, second: Step, id: string): [message: string, advice: string] {
  const rewriter = [first, second].find((step) => isRewritten(step, id));
  const maker = rewriter === first ? second : first;
  if (rewriter === undefined)
    return [`${first.id} and ${second.id} both make ${pathOf(id)}`, apart(first, second)];
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
  const { versionsFile } = pipeline;
  if (path === versionsFile || path.startsWith(`${versionsFile}/`))
    return 'it is the registry of model versions';
  return undefined;
}

function checkCircle(
  steps: readonly Step[],
  makers: ReadonlyMap<string, Step>,
  targetOf: (step: Step) => Target,
): void {
  const upstream = new Map(
    steps.map((step) => [
      step.id,
      step.inputs
        .flatMap((input) => makers.get(inputId(input)) ?? [])
        .filter((maker) => maker !== step)
        .map(({ id }) => id),
    ]),
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
