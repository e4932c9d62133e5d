/**
 * What compressing would save, measured on a sample: blocks of the runs that are .npy only are deflated as the rule
 * `compress` would deflate them. Writes nothing.
 */
import { openArray } from '../arrays/open.js';
import { chooseLevel, ParallelDeflate } from '../arrays/parallel-deflate.js';
import { precisionOf, roundingError } from '../arrays/precision.js';
import { type ArrayReader, rowBytes } from '../arrays/types.js';
import type { ReadPort } from '../files/port.js';

/** bytes of a block, and how many of them are looked at */
const BLOCK = 1024 * 1024;
const BLOCKS = 32;

export interface CompressionEstimate {
  /** Runs that are .npy only. */
  runs: number;
  /** Of their files. */
  bytes: number;
  /** How much of that was deflated, and of how many runs. */
  sampledBytes: number;
  sampledRuns: number;
  /** Bytes that would be saved, without loss and as float16. */
  lossless: number;
  float16: number;
  /** Sampled runs with values that float16 cannot hold. */
  tooLarge: number;
  /** Runs that cannot be read, and do not count. */
  unreadable: number;
}

export interface NpyRun {
  path: string;
  bytes: number;
}

/** Bytes of a run's data, before and after. */
interface Tally {
  raw: number;
  lossless: number;
  float16: number;
  tooLarge: boolean;
}

/** Undefined when no run is .npy only. */
export async function estimateCompression(
  port: ReadPort,
  runs: readonly NpyRun[],
  signal: AbortSignal,
): Promise<CompressionEstimate | undefined> {
  if (runs.length === 0) return undefined;
  const bytes = runs.reduce((sum, run) => sum + run.bytes, 0);
  const tallies: Tally[] = [];
  let unreadable = 0;
  for (const { index, offsets } of samplePlaces(runs.map((run) => run.bytes))) {
    signal.throwIfAborted();
    try {
      const reader = await openArray(port, runs[index].path);
      try {
        tallies.push(await deflateSample(reader, offsets, signal));
      } finally {
        await reader.close();
      }
    } catch (error) {
      if (signal.aborted) throw error;
      unreadable += 1;
    }
  }
  const sum = (field: 'raw' | 'lossless' | 'float16') =>
    tallies.reduce((all, tally) => all + tally[field], 0);
  const raw = sum('raw');
  const saved = (after: number) => (raw === 0 ? 0 : Math.max(0, Math.round(bytes * (1 - after / raw))));
  return {
    runs: runs.length,
    bytes,
    sampledBytes: raw,
    sampledRuns: tallies.length,
    lossless: saved(sum('lossless')),
    float16: saved(sum('float16')),
    tooLarge: tallies.filter((tally) => tally.tooLarge).length,
    unreadable,
  };
}

/**
 * Where to look, by run: at equal distances over all bytes, so that every byte counts the same, whichever run it is in.
 * `offsets`: as parts of the run. Pure.
 */
export function samplePlaces(
  sizes: readonly number[],
  blocks = BLOCKS,
): { index: number; offsets: number[] }[] {
  const total = sizes.reduce((sum, size) => sum + size, 0);
  const places = new Map<number, number[]>();
  let index = 0;
  let before = 0;
  for (let i = 0; i < blocks && total > 0; i++) {
    const at = ((i + 0.5) * total) / blocks;
    while (at >= before + sizes[index]) {
      before += sizes[index];
      index += 1;
    }
    const offsets = places.get(index) ?? [];
    places.set(index, [...offsets, (at - before) / sizes[index]]);
  }
  return [...places].map(([run, offsets]) => ({ index: run, offsets }));
}

async function deflateSample(
  reader: ArrayReader,
  offsets: readonly number[],
  signal: AbortSignal,
): Promise<Tally> {
  const half = precisionOf('float16');
  const tally: Tally = { raw: 0, lossless: 0, float16: 0, tooLarge: false };
  const whole = Math.max(1, Math.floor(BLOCK / rowBytes(reader)));
  let lossless: ParallelDeflate | undefined;
  let float16: ParallelDeflate | undefined;
  for (const { from, to } of stretchesOf(offsets, reader.rows, whole)) {
    for await (const block of reader.blocks({ from, to, blockBytes: BLOCK, signal })) {
      const rounded = half.apply(block.bytes, reader.dtype);
      if (rounded !== block.bytes) {
        const { overflow } = roundingError(block.bytes, reader.dtype, rounded, 'f2');
        tally.tooLarge ||= overflow !== undefined;
      }
      lossless ??= await counting(block.bytes, (bytes) => {
        tally.lossless += bytes;
      });
      float16 ??= await counting(rounded, (bytes) => {
        tally.float16 += bytes;
      });
      await lossless.write(block.bytes);
      await float16.write(rounded);
      tally.raw += block.bytes.length;
    }
  }
  await lossless?.finish();
  await float16?.finish();
  return tally;
}

/** The kind of deflate that a copy of this array would get, counting what comes out. */
async function counting(sample: Uint8Array, take: (bytes: number) => void): Promise<ParallelDeflate> {
  const level = await chooseLevel(sample.slice());
  return new ParallelDeflate(level, async (bytes) => take(bytes.length));
}

/** Stretches of rows around these parts of the array, in order and without rows in common. Pure. */
export function stretchesOf(
  parts: readonly number[],
  rows: number,
  length: number,
): { from: number; to: number }[] {
  const stretches: { from: number; to: number }[] = [];
  for (const part of [...parts].sort((a, b) => a - b)) {
    const last = stretches.at(-1)?.to ?? 0;
    const wanted = Math.floor(part * rows) - (length >> 1);
    const from = Math.max(last, Math.min(wanted, rows - length), 0);
    const to = Math.min(rows, from + length);
    if (to > from) stretches.push({ from, to });
  }
  return stretches;
}
