/** Runs -> smaller copies: embeddings.npz beside each embeddings.npy, and, only if asked and proven, instead of it. */
import { join } from 'node:path';
import { float32ToFloat16, maxAbsoluteError, roundMantissa, toFloat32 } from '../src/arrays/convert.js';
import { ArrayHasher, arrayDigest } from '../src/arrays/digest.js';
import { createNpz } from '../src/arrays/npz-writer.js';
import { openArray } from '../src/arrays/open.js';
import type { ArrayReader, Dtype } from '../src/arrays/types.js';
import type { Rule, RunContext, RunResult, Step } from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';
import { NPY_FILE, NPZ_FILE } from '../src/runs/discover.js';
import { formatCopyNote, readCopyNote } from '../src/runs/run-array.js';

interface Precision {
  /** Of the copy, for a source of this dtype. */
  dtype(source: Dtype): Dtype;
  /** The values as the copy holds them. */
  apply(bytes: Uint8Array, source: Dtype): Uint8Array;
}

const rule: Rule = {
  name: 'compress',
  version: '1',
  summary: 'Compresses runs from .npy to .npz, lossless unless told.',
  fields: { runs: 'optional' },
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: {
      precision: {
        type: 'string',
        pattern: '^(lossless|float16|mantissa:([1-9]|1[0-9]|2[0-2]))$',
        default: 'lossless',
        description: 'lossless; float16 (half the size); mantissa:10 (keeps the dtype, rounds to so many bits).',
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
    const before = context.port.stat(npz);
    // Only the copy is left: it is the run.
    if (context.port.stat(npy) === undefined) return { keep: true };
    if (before !== undefined && precisionName(step) === 'lossless' && (await isForeignCopy(npz, step, context))) {
      return { keep: true, stats: { kept: true } };
    }
    const source = await openArray(context.port, npy);
    try {
      const error = await writeCopy(step, source, context);
      const originalBytes = context.port.stat(npy)?.size ?? 0;
      const bytes = context.port.stat(context.stage(step.outputs[0]))?.size ?? 0;
      const ratio = originalBytes === 0 ? 1 : Math.round((bytes / originalBytes) * 1000) / 1000;
      return { stats: { bytes, originalBytes, ratio, largestError: error } };
    } finally {
      await source.close();
    }
  },

  async mayRemove(step, path, context) {
    const npz = context.resolve(step.outputs[0].path);
    const [source, copy] = [await openArray(context.port, context.resolve(path)), await openArray(context.port, npz)];
    try {
      const dtype = precisionOf(step).dtype(source.dtype);
      if (copy.dtype !== dtype || copy.rows !== source.rows || copy.dims !== source.dims) throw unequal(npz, path);
      const expected = new ArrayHasher({ dtype, rows: source.rows, dims: source.dims });
      for await (const block of source.blocks({ signal: context.signal })) {
        expected.update(precisionOf(step).apply(block.bytes, source.dtype));
      }
      const found = new ArrayHasher(copy);
      for await (const block of copy.blocks({ signal: context.signal })) found.update(block.bytes);
      if (expected.digest() !== found.digest()) throw unequal(npz, path);
    } finally {
      await source.close();
      await copy.close();
    }
  },
};

export default rule;

/** Somebody else's copy of equal values; not one of firn's own that was damaged and lost its note. */
async function isForeignCopy(npz: string, step: Step, context: RunContext): Promise<boolean> {
  if ((await readCopyNote(context.port, npz)) !== undefined) return false;
  const source = context.digests.get(`run:${step.inputs[0].path}`)?.digest;
  try {
    const copy = await openArray(context.port, npz);
    try {
      return (await arrayDigest(copy, context.signal)) === source;
    } finally {
      await copy.close();
    }
  } catch (error) {
    if (error instanceof FirnError) return false;
    throw error;
  }
}

function unequal(copy: string, original: string): FirnError {
  return new FirnError('failed', `does not hold the values of ${original}, which is therefore kept`, {
    path: copy,
    advice: 'Delete the copy and build again.',
  });
}

function precisionName(step: Step): string {
  return String((step.params as { precision: string }).precision);
}

function precisionOf(step: Step): Precision {
  const name = precisionName(step);
  if (name === 'lossless') return { dtype: (source) => source, apply: (bytes) => bytes };
  if (name === 'float16') {
    return {
      dtype: () => 'f2',
      apply: (bytes, source) => (source === 'f2' ? bytes : bytesOf(float32ToFloat16(toFloat32(bytes, source)))),
    };
  }
  const bits = Number(name.split(':')[1]);
  return {
    dtype: (source) => (source === 'f2' ? 'f2' : 'f4'),
    apply: (bytes, source) => (source === 'f2' ? bytes : bytesOf(roundMantissa(toFloat32(bytes, source), bits))),
  };
}

function bytesOf(values: Uint16Array | Float32Array): Uint8Array {
  return new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
}

/** Writes the copy; the largest absolute difference from the original, 0 when lossless. */
async function writeCopy(step: Step, source: ArrayReader, context: RunContext): Promise<number> {
  const precision = precisionOf(step);
  const dtype = precision.dtype(source.dtype);
  const digest = context.digests.get(`run:${step.inputs[0].path}`)?.digest ?? '';
  const copy = await createNpz(context.port, context.stage(step.outputs[0]), {
    dtype,
    dims: source.dims,
    rows: source.rows,
    comment: formatCopyNote(digest, precisionName(step)),
  });
  try {
    let largest = 0;
    for await (const block of source.blocks({ signal: context.signal })) {
      const rounded = precision.apply(block.bytes, source.dtype);
      if (rounded !== block.bytes) {
        largest = Math.max(largest, maxAbsoluteError(toFloat32(block.bytes, source.dtype), toFloat32(rounded, dtype)));
      }
      await copy.write(rounded);
      context.progress(block.start + block.rows, source.rows, 'rows');
    }
    await copy.finish();
    return largest;
  } catch (error) {
    await copy.abort();
    throw error;
  }
}
