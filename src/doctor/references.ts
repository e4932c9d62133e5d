/**
 * Checks of references: array and metadata belong together and add up, what only they still hold, and what another program
 * wrote. Knows no index.
 */
import { join } from 'node:path';
import { referenceTarget } from '../reference/index-target.js';
import { type Range, runName, startsOf } from '../reference/layout.js';
import { metadataProblems, readMetadata } from '../reference/metadata.js';
import { verifyReference } from '../reference/verify.js';
import { someOf } from '../reference/warnings.js';
import { findReleases, stemIn } from '../release/find.js';
import { filesIn } from '../release/names.js';
import { command } from '../shell-word.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import { editedKey } from './next-build.js';
import type { ReferenceLook } from './reference-looks.js';

export const referenceChecks: Group = {
  name: 'references',
  checks: {
    'files of references': whole,
    'metadata of references': addsUp,
    'bytes of references': bytes,
    'rows of runs that are gone': retained,
  },
  whenLimited: true,
  async summary(context) {
    const looks = await context.references();
    if (looks.length === 0) return undefined;
    return looks
      .map(({ directory, array, index }) => {
        const rows = array?.shape === undefined ? 'no usable array' : plural(array.shape.rows, 'row');
        const kind = index === undefined ? 'no index' : `index ${index.header?.kind ?? 'unusable'}`;
        return `${directory} (${rows}, ${kind})`;
      })
      .join(', ');
  },
};

/** What to do about a reference that is not what firn wrote. */
function rebuild(context: DoctorContext, look: ReferenceLook): string {
  const target = referenceTarget(context.opening.pipeline?.targets.values() ?? [], look.directory);
  const build =
    target === undefined ? 'Build it again with the program that wrote it' : command('firn', 'build', target);
  const names = (look.metadata?.facts?.ranges ?? []).map(runName).filter((name) => context.isGone(name));
  const only = names.filter((name) => !context.isArchived(name));
  const then = target === undefined ? 'then build again' : `then ${build}`;
  if (only.length > 0)
    return `It holds the only copy of ${someOf(only)}: put the file back from a release or backup first; ${then}.`;
  // A build takes the rows of archived runs from the reference as it stands.
  if (names.length > 0) {
    const restore = command('firn', 'runs', 'restore', ...(names.length === 1 ? names : []), '--execute');
    return `It has the rows of archived runs (${someOf(names)}): first ${restore}, ${then}.`;
  }
  return `${build}${target === undefined ? '.' : ' restores it or makes it again from the runs.'}`;
}

async function* whole(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    const { directory, prefix, array, metadata } = look;
    if (array === undefined || metadata === undefined) {
      const missing = `${directory}/${prefix}_${array === undefined ? 'embeddings.npy' : 'metadata.json'}`;
      context.told.add(missing);
      if (context.port.stat(join(context.root, missing)) !== undefined) {
        const away = command('mv', '--', missing, `${missing}.away`);
        yield finding('reference-incomplete', missing, 'is no file', `${away}. ${rebuild(context, look)}`);
        continue;
      }
      yield finding(
        'reference-incomplete',
        missing,
        array === undefined
          ? 'is not there, and the metadata beside it speaks of its rows'
          : 'is not there: it says which row came from which run',
        rebuild(context, look),
      );
    }
    if (array?.error !== undefined) {
      const shown = context.shown(array.path);
      context.told.add(shown);
      const { message } = findingOf('reference-unusable', null, array.error, '');
      yield finding('reference-unusable', shown, message, rebuild(context, look));
    }
    if (metadata?.error !== undefined) {
      const shown = context.shown(metadata.path);
      context.told.add(shown);
      yield findingOf('reference-metadata', shown, metadata.error, rebuild(context, look));
    }
  }
}

