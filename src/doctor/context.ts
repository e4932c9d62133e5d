/**
 * What the checks share: the project, the disk at first sight, and facts that several of them ask for, each found out once
 * and when it is first asked for. Knows no check.
 */
import { join, sep } from 'node:path';
import { atOnce } from '../at-once.js';
import { lockIn, type OpenContext } from '../engine/context.js';
import { type FoundLock, readLock } from '../engine/lock.js';
import { openRecovered } from '../engine/plan.js';
import { fileDigest } from '../engine/store.js';
import type { Step } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { glanceAt } from '../files/glance.js';
import type { Port } from '../files/port.js';
import { CACHE_FOLDER, digestersOf } from '../project.js';
import { DEFAULT_REFERENCE } from '../reference/files.js';
import { type Discovered, discoverRuns, type Run } from '../runs/discover.js';
import { RUN_FACTS_FILE, versionInFacts } from '../runs/run-facts.js';
import { loadRegistry, type Registry, versionOf } from '../runs/versions.js';
import { Workers } from '../workers/pool.js';
import { forgiving } from './forgiving-port.js';
import { type Opening, openForDoctor } from './opening.js';
import { lookAtReference, type ReferenceLook } from './reference-looks.js';
import { type RunContent, readContent } from './run-contents.js';
import { lookAtRuns, type RunLook } from './run-looks.js';
import { foldersAbove, isWithinAny, type Scope, scopeOf, shownIn } from './scope.js';

export interface DoctorRequest {
  /** The folder of pipeline.yaml; it may have none. */
  directory: string;
  /** Targets, runs (`dataset/run`) and paths to limit it to; everything when empty. */
  only?: readonly string[];
  /** Read every byte instead of headers and sizes. */
  full?: boolean;
  /** The disk itself, unless a test says otherwise. */
  port?: Port;
  /** milliseconds since 1970 */
  now?: () => number;
  signal?: AbortSignal;
  /** Hears of a check that failed, which is a finding as well. */
  onFailure?: (check: string, error: unknown) => void;
  /** Bytes read, and to be read in all as far as known; only with `full`. */
  onProgress?: (done: number, total: number) => void;
}

/** The folder that references stand in, where no pipeline.yaml says otherwise. */
const DATA = 'data';

type Request = Required<Pick<DoctorRequest, 'only' | 'full' | 'port' | 'now' | 'signal' | 'onProgress'>>;

export class DoctorContext {
  /** Nothing is asked twice, and what the system refuses counts as absent. */
  readonly port: Port;
  /** What the system refused, by path. */
  readonly refused: ReadonlyMap<string, unknown>;
  readonly workers = new Workers();
  readonly root: string;
  /** Absolute. */
  readonly cacheDirectory: string;
  readonly full: boolean;
  readonly signal: AbortSignal;
  readonly nowMs: number;
  /** Paths and steps that an error was found for: what hangs on them is not told again. */
  readonly told = new Set<string>();

  private readonly memo = new Map<string, { value: unknown } | { error: unknown }>();
  private readonly digests = new Map<string, Promise<string>>();
  private readonly scope: Scope;
  private done = 0;
  private total = 0;
  private foretold = 0;

  private constructor(
    readonly opening: Opening,
    { port, refused }: ReturnType<typeof forgiving>,
    private readonly request: Request,
  ) {
    this.root = opening.root;
    this.cacheDirectory = join(this.root, CACHE_FOLDER);
    // What was listed while targets were expanded is not listed again.
    this.port = opening.project?.glance ?? glanceAt(port);
    this.refused = refused;
    this.full = request.full;
    this.signal = request.signal;
    this.nowMs = request.now();
    this.scope = scopeOf(request.only, opening, this.port);
  }

