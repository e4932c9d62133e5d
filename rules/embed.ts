/** Sequences -> runs: each FASTA or FASTQ file becomes one run's embeddings.npy with the names of its rows beside it. */
import { dirname, join } from 'node:path';
import { createNpy } from '../src/arrays/npy-writer.js';
import type { ArrayWriter } from '../src/arrays/types.js';
import type { Json, Output, Rule, RuleTarget, RunContext, Step, StepDraft } from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { LineWriter, writeNewText } from '../src/files/line-writer.js';
import { isPattern } from '../src/pipeline/pattern.js';
import { NPZ_FILE } from '../src/runs/discover.js';
import { RUN_FACTS_FILE, readRunFacts, SEQUENCE_NAMES_FILE, SKIPPED_FILE } from '../src/runs/run-facts.js';
import { createEmbedder, type Embedder } from '../src/sequences/embedder.js';
import { readSequences } from '../src/sequences/read.js';

/** Of files of sequences; each may be followed by `.gz`. */
export const EXTENSIONS = ['fasta', 'fastq', 'fa', 'fq', 'fna', 'fas', 'fsa'];
const EXTENSION = new RegExp(`\\.(${EXTENSIONS.join('|')})(\\.gz)?$`, 'i');
/** Embedded sequences gathered before they are written. */
const BLOCK_ROWS = 2048;

interface Params {
  embedder: string;
  k: number;
  'reverse-complement': boolean;
}

const rule: Rule = {
  name: 'embed',
  version: '1',
  summary: 'Embeds each FASTA or FASTQ file as one run.',
  fields: { from: 'required' },
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      embedder: {
        type: 'string',
        enum: ['kmer'],
        default: 'kmer',
        description: 'What turns a sequence into a vector.',
      },
      version: { type: 'string', minLength: 1, description: 'The model version of the runs made.' },
      k: {
        type: 'integer',
        minimum: 1,
        maximum: 6,
        default: 4,
        description: 'kmer: length of a k-mer; 4^k dimensions.',
      },
      'reverse-complement': {
        type: 'boolean',
        default: false,
        description: 'kmer: count both strands, so that the orientation of a read does not matter.',
      },
    },
  },

  expand(target, view) {
    const drafts = new Map<string, StepDraft>();
    for (const [i, pattern] of target.from.entries()) {
      const field = `from.${i}`;
      const matches = view.files(pattern);
      if (matches.length === 0 && !isPattern(pattern)) {
        throw target.error(
          `there is no file ${pattern}`,
          'Paths are relative to the folder of pipeline.yaml.',
          field,
        );
      }
      for (const match of matches) {
        const { dataset, run } = runOf(target, match.path, match.wildcards, field);
        const draft = draftFor(target, match.path, view.runsDir, dataset, run);
        const other = drafts.get(draft.id);
        if (other !== undefined && other.inputs[0].path !== match.path) {
          throw target.error(
            `${other.inputs[0].path} and ${match.path} would both be the run ${dataset}/${run}`,
            'Rename one of them.',
            field,
          );
        }
        drafts.set(draft.id, draft);
      }
    }
    if (drafts.size === 0)
      view.warn(`nothing matches ${target.from.join(', ')}, so there is nothing to embed`);
    return [...drafts.values()];
  },

  recognises(step, _output, { port, root }) {
    const facts = step.outputs.find((output) => output.path.endsWith(`/${RUN_FACTS_FILE}`)) as Output;
    return readRunFacts(port, join(root, facts.path))?.firn === 1;
  },

  async run(step, context) {
    const [array, names, skippedFile, factsFile] = step.outputs.map((output) => context.stage(output));
    const source = step.inputs[0].path;
    expectOwnRun(step, context);
    const { embedder: name, k, 'reverse-complement': both } = step.params as unknown as Params;
    const embedder = createEmbedder(name, { k, 'reverse-complement': both });
    const counts = await embedFile(
      context.resolve(source),
      embedder,
      { array, names, skipped: skippedFile },
      context,
    );
    const facts = {
      firn: 1,
      ...(step.params as { [name: string]: Json }),
      dims: embedder.dims,
      source,
      ...counts,
    };
    await writeNewText(context.port, factsFile, `${JSON.stringify(facts, null, 2)}\n`);
    if (counts.sequences + counts.skipped === 0)
      context.warn(`${source} holds no sequence: the run made of it has no rows`);
    if (counts.skipped > 0) {
      context.warn(
        `${counts.skipped} of ${counts.sequences + counts.skipped} sequences were not embedded (they need ${embedder.needs}); ${step.outputs[2].path} names them`,
      );
    }
    return { stats: { sequences: counts.sequences, skipped: counts.skipped, dims: embedder.dims } };
  },
};