async function* addsUp(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    const { directory, prefix, array, metadata } = look;
    if (metadata === undefined || metadata.error !== undefined) continue;
    const path = context.shown(metadata.path);
    const { facts } = metadata;
    if (facts === undefined) {
      yield* foreign(context, look);
      continue;
    }
    const problems = await metadataProblems(context.port, metadata.path);
    if (problems.length > 0)
      yield finding(
        'reference-metadata',
        path,
        `does not add up: ${someOf(problems)}`,
        rebuild(context, look),
      );
    if (array?.shape === undefined) continue;
    const { rows, dims, dtype } = array.shape;
    const said = startsOf(facts.ranges)[facts.ranges.length];
    if (rows === said && dims === facts.dims && dtype === facts.dtype) continue;
    context.told.add(`${directory}/${prefix}_embeddings.npy`);
    yield finding(
      'reference-rows',
      path,
      `speaks of ${said} rows of ${facts.dims} ${facts.dtype}, and ${context.shown(array.path)} has ${rows} rows of ${dims} ${dtype}: the two are of different states`,
      rebuild(context, look),
    );
  }
}

function* foreign(context: DoctorContext, look: ReferenceLook): Iterable<Finding> {
  const { directory, prefix, metadata } = look;
  const path = context.shown(metadata?.path as string);
  context.told.add(editedKey(path));
  yield finding(
    'reference-foreign',
    path,
    'was written by another program: firn searches this reference and does not build on it',
    prefix === 'consolidated'
      ? `${command('firn', 'adopt', directory)} takes it over, rows and row numbers as they are.`
      : 'To build on it, copy its files as consolidated_embeddings.npy and consolidated_metadata.json into a folder, and use `firn adopt` on that.',
  );
}

/** Every byte of array and metadata, as `firn verify` reads them. Indexes have a check of their own. */
async function* bytes(context: DoctorContext): AsyncIterable<Finding> {
  if (!context.full) return;
  for (const look of await context.references()) {
    const { array, metadata, directory } = look;
    if (array?.shape === undefined || metadata === undefined || metadata.error !== undefined) continue;
    const taken = new Map<string, string>();
    for (const { path } of [array, metadata]) taken.set(path, await context.fileDigest(path));
    const files = {
      directory: join(context.root, directory),
      embeddings: array.path,
      metadata: metadata.path,
      index: undefined,
    };
    const { port, workers, signal } = context;
    const onProgress = context.share(array.stat.size);
    const { findings } = await verifyReference({ port, files, workers, signal, taken, onProgress });
    for (const file of [array, metadata]) {
      const shown = context.shown(file.path);
      const problems = findings.filter(({ path }) => `${directory}/${path}` === shown);
      // Of other rows: that is told, and all else hangs on it.
      if (problems.length === 0 || context.told.has(context.shown(array.path))) continue;
      context.told.add(shown);
      const text = someOf(problems.map(({ problem }) => problem));
      const code =
        file === array
          ? 'reference-altered'
          : metadata.facts === undefined
            ? 'reference-rows'
            : 'reference-metadata';
      yield finding(code, shown, text, rebuild(context, look));
    }
  }
}

async function* retained(context: DoctorContext): AsyncIterable<Finding> {
  const released = await releasedRuns(context);
  for (const look of await context.references()) {
    if (look.prefix !== 'consolidated' || look.array === undefined) continue;
    const only = (look.metadata?.facts?.ranges ?? [])
      .filter((range) => context.isGone(runName(range)) && !released.has(releasedKey(range)))
      .map(runName)
      // What is archived has another copy; whether that is there is asked elsewhere.
      .filter((name) => !context.isArchived(name));
    if (only.length === 0) continue;
    const shown = look.directory;
    const one = only.length === 1;
    yield finding(
      'reference-retained',
      shown,
      `holds rows of ${plural(only.length, 'run')} that ${one ? 'is' : 'are'} no longer on disk, and may be the only copy: ${someOf(only)}`,
      `${command('firn', 'backup', 'DIR')} makes another one, with DIR on another disk.`,
    );
  }
}

/** Runs that releases hold as well, with their values. */
async function releasedRuns({ port, root, opening }: DoctorContext): Promise<Set<string>> {
  const held = new Set<string>();
  for (const { directory } of await findReleases(port, { root, pipeline: opening.pipeline ?? {} })) {
    const { metadata } = filesIn(stemIn(port, directory));
    const facts = await readMetadata(port, join(directory, metadata)).catch(() => undefined);
    for (const range of facts?.ranges ?? []) held.add(releasedKey(range));
  }
  return held;
}

function releasedKey(range: Range): string {
  return `${runName(range)} ${range.digest}`;
}
