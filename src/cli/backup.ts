/** `firn backup`: references, releases, registry and pipeline into a BagIt bag, or a bag brought up to date. */
import { resolve } from 'node:path';
import type { Command } from 'commander';
import type { BackupRequest, BackupResult } from '../backup/backup.js';
import { FirnError } from '../errors.js';
import { act, EXIT, globalOptions, note, print, printJson } from './main.js';
import { progressLine } from './progress.js';
import { formatBytes, formatSeconds, plural, safe } from './text.js';

interface BackupFlags {
  include?: string;
  runs?: boolean;
  prune?: boolean;
  check?: boolean;
  takeOver?: boolean;
  dryRun?: boolean;
  json?: boolean;
}

export function defineBackup(program: Command): void {
  program
    .command('backup <dir>')
    .description('back up references, releases, the registry, pipeline.yaml and rules/ into a BagIt bag')
    .option(
      '--include <what>',
      'also: runs, inputs (what targets read), outputs (what they make), with commas, or none',
    )
    .option('--runs', 'the same as --include runs')
    .option('--prune', 'drop what is no longer in the project; else it is kept')
    .option('--check', 'read every file, here and in the backup, instead of believing sizes and dates')
    .option('--take-over', 'go on with a backup of this project that was made from another folder')
    .option('-n, --dry-run', 'say what would be copied; write nothing')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn backup /media/disk/lab               references, releases, registry, pipeline
  firn backup /media/disk/lab --include runs,inputs
  firn verify /media/disk/lab               is every byte still right?
  firn restore /media/disk/lab --to lab2    put it back

What is in the backup is compared with the project, and only what changed is copied. Copies are read back before they
count; until then the backup is the one of last time. What --include names is remembered in the backup.

Exit codes: 0 done, 1 something is not backed up as it should be, 2 the request is wrong, 130 interrupted.`,
    )
    .action((dir: string, flags: BackupFlags, command: Command) =>
      act(async (signal) => {
        const { backupProject } = await import('../backup/backup.js');
        const { disk } = await import('../files/disk.js');
        const include = await includeOf(flags);
        const place = await placeOf(globalOptions(command).directory);
        const line = progressLine('backup');
        const request: BackupRequest = {
          ...place,
          port: disk,
          directory: resolve(dir),
          prune: flags.prune ?? false,
          check: flags.check ?? false,
          takeOver: flags.takeOver ?? false,
          dryRun: flags.dryRun ?? false,
          now: Date.now,
          signal,
          onProgress: ({ phase, done, total }) => line.show(done, total ?? 0, `bytes ${phase}`),
          onWait: (holder, lock) => {
            line.end();
            note(`waiting for ${safe(holder)} to finish; if it no longer runs, remove ${safe(lock)}`);
          },
          ...(include === undefined ? {} : { include }),
        };
        let result: BackupResult;
        try {
          result = await backupProject(request);
        } finally {
          line.end();
        }
        if (flags.json) printJson({ directory: request.directory, dryRun: flags.dryRun ?? false, ...result });
        else show(request, result);
        return result.problems.length > 0 ? EXIT.failed : EXIT.done;
      }),
    );
}

async function includeOf(flags: BackupFlags): Promise<BackupRequest['include']> {
  const { EXTRAS } = await import('../backup/notes.js');
  if (flags.include === undefined) return flags.runs ? ['runs'] : undefined;
  const words = flags.include.split(',').map((word) => word.trim());
  const wanted = new Set(words.filter((word) => word !== 'none' && word !== ''));
  if (flags.runs) wanted.add('runs');
  const unknown = [...wanted].find((word) => !EXTRAS.some((extra) => extra === word));
  if (unknown !== undefined) {
    throw new FirnError('usage', `--include knows no "${unknown}"`, {
      advice: `There is: ${EXTRAS.join(', ')}, none.`,
    });
  }
  return EXTRAS.filter((extra) => wanted.has(extra));
}

/** Steps are found only where somebody asks for what they read or make: an unfinished pipeline can be backed up, too. */
async function placeOf(directory: string): Promise<Pick<BackupRequest, 'root' | 'pipeline' | 'loadGraph'>> {
  const { openProject, projectPlaces } = await import('../project.js');
  const places = await projectPlaces(directory);
  return { ...places, loadGraph: async () => (await openProject({ directory })).graph };
}

function show({ directory, dryRun, prune, check }: BackupRequest, result: BackupResult): void {
  const { copied, copiedBytes, unchanged, retained, pruned, repaired, verified } = result;
  if (result.completed) note('an earlier backup that had been cut off was completed');
  for (const { path, message } of result.remarks) note(`${safe(path)}: ${safe(message)}`);
  if (result.links.length > 0)
    note(`passed over ${plural(result.links.length, 'link')}: nothing is read through links`);
  for (const path of repaired)
    note(`${safe(path)}: its copy was damaged or lost${dryRun ? '' : ' and is written anew'}`);
  for (const path of pruned) note(`${dryRun ? 'would drop' : 'dropped'} ${safe(path)}`);
  if (retained.length > 0 && !prune) {
    note(`${plural(retained.length, 'file')} left the project and stay in the backup; --prune drops them:`);
    for (const path of retained) note(`  ${safe(path)}`);
  }
  for (const { path, message } of result.problems) note(`problem: ${safe(path)}: ${safe(message)}`);
  if (dryRun) {
    for (const path of copied) print(`would copy ${safe(path)}`);
    print(
      `${plural(copied.length, 'file')}, ${formatBytes(copiedBytes)}, would be copied, ${unchanged} unchanged; nothing was written`,
    );
    return;
  }
  if (copied.length > 0) {
    print(
      `copied ${plural(copied.length, 'file')}, ${formatBytes(copiedBytes)}; read back and compared in ${formatSeconds(verified.seconds)}`,
    );
  }
  const how = check ? 'read and compared' : 'by size and date; --check reads them';
  if (unchanged > 0) print(`${plural(unchanged, 'file')} unchanged (${how})`);
  print(`${safe(directory)} holds ${plural(result.files, 'file')}, ${formatBytes(result.bytes)}`);
}
