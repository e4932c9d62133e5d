/** Checks of runs that were archived: what the stub says, and whether the archive still has it. */
import { join, resolve } from 'node:path';
import { FirnError } from '../errors.js';
import { someOf } from '../reference/warnings.js';
import { KEPT_FILES } from '../run-life/archive-job.js';
import { readTree } from '../run-life/tree.js';
import { type ArchivedFile, readStub, STUB_FILE, type Stub } from '../runs/archived.js';
import type { Run } from '../runs/discover.js';
import { command } from '../shell-word.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';

export const archivedRunChecks: Group = {
  name: 'archived runs',
  checks: { 'half archived runs': unfinished, 'archives of runs': archives },
  whenLimited: true,
  summary(context) {
    const { length } = context.archived();
    return length === 0 ? undefined : plural(length, 'run');
  },
};

/** A stub, and files that it says are elsewhere. */
function* unfinished(context: DoctorContext): Iterable<Finding> {
  for (const run of context.runs()) if (run.stub !== undefined) yield halfArchived(context, run);
  for (const run of context.archived()) {
    const stub = stubOf(context, run);
    if (!(stub instanceof FirnError) && isLeft(context, run, stub)) yield halfArchived(context, run);
  }
}

function isLeft({ port }: DoctorContext, { directory }: Run, { files }: Stub): boolean {
  const archived = new Set(files.map(({ path }) => path));
  return readTree(port, directory).files.some(({ path }) => archived.has(path) && !KEPT_FILES.has(path));
}

function halfArchived(context: DoctorContext, { name, directory }: Run): Finding {
  return finding(
    'archive-unfinished',
    context.shown(directory),
    `holds ${STUB_FILE}, and files that were archived: archiving or restoring was cut off, or the run was made anew`,
    `${command('firn', 'runs', 'restore', name, '--execute')}, or the same ${command('firn', 'runs', 'archive')} once more; where the run was made anew, remove its ${STUB_FILE}.`,
  );
}

/** The stub of an archived run, or why there is none to go by. */
function stubOf({ port }: DoctorContext, { directory }: Run): Stub | FirnError {
  try {
    return (
      readStub(port, directory) ??
      new FirnError('missing', 'was there, and is gone', { path: join(directory, STUB_FILE) })
    );
  } catch (error) {
    if (error instanceof FirnError) return error;
    throw error;
  }
}

async function* archives(context: DoctorContext): AsyncIterable<Finding> {
  const away = new Map<string, string[]>();
  for (const run of context.archived()) {
    context.signal.throwIfAborted();
    const shown = context.shown(run.directory);
    const stub = stubOf(context, run);
    if (stub instanceof FirnError) {
      yield findingOf('archive-stub', `${shown}/${STUB_FILE}`, stub, 'Put it back as it was.');
      continue;
    }
    const folder = resolve(context.root, stub.archived);
    if (context.port.stat(folder) === undefined) {
      const archive = folder.slice(0, -run.name.length - 1);
      const names = away.get(archive);
      if (names === undefined) away.set(archive, [run.name]);
      else names.push(run.name);
      continue;
    }
    const wrong = await damagedIn(context, folder, stub.files);
    if (wrong.length === 0) continue;
    yield finding(
      'archive-damaged',
      shown,
      `its archive in ${folder} is not what was archived: ${someOf(wrong)}`,
      'Put these files back from another copy. Its rows stay in the references that hold them.',
    );
  }
  for (const [archive, names] of away) {
    yield finding(
      'archive-missing',
      context.shown(archive),
      `is not there now, and ${plural(names.length, 'archived run')} went there: ${someOf(names)}`,
      `Nothing, as long as they are not needed; ${command('firn', 'runs', 'restore', '--from', 'DIR')} finds an archive that was moved to DIR.`,
    );
  }
}

/** Names of files that are missing or of another size; with --full also of other bytes. */
async function damagedIn(
  context: DoctorContext,
  folder: string,
  files: readonly ArchivedFile[],
): Promise<string[]> {
  const sizes = new Map(readTree(context.port, folder).files.map(({ path, stat }) => [path, stat.size]));
  const wrong: string[] = [];
  for (const { path, bytes, sha256 } of files) {
    const isWhole = sizes.get(path) === bytes;
    if (!isWhole || (context.full && (await context.fileDigest(join(folder, path))) !== `sha256:${sha256}`))
      wrong.push(path);
  }
  return wrong;
}
