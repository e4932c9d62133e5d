/**
 * Runs -> one reference: consolidated_embeddings.npy and consolidated_metadata.json in one directory. The reference is
 * its own memory: which rows stand where is planned from what its metadata says, and rows of runs that are gone or
 * archived are copied from its own array.
 */
import { join } from 'node:path';
import type { Dtype } from '../src/arrays/types.js';
import {
  type Input,
  inputId,
  type Json,
  type KnownRun,
  type ManifestEntry,
  type MemoryContext,
  type Rule,
  type RunContext,
  type RunFilter,
  type Step,
} from '../src/engine/types.js';
import { trainingOf } from '../src/faiss/build.js';
import { readTrailer } from '../src/faiss/trailer.js';
import { FLAT_ROWS, pickTrainedRows } from '../src/faiss/training.js';
import { checkDimensions, checkVersions, obstacleOf } from '../src/reference/checks.js';
import { EMBEDDINGS_FILE, INDEX_FILE, METADATA_FILE } from '../src/reference/files.js';
import {
  type CurrentRun,
  layoutDigest,
  mergeLayout,
  type Range,
  runName,
  startsOf,
} from '../src/reference/layout.js';
import { readMetadata, writeMetadata } from '../src/reference/metadata.js';
import { type Prior, readPrior } from '../src/reference/prior.js';
import { type Told, unselectedRuns, versionsOf, warningsOf } from '../src/reference/warnings.js';
import { isLoss, type RowsRequest, writeRows } from '../src/reference/write-rows.js';
import { runFile } from '../src/runs/run-array.js';
import { isDamaged, RUN_FACTS_FILE } from '../src/runs/run-facts.js';

interface Params {
  sequences: boolean;
  prune: string[];
  'non-finite': 'refuse' | 'allow';
}

interface Detail {
  runsDir: string;
  versionsFile: string;
  versions: { [run: string]: string };
  /** Every run that discovery finds or a step makes; any other that the reference holds is gone or archived. */
  present: string[];
  /** Inputs that were archived when the step was found. */
  archived: string[];
  /** By which the inputs were selected. */
  filter: RunFilter;
}

/** What `memory` found and `run` needs. */
interface Plan {
  /** The rows to be. */
  ranges: Range[];
  /** Where those that only the array as it stands holds here, retained and archived ones, begin in it, by run. */
  keptAt: { [run: string]: number };
  /** `sha256:` of the bytes of that array. */
  standing?: string;
  trainedRows?: number;
  told: Told;
}

