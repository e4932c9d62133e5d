/** Runs -> smaller copies: embeddings.npz beside each embeddings.npy, and, only if asked and proven, instead of it. */
import { dirname, join } from 'node:path';
import { ArrayHasher, arrayDigest } from '../src/arrays/digest.js';
import { createNpz } from '../src/arrays/npz-writer.js';
import { openArray } from '../src/arrays/open.js';
import { PRECISION_PATTERN, precisionOf, roundingError } from '../src/arrays/precision.js';
import type { ArrayReader } from '../src/arrays/types.js';
import { inputId, type Rule, type RunContext, type RunResult, type Step } from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { NPY_FILE, NPZ_FILE } from '../src/runs/discover.js';
import { formatCopyNote, readCopyNote } from '../src/runs/run-array.js';

const rule: Rule = {
  name: 'compress',
  version: '1',
  summary: 'Compresses runs from .npy to .npz, lossless unless told.',
  // Storing the copies would take what compressing gains.
  stored: false,
  fields: { runs: 'optional' },
  proves: true,
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      precision: {
        type: 'string',
        pattern: PRECISION_PATTERN,
        default: 'lossless',
        description:
          'lossless; float16 (half the size); mantissa:10 (float32, rounded to so many bits, 1 to 22).',
      },
      'delete-original': {
        type: 'boolean',
        default: false,
        description: 'Unlink embeddings.npy once the copy is read back and equal in every value.',
      },
    },
  },

  expand(target, view) {
    const runs = view.runs(target.runs ?? 'all').filter((run) => run.hasNpy || run.made);
    const deletes = target.with['delete-original'] === true;
    const lossy = target.with.precision !== 'lossless';
    return runs.map((run) => {
      const input = { kind: 'run', path: run.directory, name: run.name };
      return {
        id: `${target.name}:${run.name}`,
        params: { precision: target.with.precision },
        inputs: [input],
        outputs: [{ kind: 'file', path: `${run.directory}/${NPZ_FILE}` }],
        ...(deletes ? { removes: [`${run.directory}/${NPY_FILE}`] } : {}),
        // What reads the run must see the rounded values then, in this build and not in the next.
        ...(deletes && lossy ? { rewrites: [input] } : {}),
      };
    });
  },

  recognises(step) {
    // A copy of equal values is kept whoever made it, and one that differs has failed the run before this is asked.
    return precisionName(step) === 'lossless' ? true : undefined;
  },

  async run(step, context): Promise<RunResult> {
    const [input] = step.inputs;
    const directory = context.resolve(input.path);
    const npy = join(directory, NPY_FILE);
    const npz = join(directory, NPZ_FILE);
    const original = context.port.stat(npy);
    // Only the copy is left: it is the run.
    if (original === undefined) return { keep: true };
    expectFile(npz, context);
    const isThere = context.port.stat(npz) !== undefined;
    if (isThere && precisionName(step) === 'lossless' && (await isForeignCopy(npz, step, context))) {
      return { keep: true, stats: { kept: true } };
    }
    const source = await openArray(context.port, npy);
    try {
      const error = await writeCopy(step, source, context);
      const staged = context.stage(step.outputs[0]);
      // Filters go by the age of the run, and the copy may be all that is left of it.
      await context.port.setTimes(staged, Number(original.mtimeNs) / 1e6);
      const originalBytes = original.size;
      const bytes = context.port.stat(staged)?.size ?? 0;
      const ratio = originalBytes === 0 ? 1 : Math.round((bytes / originalBytes) * 1000) / 1000;
      return { stats: { bytes, originalBytes, ratio, largestError: error } };
    } finally {
      await source.close();
    }
  },

  keeps(step, path, { port, root }) {
    const bytes = port.stat(join(root, path))?.size ?? 0;
    const copied = port.stat(join(root, step.outputs[0].path))?.size ?? 0;
    return copied < bytes
      ? undefined
      : `its copy is not smaller (${copied} bytes, and the original has ${bytes})`;
  },

  async mayRemove(step, path, context) {
    const npz = context.resolve(step.outputs[0].path);
    expectFile(npz, context);
    const precision = precisionOf(precisionName(step));
    const source = await openArray(context.port, context.resolve(path));
    try {
      const dtype = precision.dtype(source.dtype);
      const expected = new ArrayHasher({ dtype, rows: source.rows, dims: source.dims }, context.workers);
      for await (const block of source.blocks({ signal: context.signal })) {
        await expected.update(precision.apply(block.bytes, source.dtype));
      }
      if ((await digestOf(npz, context)) !== (await expected.digest())) {
        throw new FirnError('failed', `does not hold the values of ${path}, which is therefore kept`, {
          path: step.outputs[0].path,
          advice: 'Delete the copy and build again.',
        });
      }
    } finally {
      await source.close();
    }
    // A copy that somebody else made may not have reached the disk yet.
    await context.port.sync(npz);
  },
};