  /** Throws FirnError (usage) for a word in `only` that is nothing. */
  static async open(request: DoctorRequest & { port: Port }): Promise<DoctorContext> {
    const { only = [], full = false, now = Date.now, onProgress = () => undefined } = request;
    const { signal = new AbortController().signal } = request;
    const disk = forgiving(request.port);
    if (request.port.stat(request.directory)?.kind !== 'directory') {
      throw new FirnError('usage', 'there is no such folder', { path: request.directory });
    }
    const opening = await openForDoctor(request.directory, disk.port, now);
    return new DoctorContext(opening, disk, { port: request.port, only, full, now, signal, onProgress });
  }

  async close(): Promise<void> {
    await this.workers.close();
    if (this.memo.has('engine')) await this.engine()?.workers.close();
  }

  /** Whether it is limited to some things: what is not of a run or a reference is passed over then. */
  get isLimited(): boolean {
    return this.scope.paths !== undefined;
  }

  /** The steps to look at, in the order of a build. */
  get steps(): readonly Step[] {
    return this.scope.steps;
  }

  /** The targets they are of; undefined when all are asked about. */
  get targets(): ReadonlySet<string> | undefined {
    return this.scope.targets;
  }

  /** Whether a path, relative to the project, is among what is to be looked at. */
  includes(path: string): boolean {
    return this.scope.paths === undefined || isWithinAny(path, this.scope.paths);
  }

  /** What the system refused in the project. */
  refusedHere(): [path: string, error: unknown][] {
    return [...this.refused].filter(([path]) => path === this.root || path.startsWith(`${this.root}${sep}`));
  }

  /** As findings name it. */
  shown(path: string): string {
    return shownIn(this.root, path);
  }

  /** What several checks ask for; a failure is each asker's. */
  private once<T>(name: string, find: () => T): T {
    let known = this.memo.get(name);
    if (known === undefined) {
      try {
        known = { value: find() };
      } catch (error) {
        known = { error };
      }
      this.memo.set(name, known);
    }
    if ('error' in known) throw known.error;
    return known.value as T;
  }

  discovered(): Discovered {
    return this.once('discovered', () => discoverRuns(this.port, join(this.root, this.opening.runsDir)));
  }

  /** Whether no such run (`dataset/run`) is on disk; what may not be read is not gone. */
  isGone(name: string): boolean {
    const present = this.once('present', () => new Set(this.discovered().runs.map((run) => run.name)));
    if (present.has(name)) return false;
    const [dataset, run] = name.split('/');
    const folder = join(this.root, this.opening.runsDir);
    return ![folder, join(folder, dataset), join(folder, dataset, run)].some((path) =>
      this.refused.has(path),
    );
  }

  /** Whether a run (`dataset/run`) is archived, also where that run is not asked about. */
  isArchived(name: string): boolean {
    return this.once('archived names', () => new Set(this.discovered().archived.map((run) => run.name))).has(
      name,
    );
  }

  /** Runs whose files are elsewhere. */
  archived(): Run[] {
    return this.once('archived', () =>
      this.discovered().archived.filter((run) => this.includes(this.shown(run.directory))),
    );
  }

  runs(): Run[] {
    return this.once('runs', () =>
      this.discovered().runs.filter((run) => this.includes(this.shown(run.directory))),
    );
  }

  /** By name. */
  looks(): Promise<Map<string, RunLook>> {
    return this.once('looks', () => lookAtRuns(this.port, this.runs(), this.signal));
  }

  /** By name, of the runs that can be opened. Reads every byte. */
  contents(): Promise<Map<string, RunContent>> {
    return this.once('contents', async () => {
      const looks = [...(await this.looks()).values()].filter(
        ({ npy, npz }) => (npy ?? npz)?.shape !== undefined,
      );
      const contents = new Map<string, RunContent>();
      const recordedBytes = (path: string) => this.engine()?.records.bytesOf(this.shown(path));
      for (const { npy, npz } of looks) this.expect((npy?.stat.size ?? 0) + (npz?.stat.size ?? 0));
      await atOnce(this.workers.size, looks, async (look) => {
        const { port, workers, signal } = this;
        const onBytes = (bytes: number) => this.progress(bytes);
        contents.set(
          look.run.name,
          await readContent(look, { port, workers, signal, onBytes, recordedBytes }),
        );
      });
      return contents;
    });
  }

