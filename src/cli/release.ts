/** `firn release`: an immutable, checksummed copy of a reference under a tag. */
import { relative, resolve } from 'node:path';
import type { Command } from 'commander';
import { FirnError } from '../errors.js';
import type { ArchiveKind } from '../release/archive.js';
import type { Taken } from '../release/take.js';
import { act, globalOptions, note, print, printJson } from './main.js';
import { progressLine } from './progress.js';
import { formatBytes, formatCount, plural, safe } from './text.js';

interface ReleaseFlags {
  reference?: string;
  name: string;
  date?: string;
  fields?: string;
  archive?: string;
  json?: boolean;
}

export function defineRelease(program: Command): void {
  program
    .command('release <tag>')
    .description('copy a reference under a tag: immutable, checksummed, with its provenance')
    .option('--reference <dir|target>', 'which reference (the only one, or data/reference)')
    .option('--name <name>', 'what stands before the tag in names', 'reference')
    .option('--date <date>', 'the date of the release, when neither the tag nor the names of runs tell it')
    .option('--fields <file>', 'YAML with terms of FAIRe and MIxS, such as target_gene, for the crate')
    .option('--archive <kind>', 'also write it as one file beside it: tar.gz or zip')
    .option('--json', 'print one JSON object')
    .addHelpText(
      'after',
      `
Examples:
  firn release 2024-11
  firn release v1.0 --date 2024-11-30 --reference reference-v1.0
  firn release 2024-11 --fields fields.yaml --archive tar.gz

The same tag again is refused, unless it would be the same release: then it says so. SOURCE_DATE_EPOCH is a date, too.`,
    )
    .action((tag: string, flags: ReleaseFlags, command: Command) =>
      act(async (signal) => {
        const { projectPlaces } = await import('../project.js');
        const { disk } = await import('../files/disk.js');
        const { referenceMeant } = await import('../release/find.js');
        const { defaultReference, takeRelease } = await import('../release/take.js');
        const { dayOfEpoch } = await import('../release/date.js');
        const archive = archiveOf(flags.archive);
        const { root, pipeline } = await projectPlaces(globalOptions(command).directory);
        const places = { root, pipeline };
        const reference =
          flags.reference === undefined
            ? defaultReference(places)
            : await referenceMeant(disk, places, flags.reference);
        const epoch = process.env.SOURCE_DATE_EPOCH;
        const date = flags.date ?? (epoch ? dayOfEpoch(epoch) : undefined);
        const warnings: string[] = [];
        const fields = flags.fields === undefined ? undefined : await fieldsIn(flags.fields, warnings);
        const behind = await whyBehind(command, reference, signal);
        if (behind !== undefined)
          warnings.push(
            `\`firn build\` may change this reference (${behind}); the release holds what stands there`,
          );
        for (const text of warnings) note(`warning: ${safe(text)}`);
        const line = progressLine(`release ${tag}`);
        const taken = await takeRelease({
          port: disk,
          root,
          pipeline,
          reference,
          name: flags.name,
          tag,
          date,
          fields,
          archive,
          signal,
          onProgress: line.show,
          onWait: (holder) => note(`waiting for ${safe(holder)} to finish`),
        }).finally(line.end);
        if (flags.json) printJson(releaseJson(taken, root, warnings));
        else show(taken);
        return undefined;
      }),
    );
}

function archiveOf(text: string | undefined): ArchiveKind | undefined {
  if (text === undefined || text === 'tar.gz' || text === 'zip') return text;
  throw new FirnError('usage', `--archive must be tar.gz or zip, found "${text}"`);
}

async function fieldsIn(path: string, warnings: string[]): Promise<import('../release/fields.js').Fields> {
  const { disk } = await import('../files/disk.js');
  const { YamlSource } = await import('../pipeline/source.js');
  const { readFields } = await import('../release/fields.js');
  const text = disk.readText(resolve(path));
  if (text === undefined) throw new FirnError('usage', 'there is no such file of fields', { path });
  const read = readFields(new YamlSource(path, text).value, path);
  warnings.push(...read.warnings);
  return read.fields;
}

/** Where the pipeline cannot be expanded now, nobody can tell. */
async function whyBehind(
  command: Command,
  reference: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const { openProject } = await import('../project.js');
  const { whyBehind: ask } = await import('../release/up-to-date.js');
  try {
    return await ask(await openProject(globalOptions(command)), reference, signal);
  } catch (error) {
    if (error instanceof FirnError) return undefined;
    throw error;
  }
}

function releaseJson(taken: Taken, root: string, warnings: readonly string[]): object {
  const { name, tag, date, directory, existed, rows, runs, dims, versions, hasIndex, bytes, archive } = taken;
  return {
    tag,
    name,
    date,
    directory: relative(root, directory),
    existed,
    rows,
    runs,
    dims,
    versions,
    index: hasIndex,
    bytes,
    archive: archive === undefined ? null : { ...archive, path: relative(root, archive.path) },
    warnings,
  };
}

function show({ files, directory, existed, rows, runs, dims, hasIndex, bytes, archive }: Taken): void {
  const here = (path: string): string => safe(relative(process.cwd(), path) || '.');
  const content = `${formatCount(rows)} rows of ${plural(runs, 'run')}, ${dims} dimensions${hasIndex ? ', with an index' : ''}, ${formatBytes(bytes)}`;
  print(
    existed
      ? `${safe(files.directory)} is there already, with this very content: ${content}`
      : `released ${safe(files.directory)}: ${content}`,
  );
  print(here(directory));
  if (!hasIndex) note('note: there is no index beside this reference, so the release has none');
  if (archive === undefined) return;
  print(
    `${here(archive.path)}: ${formatBytes(archive.bytes)}, sha256 ${archive.sha256}${archive.existed ? ', there already' : ''}`,
  );
}