export default rule;

/** Somebody else's copy of equal values; not one of firn's own that was damaged and lost its note. */
async function isForeignCopy(npz: string, step: Step, context: RunContext): Promise<boolean> {
  if ((await readCopyNote(context.port, npz)) !== undefined) return false;
  try {
    return (await digestOf(npz, context)) === sourceDigest(step, context);
  } catch (error) {
    if (error instanceof FirnError && error.kind !== 'interrupted') return false;
    throw error;
  }
}

/** Reads the file to its end: what cannot be unpacked throws. */
async function digestOf(path: string, context: RunContext): Promise<string> {
  const reader = await openArray(context.port, path);
  try {
    return await arrayDigest(reader, { signal: context.signal, workers: context.workers });
  } finally {
    await reader.close();
  }
}

/** The original must not go while the copy is somewhere else. */
function expectFile(npz: string, context: RunContext): void {
  const entry = context.port.list(dirname(npz)).find(({ name }) => name === NPZ_FILE);
  if (entry === undefined || entry.kind === 'file') return;
  throw new FirnError('conflict', 'is a link, and firn keeps runs in files of their own', {
    path: npz,
    advice: 'Remove the link, or put the file it leads to in its place.',
  });
}

function sourceDigest(step: Step, context: RunContext): string {
  return context.digests.get(inputId(step.inputs[0]))?.digest as string;
}

function precisionName(step: Step): string {
  return String((step.params as { precision: string }).precision);
}

/** Writes the copy; the largest absolute difference from the original, 0 when lossless. */
async function writeCopy(step: Step, source: ArrayReader, context: RunContext): Promise<number> {
  const name = precisionName(step);
  const precision = precisionOf(name);
  const dtype = precision.dtype(source.dtype);
  const copy = await createNpz(context.port, context.stage(step.outputs[0]), {
    dtype,
    dims: source.dims,
    rows: source.rows,
    comment: formatCopyNote(sourceDigest(step, context), name),
  });
  const hasher = new ArrayHasher(source, context.workers);
  try {
    let largest = 0;
    for await (const block of source.blocks({ signal: context.signal })) {
      const rounded = precision.apply(block.bytes, source.dtype);
      if (rounded !== block.bytes) {
        const error = roundingError(block.bytes, source.dtype, rounded, dtype);
        if (error.overflow !== undefined) {
          throw new FirnError('input', `holds ${error.overflow}, which ${name} would turn into infinity`, {
            path: source.path,
            advice: 'Compress this run lossless, or with mantissa:10.',
          });
        }
        largest = Math.max(largest, error.largest);
      }
      await Promise.all([copy.write(rounded), hasher.update(block.bytes)]);
      context.progress(block.start + block.rows, source.rows, 'rows');
    }
    // The copy says of which values it is; it must not say so of others that stood there for a moment.
    if ((await hasher.digest()) !== sourceDigest(step, context)) {
      throw new FirnError('failed', 'changed while it was compressed', {
        path: source.path,
        advice: 'The copy is as it was. Build again when the run is complete.',
      });
    }
    await copy.finish();
    return largest;
  } catch (error) {
    await copy.abort();
    throw error;
  }
}