  /** In the order of their folders. */
  references(): Promise<ReferenceLook[]> {
    return this.once('references', async () => {
      const found: ReferenceLook[] = [];
      for (const directory of this.referenceFolders()) {
        const look = await lookAtReference(this.port, this.root, directory);
        if (look !== undefined) found.push(look);
      }
      return found;
    });
  }

  private referenceFolders(): string[] {
    const folders = new Set([DEFAULT_REFERENCE]);
    for (const { rule, out, from } of this.opening.pipeline?.targets.values() ?? []) {
      if (rule.name === 'consolidate') for (const path of out) folders.add(path);
      if (rule.name === 'index')
        for (const name of from) if (!this.opening.pipeline?.targets.has(name)) folders.add(name);
    }
    for (const { name, kind } of this.port.list(join(this.root, DATA)))
      if (kind === 'directory') folders.add(`${DATA}/${name}`);
    const { paths, named } = this.scope;
    if (paths === undefined) return [...folders].sort();
    const above = new Set([...paths].flatMap(foldersAbove));
    const asked = [...folders].filter((folder) => this.includes(folder) || above.has(folder));
    // A folder that is named may be a reference that no target knows.
    return [...new Set([...asked, ...named])].sort();
  }

  /** Records and remembered digests; undefined where the cache cannot be opened, which its own check tells. */
  engine(): OpenContext | undefined {
    return this.once('engine', () => {
      const { port, root, cacheDirectory, signal } = this;
      const { cacheLimit } = this.opening;
      const options = { port, root, cacheDirectory, cacheLimit, digesters: digestersOf(root), signal };
      try {
        return openRecovered({ ...options, emit: () => undefined, now: this.request.now }, !this.full);
      } catch {
        return undefined;
      }
    });
  }

  /** Who works in this project now, or left the lock of it. */
  lock(): FoundLock | undefined {
    return this.once('lock', () => readLock(this.port, lockIn(this.cacheDirectory)));
  }

  registry(): Registry {
    return this.once('registry', () => loadRegistry(this.port, join(this.root, this.opening.versionsFile)));
  }

  /** The model version of a run: from the registry, or as it says itself. */
  versionOf(run: Run): string | undefined {
    return this.once(`version of ${run.name}`, () => this.taggedVersion(run) ?? this.ownVersion(run));
  }

  taggedVersion({ name }: Run): string | undefined {
    try {
      return versionOf(this.registry(), name);
    } catch {
      return undefined;
    }
  }

  ownVersion({ directory }: Run): string | undefined {
    return versionInFacts(this.port, `${directory}${sep}${RUN_FACTS_FILE}`);
  }

  /** `sha256:` of the bytes of a file, read once whoever asks. */
  fileDigest(path: string): Promise<string> {
    let known = this.digests.get(path);
    if (known === undefined) {
      this.expect(this.port.stat(path)?.size ?? 0);
      const { port, workers, signal } = this;
      known = fileDigest(port, path, { workers, signal, onBytes: (bytes) => this.progress(bytes) });
      this.digests.set(path, known);
    }
    return known;
  }

  /** For work that counts in units of its own: so many bytes are read while it goes from nothing to all. */
  share(bytes: number): (done: number, total: number) => void {
    this.expect(bytes);
    let told = 0;
    return (done, total) => {
      const now = total === 0 ? bytes : Math.min(bytes, Math.floor((bytes * done) / total));
      if (now <= told) return;
      this.progress(now - told);
      told = now;
    };
  }

  /** So many bytes are going to be read, as far as that can be told beforehand. */
  foretell(bytes: number): void {
    this.foretold = bytes;
  }

  /** More bytes are going to be read. */
  private expect(bytes: number): void {
    this.total += bytes;
    this.progress(0);
  }

  private progress(bytes: number): void {
    this.done += bytes;
    this.request.onProgress(this.done, Math.max(this.total, this.foretold));
  }
}
