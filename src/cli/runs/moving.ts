/** What the commands that move or remove runs share: what they ask for, and what they say of each run. */
import type { Command } from 'commander';
import type { LifeOptions } from '../../run-life/open.js';
import { runNameIn } from '../../runs/run-name.js';
import { EXIT, errorText, globalOptions, note } from '../main.js';
import { progressLine } from '../progress.js';
import { formatCount, safe } from '../text.js';

/** Does the work with what all of them ask for. The line of progress is gone when it ends, however it does. */
export async function withRequest<T>(
  command: Command,
  signal: AbortSignal,
  named: readonly string[],
  work: (request: LifeOptions & { patterns: string[] }) => Promise<T>,
): Promise<T> {
  const { projectPlaces } = await import('../../project.js');
  const { directory } = globalOptions(command);
  const { pipeline } = await projectPlaces(directory);
  const line = progressLine('runs');
  return work({
    directory,
    signal,
    patterns: named.map((pattern) => runNameIn(pipeline.runsDir, pattern)),
    onWait: (holder) => note(`waiting for ${safe(holder)} to finish`),
    onProgress: (run, doing, done, total) => line.show(done, total, `bytes ${doing} ${run}`),
  }).finally(line.end);
}

export function statusOf(item: { done: boolean; error?: unknown }, due: string, done: string): string {
  return item.error !== undefined ? 'refused' : item.done ? done : due;
}

/** Whether it counts among what is, or would be, moved. */
export function isDue(item: { done: boolean; error?: unknown; state?: string }, execute: boolean): boolean {
  return execute ? item.done : item.error === undefined && item.state !== 'archived';
}

export function bytesOf(items: readonly { bytes: number }[]): number {
  return items.reduce((sum, { bytes }) => sum + bytes, 0);
}

const NAMED = 5;

export function namesOf(names: readonly string[]): string {
  const more = names.length - NAMED;
  return safe(names.slice(0, NAMED).join(', ')) + (more > 0 ? ` and ${formatCount(more)} more` : '');
}

export function noteErrors(items: readonly { run: string; error?: unknown }[]): void {
  for (const { run, error } of items) {
    if (error !== undefined) note(`firn: ${safe(run)}: ${errorText(error)}`);
  }
}

export function exitOf(items: readonly { error?: unknown }[]): number {
  return items.some(({ error }) => error !== undefined) ? EXIT.failed : EXIT.done;
}
