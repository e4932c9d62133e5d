/** `firn graph`: how targets, or all steps, hang together. */
import { type Command, Option } from 'commander';
import type { DrawingFormat } from '../pipeline/draw.js';
import { act, globalOptions, print } from './main.js';
import { formatJson, safe } from './text.js';

export function defineGraph(program: Command): void {
  program
    .command('graph')
    .description('print the graph of targets')
    .addOption(
      new Option('--format <format>', 'how').choices(['dot', 'mermaid', 'json', 'svg']).default('dot'),
    )
    .option('--steps', 'show every step instead of targets')
    .addOption(new Option('--json', 'the same as --format json').implies({ format: 'json' }))
    .addHelpText(
      'after',
      '\nExamples:\n  firn graph --format svg > graph.svg\n  firn graph | dot -Tpdf > graph.pdf\n  firn graph --format mermaid --steps',
    )
    .action((flags: { format: DrawingFormat; steps?: boolean }, command: Command) =>
      act(async () => {
        const { openProject } = await import('../project.js');
        const { drawGraph, stepGraph, targetGraph } = await import('../pipeline/draw.js');
        const project = await openProject(globalOptions(command));
        const graph = flags.steps ? stepGraph(project.graph) : targetGraph(project.pipeline, project.graph);
        print(flags.format === 'json' ? formatJson(graph) : safe(drawGraph(graph, flags.format, safe), true));
        return undefined;
      }),
    );
}
