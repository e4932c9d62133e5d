/** How many more sequences fit on the disks of a project, and when they are full. Pure. */
import type { Rate } from './rate.js';

/** A disk, and what grows on it with every sequence. */
export interface GrowingDisk {
  /** For people: the folders on it. */
  holds: string[];
  /** bytes */
  available: number;
  /** bytes that other things may still take (the cache up to its limit) */
  reserved: number;
  /** bytes that a sequence adds for good */
  perSequence: number;
  /** Files that are written anew beside the old ones when something is added. */
  rewritten: { bytes: number; perSequence: number }[];
}

/** Sequences that can be added to a disk until a build finds no room for what it writes. */
export function sequencesThatFit({ available, reserved, perSequence, rewritten }: GrowingDisk): number {
  // One after the other, so that the largest of them counts.
  const needs = [{ bytes: 0, perSequence: 0 }, ...rewritten].map((file) => ({
    room: available - reserved - file.bytes,
    each: perSequence + file.perSequence,
  }));
  const most = needs.map(({ room, each }) =>
    room <= 0 ? 0 : each === 0 ? Number.POSITIVE_INFINITY : room / each,
  );
  return Math.floor(Math.min(...most));
}

export interface Projection {
  sequences: number;
  /** The disk that is full first. */
  disk: GrowingDisk;
  /** Undefined where there are too few runs to say how fast they come. */
  fullMs: number | undefined;
}

const DAY_MS = 86_400_000;

/** Undefined where nothing grows. */
export function project(
  disks: readonly GrowingDisk[],
  rate: Rate | undefined,
  nowMs: number,
): Projection | undefined {
  const fits = disks
    .map((disk) => ({ disk, sequences: sequencesThatFit(disk) }))
    .filter(({ sequences }) => Number.isFinite(sequences))
    .sort((a, b) => a.sequences - b.sequences);
  const [first] = fits;
  if (first === undefined) return undefined;
  const days = rate === undefined || rate.rowsPerDay === 0 ? undefined : first.sequences / rate.rowsPerDay;
  return { ...first, fullMs: days === undefined ? undefined : nowMs + days * DAY_MS };
}
