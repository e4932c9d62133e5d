/** `firn init`: a first pipeline.yaml for what is here. */
import { join, relative, resolve, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import { act, globalOptions, note, print } from './main.js';
import { plural, safe } from './text.js';

export function defineInit(program: Command): void {
  program
    .command('init')
    .description('write a starter pipeline.yaml for the runs that are here')
    .option('--runs <dir>', 'the folder of runs, relative to the project', 'consolidated_data/runs')
    .addHelpText('after', '\nExample:\n  cd my-lab && firn init && firn build --dry-run')
    .action((flags: { runs: string }, command: Command) =>
      act(async () => {
        const { disk } = await import('../files/disk.js');
        const { writeFileAtomic } = await import('../files/write-file.js');
        const { discoverRuns } = await import('../runs/discover.js');
        const { loadRegistry, listVersions, versionOf } = await import('../runs/versions.js');
        const { RUN_FACTS_FILE, versionInFacts } = await import('../runs/run-facts.js');
        const { starterPipeline } = await import('../pipeline/starter.js');
        const { PIPELINE_FILE } = await import('../project.js');
        const { checkProjectPath } = await import('../pipeline/project-path.js');
        const { DEFAULT_VERSIONS } = await import('../pipeline/load.js');
        const { findFiles } = await import('../pipeline/pattern.js');
        const { EXTENSIONS } = await import('../../rules/embed.js');
        const root = resolve(globalOptions(command).directory);
        const path = join(root, PIPELINE_FILE);
        if (disk.stat(path) !== undefined) {
          throw new FirnError('usage', 'is there already', {
            path,
            advice: 'Edit it, or move it away first.',
          });
        }
        const runsDir = checkProjectPath(
          flags.runs,
          (message, advice) => new FirnError('usage', message, advice === undefined ? {} : { advice }),
        );
        const found = discoverRuns(disk, join(root, runsDir));
        const runs = [...found.runs, ...found.archived];
        // Where there are runs, a model made them, and sequences are not to be embedded by another.
        const sequences =
          runs.length > 0
            ? []
            : EXTENSIONS.flatMap((extension) => [extension, `${extension}.gz`])
                .map((extension) => `sequences/*/*.${extension}`)
                .filter((pattern) => findFiles(disk, root, pattern).length > 0);
        const registry = loadRegistry(disk, join(root, DEFAULT_VERSIONS));
        const used = runs.map(
          ({ name, directory }) =>
            versionOf(registry, name) ?? versionInFacts(disk, join(directory, RUN_FACTS_FILE)),
        );
        const registered = listVersions(registry).map(({ version }) => version);
        const versions = [...new Set([...registered, ...used])].filter(
          (version) => version !== undefined && used.includes(version),
        ) as string[];
        const text = starterPipeline({ runsDir, schema: schemaPath(root), sequences, versions });
        await writeFileAtomic(disk, path, text);
        print(
          `wrote ${safe(relative(process.cwd(), path) || path)}: ${plural(runs.length, 'run')} found in ${safe(runsDir)}${sequences.length > 0 ? ', sequences in sequences/' : ''}`,
        );
        const without = used.filter((version) => version === undefined).length;
        if (versions.length > 1 && without > 0) {
          note(
            `${plural(without, 'run')} without a model version: in none of these references; see \`firn versions\``,
          );
        }
        if (runs.length === 0 && sequences.length === 0) {
          print(
            `next: put a run at ${safe(runsDir)}/<dataset>/<run>/embeddings.npy, or correct \`runs\` in pipeline.yaml`,
          );
        } else print('next: firn build --dry-run');
        return undefined;
      }),
    );
}

/** The schema that came with this program, as an editor finds it from the project. */
function schemaPath(root: string): string {
  const shipped = fileURLToPath(new URL('../../../schema/pipeline.schema.json', import.meta.url));
  const inside = relative(root, shipped);
  return inside.startsWith('..') ? shipped : `./${inside.split(sep).join('/')}`;
}
