/** Names that are nearly those of a run's array: what a person or a script may have meant. Pure. */
import { editDistance } from '../pipeline/nearest.js';
import { NPY_FILE, NPZ_FILE } from './discover.js';

const FAR = 3;

/**
 * The name that a file should have had, `embeddings.npy` or `embeddings.npz`; undefined for a name that is right, and for
 * one that is unlike both. Upper case, a number or a date behind the word, and a missing letter are all common.
 */
export function meantArrayName(name: string): string | undefined {
  if (name === NPY_FILE || name === NPZ_FILE || name.length > 200) return undefined;
  const lower = name.toLowerCase();
  const meant = lower.endsWith('.npz') ? NPZ_FILE : lower.endsWith('.npy') ? NPY_FILE : undefined;
  if (meant === undefined) return undefined;
  return lower.includes('embed') || editDistance(lower, meant) <= FAR ? meant : undefined;
}