export default rule;

function runOf(
  target: RuleTarget,
  path: string,
  wildcards: { [name: string]: string },
  field: string,
): { dataset: string; run: string } {
  const parts = path.split('/');
  const dataset = wildcards.dataset ?? parts[parts.length - 2];
  const run = wildcards.run ?? parts[parts.length - 1].replace(EXTENSION, '');
  if (dataset === undefined) {
    throw target.error(
      `${path} names no dataset`,
      'Put the file into a folder named for its dataset (sequences/<dataset>/<run>.fasta), or write the pattern with {dataset} and {run}.',
      field,
    );
  }
  if ([dataset, run].some((name) => name === '' || name.startsWith('.'))) {
    throw target.error(
      `${path} would be the run ${dataset}/${run}, and names of runs do not begin with a dot`,
      'Rename the file.',
      field,
    );
  }
  return { dataset, run };
}

function draftFor(
  target: RuleTarget,
  source: string,
  runsDir: string,
  dataset: string,
  run: string,
): StepDraft {
  const directory = `${runsDir}/${dataset}/${run}`;
  return {
    id: `${target.name}:${dataset}/${run}`,
    params: target.with,
    inputs: [{ kind: 'file', path: source }],
    outputs: [
      { kind: 'run', path: `${directory}/embeddings.npy` },
      { kind: 'file', path: `${directory}/${SEQUENCE_NAMES_FILE}` },
      { kind: 'file', path: `${directory}/${SKIPPED_FILE}` },
      { kind: 'file', path: `${directory}/${RUN_FACTS_FILE}` },
    ],
  };
}

/** A run of somebody else's that is compressed only: beside it a second one must not appear. */
function expectOwnRun(step: Step, context: RunContext): void {
  const [array, , , facts] = step.outputs.map((output) => context.resolve(output.path));
  const copy = join(dirname(array), NPZ_FILE);
  if (context.port.stat(copy) === undefined || context.port.stat(array) !== undefined) return;
  if (readRunFacts(context.port, facts)?.firn === 1) return;
  throw new FirnError(
    'conflict',
    `is a run already, and not one that firn made; ${step.id} would make another in its place`,
    {
      path: dirname(step.outputs[0].path),
      advice: 'Move it away, or give the sequences another name.',
    },
  );
}

async function embedFile(
  source: string,
  embedder: Embedder,
  files: { array: string; names: string; skipped: string },
  context: RunContext,
): Promise<{ sequences: number; skipped: number }> {
  const { port } = context;
  const begun: { abort(): Promise<void> }[] = [];
  try {
    const array = await createNpy(port, files.array, { dtype: 'f4', dims: embedder.dims });
    begun.push(array);
    const names = await LineWriter.create(port, files.names);
    begun.push(names);
    const skipped = await LineWriter.create(port, files.skipped);
    begun.push(skipped);
    return await embedInto(source, embedder, { array, names, skipped }, context);
  } catch (error) {
    for (const file of begun) await file.abort().catch(() => undefined);
    throw error;
  }
}

async function embedInto(
  source: string,
  embedder: Embedder,
  files: { array: ArrayWriter; names: LineWriter; skipped: LineWriter },
  context: RunContext,
): Promise<{ sequences: number; skipped: number }> {
  const { port, signal } = context;
  const { array, names, skipped: skippedNames } = files;
  const block = new Float32Array(BLOCK_ROWS * embedder.dims);
  let filled = 0;
  let sequences = 0;
  let skipped = 0;
  const flush = async (): Promise<void> => {
    await array.write(new Uint8Array(block.buffer, 0, filled * embedder.dims * 4));
    filled = 0;
  };
  const total = port.stat(source)?.size ?? 0;
  let read = 0;
  await skippedNames.write('sequence\tlength\treason\n');
  const onBytes = (bytes: number): void => {
    read += bytes;
    context.progress(read, total, 'bytes');
  };
  for await (const { name, sequence } of readSequences(port, source, { signal, onBytes })) {
    const vector = embedder.embed(sequence);
    if (vector === undefined) {
      await skippedNames.write(`${name}\t${sequence.length}\tneeds ${embedder.needs}\n`);
      skipped += 1;
      continue;
    }
    block.set(vector, filled * embedder.dims);
    await names.write(`${name}\n`);
    sequences += 1;
    filled += 1;
    if (filled === BLOCK_ROWS) await flush();
  }
  await flush();
  await array.finish();
  await names.finish();
  await skippedNames.finish();
  return { sequences, skipped };
}
