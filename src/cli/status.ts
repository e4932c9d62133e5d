/** `firn status`: what is stale and what is fresh, a line a target. */
import type { Command } from 'commander';
import type { PlannedStep } from '../engine/plan.js';
import { planJson, whyText } from './build.js';
import { act, globalOptions, print, printJson } from './main.js';
import { statsOf } from './reporters/plain.js';
import { plural, safe, table } from './text.js';

/** Targets of more steps are not told one by one. */
const FEW = 1;

export function defineStatus(program: Command): void {
  program
    .command('status [target...]')
    .description('show which targets are stale; writes nothing')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn status\n  firn status reference --json')
    .action((targets: string[], flags: { json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { openProject } = await import('../project.js');
        const { targetStatus } = await import('../status.js');
        const project = await openProject(globalOptions(command));
        const lines = await targetStatus(project, { targets, signal });
        if (flags.json) {
          printJson({
            targets: lines.map(({ target, rule, steps }) => ({
              target,
              rule,
              steps: steps.map((step) => ({ ...planJson(step), stats: step.stats })),
            })),
            archived: project.archived.map(({ name }) => name),
          });
          return;
        }
        const rows = lines.map(({ target, rule, steps: own }) => [
          target,
          rule,
          String(own.length),
          stateOf(own),
          firstReason(own, project.archived.length),
        ]);
        print(
          table(
            [
              { title: 'target' },
              { title: 'rule' },
              { title: 'steps', align: 'right' },
              { title: 'state' },
              { title: 'why' },
            ],
            rows,
          ),
        );
        if (project.archived.length > 0) {
          const runs = plural(project.archived.length, 'run');
          print(
            `\n${runs} archived: rows stay in references, and nothing else is done with them until they are restored`,
          );
        }
        const told = lines
          .filter(({ steps: own }) => own.length <= FEW)
          .flatMap(({ steps: own }) => own.map(({ id, stats }) => [id, statsOf(stats)]))
          .filter(([, text]) => text !== '');
        if (told.length > 0)
          print(`\nwhen last built:\n${told.map(([id, text]) => `  ${safe(id)}: ${text}`).join('\n')}`);
      }),
    );
}

function stateOf(steps: readonly PlannedStep[]): string {
  if (steps.length === 0) return 'empty';
  const words: [PlannedStep['action'], string][] = [
    ['blocked', 'failing'],
    ['run', 'stale'],
    ['restore', 'to restore'],
    ['maybe', 'waiting'],
  ];
  const parts = words.flatMap(([action, word]) => {
    const count = steps.filter((step) => step.action === action).length;
    return count === 0 ? [] : [`${count} ${word}`];
  });
  return parts.length === 0 ? 'fresh' : parts.join(', ');
}

function firstReason(steps: readonly PlannedStep[], archived: number): string {
  if (steps.length === 0) {
    return archived === 0
      ? 'nothing matches what it asks for'
      : `nothing that is here matches what it asks for; ${plural(archived, 'run')} archived`;
  }
  const stale = steps.filter((step) => step.action !== 'fresh');
  if (stale.length === 0) return '';
  const first = whyText(stale[0], false, '`firn why`').split('\n')[0];
  return stale.length > 1 ? `${stale[0].id}: ${first}; and ${plural(stale.length - 1, 'more step')}` : first;
}
