/** Reference -> FAISS index beside it. Any factory string that firn does not write itself goes to faiss-node. */
import { join } from 'node:path';
import { openArray } from '../src/arrays/open.js';
import {
  type ExpandView,
  inputId,
  type Json,
  type ManifestEntry,
  type Rule,
  type RuleTarget,
  type RunContext,
  type Step,
  type StepDraft,
} from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { type BuildReport, buildIndex } from '../src/faiss/build.js';
import { buildWithFactory, factoryVersion, whyNoFaiss } from '../src/faiss/factory.js';
import { readTrailer } from '../src/faiss/trailer.js';
import type { ReadPort } from '../src/files/port.js';
import { EMBEDDINGS_FILE, INDEX_FILE, METADATA_FILE } from '../src/reference/files.js';
import { isLayoutOfFirst, layoutDigest } from '../src/reference/layout.js';
import { type ReferenceFacts, readMetadata } from '../src/reference/metadata.js';

interface Params {
  metric: 'l2' | 'ip';
  recall: number;
  factory?: string;
  nlist?: number;
  nprobe?: number;
}

/** What the metadata of the reference says; both null for a reference that firn did not write, or whose array is another. */
interface State {
  /** Centroids are made from the first so many rows; from all when null. */
  trainedRows: number | null;
  layout: string | null;
}

const rule: Rule = {
  name: 'index',
  version: '3',
  summary: 'Builds the FAISS index of each reference: Flat up to 10,000 rows, IVF,Flat above.',
  fields: { from: 'required' },
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      metric: {
        type: 'string',
        enum: ['l2', 'ip'],
        default: 'l2',
        description: 'Squared Euclidean distance or inner product.',
      },
      recall: {
        type: 'number',
        exclusiveMinimum: 0,
        maximum: 1,
        default: 0.95,
        description:
          'The part of the true 10 nearest that a search should find; nprobe is measured to reach it.',
      },
      factory: {
        type: 'string',
        minLength: 1,
        description: 'A FAISS factory string such as HNSW32 or PQ16; needs faiss-node.',
      },
      nlist: {
        type: 'integer',
        minimum: 1,
        description: 'Number of lists, instead of the one chosen from the rows.',
      },
      nprobe: {
        type: 'integer',
        minimum: 1,
        description: 'Lists a search looks into, instead of the measured number.',
      },
    },
  },

  expand(target, view) {
    checkFactory(target);
    return target.from.flatMap((from) => draftFor(target, view, from) ?? []);
  },

  tools(step): ManifestEntry[] {
    const { factory } = step.params as unknown as Params;
    return factory === undefined ? [] : [['faiss-node', factoryVersion()]];
  },

  obstacle(step) {
    const { factory } = step.params as unknown as Params;
    return factory === undefined ? undefined : whyNoFaiss();
  },

  async memory(step, context) {
    const said = await believedMetadata(step, context);
    // Metadata of another state of the array says nothing about its rows.
    const isOfArray = said?.embeddings === context.digests.get(inputId(step.inputs[0]))?.digest;
    const facts = isOfArray ? said : undefined;
    if (facts === undefined)
      return { entries: [], state: { trainedRows: null, layout: null } satisfies State };
    const layout = layoutDigest(facts.ranges);
    const trainedRows = facts.trainedRows ?? null;
    const rows = facts.ranges.reduce((sum, range) => sum + range.count, 0);
    const entries: ManifestEntry[] = [
      ['rows trained on', String(trainedRows ?? rows)],
      ['layout of the reference', layout],
    ];
    return { entries, state: { trainedRows, layout } satisfies State };
  },

  async recognises(_step, output, { port, root }) {
    return (await readTrailer(port, join(root, output.path)))?.firn === 1;
  },

  async run(step, context) {
    const params = step.params as unknown as Params;
    const embeddings = await openArray(context.port, context.resolve(step.inputs[0].path));
    try {
      const trailer = trailerFacts(step, context, embeddings.rows);
      const out = context.stage(step.outputs[0]);
      if (params.factory !== undefined) {
        const metric = params.metric;
        const built = await buildWithFactory({
          port: context.port,
          embeddings,
          out,
          factory: params.factory,
          metric,
          ...(params.nprobe === undefined ? {} : { nprobe: params.nprobe }),
          trailer,
          onProgress: (done, total) => context.progress(done, total, 'rows'),
          signal: context.signal,
        });
        const { rows, recall } = built;
        return { stats: { kind: params.factory, rows, metric, recall: recall.measured } };
      }
      const { trainedRows } = context.state as unknown as State;
      const prior = context.resolve(step.outputs[0].path);
      const hasPrior = context.port.stat(prior) !== undefined;
      const report = await buildIndex({
        port: context.port,
        embeddings,
        out,
        metric: params.metric,
        recall: params.recall,
        ...(params.nlist === undefined ? {} : { nlist: params.nlist }),
        ...(params.nprobe === undefined ? {} : { nprobe: params.nprobe }),
        ...(trainedRows === null ? {} : { trainedRows }),
        ...(hasPrior
          ? { prior, priorHoldsFirstRows: await holdsFirstRows(step, embeddings.rows, context) }
          : {}),
        workers: context.workers,
        trailer,
        onProgress: (done, total, phase) => context.progress(done, total, phase),
        whileSyncing: () => context.stagedDigest(step.outputs[0]),
        signal: context.signal,
      });
      return { stats: statsOf(report) };
    } finally {
      await embeddings.close();
    }
  },
};

