/**
 * Pinned data for measurements: runs of clustered vectors of low intrinsic dimension, as embeddings are. The same
 * arguments give the same bytes on any machine. Usage: generate.js DIRECTORY [runs] [rows] [dims] [seed]
 */
import { mkdirSync } from 'node:fs';
import { join } from 'node:path';
import { createNpy } from '../src/arrays/npy-writer.js';
import { disk } from '../src/files/disk.js';

/** Clusters in all, directions in which each spreads, and how far. */
const CLUSTERS = 2000;
const INTRINSIC = 12;
const SPREAD = 0.35;
const NOISE = 0.02;

/** Uniform in [0, 1): xorshift128, its state filled from the seed by splitmix32. */
function uniform(seed: number): () => number {
  const state = new Uint32Array(4);
  let word = seed >>> 0;
  for (let i = 0; i < 4; i++) {
    word = (word + 0x9e3779b9) >>> 0;
    let mixed = Math.imul(word ^ (word >>> 16), 0x21f0aaad);
    mixed = Math.imul(mixed ^ (mixed >>> 15), 0x735a2d97);
    state[i] = mixed ^ (mixed >>> 15);
  }
  return () => {
    const t = state[3] ^ (state[3] << 11);
    state[3] = state[2];
    state[2] = state[1];
    state[1] = state[0];
    state[0] = state[0] ^ (state[0] >>> 19) ^ t ^ (t >>> 8);
    return state[0] / 2 ** 32;
  };
}

/** Sum of four uniforms, centred and scaled to variance 1: near enough to normal, and the same everywhere. */
function normal(next: () => number): number {
  return (next() + next() + next() + next() - 2) * Math.sqrt(3);
}

export interface Shape {
  /** Number of the first run (0). Each run depends on the seed and its number alone; all share the clusters. */
  first?: number;
  runs: number;
  rows: number;
  dims: number;
  seed: number;
}

/** `dataset/run` of the run with this number. */
export function runName(run: number): string {
  return `bench/run-${String(run).padStart(5, '0')}`;
}

/** Writes `directory/bench/run-NNNNN/embeddings.npy` for each run. */
export async function generateRuns(directory: string, shaped: Shape): Promise<void> {
  const { first = 0, runs, rows, dims, seed } = shaped;
  const shape = uniform(seed);
  const centres = Float32Array.from({ length: CLUSTERS * dims }, () => normal(shape));
  const basis = Float32Array.from(
    { length: INTRINSIC * dims },
    () => (normal(shape) * SPREAD) / Math.sqrt(INTRINSIC),
  );
  for (let run = first; run < first + runs; run++) {
    const folder = join(directory, runName(run));
    mkdirSync(folder, { recursive: true });
    const next = uniform(seed * 1_000_003 + run + 1);
    const writer = await createNpy(disk, join(folder, 'embeddings.npy'), { dtype: 'f4', dims, rows });
    const block = new Float32Array(Math.min(rows, 1024) * dims);
    const latent = new Float32Array(INTRINSIC);
    for (let done = 0; done < rows; ) {
      const count = Math.min(1024, rows - done);
      for (let i = 0; i < count; i++) {
        const centre = Math.floor(next() ** 1.5 * CLUSTERS) * dims;
        for (let j = 0; j < INTRINSIC; j++) latent[j] = normal(next);
        for (let d = 0; d < dims; d++) {
          let value = centres[centre + d] + (next() - 0.5) * NOISE;
          for (let j = 0; j < INTRINSIC; j++) value += latent[j] * basis[j * dims + d];
          block[i * dims + d] = value;
        }
      }
      await writer.write(new Uint8Array(block.buffer, 0, count * dims * 4));
      done += count;
    }
    await writer.finish();
  }
}

if (process.argv[1]?.endsWith('generate.js')) {
  const [directory, runs = '40', rows = '25000', dims = '256', seed = '1'] = process.argv.slice(2);
  if (directory === undefined) throw new Error('usage: generate.js DIRECTORY [runs] [rows] [dims] [seed]');
  await generateRuns(directory, {
    runs: Number(runs),
    rows: Number(rows),
    dims: Number(dims),
    seed: Number(seed),
  });
}
