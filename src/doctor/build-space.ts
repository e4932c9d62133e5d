/**
 * How much room the next build needs on each disk that it writes to, estimated from headers: references, indexes and
 * compressed copies. What programs and embedders will write is not known. Knows no finding.
 */
import { dirname, join } from 'node:path';
import { BYTES_OF } from '../arrays/types.js';
import type { Step } from '../engine/types.js';
import { nearestDirectory } from '../files/make-directory.js';
import type { DiskSpace } from '../files/port.js';
import { EMBEDDINGS_FILE } from '../reference/files.js';
import { runName } from '../reference/layout.js';
import type { DoctorContext } from './context.js';
import { type ForeseenStep, foresee } from './next-build.js';
import { truthOf } from './run-looks.js';
import { indexBytes, peakOf, referenceBytes, type StepBytes } from './space-needed.js';

export interface Need {
  /** A folder on that disk, absolute. */
  folder: string;
  space: DiskSpace;
  /** Beyond what is taken now. */
  bytes: number;
}

export async function neededByDisk(context: DoctorContext): Promise<Need[]> {
  const byDisk = new Map<bigint, { folder: string; space: DiskSpace; steps: StepBytes[] }>();
  const disks = new Map<string, { folder: string; space: DiskSpace } | undefined>();
  const sizes = await referenceSizes(context);
  for (const foreseen of await foresee(context)) {
    const estimate = await estimateOf(context, foreseen, sizes);
    if (estimate === undefined) continue;
    const parent = dirname(join(context.root, foreseen.step.outputs[0].path));
    if (!disks.has(parent)) disks.set(parent, diskOf(context, parent));
    const disk = disks.get(parent);
    if (disk === undefined) continue;
    const key = disk.space.device;
    const known = byDisk.get(key) ?? { ...disk, steps: [] };
    known.steps.push(estimate);
    byDisk.set(key, known);
  }
  return [...byDisk.values()].map(({ folder, space, steps }) => ({ folder, space, bytes: peakOf(steps) }));
}

/** The disk that a path is or will be on. */
function diskOf({ port }: DoctorContext, path: string): { folder: string; space: DiskSpace } | undefined {
  const folder = nearestDirectory(port, path);
  const space = port.space(folder);
  return space && { folder, space };
}

/** What a reference is or will be. */
export interface ReferenceSize {
  rows: number;
  dims: number;
  valueBytes: number;
  runs: number;
}

/** By the path of their array: those that steps write as they will be, the others as they are. */
export async function referenceSizes(context: DoctorContext): Promise<Map<string, ReferenceSize>> {
  const sizes = new Map<string, ReferenceSize>();
  for (const { directory, array, metadata } of await context.references()) {
    if (array?.shape === undefined) continue;
    const { rows, dims, dtype } = array.shape;
    const runs = metadata?.facts?.ranges.length ?? 0;
    sizes.set(`${directory}/${EMBEDDINGS_FILE}`, { rows, dims, valueBytes: BYTES_OF[dtype], runs });
  }
  for (const step of context.steps)
    if (step.rule.name === 'consolidate') sizes.set(step.outputs[0].path, await sizeOf(context, step));
  return sizes;
}

/** Runs that are there, and rows of those that are gone. */
async function sizeOf(context: DoctorContext, step: Step): Promise<ReferenceSize> {
  const looks = await context.looks();
  const directory = step.outputs[0].path.slice(0, -EMBEDDINGS_FILE.length - 1);
  const before = (await context.references()).find((look) => look.directory === directory);
  const retained = (before?.metadata?.facts?.ranges ?? []).filter((range) => context.isGone(runName(range)));
  const size = {
    rows: 0,
    dims: before?.array?.shape?.dims ?? 0,
    valueBytes: 2,
    runs: step.inputs.length + retained.length,
  };
  for (const { name } of step.inputs) {
    const look = looks.get(name ?? '');
    const shape = look && truthOf(look).shape;
    if (shape === undefined) continue;
    size.rows += shape.rows;
    size.dims = shape.dims;
    size.valueBytes = Math.max(size.valueBytes, BYTES_OF[shape.dtype]);
  }
  for (const { count, dtype } of retained) {
    size.rows += count;
    size.valueBytes = Math.max(size.valueBytes, BYTES_OF[dtype]);
  }
  return size;
}

/** Undefined for a step that writes nothing, or nobody knows how much. */
async function estimateOf(
  context: DoctorContext,
  { step, state }: ForeseenStep,
  sizes: ReadonlyMap<string, ReferenceSize>,
): Promise<StepBytes | undefined> {
  if (state === 'fresh' || state === 'refused') return undefined;
  const after = await bytesAfter(context, step, sizes);
  if (after === undefined) return undefined;
  const { port, root } = context;
  const before = step.outputs.reduce((sum, { path }) => sum + (port.stat(join(root, path))?.size ?? 0), 0);
  return { before, after };
}

async function bytesAfter(
  context: DoctorContext,
  step: Step,
  sizes: ReadonlyMap<string, ReferenceSize>,
): Promise<number | undefined> {
  switch (step.rule.name) {
    case 'consolidate': {
      const { rows, dims, valueBytes, runs } = sizes.get(step.outputs[0].path) as ReferenceSize;
      const listsRows = (step.params as { sequences?: unknown }).sequences !== false;
      return referenceBytes(rows, dims, valueBytes, runs, listsRows);
    }
    case 'index': {
      const size = sizes.get(step.inputs[0].path);
      return size && indexBytes(size.rows, size.dims);
    }
    case 'compress':
      return (await context.looks()).get(step.inputs[0].name ?? '')?.npy?.stat.size;
    default:
      return undefined;
  }
}