export default rule;

/** What a factory string leaves no place for; a plain IVF kind still takes nprobe. */
function checkFactory({ with: { factory }, given, error }: RuleTarget): void {
  if (factory === undefined) return;
  // Behind a transformation, or under a refinement, there is no place for nprobe that is known.
  const keepsNprobe = /^IVF\d/.test(String(factory)) && !/,R(Flat|efine)/.test(String(factory));
  const advice = new Map([['nlist', 'Write it into the string: IVF256,PQ16.']]);
  if (!keepsNprobe) advice.set('nprobe', 'Only IVF kinds, without a transformation, keep it: IVF256,PQ16.');
  advice.set('recall', 'FAISS sets no goal: the recall of such an index is measured and reported.');
  for (const [name, what] of advice)
    if (given.has(name)) throw error(`${name} does not go with a factory string`, what, `with.${name}`);
}

/** Undefined for a reference that has no run yet. */
function draftFor(target: RuleTarget, view: ExpandView, from: string): StepDraft | undefined {
  const upstream = view.target(from);
  if (upstream?.steps.length === 0) return undefined;
  const embeddings =
    upstream === undefined
      ? `${from}/${EMBEDDINGS_FILE}`
      : upstream.steps
          .flatMap((step) => step.outputs)
          .find((output) => output.path.endsWith(`/${EMBEDDINGS_FILE}`))?.path;
  if (embeddings === undefined) {
    throw target.error(
      `the target "${from}" makes no reference`,
      'An index is built from targets that use the rule consolidate.',
      'from',
    );
  }
  if (upstream === undefined && view.port.stat(join(view.root, embeddings)) === undefined) {
    throw target.error(
      `there is no ${embeddings}`,
      'Name a target that makes a reference, or the directory of one.',
      'from',
    );
  }
  const directory = embeddings.slice(0, embeddings.lastIndexOf('/'));
  return {
    id: `${target.name}:${from}`,
    params: target.with,
    inputs: [{ kind: 'file', path: embeddings }],
    outputs: [{ kind: 'file', path: `${directory}/${INDEX_FILE}` }],
  };
}

function metadataPath(step: Step, root: string): string {
  return join(root, step.inputs[0].path.slice(0, -EMBEDDINGS_FILE.length) + METADATA_FILE);
}

/** What firn says beside the array; undefined where it says nothing that can be believed. What the disk refuses is thrown. */
async function believedMetadata(
  step: Step,
  { port, root }: { port: ReadPort; root: string },
): Promise<ReferenceFacts | undefined> {
  try {
    return await readMetadata(port, metadataPath(step, root));
  } catch (error) {
    if (error instanceof FirnError) return undefined;
    throw error;
  }
}

/** The trailer names what the index was built from, so that a search can tell whether it is behind. */
function trailerFacts(step: Step, context: RunContext, rows: number): { [name: string]: Json } {
  const embeddings = context.digests.get(inputId(step.inputs[0]))?.digest;
  if (embeddings === undefined) throw new FirnError('failed', `${step.id} has no digest of its embeddings`);
  const { metric } = step.params as unknown as Params;
  return { firn: 1, embeddings, rows, metric, layout: (context.state as unknown as State).layout };
}

/** Whether the index that stands there is as firn wrote it, and of rows that are the first ones still, with others behind. */
async function holdsFirstRows(step: Step, rows: number, context: RunContext): Promise<boolean> {
  if (context.force || (context.state as unknown as State).layout === null) return false;
  const [output] = step.outputs;
  const trailer = await readTrailer(context.port, context.resolve(output.path));
  if (trailer?.firn !== 1 || typeof trailer.rows !== 'number' || trailer.rows >= rows) return false;
  const facts = await believedMetadata(step, context);
  if (facts?.embeddings !== context.digests.get(inputId(step.inputs[0]))?.digest) return false;
  if (!isLayoutOfFirst(facts?.ranges ?? [], trailer.rows, trailer.layout)) return false;
  return context.isAsRecorded(output);
}

/** For people: what the trailer says, without what only a later build needs. */
function statsOf({ kind, rows, metric, ivf, reusedCentroids }: BuildReport): { [name: string]: Json } {
  if (ivf === undefined) return { kind, rows, metric };
  const { nlist, nprobe, recall, imbalance, trainedImbalance, training } = ivf;
  return {
    kind,
    rows,
    metric,
    nlist,
    nprobe,
    recall: recall.measured,
    recallGoal: recall.goal,
    imbalance: round(imbalance),
    trainedImbalance: round(trainedImbalance),
    trainedRows: training.rows,
    rowsSinceTraining: rows - training.rows,
    trained: reusedCentroids ? 'before' : 'now',
  };
}

function round(value: number): number {
  return Math.round(value * 1000) / 1000;
}
