/**
 * Files that were changed in the future: the clock was set back, or another machine with another clock wrote them. firn goes
 * by contents, but ages are counted from these times, and other programs go by nothing else.
 */
import { join } from 'node:path';
import type { FileStat } from '../files/port.js';
import { PIPELINE_FILE } from '../project.js';
import { NPY_FILE, NPZ_FILE } from '../runs/discover.js';
import { command } from '../shell-word.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

export const clockChecks: Group = {
  name: 'clocks',
  checks: { 'times of files': future },
  whenLimited: true,
  summary: () => undefined,
};

/** Clocks of servers and machines are this far apart as a rule, in ms. */
const TOLERANCE = 60_000;

async function* future(context: DoctorContext): AsyncIterable<Finding> {
  const files: [path: string, stat: FileStat | undefined][] = [];
  for (const { directory, npy, npz } of context.runs()) {
    files.push([join(directory, NPY_FILE), npy], [join(directory, NPZ_FILE), npz]);
  }
  for (const { array, metadata, index } of await context.references())
    for (const file of [array, metadata, index]) if (file !== undefined) files.push([file.path, file.stat]);
  const pipeline = join(context.root, PIPELINE_FILE);
  if (!context.isLimited) files.push([pipeline, context.port.stat(pipeline)]);
  for (const [path, stat] of files) {
    const ahead = stat === undefined ? 0 : Number(stat.mtimeNs / 1_000_000n) - context.nowMs;
    if (ahead <= TOLERANCE) continue;
    const shown = context.shown(path);
    yield finding(
      'time-future',
      shown,
      `was changed ${span(ahead)} from now, by this machine's clock: it has no age, so \`older-than\` passes over it`,
      `Set the clock, if it is wrong; else ${command('touch', '--', shown)}.`,
    );
  }
}

function span(ms: number): string {
  const minutes = Math.round(ms / 60_000);
  if (minutes < 120) return `${minutes} minutes`;
  const hours = Math.round(minutes / 60);
  return hours < 48 ? `${hours} hours` : `${Math.round(hours / 24)} days`;
}
