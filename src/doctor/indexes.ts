/**
 * Checks of the index beside each reference: is there one, is it of these rows, and does it find what it should. The
 * answer to "search is slow".
 */

import { openArray } from '../arrays/open.js';
import type { ArrayShape } from '../arrays/types.js';
import { trainingOf } from '../faiss/build.js';
import { whyNoFaiss } from '../faiss/factory.js';
import type { IndexHeader } from '../faiss/header.js';
import { holdsRows } from '../faiss/row-sums.js';
import { DRIFT, FLAT_ROWS, GROWTH } from '../faiss/training.js';
import { howToIndex, indexTarget } from '../reference/index-target.js';
import { isLayoutOfFirst } from '../reference/layout.js';
import { command } from '../shell-word.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import type { IndexLook, ReferenceLook } from './reference-looks.js';

export const indexChecks: Group = {
  name: 'indexes',
  checks: {
    'indexes of references': fits,
    'how indexes search': searchesWell,
    'vectors of indexes': vectors,
  },
  whenLimited: true,
  summary: () => undefined,
};

/** A Flat index of more rows than this reads a lot for every search. */
const LARGE_FLAT = 100_000;
/** What a target asks for unless told. */
const DEFAULT_RECALL = 0.95;

/** What to do so that there is an index, and one that fits. */
function rebuild({ opening }: DoctorContext, { directory }: ReferenceLook): string {
  const targets = [...(opening.pipeline?.targets.values() ?? [])];
  const target = indexTarget(targets, directory);
  if (target !== undefined) return `${command('firn', 'build', target)} makes it.`;
  const how = howToIndex(targets, directory);
  return `${how.charAt(0).toUpperCase()}${how.slice(1)}.`;
}

/** The name of the target that makes the index. */
function maker({ opening }: DoctorContext, { directory }: ReferenceLook): string | undefined {
  return indexTarget(opening.pipeline?.targets.values() ?? [], directory);
}

async function* fits(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    const { array, index, metadata, directory, prefix } = look;
    if (index === undefined) {
      const rows = array?.shape?.rows ?? 0;
      if (rows > FLAT_ROWS)
        yield finding(
          'index-missing',
          `${directory}/${prefix}_index.faiss`,
          `is not there: a search compares all ${rows} rows`,
          rebuild(context, look),
        );
      continue;
    }
    const path = context.shown(index.path);
    if (index.header === undefined) {
      context.told.add(path);
      const { message } = findingOf('index-unusable', null, index.error, '');
      const remove = command('mv', '--', path, `${path}.bad`);
      yield finding(
        'index-unusable',
        path,
        message,
        maker(context, look) === undefined
          ? `${remove}, so that searches compare every row. ${rebuild(context, look)}`
          : rebuild(context, look),
      );
      continue;
    }
    // Array and metadata are of different states: that has its own finding.
    if (array?.shape === undefined || context.told.has(context.shown(array.path))) continue;
    const unused = whyUnused(array.shape, look, index.header);
    if (unused !== undefined) {
      context.told.add(path);
      yield finding(
        'index-unused',
        path,
        `${unused}, so a search compares every row instead`,
        remake(context, look),
      );
      continue;
    }
    const what = index.header.kind === 'other' ? index.header.what : undefined;
    const lacks = what === undefined ? undefined : await whyNoFaiss();
    if (lacks !== undefined) {
      const { message, remedy } = findingOf('package-missing', null, lacks, 'Install the package.');
      yield finding(
        'package-missing',
        path,
        `is ${what}, so a search compares every row: ${message}`,
        remedy,
      );
      continue;
    }
    const behind = array.shape.rows - rowsOf(index, index.header, array.shape.rows);
    if (behind > 0)
      yield finding(
        'index-behind',
        path,
        `lacks the last ${behind} of ${array.shape.rows} rows: a search compares them one by one`,
        metadata?.facts === undefined
          ? 'Build the index again with the program that wrote it.'
          : rebuild(context, look),
      );
  }
}

/** An index that firn did not write stands in its way. */
function remake(context: DoctorContext, look: ReferenceLook): string {
  const path = context.shown(look.index?.path as string);
  return look.index?.trailer?.firn === 1
    ? rebuild(context, look)
    : `${command('mv', '--', path, `${path}.bad`)}. ${rebuild(context, look)}`;
}

function rowsOf({ trailer }: IndexLook, header: IndexHeader, rows: number): number {
  return header.kind === 'other' ? Number(trailer?.rows ?? rows) : header.rows;
}

/** Why a search would not use it; undefined when it would. */
function whyUnused(
  { rows, dims }: ArrayShape,
  { index, metadata }: ReferenceLook,
  header: IndexHeader,
): string | undefined {
  if (header.kind !== 'other' && header.dims !== dims)
    return `has ${header.dims} dimensions, and the reference ${dims}`;
  const own = rowsOf(index as IndexLook, header, rows);
  if (own > rows) return `holds ${own} rows, more than the ${rows} of the reference`;
  const facts = metadata?.facts;
  if (facts === undefined) return undefined;
  const trailer = index?.trailer;
  if (trailer?.firn !== 1) return 'does not say of which rows it is';
  const same = trailer.embeddings === facts.embeddings || isLayoutOfFirst(facts.ranges, own, trailer.layout);
  return same ? undefined : 'is of other rows';
}

