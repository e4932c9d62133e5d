/**
 * Runs -> one reference: consolidated_embeddings.npy and consolidated_metadata.json in one directory. The reference is
 * its own memory: which rows stand where is planned from what its metadata says, and rows of runs that are gone are
 * copied from its own array.
 */
import { join } from 'node:path';
import { convertBytes } from '../src/arrays/convert-bytes.js';
import { ArrayHasher } from '../src/arrays/digest.js';
import { createNpy } from '../src/arrays/npy-writer.js';
import { openArray } from '../src/arrays/open.js';
import { type ArrayReader, type ArrayWriter, BYTES_OF, type Dtype } from '../src/arrays/types.js';
import {
  inputId,
  type Json,
  type ManifestEntry,
  type MemoryContext,
  type Rule,
  type RunContext,
  type Step,
} from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { trainingOf } from '../src/faiss/build.js';
import { readTrailer } from '../src/faiss/trailer.js';
import { FLAT_ROWS, pickTrainedRows } from '../src/faiss/training.js';
import { EMBEDDINGS_FILE, INDEX_FILE, METADATA_FILE } from '../src/reference/files.js';
import {
  type CurrentRun,
  layoutDigest,
  mergeLayout,
  type Range,
  runName,
  startsOf,
} from '../src/reference/layout.js';
import { type ReferenceFacts, readMetadata, writeMetadata } from '../src/reference/metadata.js';
import { openRun, runFile } from '../src/runs/run-array.js';

interface Params {
  sequences: boolean;
  prune: string[];
}

interface Detail {
  runsDir: string;
  versions: { [run: string]: string };
}

/** What `memory` found and `run` needs: the rows to be, and where retained ones stand in the array of now. */
interface Plan {
  ranges: Range[];
  prior: Range[];
  trainedRows?: number;
}

type Memory = Pick<ReferenceFacts, 'ranges' | 'trainedRows'>;

