/** Checks of pipeline.yaml: it loads, its targets find what they ask for, and the programs they name are there. */
import { relative, resolve } from 'node:path';
import type { RunFilter } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { Target } from '../pipeline/load.js';
import { PIPELINE_FILE } from '../project.js';
import { selectRuns } from '../runs/select.js';
import { command } from '../shell-word.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import { lackingProgram } from './programs.js';

export const pipelineChecks: Group = {
  name: 'pipeline',
  checks: { 'pipeline.yaml': loads, targets: findInputs, programs },
  whenLimited: true,
  summary({ opening, steps }) {
    if (opening.pipeline === undefined) return undefined;
    return `${plural(opening.pipeline.targets.size, 'target')}, ${plural(steps.length, 'step')}`;
  },
};

function* loads(context: DoctorContext): Iterable<Finding> {
  const { opening, root } = context;
  const { error, project } = opening;
  if (error !== undefined) {
    const path = pathOf(error, root);
    // A registry that is wrong has its own finding.
    if (context.told.has(path)) return;
    const found = findingOf('pipeline-invalid', path, error, 'docs/reference.md says what it may hold.');
    const { line, column } = error instanceof FirnError ? error : {};
    yield line === undefined
      ? found
      : { ...found, message: `line ${line}, column ${column}: ${found.message}` };
  } else if (project === undefined && !context.isLimited) {
    yield finding(
      'pipeline-missing',
      PIPELINE_FILE,
      `there is no pipeline.yaml here, so the default folders were looked at (${opening.runsDir}, data)`,
      `${command('firn', 'init')} writes one for the runs it finds; \`firn -C DIR doctor\` looks elsewhere.`,
    );
  }
}

/** Relative to the project. */
function pathOf(error: unknown, root: string): string {
  const path = error instanceof FirnError ? error.path : undefined;
  if (path === undefined || path === PIPELINE_FILE) return PIPELINE_FILE;
  const inside = relative(root, resolve(root, path));
  return inside.startsWith('..') ? path : inside;
}

/** Targets without a step, and what else rules had to say. */
function* findInputs(context: DoctorContext): Iterable<Finding> {
  const { project } = context.opening;
  if (project === undefined) return;
  const busy = new Set(project.graph.order.map((step) => step.target));
  const names = [...project.pipeline.targets.keys()];
  // `target: message`; a name has no colon.
  const warnings = project.warnings.map((text) => [text.slice(0, text.indexOf(': ')), text] as const);
  for (const [name, target] of project.pipeline.targets) {
    if (busy.has(name) || !isAsked(context, name)) continue;
    // An index of a reference that is empty is empty for that reason.
    if (target.from.length > 0 && target.from.every((from) => names.includes(from) && !busy.has(from)))
      continue;
    const why = whyEmpty(context, target);
    if (why === undefined) continue;
    yield finding('target-empty', PIPELINE_FILE, `the target ${name} has nothing to do: ${why[0]}`, why[1]);
  }
  for (const [name, text] of warnings) {
    if (busy.has(name) && isAsked(context, name))
      yield finding('pipeline-warning', PIPELINE_FILE, text, 'Correct the target, if this is not meant so.');
  }
}

function isAsked({ targets }: DoctorContext, target: string): boolean {
  return targets?.has(target) ?? true;
}

/** Why a target has no step and what to do; undefined where that is no mistake. */
function whyEmpty(context: DoctorContext, target: Target): [problem: string, remedy: string] | undefined {
  const { runs, from } = target;
  if (runs === undefined) {
    if (from.length === 0) return undefined;
    return [
      `nothing matches ${from.join(', ')}`,
      `Look at \`from\`: ${command('ls', `./${folderOf(from[0])}`)} shows what is there; \`*.fasta\` does not match reads.fasta.gz.`,
    ];
  }
  const all = context.discovered().runs;
  // No run has reached that age yet, or all are compressed: that changes by itself.
  if (selected(context, withoutAge(runs)).length > 0) return undefined;
  if (all.length === 0) return undefined;
  const version = runs === 'all' ? undefined : runs.version;
  if (
    version !== undefined &&
    selected(context, { ...(runs as object), version: undefined } as RunFilter).length > 0
  )
    return [
      `its filter asks for version "${version}", and none of ${all.length} runs has it`,
      `Tag the runs: \`firn versions tag-run DATASET/RUN --version ${version}\`.`,
    ];
  return [
    `its filter ${JSON.stringify(runs)} selects none of ${all.length} runs`,
    `Correct \`runs\` of the target; the first run is ${all[0].name}.`,
  ];
}

function selected(context: DoctorContext, filter: RunFilter): unknown[] {
  const { runs } = context.discovered();
  const byName = new Map(runs.map((run) => [run.name, run]));
  const versionOf = (name: string) => {
    const run = byName.get(name);
    return run && context.versionOf(run);
  };
  return selectRuns(runs, filter, { versionOf, nowMs: context.nowMs });
}

function withoutAge(filter: RunFilter): RunFilter {
  return filter === 'all' ? filter : { ...filter, 'older-than': undefined };
}

/** The part of a pattern that is a folder for sure. */
function folderOf(pattern: string): string {
  const plain = pattern.split(/[*?[{]/)[0];
  return plain.slice(0, plain.lastIndexOf('/') + 1);
}

/** Each program once, whoever asks for it. */
function* programs(context: DoctorContext): Iterable<Finding> {
  const { pipeline } = context.opening;
  const asked = new Set<string>();
  for (const [name, target] of pipeline?.targets ?? []) {
    if (target.rule.name !== 'command' || !isAsked(context, name)) continue;
    const [word] = target.run;
    if (word === undefined || word.includes('{') || asked.has(word)) continue;
    asked.add(word);
    const lacks = lackingProgram(context.port, context.root, word, process.env.PATH ?? '');
    if (lacks === undefined) continue;
    yield finding(
      'program-missing',
      PIPELINE_FILE,
      `the target ${name} runs ${word}: ${lacks.problem}`,
      lacks.remedy,
    );
  }
}
