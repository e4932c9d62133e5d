/**
 * One build at a time in one project. The lock file names its holder; it is taken over only when that process is
 * provably gone (same host, and another boot, or no such pid, or a pid that started at another time), never by age.
 */
import { readFileSync } from 'node:fs';
import { hostname } from 'node:os';
import { dirname } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, FirnError } from '../errors.js';
import type { Port } from '../files/port.js';

const POLL_MS = 150;

export interface Holder {
  host: string;
  boot: string;
  pid: number;
  /** Clock ticks since boot, as /proc/PID/stat gives it; '' where there is no /proc. */
  started: string;
  command: string;
}

export interface Lock {
  release(): Promise<void>;
}

/** Waits until the lock is ours; `onWait` is told once who holds it. */
export async function acquireLock(
  port: Port,
  path: string,
  options: { command: string; onWait: (holder: string) => void; signal?: AbortSignal },
): Promise<Lock> {
  const me = JSON.stringify(thisProcess(options.command));
  await port.makeDirectory(dirname(path));
  let told = false;
  while (!(await tryCreate(port, path, me))) {
    options.signal?.throwIfAborted();
    const text = port.readText(path);
    if (text === undefined) continue;
    const holder = parseHolder(text);
    if (holder !== undefined && isGone(holder)) {
      await takeOver(port, path, text);
      continue;
    }
    if (!told) options.onWait(holder === undefined ? 'a process that left no name' : describeHolder(holder));
    told = true;
    await delay(POLL_MS, undefined, options.signal === undefined ? {} : { signal: options.signal });
  }
  return {
    async release() {
      if (port.readText(path) === me) await port.unlink(path);
    },
  };
}

/** Who holds the lock now, and whether that process is surely gone. */
export function readLock(port: Port, path: string): { holder: Holder | undefined; gone: boolean } | undefined {
  const text = port.readText(path);
  if (text === undefined) return undefined;
  const holder = parseHolder(text);
  return { holder, gone: holder !== undefined && isGone(holder) };
}

export function describeHolder(holder: Holder): string {
  return `${holder.command} (pid ${holder.pid} on ${holder.host})`;
}

async function tryCreate(port: Port, path: string, text: string): Promise<boolean> {
  try {
    const handle = await port.create(path);
    try {
      await handle.write(Buffer.from(text));
    } finally {
      await handle.close();
    }
    return true;
  } catch (error) {
    if (errnoOf(error) === 'EEXIST') return false;
    throw error;
  }
}

/** Of several that find the holder gone, one makes the guard and removes the lock; the guard names it in turn. */
async function takeOver(port: Port, path: string, stale: string): Promise<void> {
  const guard = `${path}.takeover`;
  if (!(await tryCreate(port, guard, JSON.stringify(thisProcess('takeover'))))) {
    const other = parseHolder(port.readText(guard) ?? '');
    if (other !== undefined && isGone(other)) await port.unlink(guard).catch(() => undefined);
    await delay(POLL_MS);
    return;
  }
  try {
    if (port.readText(path) === stale) await port.unlink(path);
  } finally {
    await port.unlink(guard);
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Holder;
    return typeof value.pid === 'number' && typeof value.host === 'string' ? value : undefined;
  } catch {
    return undefined;
  }
}

function isGone(holder: Holder): boolean {
  if (holder.host !== hostname()) return false;
  if (holder.boot !== '' && bootId() !== '' && holder.boot !== bootId()) return true;
  try {
    process.kill(holder.pid, 0);
  } catch (error) {
    return errnoOf(error) === 'ESRCH';
  }
  const started = startTime(holder.pid);
  return holder.started !== '' && started !== '' && holder.started !== started;
}

function thisProcess(command: string): Holder {
  return { host: hostname(), boot: bootId(), pid: process.pid, started: startTime(process.pid), command };
}

function bootId(): string {
  return readOrEmpty('/proc/sys/kernel/random/boot_id').trim();
}

/** Field 22 of /proc/PID/stat; the command name before it may hold spaces and brackets. */
function startTime(pid: number): string {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  return text.slice(text.lastIndexOf(')') + 2).split(' ')[19] ?? '';
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/** For `firn unlock`: removes the lock of a holder that cannot be checked from here. */
export async function removeLock(port: Port, path: string, force: boolean): Promise<void> {
  const found = readLock(port, path);
  if (found === undefined) throw new FirnError('missing', 'there is no lock', { path });
  if (!found.gone && !force) {
    const who = found.holder === undefined ? 'its holder is unknown' : `${describeHolder(found.holder)} holds it`;
    throw new FirnError('conflict', `${who} and is not known to be gone`, {
      path,
      advice: 'If you are sure that it no longer runs, use `firn unlock --force`.',
    });
  }
  await port.unlink(path);
}
