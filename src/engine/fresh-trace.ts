/**
 * All that was looked at when every step was found fresh. While each of these files has the same stat, and the steps are
 * the same, looking into them again would say the same: then none of them is read. Stats are believed as those of digests
 * are, see digests.ts. A hint in `cache/`: whatever is wrong with it, everything is looked at. Knows neither what makes a
 * step fresh nor any rule.
 */
import { createHash } from 'node:crypto';
import { isAbsolute, sep } from 'node:path';
import type { Port, ReadPort } from '../files/port.js';
import { FIRN_VERSION } from '../firn-version.js';
import { type FileClock, safeAfter } from './file-clock.js';
import { readLog, rewriteLog } from './log-file.js';
import type { Json, Step } from './types.js';

/** Raise when a trace of the same text comes to mean something else. */
const FORMAT = 1;

type Stats = { [name: string]: Json };

interface Trace {
  format: number;
  /** Digest of the steps. */
  of: string;
  /** Relative to the project where they are in it. */
  paths: string[];
  /** Digest of their stats. */
  looks: string;
  /** What each step had to say of itself, by id. */
  stats: { [step: string]: Stats };
}

/** A port, and the paths that were asked for through it; undefined once something was asked that no stat guards. */
export function watched(port: Port): { port: Port; paths: () => Set<string> | undefined } {
  const paths = new Set<string>();
  let guarded = true;
  // Before it is read: what is read later is of this stat or of another one, which will show.
  const look = (path: string): void => {
    if (!paths.has(path)) port.stat(path);
    paths.add(path);
  };
  const view: Partial<Port> = {
    stat(path) {
      paths.add(path);
      return port.stat(path);
    },
    readText(path, limit) {
      look(path);
      return port.readText(path, limit);
    },
    open(path) {
      look(path);
      return port.open(path);
    },
    list(path) {
      guarded = false;
      return port.list(path);
    },
    realPath(path) {
      guarded = false;
      return port.realPath(path);
    },
  };
  return {
    port: Object.assign(Object.create(port) as Port, view),
    paths: () => (guarded ? paths : undefined),
  };
}

/** What each step said of itself when all were fresh, if they surely still are. */
export function recallFresh(
  port: ReadPort,
  file: string,
  root: string,
  steps: readonly Step[],
): Trace['stats'] | undefined {
  const trace = readLog(port, file).entries[0] as unknown as Trace | undefined;
  if (trace?.format !== FORMAT || !Array.isArray(trace.paths)) return undefined;
  const paths = trace.paths.map((path) => (isAbsolute(path) ? path : `${root}${sep}${path}`));
  if (trace.looks !== looksOf(port, paths).digest || trace.of !== digestOfSteps(steps)) return undefined;
  return trace.stats;
}

/**
 * For the next time. `began`: a time that had passed when the looking began; files changed within a tick before it could change
 * again without their stat showing it, so with such ones nothing is remembered. Where it cannot be written, everything is looked at again.
 */
export async function rememberFresh(
  port: Port,
  file: string,
  seen: {
    root: string;
    steps: readonly Step[];
    paths: Iterable<string>;
    began: bigint;
    /** Whose file system that is. */
    clock: FileClock;
    stats: Trace['stats'];
  },
): Promise<void> {
  const { root, steps, began, clock, stats } = seen;
  const of = digestOfSteps(steps);
  if (of === undefined) return;
  const paths = [...seen.paths];
  const { digest, safe } = looksOf(port, paths, clock.dev);
  if (safe > began) return;
  const inside = root + sep;
  const trace: Trace = {
    format: FORMAT,
    of,
    paths: paths.map((path) => (path.startsWith(inside) ? path.slice(inside.length) : path)),
    looks: digest,
    stats,
  };
  await rewriteLog(port, file, [trace]).catch(() => undefined);
}

const KINDS = ['file', 'directory', 'other'];

/** Digest of the stats of these paths in this order, and the earliest time at which they could be believed. */
function looksOf(port: ReadPort, paths: readonly string[], dev?: bigint): { digest: string; safe: bigint } {
  const numbers = new BigInt64Array(5 * paths.length);
  let safe = 0n;
  let at = 0;
  for (const path of paths) {
    const stat = port.stat(path);
    if (stat !== undefined) {
      numbers[at] = BigInt(KINDS.indexOf(stat.kind) + 1);
      numbers[at + 1] = BigInt(stat.size);
      numbers[at + 2] = stat.mtimeNs;
      numbers[at + 3] = stat.ctimeNs;
      numbers[at + 4] = BigInt.asIntN(64, stat.ino);
      const after = safeAfter(stat, dev);
      if (after > safe) safe = after;
    }
    at += 5;
  }
  return { digest: createHash('sha256').update(numbers).digest('hex'), safe };
}

/** Of all that a decision about these steps follows from, but for files; undefined where that is not all. */
function digestOfSteps(steps: readonly Step[]): string | undefined {
  const hash = createHash('sha256').update(FIRN_VERSION);
  for (const { rule, ...step } of steps) {
    // What a rule of the project looks at, and how, is its own affair.
    if (rule.own && (rule.memory ?? rule.keeps) !== undefined) return undefined;
    const tools = rule.tools?.({ rule, ...step }) ?? [];
    hash.update(JSON.stringify([rule.name, rule.version, tools, step]));
  }
  return hash.digest('hex');
}
