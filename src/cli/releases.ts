/** `firn releases`: the releases of a project, a line each. */
import { relative } from 'node:path';
import type { Command } from 'commander';
import { act, globalOptions, note, print, printJson } from './main.js';
import { formatBytes, formatCount, safe, table } from './text.js';

export function defineReleases(program: Command): void {
  program
    .command('releases')
    .description(
      'list the releases: tag, rows, runs, dimensions, versions, size, and whether files are missing',
    )
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn releases\n\n`firn verify TAG` reads every byte.')
    .action((flags: { json?: boolean }, command: Command) =>
      act(async () => {
        const { projectPlaces } = await import('../project.js');
        const { disk } = await import('../files/disk.js');
        const { listReleases } = await import('../release/list.js');
        const { root, pipeline } = await projectPlaces(globalOptions(command).directory);
        const releases = await listReleases(disk, { root, pipeline });
        if (flags.json) {
          printJson({
            releases: releases.map(({ hasIndex, directory, ...release }) => ({
              ...release,
              index: hasIndex,
              directory: relative(root, directory),
            })),
          });
          return;
        }
        if (releases.length === 0) {
          print('there are no releases; `firn release TAG` makes one');
          return;
        }
        const count = (value: number | null): string => (value === null ? '?' : formatCount(value));
        print(
          table(
            [
              { title: 'tag' },
              { title: 'date' },
              { title: 'rows', align: 'right' },
              { title: 'runs', align: 'right' },
              { title: 'dims', align: 'right' },
              { title: 'versions' },
              { title: 'size', align: 'right' },
              { title: 'files' },
              { title: 'where' },
            ],
            releases.map((release) => [
              release.tag,
              release.date ?? '?',
              count(release.rows),
              count(release.runs),
              release.dims === null ? '?' : String(release.dims),
              release.versions.join(', '),
              formatBytes(release.bytes),
              release.missing.length === 0 ? 'all' : `missing ${release.missing.join(', ')}`,
              relative(root, release.directory),
            ]),
          ),
        );
        for (const { tag, problem } of releases)
          if (problem !== null) note(`${safe(tag)}: ${safe(problem)}; \`firn verify\` tells more`);
      }),
    );
}