const rule: Rule = {
  name: 'consolidate',
  version: '1',
  summary: 'Joins runs into one reference that keeps every row it ever held.',
  fields: { runs: 'required', out: 'required' },
  proves: true,
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      sequences: {
        type: 'boolean',
        default: true,
        description:
          'List every row in the metadata, as Python tools of the older system expect (about 100 bytes a row).',
      },
      prune: {
        type: 'array',
        items: { type: 'string', pattern: '^[^/]+/[^/]+$', description: 'A run is named dataset/run.' },
        default: [],
        description:
          'Runs (dataset/run) whose rows are dropped, also those retained from runs that are gone.',
      },
      'non-finite': {
        type: 'string',
        enum: ['refuse', 'allow'],
        default: 'refuse',
        description:
          'NaN and infinity in a run: an error that names run and row, or taken as they are (no index is made of them).',
      },
    },
  },

  expand(target, view) {
    if (target.out.length !== 1)
      throw target.error('a reference is one directory', 'Give one path as `out`.', 'out');
    const [out] = target.out;
    const pruned = new Set((target.with as unknown as Params).prune);
    const runs = view.runs(target.runs ?? 'all', { archived: true }).filter((run) => !pruned.has(run.name));
    const metadata = `${out}/${METADATA_FILE}`;
    // One that was lost comes back from the cache, or the step says which rows are lost.
    const hasReference = () =>
      view.port.stat(join(view.root, metadata)) !== undefined || view.wasWritten(metadata);
    if (runs.every((run) => run.archived) && !hasReference()) {
      if (view.runs('all').length === 0) {
        throw target.error(
          `there is no run in ${view.runsDir}`,
          runs.length === 0
            ? 'Expected <runs>/<dataset>/<run>/embeddings.npy or .npz.'
            : `All are archived; \`firn runs restore\` brings them back.`,
          'runs',
        );
      }
      // A version that is registered before its first run is no mistake.
      view.warn(
        runs.length === 0
          ? '`runs` selects no run, so there is nothing to build yet'
          : 'all runs that `runs` selects are archived, and there is nothing to build of them: `firn runs restore` brings them back',
      );
      return [];
    }
    const all = view.runs('all');
    const selected = new Set(runs.map((run) => run.name));
    const passedOver = all.filter((run) => !selected.has(run.name));
    if (target.runs !== undefined && target.runs !== 'all' && target.runs.version !== undefined) {
      for (const { name, directory, version } of passedOver) {
        const facts = `${directory}/${RUN_FACTS_FILE}`;
        if (version === undefined && isDamaged(view.port, join(view.root, facts)))
          view.warn(
            `run ${name} is left out: ${facts} does not say its version, since it was cut short or altered`,
          );
      }
    }
    const versions: { [run: string]: string } = {};
    for (const run of runs) if (run.version !== undefined) versions[run.name] = run.version;
    return [
      {
        id: target.name,
        params: target.with,
        inputs: runs.map(asInput),
        passedOver: passedOver.map(asInput),
        outputs: [
          { kind: 'file', path: `${out}/${EMBEDDINGS_FILE}` },
          { kind: 'file', path: `${out}/${METADATA_FILE}` },
        ],
        detail: {
          runsDir: view.runsDir,
          versionsFile: view.versionsFile,
          versions,
          present: all.map((run) => run.name),
          archived: runs.filter((run) => run.archived).map((run) => run.name),
          filter: (target.runs ?? 'all') as Json,
        },
      },
    ];
  },

  async memory(step, context) {
    const detail = step.detail as unknown as Detail;
    const prior = await readPrior(step, context);
    const away = awayRuns(step, detail, context);
    const present = new Set(detail.present);
    // One that another step made again since is here.
    for (const name of detail.archived) if (!away.has(name)) present.add(name);
    const isPresent = (name: string) => present.has(name);
    const { prune } = step.params as unknown as Params;
    const all = currentRuns(step, detail, context);
    const held = new Map(prior.ranges.map((range) => [runName(range), range.digest]));
    // Of an archived run there are the rows that the reference has, or none.
    const current = all.filter((run) => !away.has(runName(run)) || held.get(runName(run)) === run.digest);
    const ranges = mergeLayout({ prior: prior.ranges, current, isPresent, pruned: new Set(prune) });
    if (detail.filter !== 'all' && detail.filter.version !== undefined) {
      const staying = new Set([...ranges.map(runName), ...prune]);
      checkVersions(
        [...held.keys()].filter((name) => !staying.has(name)),
        detail,
        context,
      );
    }
    checkDimensions(step, new Set(current.map(runName)), context);
    const entries: ManifestEntry[] = [['order of runs', JSON.stringify(ranges.map(runName))]];
    for (const range of ranges) {
      if (range.retained) entries.push([`retained run ${runName(range)}`, range.digest]);
      if (range.version !== null) entries.push([`version of ${runName(range)}`, range.version]);
    }
    const told: Told = {
      unselected: unselectedRuns(ranges, detail.filter),
      prune,
      versions: versionsOf(ranges),
      leftOut: all.filter((run) => !current.includes(run)).map(runName),
    };
    // In the key, so that the build that narrows the filter runs, and says so.
    for (const name of told.unselected) entries.push([`retained run ${name} beyond \`runs\``, '']);
    const trainedRows = await trainedRowsOf(step, prior, ranges, context);
    if (trainedRows !== undefined) entries.push(['rows an index is trained on', String(trainedRows)]);
    const keptAt = keptAtIn(prior.ranges, ranges, away);
    const state: Plan = {
      ranges,
      keptAt,
      ...(prior.embeddings === undefined ? {} : { standing: prior.embeddings }),
      ...(trainedRows === undefined ? {} : { trainedRows }),
      told,
    };
    const before = (context.recorded?.state as unknown as Partial<Plan> | undefined)?.told;
    const noRun = detail.present.length === 0 && detail.archived.length === 0;
    const warnings = warningsOf({
      prior: prior.ranges,
      ranges,
      isPresent,
      ...(noRun ? { emptyRuns: detail.runsDir } : {}),
      now: told,
      before,
    });
    const obstacle = obstacleOf(step, { ranges, away, standing: prior.embeddings }, context);
    return {
      entries,
      state: state as unknown as Json,
      warnings,
      ...(obstacle === undefined ? {} : { obstacle }),
    };
  },

  takeOver: '`firn adopt` takes over an existing reference',

  async recognises(step, _output, { port, root }) {
    const path = join(root, step.outputs[1].path);
    if (port.stat(path) === undefined) return undefined;
    try {
      return (await readMetadata(port, path)) !== undefined;
    } catch {
      // Altered, but firn's.
      return true;
    }
  },

  async run(step, context) {
    const { ranges, trainedRows } = context.state as unknown as Plan;
    const written = await writeArray(step, context);
    const embeddings = await context.stagedDigest(step.outputs[0], written.fileDigest);
    const { sequences } = step.params as unknown as Params;
    await writeMetadata(
      context.port,
      context.stage(step.outputs[1]),
      { ranges, embeddings, trainedRows, dims: written.dims, dtype: written.dtype },
      { sequences, signal: context.signal },
    );
    const retained = ranges.filter((range) => range.retained);
    return {
      stats: {
        runs: ranges.length,
        rows: startsOf(ranges)[ranges.length],
        dims: written.dims,
        retained: retained.length,
      },
    };
  },
};

