/**
 * Checks of references: array and metadata belong together and add up, what only they still hold, and what another program
 * wrote. Knows no index.
 */
import { join } from 'node:path';
import { convertBytes } from '../arrays/convert-bytes.js';
import { ArrayHasher } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import { referenceTarget } from '../reference/index-target.js';
import { runName, startsOf } from '../reference/layout.js';
import { metadataProblems, type ReferenceFacts } from '../reference/metadata.js';
import { readRowSources } from '../reference/row-sources.js';
import { someOf } from '../reference/warnings.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import { editedKey } from './next-build.js';
import type { ReferenceLook } from './reference-looks.js';
import { command } from './shell-word.js';

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
  const only = onlyHere(context, look.metadata?.facts);
  return only.length === 0
    ? `${build}${target === undefined ? '.' : ' restores it or makes it again from the runs.'}`
    : `It holds the only copy of ${someOf(only)}: put the file back from a release or backup first; ${target === undefined ? 'then build again' : `then ${build}`}.`;
}

/** Runs whose rows are in the reference and nowhere else. */
function onlyHere(context: DoctorContext, facts: ReferenceFacts | undefined): string[] {
  return (facts?.ranges ?? []).map(runName).filter((name) => context.isGone(name));
}

async function* whole(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    const { directory, prefix, array, metadata } = look;
    if (array === undefined || metadata === undefined) {
      const missing = `${directory}/${prefix}_${array === undefined ? 'embeddings.npy' : 'metadata.json'}`;
      context.told.add(missing);
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
    if (context.full && problems.length === 0) problems.push(...(await listProblems(context, look, facts)));
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

/** The list of every row, where there is one, against the ranges. */
async function listProblems(
  context: DoctorContext,
  { metadata }: ReferenceLook,
  facts: ReferenceFacts,
): Promise<string[]> {
  const path = metadata?.path as string;
  const said = facts.ranges.filter(({ count }) => count > 0);
  try {
    const listed = await readRowSources(context.port, path);
    const text = (rows: readonly { dataset: string; run_id: string; count: number }[]): string =>
      rows.map((row) => `${row.count} ${runName(row)}`).join('\n');
    return text(listed) === text(said) ? [] : ['`sequences` lists other rows than the ranges'];
  } catch (error) {
    // The list can be turned off.
    if (error instanceof FirnError && error.message === 'lists no rows') return [];
    return [findingOf('reference-metadata', null, error, '').message];
  }
}

async function* foreign(context: DoctorContext, look: ReferenceLook): AsyncIterable<Finding> {
  const { directory, prefix, array, metadata } = look;
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
  if (!context.full || array?.shape === undefined) return;
  try {
    const rows = (await readRowSources(context.port, metadata?.path as string)).reduce(
      (sum, { count }) => sum + count,
      0,
    );
    if (rows === array.shape.rows) return;
    yield finding(
      'reference-rows',
      path,
      `lists ${rows} rows, and ${context.shown(array.path)} has ${array.shape.rows}: the two are of different states`,
      rebuild(context, look),
    );
  } catch (error) {
    context.signal.throwIfAborted();
    yield findingOf('reference-metadata', path, error, rebuild(context, look));
  }
}

/** The array against its metadata, and which runs' rows are wrong. Only where every byte is read. */
async function* bytes(context: DoctorContext): AsyncIterable<Finding> {
  if (!context.full) return;
  for (const look of await context.references()) {
    const { array } = look;
    const facts = look.metadata?.facts;
    if (array?.shape === undefined || facts === undefined) continue;
    if ((await context.fileDigest(array.path)) === facts.embeddings) continue;
    const shown = context.shown(array.path);
    context.told.add(shown);
    const wrong = await wrongRanges(context, array.path, facts);
    const rows = array.shape.rows === startsOf(facts.ranges)[facts.ranges.length];
    yield finding(
      'reference-altered',
      shown,
      `is not what its metadata says: ${
        !rows
          ? 'it has another number of rows'
          : wrong.length === 0
            ? 'its header or its end was changed, and all rows are right'
            : `the rows of ${someOf(wrong)} are not what they were`
      }`,
      rebuild(context, look),
    );
  }
}

/** The runs whose rows in the array have another digest than the metadata says. */
async function wrongRanges(
  { port, signal, workers }: DoctorContext,
  path: string,
  facts: ReferenceFacts,
): Promise<string[]> {
  const reader = await openArray(port, path);
  try {
    const starts = startsOf(facts.ranges);
    const wrong: string[] = [];
    for (const [i, range] of facts.ranges.entries()) {
      const to = starts[i] + range.count;
      if (to > reader.rows || reader.dims !== facts.dims) {
        wrong.push(runName(range));
        continue;
      }
      const hasher = new ArrayHasher({ dtype: range.dtype, rows: range.count, dims: reader.dims }, workers);
      for await (const block of reader.blocks({ from: starts[i], to, signal }))
        await hasher.update(convertBytes(block.bytes, reader.dtype, range.dtype));
      if ((await hasher.digest()) !== range.digest) wrong.push(runName(range));
    }
    return wrong;
  } finally {
    await reader.close();
  }
}

async function* retained(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    if (look.prefix !== 'consolidated' || look.array === undefined) continue;
    const only = onlyHere(context, look.metadata?.facts);
    if (only.length === 0) continue;
    const shown = context.shown(join(context.root, look.directory));
    yield finding(
      'reference-retained',
      shown,
      `holds rows of ${only.length} ${only.length === 1 ? 'run' : 'runs'} that ${only.length === 1 ? 'is' : 'are'} no longer on disk, and may be the only copy: ${someOf(only)}`,
      `Back the folder up, for example with ${command('rsync', '-a', `${shown}/`, `/backup/${shown}/`)}.`,
    );
  }
}
