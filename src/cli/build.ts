/** `firn build`: builds what is stale, says what it would build, or asks whether it would. */
import type { Command } from 'commander';
import type { BuildEvent, Listener, StepOutcome } from '../engine/events.js';
import type { PlannedStep } from '../engine/plan.js';
import type { Reason } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { disk } from '../files/disk.js';
import { textOf } from '../system-errors.js';
import type { JobPage } from './job-summary.js';
import { act, EXIT, errorText, globalOptions, note, print, printJson, wholeNumber } from './main.js';
import { plural, safe } from './text.js';

interface BuildFlags {
  dryRun?: boolean;
  check?: boolean;
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
    .option('--check', 'build nothing; exit 1 when something is stale, 0 when all is fresh')
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
  firn build --check              for scripts: is all of it up to date?

Exit codes: 0 done, 1 a step failed (with --check: something is stale), 2 the request or
pipeline.yaml is wrong, 130 interrupted.`,
    )
    .action((targets: string[], flags: BuildFlags, command: Command) => {
      const { directory } = globalOptions(command);
      return act(async (signal) => {
        const { openJobPage } = await import('./job-summary.js');
        const page = flags.dryRun || flags.check ? undefined : openJobPage(disk);
        try {
          return await run(targets, flags, { directory, signal, page });
        } catch (error) {
          if (!signal.aborted) await page?.addFailure(error);
          throw error;
        }
      }, directory);
    });
}

interface Place {
  directory: string;
  signal: AbortSignal;
  page: JobPage | undefined;
}

async function run(
  targets: string[],
  flags: BuildFlags,
  { directory, signal, page }: Place,
): Promise<number> {
  checkFlags(flags);
  const { build, openProject, plan } = await import('../project.js');
  const { chooseReporter } = await import('./reporters/choose.js');
  const reporter = chooseReporter(flags.explain ?? false, directory);
  const warn = (message: string, step?: string): void => {
    const event: BuildEvent = { type: 'warning', message, ...(step === undefined ? {} : { step }) };
    page?.listen(event);
    if (!flags.json) reporter(event);
    else note(`warning: ${step === undefined ? '' : `${safe(step)}: `}${safe(message)}`);
  };
  const project = await openProject({ directory });
  for (const warning of project.warnings) warn(warning);
  for (const { path, reason } of project.ignored) note(`passed over ${safe(path)}: it ${safe(reason)}`);
  const request = {
    targets,
    signal,
    force: flags.force ?? false,
    jobs: flags.jobs,
    keepGoing: flags.keepGoing ?? false,
  };
  if (flags.dryRun || flags.check) {
    const steps = await plan(project, request);
    for (const { id, warnings = [] } of steps) for (const message of warnings) warn(message, id);
    return showPlan(steps, flags);
  }
  const onEvent: Listener = (event) => {
    // Who reads JSON waits as well, and should know for whom.
    if (!flags.json || event.type === 'waiting') reporter(event);
    page?.listen(event);
  };
  const summary = await build(project, { ...request, onEvent });
  if (page !== undefined) {
    const { outputBytes } = await import('../output-bytes.js');
    await page.addBuild(summary, outputBytes(project));
  }
  if (flags.json) {
    const { ran, fresh, restored, failed, interrupted, skipped, seconds, outcomes } = summary;
    printJson({
      ran,
      fresh,
      restored,
      failed,
      interrupted,
      skipped,
      seconds,
      steps: outcomes.map(outcomeJson),
    });
  }
  return summary.failed > 0 || summary.skipped > 0 ? EXIT.failed : EXIT.done;
}

function checkFlags(flags: BuildFlags): void {
  if (!flags.check || !flags.force) return;
  throw new FirnError('usage', '--check asks what is stale, and --force makes everything so', {
    advice: 'Give one of them.',
  });
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

/** A step of a plan as `--json` shows it. */
export function planJson({ id, action, reasons, error }: PlannedStep): {
  id: string;
  status: PlannedStep['action'];
  reason: string;
} {
  return { id, status: action, reason: error === undefined ? texts(reasons) : textOf(error) };
}

const WORDS: { [action in PlannedStep['action']]: string } = {
  fresh: 'fresh',
  run: 'would run',
  restore: 'would restore',
  maybe: 'may run',
  blocked: 'would fail',
};

/** Prints what a build would do. The exit code: a dry run fails where the build would, a check where it would do anything. */
function showPlan(steps: readonly PlannedStep[], flags: BuildFlags): number {
  const stale = steps.filter((step) => step.action !== 'fresh');
  const blocked = steps.filter((step) => step.action === 'blocked');
  const code = (flags.check ? stale : blocked).length > 0 ? EXIT.failed : EXIT.done;
  if (flags.json) {
    const count = (action: PlannedStep['action']) => steps.filter((step) => step.action === action).length;
    printJson({
      dryRun: true,
      ...(flags.check ? { upToDate: stale.length === 0 } : {}),
      run: count('run'),
      restore: count('restore'),
      maybe: count('maybe'),
      fresh: count('fresh'),
      blocked: count('blocked'),
      steps: steps.map(planJson),
    });
    return code;
  }
  for (const step of stale)
    print(`${WORDS[step.action]} ${safe(step.id)}: ${whyText(step, flags.explain ?? false)}`);
  if (stale.length === 0) print(`nothing to do: ${plural(steps.length, 'step')} fresh`);
  else
    print(
      `${plural(stale.length, 'step')} of ${steps.length} ${stale.length === 1 ? 'is' : 'are'} not fresh; nothing was written`,
    );
  return code;
}

/** The first reason, or all of them one a line; `lister` is what lists them. */
export function whyText(
  step: Pick<PlannedStep, 'reasons' | 'error'>,
  all: boolean,
  lister = '--explain',
): string {
  if (step.error !== undefined) return errorText(step.error);
  const lines = step.reasons.map((reason) => safe(reason.text));
  if (all) return lines.length === 1 ? lines[0] : lines.map((line) => `\n    ${line}`).join('');
  return lines.length > 1
    ? `${lines[0]} (and ${lines.length - 1} more; ${lister} lists them)`
    : (lines[0] ?? '');
}
