/** `firn build`: builds what is stale, or says what it would build. */
import type { Command } from 'commander';
import type { Listener, StepOutcome } from '../engine/events.js';
import type { PlannedStep } from '../engine/plan.js';
import type { Reason } from '../engine/types.js';
import { textOf } from '../system-errors.js';
import { act, EXIT, errorText, globalOptions, note, print, printJson, wholeNumber } from './main.js';
import { plural, safe } from './text.js';

interface BuildFlags {
  dryRun?: boolean;
  explain?: boolean;
  jobs: number;
  keepGoing?: boolean;
  force?: boolean;
  json?: boolean;
}

export function defineBuild(program: Command): void {
  program
    .command('build [target...]')
    .description('build the named targets and all they depend on, or everything')
    .option('-n, --dry-run', 'say what would be built; write nothing')
    .option('--explain', 'give every reason, not just the first')
    .option('-j, --jobs <n>', 'how many independent steps run side by side', wholeNumber('--jobs', 1), 1)
    .option('-k, --keep-going', 'go on past a failure with what does not depend on it')
    .option('--force', 'build the named targets (or all) whatever their state, and overwrite foreign outputs')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn build                      everything that is stale
  firn build reference -j 2       one target and what it depends on, two steps at a time
  firn build -n --explain         what would be built, with every reason

Exit codes: 0 done, 1 a step failed, 2 the request or pipeline.yaml is wrong, 130 interrupted.`,
    )
    .action((targets: string[], flags: BuildFlags, command: Command) =>
      act(async (signal) => {
        const { build, openProject, plan } = await import('../project.js');
        const { chooseReporter } = await import('./reporters/choose.js');
        const project = await openProject(globalOptions(command));
        for (const warning of project.warnings) note(`warning: ${safe(warning)}`);
        for (const { path, reason } of project.ignored) note(`passed over ${safe(path)}: it ${safe(reason)}`);
        const request = {
          targets,
          signal,
          force: flags.force ?? false,
          jobs: flags.jobs,
          keepGoing: flags.keepGoing ?? false,
        };
        if (flags.dryRun) {
          return showPlan(await plan(project, request), flags);
        }
        const reporter: Listener = flags.json ? () => undefined : chooseReporter(flags.explain ?? false);
        const summary = await build(project, { ...request, onEvent: reporter });
        if (flags.json) {
          const { ran, fresh, restored, failed, interrupted, skipped, seconds } = summary;
          printJson({
            ran,
            fresh,
            restored,
            failed,
            interrupted,
            skipped,
            seconds,
            steps: summary.outcomes.map(outcomeJson),
          });
        }
        return summary.failed > 0 || summary.skipped > 0 ? EXIT.failed : EXIT.done;
      }),
    );
}

/** A step as `--json` shows it. */
export function outcomeJson(outcome: StepOutcome): object {
  const { id, status, reasons, seconds, error, stats } = outcome;
  return {
    id,
    status,
    reason: texts(reasons),
    seconds,
    ...(error === undefined ? {} : { error: textOf(error) }),
    ...(stats === undefined ? {} : { stats }),
  };
}

function texts(reasons: readonly Reason[]): string {
  return reasons.map((reason) => reason.text).join('; ');
}

const WORDS: { [action in PlannedStep['action']]: string } = {
  fresh: 'fresh',
  run: 'would run',
  restore: 'would restore',
  maybe: 'may run',
  blocked: 'would fail',
};

function showPlan(steps: readonly PlannedStep[], flags: BuildFlags): number {
  const blocked = steps.filter((step) => step.action === 'blocked');
  for (const { id, warnings = [] } of steps)
    for (const message of warnings) note(`warning: ${safe(id)}: ${safe(message)}`);
  if (flags.json) {
    const count = (action: PlannedStep['action']) => steps.filter((step) => step.action === action).length;
    printJson({
      dryRun: true,
      run: count('run'),
      restore: count('restore'),
      maybe: count('maybe'),
      fresh: count('fresh'),
      blocked: count('blocked'),
      steps: steps.map(({ id, action, reasons, error }) => ({
        id,
        status: action,
        reason: error === undefined ? texts(reasons) : textOf(error),
      })),
    });
    return blocked.length > 0 ? EXIT.failed : EXIT.done;
  }
  const stale = steps.filter((step) => step.action !== 'fresh');
  for (const step of stale)
    print(`${WORDS[step.action]} ${safe(step.id)}: ${whyText(step, flags.explain ?? false)}`);
  if (stale.length === 0) print(`nothing to do: ${plural(steps.length, 'step')} fresh`);
  else
    print(
      `${plural(stale.length, 'step')} of ${steps.length} ${stale.length === 1 ? 'is' : 'are'} not fresh; nothing was written`,
    );
  return blocked.length > 0 ? EXIT.failed : EXIT.done;
}

/** The first reason, or all of them one a line. */
export function whyText(step: Pick<PlannedStep, 'reasons' | 'error'>, all: boolean): string {
  if (step.error !== undefined) return errorText(step.error);
  const lines = step.reasons.map((reason) => safe(reason.text));
  if (all) return lines.length === 1 ? lines[0] : lines.map((line) => `\n    ${line}`).join('');
  return lines.length > 1
    ? `${lines[0]} (and ${lines.length - 1} more; --explain lists them)`
    : (lines[0] ?? '');
}
