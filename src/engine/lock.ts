/**
 * One build at a time in one project. The lock is a folder with one file that names its holder. The folder is made
 * beside it and renamed, so that it is never seen without its file, and the file has a name of its own, so that nobody
 * takes a later holder's for the one found dead. It is taken over only when that process is provably gone (same machine,
 * and another boot, or no such pid, or a pid that started at another time), never by age. A pid says nothing outside its
 * namespace: what runs in another container cannot be looked at from here, and is waited for.
 */
import { createHash, randomBytes } from 'node:crypto';
import { readFileSync, readlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { basename, dirname, join } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { errnoOf, FirnError } from '../errors.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { Port } from '../files/port.js';
import { unlinkIfThere } from '../files/remove.js';
import { TEMPORARY_PREFIX, temporaryName } from '../files/temporary.js';

/** Between two looks at a lock that is held: at first, and at most. */
const POLL_MS = { first: 10, most: 150 };
/** A lock that is refused although nobody holds it, so many times in a row, was not released a moment ago. */
const REFUSALS = 100;
const PREPARED = `${TEMPORARY_PREFIX}lock-`;

export interface Holder {
  host: string;
  /** /etc/machine-id, which stays when a machine starts again; '' where there is none. */
  machine: string;
  /** Of the running kernel; '' where there is no /proc. */
  boot: string;
  /** In which the pid counts; '' where there are none. */
  namespace: string;
  pid: number;
  /** Clock ticks since boot, as /proc/PID/stat gives it; '' where there is no /proc. */
  started: string;
  command: string;
}

export interface Lock {
  /** The holder before was killed: what it was writing may still lie about. */
  tookOver: boolean;
  release(): Promise<void>;
}

export interface LockOptions {
  command: string;
  /** Told once who holds it. */
  onWait: (holder: string) => void;
  signal?: AbortSignal;
  /** The file of a dead holder moves here, so that it stays known that nobody has looked yet for what he left. */
  mark?: string;
}

/** Waits until the lock is ours. */
export async function acquireLock(port: Port, path: string, options: LockOptions): Promise<Lock> {
  const prepared = temporaryName(path, `lock-${placeOfPids()}-${process.pid}`);
  const name = `${randomBytes(8).toString('hex')}.json`;
  let tookOver = false;
  let told = false;
  let wait = POLL_MS.first;
  let refusals = 0;
  const pause = (ms: number) =>
    delay(ms, undefined, options.signal === undefined ? {} : { signal: options.signal });
  try {
    await prepare(port, join(prepared, name), options.command);
    for (;;) {
      const refused = await tryRename(port, prepared, path);
      if (refused === undefined) break;
      options.signal?.throwIfAborted();
      const found = readLock(port, path);
      refusals = found === undefined ? refusals + 1 : 0;
      if (found === undefined) {
        // Released or taken over a moment ago. Where a rename does not replace an empty folder, it has to go first.
        await port.removeDirectory(path).catch(() => undefined);
        if (refusals === REFUSALS) throw refused;
        if (refusals > 1) await pause(POLL_MS.first);
      } else if (found.gone) {
        await takeAway(port, found.file, options.mark);
        tookOver = true;
      } else {
        if (!told) options.onWait(describeHolder(found.holder));
        told = true;
        await pause(wait);
        wait = Math.min(1.5 * wait, POLL_MS.most);
      }
    }
  } catch (error) {
    await discard(port, prepared);
    throw error;
  }
  await discardAbandoned(port, path);
  return {
    tookOver,
    async release() {
      await unlinkIfThere(port, join(path, name));
      // Somebody else's by now, when it is not empty.
      await port.removeDirectory(path).catch(() => undefined);
    },
  };
}

/** Whether the folder of the lock shows that somebody holds it, wants it or left it; `names` is what that folder lists. */
export function isLockWanted(path: string, names: readonly string[]): boolean {
  return names.some((name) => name === basename(path) || name.startsWith(PREPARED));
}

export interface FoundLock {
  file: string;
  /** Undefined when the file cannot be read. */
  holder: Holder | undefined;
  /** Whether that process is surely gone. */
  gone: boolean;
  /** Whether it can be looked at from here, so that not being gone means that it runs. */
  isNear: boolean;
}

/** Who holds the lock now; undefined when nobody does. */
export function readLock(port: Port, path: string): FoundLock | undefined {
  const [entry] = port.list(path);
  if (entry === undefined) return undefined;
  const file = join(path, entry.name);
  const text = entry.kind === 'file' ? port.readText(file) : '';
  if (text === undefined) return undefined;
  const holder = parseHolder(text);
  return {
    file,
    holder,
    gone: holder !== undefined && isGone(holder),
    isNear: holder !== undefined && isNear(holder),
  };
}

export function describeHolder(holder: Holder | undefined): string {
  if (holder === undefined) return 'a process that left no name';
  const where = isNear(holder)
    ? ''
    : ', in another container or on another machine, not to be seen from here';
  return `${holder.command} (pid ${holder.pid} on ${holder.host}${where})`;
}

async function prepare(port: Port, file: string, command: string): Promise<void> {
  // What is decided in the folder of the lock has to outlive a power cut.
  await makeDurableDirectory(port, dirname(dirname(file)));
  await port.makeDirectory(dirname(file));
  const handle = await port.create(file);
  try {
    await handle.write(Buffer.from(JSON.stringify(thisProcess(command))));
    // After a power cut a lock without a name could be nobody's to take over.
    await handle.sync();
  } finally {
    await handle.close();
  }
}

/** The refusal when the lock is held, as far as the system tells. An empty folder in its place is replaced. */
async function tryRename(port: Port, folder: string, path: string): Promise<unknown> {
  try {
    await port.rename(folder, path);
    return undefined;
  } catch (error) {
    if (['EEXIST', 'ENOTEMPTY', 'EPERM'].includes(errnoOf(error) ?? '')) return error;
    // No lock was ever a file: whatever put one there, it keeps nobody out.
    if (errnoOf(error) === 'ENOTDIR' && port.stat(path)?.kind === 'file') {
      await unlinkIfThere(port, path);
      return error;
    }
    throw error;
  }
}

/** One file, by its name: whoever else finds him dead may have been faster, and another holder has another file. */
async function takeAway(port: Port, file: string, mark: string | undefined): Promise<void> {
  try {
    await (mark === undefined ? port.unlink(file) : port.rename(file, mark));
  } catch (error) {
    if (errnoOf(error) !== 'ENOENT') throw error;
  }
}

async function discard(port: Port, folder: string): Promise<void> {
  for (const { name } of port.list(folder)) await unlinkIfThere(port, join(folder, name));
  await port.removeDirectory(folder).catch(() => undefined);
}

/** Removes what processes left that were killed before they had the lock, or just after they had made its folder. */
async function discardAbandoned(port: Port, path: string): Promise<void> {
  for (const { name } of port.list(dirname(path))) {
    if (!name.startsWith(PREPARED)) continue;
    const folder = join(dirname(path), name);
    // Before the file is whole, the folder's name is all that tells of its maker.
    const [place, pid] = name.slice(PREPARED.length).split('-');
    const holder = readLock(port, folder)?.holder;
    const gone = holder === undefined ? place === placeOfPids() && isDead(Number(pid), '') : isGone(holder);
    // Another user's may refuse to go. It keeps nobody out, and whoever comes next tries again.
    if (gone) await discard(port, folder).catch(() => undefined);
  }
}

function parseHolder(text: string): Holder | undefined {
  try {
    const value = JSON.parse(text) as Holder;
    const texts = [value.host, value.machine, value.boot, value.namespace, value.started, value.command];
    const whole = typeof value.pid === 'number' && texts.every((text) => typeof text === 'string');
    return whole ? value : undefined;
  } catch {
    return undefined;
  }
}

function isGone(holder: Holder): boolean {
  const here = thisProcess('');
  if (holder.boot !== here.boot) {
    // Another boot of this machine, or another machine of that name.
    return holder.host === here.host && holder.machine === here.machine && here.machine !== '';
  }
  // One boot is one kernel, whatever its containers call themselves.
  if (here.boot === '' && holder.host !== here.host) return false;
  return holder.namespace === here.namespace && isDead(holder.pid, holder.started);
}

/** Whether its pid counts here. */
function isNear(holder: Holder): boolean {
  const here = thisProcess('');
  const sameKernel = holder.boot === here.boot && (here.boot !== '' || holder.host === here.host);
  return sameKernel && holder.namespace === here.namespace;
}

/** Of a pid of this namespace; `started` as in Holder. */
function isDead(pid: number, startedThen: string): boolean {
  try {
    process.kill(pid, 0);
  } catch (error) {
    // EPERM: there is such a process, of another user; it may have got the pid since.
    if (errnoOf(error) === 'ESRCH') return true;
  }
  const { state, started } = processFacts(pid);
  // A killed process that nobody waited for keeps its pid, in containers for ever.
  if (state === 'Z') return true;
  return startedThen !== '' && started !== '' && startedThen !== started;
}

function thisProcess(command: string): Holder {
  const { started } = processFacts(process.pid);
  return {
    host: hostname(),
    machine: readOrEmpty('/etc/machine-id').trim(),
    boot: readOrEmpty('/proc/sys/kernel/random/boot_id').trim(),
    namespace: pidNamespace(),
    pid: process.pid,
    started,
    command,
  };
}

/** `pid:[4026531836]`; two processes that see the same see each other's pids. */
function pidNamespace(): string {
  try {
    return readlinkSync('/proc/self/ns/pid');
  } catch {
    return '';
  }
}

/** Short for where a pid of this process counts. */
function placeOfPids(): string {
  const { host, boot, namespace } = thisProcess('');
  return createHash('sha256').update([host, boot, namespace].join('\0')).digest('hex').slice(0, 12);
}

/** Fields 3 and 22 of /proc/PID/stat; the command name before them may hold spaces and brackets. */
function processFacts(pid: number): { state: string; started: string } {
  const text = readOrEmpty(`/proc/${pid}/stat`);
  const fields = text.slice(text.lastIndexOf(')') + 2).split(' ');
  return { state: fields[0], started: fields[19] ?? '' };
}

function readOrEmpty(path: string): string {
  try {
    return readFileSync(path, 'utf8');
  } catch {
    return '';
  }
}

/**
 * Removes the lock of a holder that cannot be checked from here; `mark` as for acquireLock. Throws FirnError (conflict) when
 * he may live and it is not `force`d.
 */
export async function removeLock(port: Port, path: string, force: boolean, mark: string): Promise<void> {
  const found = readLock(port, path);
  if (found === undefined) throw new FirnError('missing', 'there is no lock', { path });
  if (!found.gone && !force) {
    const who =
      found.holder === undefined ? 'its holder is unknown' : `${describeHolder(found.holder)} holds it`;
    throw new FirnError('conflict', `${who} and is not known to be gone`, {
      path,
      advice: 'If you are sure that it no longer runs, use `firn unlock --force`.',
    });
  }
  await takeAway(port, found.file, mark);
  await port.removeDirectory(path).catch(() => undefined);
}
