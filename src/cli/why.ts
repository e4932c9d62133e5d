/** `firn why`: every reason why a target, or one of its steps, would be built. */
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { textOf } from '../system-errors.js';
import { whyText } from './build.js';
import { act, globalOptions, print, printJson } from './main.js';
import { plural, safe } from './text.js';

export function defineWhy(program: Command): void {
  program
    .command('why <target>')
    .description('explain why a target (or a step such as compressed:My_Dataset/2024-11-22) would be built')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn why reference')
    .action((name: string, flags: { json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { openProject, plan } = await import('../project.js');
        const { suggest } = await import('../pipeline/nearest.js');
        const project = await openProject(globalOptions(command));
        const ids = project.graph.order.filter((step) => step.id === name || step.target === name);
        const run = name.slice(name.indexOf(':') + 1);
        if (ids.length === 0 && project.archived.some((archived) => archived.name === run)) {
          if (flags.json) printJson({ steps: [], before: [], archived: run });
          else
            print(
              `${safe(name)} has no step: ${safe(run)} is archived; \`firn runs restore\` brings it back`,
            );
          return;
        }
        if (ids.length === 0 && !project.pipeline.targets.has(name)) {
          const steps = project.graph.order.map((step) => step.id);
          const known = [...new Set([...project.pipeline.targets.keys(), ...steps])];
          throw new FirnError('usage', `there is no target or step "${name}"`, {
            advice: suggest(name, known),
          });
        }
        const targets = [...new Set(ids.map((step) => step.target))];
        const planned = targets.length === 0 ? [] : await plan(project, { targets, signal });
        // The chain that leads to it as well: a step may only wait for another.
        const own = planned.filter((step) => ids.some(({ id }) => id === step.id));
        const before = planned.filter((step) => !own.includes(step) && step.action !== 'fresh');
        if (flags.json) {
          const json = (steps: typeof planned) =>
            steps.map(({ id, action, reasons, error }) => ({
              id,
              status: action,
              reasons: reasons.map(({ code, text }) => ({ code, text })),
              ...(error === undefined ? {} : { error: textOf(error) }),
            }));
          printJson({ steps: json(own), before: json(before) });
          return;
        }
        if (own.length === 0) print(`${safe(name)} has no step: nothing matches it`);
        for (const step of own) {
          if (step.action === 'fresh') continue;
          print(`${safe(step.id)}: ${whyText(step, true)}`);
        }
        const fresh = own.filter((step) => step.action === 'fresh').length;
        if (fresh > 0) print(`${plural(fresh, 'step')} of ${safe(name)} ${fresh === 1 ? 'is' : 'are'} fresh`);
        if (own.some((step) => step.action === 'maybe')) {
          for (const step of before) print(`  before it, ${safe(step.id)}: ${whyText(step, true)}`);
        }
      }),
    );
}
