/** One file of a project into the staging folder of a bag. Knows neither why, nor what becomes of it. */
import { dirname, join } from 'node:path';
import type { Digests } from '../engine/digests.js';
import { fileDigests } from '../engine/store.js';
import { errnoOf, FirnError } from '../errors.js';
import type { FileStat, Port } from '../files/port.js';
import { adviceFor, reasonOf } from '../system-errors.js';
import type { Workers } from '../workers/pool.js';
import { noteOf } from './compare.js';
import { copyFile, UnreadableSource } from './copy.js';
import { ALGORITHMS, type Held, payloadPath } from './destination.js';
import type { Source } from './sources.js';
import { stagedPath } from './switch.js';

export interface StageRequest {
  port: Port;
  /** Of the project. */
  root: string;
  /** Of the bag. */
  directory: string;
  digests: Digests;
  signal: AbortSignal;
  workers: Workers;
}

export type Outcome =
  /** `verified`: read back already. */
  | { held: Held; verified: boolean }
  /** Why it is not staged; undefined when it is gone. */
  | { problem: string | undefined };

/** A file that changes so often while it is copied is being written. */
const TRIES = 3;

/** @throws FirnError or a system error when the copy cannot be written */
export async function stageFile(
  request: StageRequest,
  source: Source,
  onBytes: (bytes: number) => void,
): Promise<Outcome> {
  const { directory, signal } = request;
  const to = stagedPath(directory, payloadPath(source.path));
  try {
    const taken = await takeLeft(request, source, to, onBytes);
    return taken ?? (await copy(request, source, to, onBytes));
  } catch (error) {
    if (!(error instanceof UnreadableSource) || signal.aborted) throw targetError(error, to);
    const isGone = errnoOf(error.cause) === 'ENOENT';
    return { problem: isGone ? undefined : `cannot be read: ${reasonOf(error.cause)}` };
  }
}

async function copy(
  request: StageRequest,
  source: Source,
  to: string,
  onBytes: (bytes: number) => void,
): Promise<Outcome> {
  const { port, root, digests: remembered, signal, workers } = request;
  await port.makeDirectory(dirname(to));
  for (let tries = 0; tries < TRIES; tries++) {
    const at = await remembered.timeBefore({ kind: 'file', path: source.path });
    const copied = await copyFile(port, join(root, source.path), to, {
      algorithms: ALGORITHMS,
      workers,
      signal,
      onBytes,
    });
    if (copied === undefined) continue;
    const { digests, stat } = copied;
    await remembered.learn({ kind: 'file', path: source.path }, { digest: `sha256:${digests[0]}` }, stat, at);
    return { held: await heldOf(port, source, stat, to, digests), verified: false };
  }
  return { problem: 'changes while it is copied: something is writing it' };
}

/** The copy carries the date of its original; what its own disk makes of that is noted. */
async function heldOf(
  port: Port,
  source: Source,
  stat: FileStat,
  to: string,
  digests: string[],
): Promise<Held> {
  await port.setTimes(to, Number(stat.mtimeNs) / 1e6);
  return { note: noteOf(source, stat, String(port.stat(to)?.mtimeNs)), digests, there: true };
}

/** The copy that an interrupted backup left, if it is good; else it goes. */
async function takeLeft(
  request: StageRequest,
  source: Source,
  to: string,
  onBytes: (bytes: number) => void,
): Promise<Outcome | undefined> {
  const { port, root, digests: remembered } = request;
  const left = port.stat(to);
  if (left === undefined) return undefined;
  const stat = port.stat(join(root, source.path));
  if (stat !== undefined && left.kind === 'file' && left.size === stat.size) {
    const original = await remembered.get({ kind: 'file', path: source.path }).catch((cause: unknown) => {
      throw request.signal.aborted ? cause : new UnreadableSource('the file cannot be read', { cause });
    });
    const digests = await fileDigests(port, to, ALGORITHMS, { ...request, onBytes });
    if (original?.digest === `sha256:${digests[0]}`) {
      await port.sync(to);
      return { held: await heldOf(port, source, stat, to, digests), verified: true };
    }
  }
  await port.unlink(to);
  return undefined;
}

function targetError(error: unknown, path: string): unknown {
  const errno = errnoOf(error);
  if (errno === 'EEXIST') {
    return new FirnError('conflict', 'is there already: this disk takes two names of the project for one', {
      path,
      advice: 'Rename one of them (they may differ in case only), or use another disk.',
      cause: error,
    });
  }
  // Told where the whole backup is seen: a full disk is not this file's fault.
  if (errno === undefined || errno === 'ENOSPC' || errno === 'EDQUOT') return error;
  const advice = adviceFor(error);
  return new FirnError('failed', `cannot be written: ${reasonOf(error)}`, {
    path,
    ...(advice === undefined ? {} : { advice }),
    cause: error,
  });
}
