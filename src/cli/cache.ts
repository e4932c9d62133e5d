/** `firn cache`: what the cache holds, and removing what nothing needs. */
import { relative } from 'node:path';
import type { Command } from 'commander';
import type { Garbage } from '../cache.js';
import { act, globalOptions, note, print, printJson } from './main.js';
import { formatBytes, plural, safe } from './text.js';

interface GcFlags {
  olderThan?: string;
  dryRun?: boolean;
  json?: boolean;
}

export function defineCache(program: Command): void {
  const cache = program
    .command('cache')
    .description('the cache of stored outputs: info, gc')
    .addHelpText(
      'after',
      '\nExamples:\n  firn cache info\n  firn cache gc --dry-run\n  firn cache gc --older-than 30',
    );

  cache
    .command('info')
    .description('what is in cache/; writes nothing')
    .option('--json', 'print one JSON object')
    .addHelpText('after', '\nExamples:\n  firn cache info')
    .action((flags: { json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { openProject } = await import('../project.js');
        const { cacheInfo } = await import('../cache-contents.js');
        const info = cacheInfo(await openProject(globalOptions(command)), signal);
        if (flags.json) {
          printJson(info);
          return;
        }
        const { records, digests, objects, pending, holder, foreign } = info;
        const oldest =
          objects.oldest === null
            ? ''
            : `, the oldest last used ${new Date(objects.oldest).toISOString().slice(0, 10)}`;
        print(
          `stored outputs: ${plural(objects.count, 'file')}, ${formatBytes(objects.bytes)} of at most ${formatBytes(objects.limit)}${oldest}`,
        );
        print(
          `records: ${plural(records.steps, 'step')}, ${records.earlier} of earlier states, ${formatBytes(records.bytes)}`,
        );
        print(`remembered digests: ${formatBytes(digests.bytes)}`);
        if (pending > 0)
          print(`${plural(pending, 'step')} of a build that was cut off: the next build completes it`);
        if (holder !== null) print(`locked by ${safe(holder)}`);
        for (const name of foreign) note(`cache/${safe(name)} is not firn's`);
      }),
    );

  cache
    .command('gc')
    .description('remove stored outputs, records and leftovers that nothing needs; only in cache/')
    .option('--older-than <days>', 'also stored outputs that were not used for so many days (also 12h, 2w)')
    .option('-n, --dry-run', 'say what would be removed; write nothing')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn cache gc --dry-run
  firn cache gc --older-than 30

It costs time at most: what would be restored is made again. Runs, references and releases are not in the cache.`,
    )
    .action((flags: GcFlags, command: Command) =>
      act(async (signal) => {
        const { openProject } = await import('../project.js');
        const { collectGarbage, findGarbage } = await import('../cache.js');
        const { parseDuration } = await import('../runs/select.js');
        const { olderThan, dryRun = false } = flags;
        const olderThanMs =
          olderThan === undefined
            ? undefined
            : parseDuration(/^\d+$/.test(olderThan) ? `${olderThan}d` : olderThan);
        const project = await openProject(globalOptions(command));
        const options = { olderThanMs, signal };
        const onWait = (holder: string) => note(`waiting for ${safe(holder)} to finish`);
        const garbage = dryRun
          ? await findGarbage(project, options)
          : await collectGarbage(project, { ...options, onWait });
        if (flags.json) printJson(gcJson(garbage, project.root, dryRun));
        else show(garbage, project.root, dryRun);
      }),
    );
}

function bytesOf({ objects, leftovers }: Garbage): number {
  return [...objects, ...leftovers].reduce((sum, { bytes }) => sum + bytes, 0);
}

function gcJson(garbage: Garbage, root: string, dryRun: boolean): object {
  const { objects, leftovers, records, digests, foreign } = garbage;
  return {
    dryRun,
    bytes: bytesOf(garbage),
    objects: objects.map((object) => ({ ...object, path: relative(root, object.path) })),
    leftovers: leftovers.map((left) => ({ ...left, path: relative(root, left.path) })),
    records: records.map(({ step }) => step),
    digests: digests.length,
    foreign,
  };
}

function show(garbage: Garbage, root: string, dryRun: boolean): void {
  const { objects, leftovers, records, digests, foreign } = garbage;
  const verb = dryRun ? 'would remove' : 'removed';
  for (const why of new Set(objects.map((object) => object.why))) {
    const these = objects.filter((object) => object.why === why);
    const bytes = these.reduce((sum, object) => sum + object.bytes, 0);
    print(`${verb} ${plural(these.length, 'stored output')}, ${formatBytes(bytes)}: ${why}`);
  }
  for (const { path, bytes } of leftovers)
    print(`${verb} ${safe(relative(root, path))}, ${formatBytes(bytes)}: unfinished`);
  if (records.length > 0)
    print(
      `${verb} ${plural(records.length, 'record')} of states that cannot be restored or steps that are gone`,
    );
  if (digests.length > 0)
    print(`${verb} ${plural(digests.length, 'digest')} of files that are gone or have changed`);
  for (const name of foreign) note(`kept cache/${safe(name)}: it is not firn's`);
  print(`${formatBytes(bytesOf(garbage))}${dryRun ? '; nothing was removed' : ' freed'}`);
}