async function* searchesWell(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of await context.references()) {
    const { index } = look;
    if (index?.header === undefined || context.told.has(context.shown(index.path))) continue;
    yield* recall(context, look, index);
    yield* lists(context, look, index, index.header);
  }
}

/** Where nprobe was told, or FAISS built the index, no recall was asked for; then it is held against the default. */
function* recall(
  context: DoctorContext,
  look: ReferenceLook,
  { path, trailer }: IndexLook,
): Iterable<Finding> {
  const said = trailer?.index as
    | { kind?: unknown; recall?: { goal?: unknown; measured?: unknown } }
    | undefined;
  const measured = said?.recall?.measured;
  const goal = typeof said?.recall?.goal === 'number' ? said.recall.goal : DEFAULT_RECALL;
  if (typeof measured !== 'number' || measured >= goal) return;
  const target = maker(context, look) ?? 'the index';
  yield finding(
    'index-recall',
    context.shown(path),
    `finds ${percent(measured)} of the true neighbours, where ${percent(goal)} are usual`,
    said?.kind === 'factory'
      ? `Raise \`nprobe\` or use another \`factory\` in ${target}; without one, firn measures how many lists reach a \`recall\`.`
      : `Leave \`nprobe\` out of ${target}, so that it is measured to reach a \`recall\`; for one search: \`firn search --nprobe N\`.`,
  );
}

function percent(share: number): string {
  return `${Math.round(share * 1000) / 10} %`;
}

function* lists(
  context: DoctorContext,
  look: ReferenceLook,
  { path, trailer }: IndexLook,
  header: IndexHeader,
): Iterable<Finding> {
  const shown = context.shown(path);
  if (header.kind === 'flat' && header.rows > LARGE_FLAT)
    yield finding(
      'index-flat',
      shown,
      `is a Flat index of ${header.rows} rows: exact, and every search reads all of them`,
      `An IVF index reads a few lists. ${remake(context, look)}`,
    );
  if (header.kind !== 'ivf') return;
  const stored = (trailer?.index as { nprobe?: unknown } | undefined)?.nprobe;
  if (typeof stored === 'number' && stored !== header.nprobe)
    yield finding(
      'index-nprobe',
      shown,
      `looks into ${header.nprobe} lists, and ${stored} were measured to be needed: somebody changed the number in the file`,
      rebuild(context, look),
    );
  else if (trailer === undefined && header.nprobe === 1 && header.nlist > 1)
    yield finding(
      'index-nprobe',
      shown,
      `looks into 1 of ${header.nlist} lists, which is what FAISS stores where nobody measured: it may miss many neighbours`,
      'Search with `firn search --nprobe N`, or let firn build the index: it measures the number.',
    );
  const fit = trainingOf(trailer);
  if (fit === undefined) return;
  const drifted = fit.imbalance > DRIFT * fit.trainedImbalance;
  const grown = fit.rows > GROWTH * fit.trainedRows;
  if (drifted || grown)
    yield finding(
      'index-drifted',
      shown,
      drifted
        ? `its lists have drifted: their imbalance is ${round(fit.imbalance)}, and was ${round(fit.trainedImbalance)} when it was trained, so searches read more than they need`
        : `holds ${fit.rows} rows and was trained on ${fit.trainedRows}`,
      'The next build that adds rows trains it anew; nothing has to be done.',
    );
}

function round(value: number): number {
  return Math.round(value * 100) / 100;
}

/** Every vector of the index against the row it is said to be. Only where every byte is read. */
async function* vectors(context: DoctorContext): AsyncIterable<Finding> {
  if (!context.full) return;
  for (const look of await context.references()) {
    const { array, index } = look;
    const header = index?.header;
    if (array?.shape === undefined || header === undefined || header.kind === 'other') continue;
    const path = context.shown(index?.path as string);
    const isKnown = context.told.has(path) || context.told.has(context.shown(array.path));
    // Of an index that is behind, a build copies what it has only where it is as it was recorded.
    if (isKnown || header.dims !== array.shape.dims || header.rows !== array.shape.rows) continue;
    const onProgress = context.share(2 * array.stat.size);
    let done = 0;
    const onRows = (rows: number): void => {
      done += rows;
      onProgress(done, 2 * header.rows);
    };
    if (await areRowsOf(context, header, { index: index?.path as string, array: array.path }, onRows))
      continue;
    context.told.add(path);
    yield finding(
      'index-altered',
      path,
      'holds other vectors than the rows of the array: searches may miss neighbours',
      remake(context, look),
    );
  }
}

async function areRowsOf(
  { port, workers, signal }: DoctorContext,
  header: Parameters<typeof holdsRows>[1],
  paths: { index: string; array: string },
  onRows: (rows: number) => void,
): Promise<boolean> {
  const reader = await openArray(port, paths.array);
  try {
    const handle = await port.open(paths.index);
    try {
      return await holdsRows(handle, header, reader, { workers, signal, onRows });
    } finally {
      await handle.close();
    }
  } finally {
    await reader.close();
  }
}
