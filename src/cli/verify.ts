/** `firn verify`: whether a release, a reference or another directory of firn's is whole. */
import { tmpdir } from 'node:os';
import { join, relative } from 'node:path';
import type { Command } from 'commander';
import { act, EXIT, globalOptions, note, print, printJson } from './main.js';
import { progressLine } from './progress.js';
import { formatBytes, plural, safe } from './text.js';

export function defineVerify(program: Command): void {
  program
    .command('verify <tag|dir>')
    .description(
      'read every byte of a release, reference or bag (BagIt), and say what is not as it should be',
    )
    .option('--rebuild', 'make it again from the runs on disk, and compare the bytes')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn verify 2024-11
  firn verify data/reference
  firn verify /media/disk/lab            a backup, or a bag of another program
  firn verify 2024-11 --rebuild

Exit codes: 0 all is well, 1 something is not.`,
    )
    .action((text: string, flags: { rebuild?: boolean; json?: boolean }, command: Command) =>
      act(async (signal) => {
        const { CACHE_FOLDER, projectPlaces } = await import('../project.js');
        const { disk } = await import('../files/disk.js');
        const { directoryMeant, verifyDirectory } = await import('../verify.js');
        const { Workers } = await import('../workers/pool.js');
        const { root, pipeline } = await projectPlaces(globalOptions(command).directory, disk, {
          anywhere: true,
        });
        const directory = await directoryMeant(disk, { root, pipeline }, text);
        const cache = join(root, CACHE_FOLDER);
        const workers = new Workers();
        const line = progressLine(`verify ${text}`);
        const report = await verifyDirectory({
          port: disk,
          directory,
          runsDir: join(root, pipeline.runsDir),
          scratch: disk.stat(cache)?.kind === 'directory' ? cache : tmpdir(),
          rebuild: flags.rebuild ?? false,
          workers,
          signal,
          onProgress: line.show,
        }).finally(async () => {
          line.end();
          await workers.close();
        });
        const { what, findings, notes, files, bytes } = report;
        const ok = findings.length === 0;
        if (flags.json)
          printJson({ what, directory: relative(root, directory), ok, findings, notes, files, bytes });
        else {
          for (const { path, problem } of findings) print(`${safe(path)} ${safe(problem)}`);
          for (const one of notes) note(`note: ${safe(one)}`);
          const size = `${plural(files, 'file')}, ${formatBytes(bytes)}`;
          if (ok) print(`${safe(text)}: this ${what} is whole (${size})`);
          else
            print(
              `${safe(text)}: this ${what} is NOT whole: ${plural(findings.length, 'finding')} (${size})`,
            );
        }
        return ok ? EXIT.done : EXIT.failed;
      }),
    );
}