export default rule;

function asInput({ directory, name }: KnownRun): Input {
  return { kind: 'run', path: directory, name };
}

/** The archived inputs that are still elsewhere. */
function awayRuns(step: Step, detail: Detail, context: MemoryContext): ReadonlySet<string> {
  const archived = new Set(detail.archived);
  const inputs = archived.size === 0 ? [] : step.inputs.filter(({ name }) => archived.has(name as string));
  return new Set(
    inputs
      .filter(({ path }) => runFile(context.port, join(context.root, path)) === undefined)
      .map(({ name }) => name as string),
  );
}

/** Retained rows come from the array as it stands or, where that has lost them, from the stored copy of it. */
async function writeArray(step: Step, context: RunContext): ReturnType<typeof writeRows> {
  const { ranges, keptAt, standing } = context.state as unknown as Plan;
  const read = new Set(ranges.map(runName).filter((name) => keptAt[name] === undefined));
  const input = step.inputs.find(({ name }) => read.has(name as string));
  const request: RowsRequest = {
    port: context.port,
    out: context.stage(step.outputs[0]),
    ranges,
    runsDir: context.resolve((step.detail as unknown as Detail).runsDir),
    standing: context.resolve(step.outputs[0].path),
    keptAt,
    finite: (step.params as unknown as Params)['non-finite'] === 'refuse',
    dims: input && (context.digests.get(inputId(input))?.facts?.dims as number),
    workers: context.workers,
    signal: context.signal,
    onRows: (done, total) => context.progress(done, total, 'rows'),
  };
  try {
    return await writeRows(request);
  } catch (error) {
    const copy = isLoss(error, request) && standing !== undefined && (await context.stored(standing));
    if (!copy) throw error;
    return writeRows({ ...request, standingCopy: copy });
  }
}

/**
 * On how many of its first rows an index of this reference is trained; undefined for all. It is decided here, where rows
 * come and go, and stands in the metadata, so that an index that is lost with every record can be made again as it was.
 * The index beside it is asked how well its lists still fit; that changes nothing until the rows do.
 */
async function trainedRowsOf(
  step: Step,
  prior: Prior,
  ranges: readonly Range[],
  context: MemoryContext,
): Promise<number | undefined> {
  if (layoutDigest(prior.ranges) === layoutDigest(ranges)) return prior.trainedRows;
  const rows = startsOf(ranges)[ranges.length];
  const priorRows = startsOf(prior.ranges)[prior.ranges.length];
  if (rows <= FLAT_ROWS || priorRows <= FLAT_ROWS) return undefined;
  const directory = join(context.root, step.outputs[0].path.slice(0, -EMBEDDINGS_FILE.length));
  const fit = trainingOf(await readTrailer(context.port, join(directory, INDEX_FILE)));
  const { imbalance = 1, trainedImbalance = 1 } = fit ?? {};
  const training = {
    trainedRows: prior.trainedRows ?? priorRows,
    rows: priorRows,
    imbalance,
    trainedImbalance,
  };
  const picked = pickTrainedRows(training, rows);
  return picked === rows ? undefined : picked;
}

/** The first of a name, as in the layout: an adopted reference may hold a run twice. */
function keptAtIn(
  prior: readonly Range[],
  ranges: readonly Range[],
  away: ReadonlySet<string>,
): Plan['keptAt'] {
  const kept = new Set(ranges.filter((range) => range.retained || away.has(runName(range))).map(runName));
  const starts = startsOf(prior);
  const keptAt: Plan['keptAt'] = {};
  for (const [i, range] of prior.entries()) {
    const name = runName(range);
    if (kept.delete(name)) keptAt[name] = starts[i];
  }
  return keptAt;
}

function currentRuns(step: Step, detail: Detail, context: MemoryContext): CurrentRun[] {
  return step.inputs.map((input) => {
    const found = context.digests.get(inputId(input));
    const [dataset, run_id] = (input.name as string).split('/');
    return {
      dataset,
      run_id,
      count: found?.facts?.rows as number,
      digest: found?.digest as string,
      dtype: found?.facts?.dtype as Dtype,
      version: detail.versions[input.name as string] ?? null,
    };
  });
}