const rule: Rule = {
  name: 'consolidate',
  version: '1',
  summary: 'Joins runs into one reference that keeps every row it ever held.',
  fields: { runs: 'required', out: 'required' },
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
        items: { type: 'string', pattern: '^[^/]+/[^/]+$' },
        default: [],
        description:
          'Runs (dataset/run) whose rows are dropped, also those retained from runs that are gone.',
      },
    },
  },

  expand(target, view) {
    if (target.out.length !== 1)
      throw target.error('a reference is one directory', 'Give one path as `out`.', 'out');
    const [out] = target.out;
    const pruned = new Set((target.with as unknown as Params).prune);
    const runs = view.runs(target.runs ?? 'all').filter((run) => !pruned.has(run.name));
    const hasReference = view.port.stat(join(view.root, out, METADATA_FILE)) !== undefined;
    if (runs.length === 0 && !hasReference) {
      throw target.error(
        `no run in ${view.runsDir} is selected`,
        'Expected <runs>/<dataset>/<run>/embeddings.npy or .npz; look at the filter under `runs`, and at `firn versions list`.',
        'runs',
      );
    }
    const versions: { [run: string]: string } = {};
    for (const run of runs) if (run.version !== undefined) versions[run.name] = run.version;
    return [
      {
        id: target.name,
        params: target.with,
        inputs: runs.map((run) => ({ kind: 'run', path: run.directory, name: run.name })),
        outputs: [
          { kind: 'file', path: `${out}/${EMBEDDINGS_FILE}` },
          { kind: 'file', path: `${out}/${METADATA_FILE}` },
        ],
        detail: { runsDir: view.runsDir, versions },
      },
    ];
  },

  async memory(step, context) {
    const detail = step.detail as unknown as Detail;
    const prior = await priorMemory(step, context);
    const ranges = mergeLayout({
      prior: prior.ranges,
      current: currentRuns(step, detail, context),
      isPresent: (name) => runFile(context.port, join(context.root, detail.runsDir, name)) !== undefined,
      pruned: new Set((step.params as unknown as Params).prune),
    });
    checkDimensions(step, context);
    const entries: ManifestEntry[] = [['order of runs', JSON.stringify(ranges.map(runName))]];
    for (const range of ranges) {
      if (range.retained) entries.push([`retained run ${runName(range)}`, range.digest]);
      if (range.version !== null) entries.push([`version of ${runName(range)}`, range.version]);
    }
    const trainedRows = await trainedRowsOf(step, prior, ranges, context);
    if (trainedRows !== undefined) entries.push(['rows an index is trained on', String(trainedRows)]);
    const state: Plan = {
      ranges,
      prior: prior.ranges,
      ...(trainedRows === undefined ? {} : { trainedRows }),
    };
    return { entries, state: state as unknown as Json };
  },

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
    const { ranges, prior, trainedRows } = context.state as unknown as Plan;
    warnOfRenames(ranges, context);
    const written = await writeRows(step, ranges, prior, context);
    const embeddings = await context.stagedDigest(step.outputs[0]);
    const { sequences } = step.params as unknown as Params;
    await writeMetadata(
      context.port,
      context.stage(step.outputs[1]),
      { ranges, embeddings, trainedRows, ...written },
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

/** The recorded state stands in when the metadata is gone or was altered; foreign metadata is refused later. */
async function priorMemory(step: Step, context: MemoryContext): Promise<Memory> {
  const path = join(context.root, step.outputs[1].path);
  const recorded = context.recorded as unknown as Plan | undefined;
  try {
    const facts = await readMetadata(context.port, path);
    if (facts !== undefined) return facts;
  } catch (error) {
    if (recorded === undefined) throw error;
  }
  return recorded ?? { ranges: [] };
}

/**
 * On how many of its first rows an index of this reference is trained; undefined for all. It is decided here, where rows
 * come and go, and stands in the metadata, so that an index that is lost with every record can be made again as it was.
 * The index beside it is asked how well its lists still fit; that changes nothing until the rows do.
 */
async function trainedRowsOf(
  step: Step,
  prior: Memory,
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

/** The values of a run that is gone, under another name: most likely it was renamed, and its rows now count twice. */
function warnOfRenames(ranges: readonly Range[], context: RunContext): void {
  const present = new Map(
    ranges.filter((range) => !range.retained).map((range) => [range.digest, runName(range)]),
  );
  for (const range of ranges) {
    const twin = range.retained && present.get(range.digest);
    if (!twin) continue;
    const old = runName(range);
    context.warn(
      `${old} is gone and ${twin} has its values: if it was renamed, name ${old} under \`prune\`, or its rows stand here twice`,
    );
  }
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

/** One reference, one number of dimensions. The error lists the runs of each. */
function checkDimensions(step: Step, context: MemoryContext): void {
  const byDims = new Map<number, string[]>();
  for (const input of step.inputs) {
    const dims = context.digests.get(inputId(input))?.facts?.dims as number;
    byDims.set(dims, [...(byDims.get(dims) ?? []), input.name as string]);
  }
  if (byDims.size < 2) return;
  const groups = [...byDims].sort((a, b) => b[1].length - a[1].length);
  const lines = groups.map(
    ([dims, runs]) =>
      `${dims} dimensions: ${runs.slice(0, 10).join(', ')}${runs.length > 10 ? ` and ${runs.length - 10} more` : ''}`,
  );
  throw new FirnError(
    'input',
    `the runs of ${step.id} do not have the same number of dimensions\n  ${lines.join('\n  ')}`,
    {
      advice: 'They come from different models: build one reference for each, with `runs: {version: ...}`.',
    },
  );
}

/** The widest dtype among the ranges, as numpy's vstack would choose. */
function dtypeOf(ranges: readonly Range[]): Dtype {
  let widest: Dtype = ranges.length === 0 ? 'f4' : 'f2';
  for (const range of ranges) if (BYTES_OF[range.dtype] > BYTES_OF[widest]) widest = range.dtype;
  return widest;
}

async function writeRows(
  step: Step,
  ranges: readonly Range[],
  prior: readonly Range[],
  context: RunContext,
): Promise<{ dims: number; dtype: Dtype }> {
  const { port } = context;
  const detail = step.detail as unknown as Detail;
  const dtype = dtypeOf(ranges);
  const rows = startsOf(ranges)[ranges.length];
  const old = await openPrior(step, ranges, context);
  const priorStarts = startsOf(prior);
  const priorAt = new Map<string, number>();
  // The first of a name, as in the layout: an adopted reference may hold a run twice.
  for (const [i, range] of prior.entries())
    if (!priorAt.has(runName(range))) priorAt.set(runName(range), priorStarts[i]);
  const dims =
    old?.dims ??
    (context.digests.get(inputId(step.inputs[0] ?? { kind: 'run', path: '' }))?.facts?.dims as
      | number
      | undefined);
  if (dims === undefined) {
    throw new FirnError('failed', `${step.id} would hold no run at all`, {
      advice: 'Look at its `runs` and `prune`.',
    });
  }
  const writer = await createNpy(port, context.stage(step.outputs[0]), { dtype, dims, rows });
  try {
    let done = 0;
    for (const range of ranges) {
      const copy = { range, dtype, dims, writer, done, rows, context };
      if (range.retained) {
        await copyRetained(copy, old as ArrayReader, priorAt.get(runName(range)) as number);
      } else {
        const reader = await openRun(port, context.resolve(`${detail.runsDir}/${runName(range)}`));
        try {
          await copyRange(copy, reader, 0);
        } finally {
          await reader.close();
        }
      }
      done += range.count;
    }
    await writer.finish();
    return { dims, dtype };
  } catch (error) {
    await writer.abort();
    throw error;
  } finally {
    await old?.close();
  }
}

/** The array as it stands, when retained rows have to come from it. */
async function openPrior(
  step: Step,
  ranges: readonly Range[],
  context: RunContext,
): Promise<ArrayReader | undefined> {
  const retained = ranges.filter((range) => range.retained);
  if (retained.length === 0) return undefined;
  const path = context.resolve(step.outputs[0].path);
  if (context.port.stat(path) === undefined) {
    throw new FirnError(
      'missing',
      `held the only copy of ${retained.map(runName).join(', ')}, and it is gone`,
      {
        path,
        advice:
          'Put the file back from a release or backup, or give the runs up by naming them under `prune`.',
      },
    );
  }
  return openArray(context.port, path);
}

interface Copy {
  range: Range;
  dtype: Dtype;
  dims: number;
  writer: ArrayWriter;
  done: number;
  rows: number;
  context: RunContext;
}

async function copyRetained(copy: Copy, old: ArrayReader, start: number): Promise<void> {
  if (start + copy.range.count > old.rows) throw lostRows(copy.range, old.path);
  await copyRange(copy, old, start);
}

/** Copies one run's rows and proves on the way that they are the ones its digest names. */
async function copyRange(copy: Copy, reader: ArrayReader, start: number): Promise<void> {
  const { range, context } = copy;
  if (reader.dims !== copy.dims) {
    throw new FirnError('input', `has ${reader.dims} dimensions where the reference has ${copy.dims}`, {
      path: reader.path,
      advice:
        'Rows of runs that are gone fix the number: give those runs up under `prune`, or make another reference.',
    });
  }
  const hasher = new ArrayHasher({ dtype: range.dtype, rows: range.count, dims: copy.dims });
  for await (const block of reader.blocks({ from: start, to: start + range.count, signal: context.signal })) {
    hasher.update(convertBytes(block.bytes, reader.dtype, range.dtype));
    await copy.writer.write(convertBytes(block.bytes, reader.dtype, copy.dtype));
    context.progress(copy.done + block.start - start + block.rows, copy.rows, 'rows');
  }
  if (hasher.digest() !== range.digest) {
    if (range.retained) throw lostRows(range, reader.path);
    throw new FirnError('failed', `changed while it was read into the reference`, {
      path: reader.path,
      advice: 'The reference is as it was. Build again when the run is complete.',
    });
  }
}

function lostRows(range: Range, path: string): FirnError {
  return new FirnError(
    'conflict',
    `holds the only copy of ${runName(range)}, and its rows are not what they were`,
    {
      path,
      advice: 'Put the file back from a release or backup, or give the run up by naming it under `prune`.',
    },
  );
}
