/** `firn graph`: how targets, or all steps, hang together. */
import { type Command, Option } from 'commander';
import { act, globalOptions, print } from './main.js';

export function defineGraph(program: Command): void {
  program
    .command('graph')
    .description('print the graph of targets')
    .addOption(new Option('--format <format>', 'how').choices(['dot', 'mermaid', 'json']).default('dot'))
    .option('--steps', 'show every step instead of targets')
    .addHelpText('after', '\nExamples:\n  firn graph | dot -Tsvg > graph.svg\n  firn graph --format mermaid --steps')
    .action((flags: { format: 'dot' | 'mermaid' | 'json'; steps?: boolean }, command: Command) =>
      act(async () => {
        const { openProject } = await import('../project.js');
        const { drawGraph, stepGraph, targetGraph } = await import('../pipeline/draw.js');
        const project = await openProject(globalOptions(command));
        const graph = flags.steps ? stepGraph(project.graph) : targetGraph(project.pipeline, project.graph);
        print(drawGraph(graph, flags.format));
      }),
    );
}
