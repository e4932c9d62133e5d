/**
 * Digests of inputs and outputs, remembered by what `stat` says. A remembered digest is believed only while size,
 * mtime, ctime and inode of every file behind it agree, and only if the files were older than the remembering, by the
 * clock of their file system: a file written in the same tick could change again without its stat showing it. Knows no
 * step.
 */
import { sep } from 'node:path';
import type { FileStat, Port, ReadPort } from '../files/port.js';
import type { Workers } from '../workers/pool.js';
import { type FileClock, safeAfter } from './file-clock.js';
import { LogWriter, readLog, rewriteLog } from './log-file.js';
import { isDigest, isObject } from './record-shape.js';
import type { Digest, Digester } from './types.js';

/** Stands in each line: raise it when digests or their facts come to mean something else. Others' lines are passed over. */
const FORMAT = '1|';

interface Remembered {
  id: string;
  signature: string;
  /** A time that had passed when hashing began, in ns since 1970, by the clock of the file system. */
  at: string;
  digest: Digest;
}

/** Thrown instead of hashing where only what is remembered was asked for. */
export class NotRemembered extends Error {}

export interface DigestRequest {
  kind: string;
  path: string;
}

/**
 * Digests by kind and project path. `save` may be off: a dry run remembers nothing. With `recallOnly` nothing is hashed
 * either: `get` throws NotRemembered instead.
 */
export class Digests {
  private readonly remembered = new Map<string, Remembered>();
  private readonly pending = new Map<string, Promise<Digest | undefined>>();
  private readonly log: LogWriter | undefined;
  private lines = 0;

  constructor(
    private readonly port: Port,
    private readonly root: string,
    private readonly digesters: ReadonlyMap<string, Digester>,
    private readonly file: string,
    private readonly options: {
      save: boolean;
      recallOnly?: boolean;
      /** By which files are older than their digests. */
      clock: FileClock;
      workers?: Workers;
      signal?: AbortSignal;
      onBytes?: (path: string, bytes: number) => void;
      recordedBytes?: (path: string) => string | undefined;
    },
  ) {
    const { entries } = readLog(port, file);
    for (const entry of entries) if (isRemembered(entry)) this.remembered.set(entry.id, entry);
    this.lines = entries.length;
    this.log = options.save ? new LogWriter(port, file) : undefined;
  }

  get aborted(): boolean {
    return this.options.signal?.aborted ?? false;
  }

  private look(request: DigestRequest): Look {
    const { dev } = this.options.clock;
    const digester = this.digester(request.kind);
    const found = look(this.port, this.root, digester.files(request.path), dev);
    const standIn = found.signature === '' && digester.standIn?.(request.path);
    return standIn ? look(this.port, this.root, [standIn], dev) : found;
  }

  /** What `stat` says of the files behind an input, by path. While that is the same nobody has written to them. */
  stamps(request: DigestRequest): Map<string, string> {
    const lines = this.look(request).signature.slice(FORMAT.length).split('\n');
    return new Map(
      lines.filter((line) => line !== '').map((line) => [line.slice(0, line.indexOf('|')), line]),
    );
  }

  /** The digest of what is on disk now, where it is remembered and may be believed. */
  recall(request: DigestRequest): Digest | undefined {
    const known = this.remembered.get(idOf(request));
    if (known === undefined) return undefined;
    const { signature, safe } = this.look(request);
    return signature === known.signature && safe <= BigInt(known.at) ? known.digest : undefined;
  }

  /** Whether what is on disk now surely differs from what is remembered: a file has come, gone or another size. */
  hasOtherSize(request: DigestRequest): boolean {
    const known = this.remembered.get(idOf(request));
    return known !== undefined && sizesIn(known.signature) !== sizesIn(this.look(request).signature);
  }

  /** The digest of what is on disk now, from memory where that is safe. Undefined when nothing is there. */
  async get(request: DigestRequest): Promise<Digest | undefined> {
    const known = this.recall(request);
    if (known !== undefined) return known;
    const id = idOf(request);
    // Two steps may ask for one input at once; the content is read once.
    const running = this.pending.get(id);
    if (running !== undefined) return running;
    const work = this.compute(id, request).finally(() => this.pending.delete(id));
    this.pending.set(id, work);
    return work;
  }

  private async compute(id: string, request: DigestRequest): Promise<Digest | undefined> {
    const { signature, safe } = this.look(request);
    if (signature === '') return undefined;
    if (this.options.recallOnly) throw new NotRemembered(id);
    const at = await this.options.clock.after(safe);
    const digest = await this.digester(request.kind).digest(request.path, {
      port: this.port,
      workers: this.options.workers,
      signal: this.options.signal,
      onBytes: (bytes) => this.options.onBytes?.(request.path, bytes),
      recordedBytes: this.options.recordedBytes,
    });
    // Changed while it was read: what was read may be a mixture, so it is told but not remembered. Nor is what could change
    // without its stat showing it.
    if (digest !== undefined && safe <= at && this.look(request).signature === signature)
      await this.remember(id, signature, at, digest);
    return digest;
  }

  /**
   * Takes over the digest of an output that was just given its name. `staged`: what its stat was before it was hashed
   * under a name that nobody else knew. The rename set a new ctime, so the tick that makes other files suspect does not
   * matter here; but whoever has written to the file since, under either name, has changed the rest of it.
   */
  async adopt(request: DigestRequest, digest: Digest, staged: FileStat | undefined): Promise<void> {
    const { signature, safe } = this.look(request);
    const now = this.port.stat(`${this.root}${sep}${request.path.replaceAll('/', sep)}`);
    if (now === undefined || staged === undefined || signature === '') return;
    if (now.ino !== staged.ino || now.size !== staged.size || now.mtimeNs !== staged.mtimeNs) return;
    await this.remember(idOf(request), signature, safe, digest);
  }

  /** A time that has passed, for `learn`: to be asked for before the reading begins. In ns since 1970. */
  timeBefore(request: DigestRequest): Promise<bigint> {
    return this.options.clock.after(this.look(request).safe);
  }

  /** Takes over a digest of bytes that were read elsewhere, after `at`, of a file whose stat was this. */
  async learn(request: DigestRequest, digest: Digest, stat: FileStat, at: bigint): Promise<void> {
    const { signature } = this.look(request);
    const [file] = this.digester(request.kind).files(request.path);
    if (signature === signatureOf(file, stat)) await this.remember(idOf(request), signature, at, digest);
  }

  private async remember(id: string, signature: string, at: bigint, digest: Digest): Promise<void> {
    const entry: Remembered = { id, signature, at: at.toString(), digest };
    this.remembered.set(id, entry);
    this.lines += 1;
    // Not written on a full disk: then it is hashed again next time, and the build goes on.
    await this.log?.append(entry).catch(() => undefined);
  }

  /** Ids of what is remembered in vain: its files are gone, or have changed since. */
  stale(): string[] {
    return [...this.remembered.values()].flatMap(({ id, signature }) => {
      const kind = id.slice(0, id.indexOf(':'));
      const isKnown = this.digesters.has(kind) && signature !== '';
      return isKnown && this.look({ kind, path: id.slice(kind.length + 1) }).signature === signature
        ? []
        : [id];
    });
  }

  /** Forgets these, and rewrites the log. */
  async forget(ids: readonly string[]): Promise<void> {
    await this.log?.close();
    for (const id of ids) this.remembered.delete(id);
    await this.rewrite();
    this.lines = this.remembered.size;
  }

  /** Closes the log, rewriting it when most of its lines are outdated. */
  async close(): Promise<void> {
    await this.log?.close();
    if (this.log !== undefined && this.lines > 2 * this.remembered.size + 1000) {
      // Where there is no room the log stays as it is, which says the same.
      await this.rewrite().catch(() => undefined);
    }
  }

  private rewrite(): Promise<void> {
    return rewriteLog(this.port, this.file, [...this.remembered.values()]);
  }

  private digester(kind: string): Digester {
    const digester = this.digesters.get(kind);
    if (digester === undefined) throw new Error(`no digester for inputs of kind ${kind}`);
    return digester;
  }
}

function isRemembered(entry: unknown): entry is Remembered {
  if (!isObject(entry) || !isObject(entry.digest)) return false;
  const { id, signature, at, digest } = entry;
  return (
    typeof id === 'string' &&
    typeof signature === 'string' &&
    typeof at === 'string' &&
    /^\d{1,30}$/.test(at) &&
    isDigest(digest.digest) &&
    (digest.facts === undefined || isObject(digest.facts))
  );
}

function idOf(request: DigestRequest): string {
  return `${request.kind}:${request.path}`;
}

interface Look {
  /** The stat of every file behind an input; '' when none of them exists. */
  signature: string;
  /** The earliest time at which a hash of these files could not have missed a change within one tick. */
  safe: bigint;
}

function look(port: ReadPort, root: string, files: readonly string[], dev: bigint | undefined): Look {
  let signature = '';
  let safe = 0n;
  for (const file of files) {
    // Not `join`: thousands of files are looked at, and these paths are plain.
    const stat = port.stat(`${root}${sep}${sep === '/' ? file : file.replaceAll('/', sep)}`);
    if (stat === undefined) continue;
    signature += signature === '' ? FORMAT : '\n';
    signature += signatureOf(file, stat);
    const after = safeAfter(stat, dev);
    if (after > safe) safe = after;
  }
  return { signature, safe };
}

function signatureOf(file: string, stat: FileStat): string {
  return `${JSON.stringify(file)}|${stat.kind}|${stat.size}|${stat.mtimeNs}|${stat.ctimeNs}|${stat.ino}`;
}

/** A signature without times and inodes. */
function sizesIn(signature: string): string {
  return signature.replace(/(?:\|\d+){3}$/gm, '');
}
