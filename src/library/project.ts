/**
 * A project for other programs: what `firn build`, `build --dry-run` and `status` do, as functions. Prints nothing, ends
 * no process, keeps no state between calls; whatever a call needs is loaded when it is made.
 */
import { resolve } from 'node:path';
import type { BuildEvent, BuildSummary } from '../engine/events.js';
import type { PlannedStep } from '../engine/plan.js';
import type { BuildRequest, Project as LoadedProject } from '../project.js';
import type { TargetStatus } from '../status.js';
import type { VerifyReport } from '../verify.js';
import type { WatchOptions } from '../watch/watch.js';
import { DataManager } from './data-manager.js';
import type { ReleaseOptions, ReleaseResult, VerifyOptions } from './releases.js';

/** Which project. */
export interface ProjectOptions {
  /** The folder of pipeline.yaml; where the process is, unless told. */
  directory?: string;
}

/** What to look at. */
export interface PlanRequest {
  /** Names of targets, which stand for all they depend on; every target when empty. */
  targets?: readonly string[];
  /** As if the named targets (all when none is named) had to run whatever their state. */
  force?: boolean;
  /** The call then rejects with the signal's reason. */
  signal?: AbortSignal;
}

/** What to watch, and how. */
export type WatchRequest = Omit<WatchOptions, 'directory'>;

/** What a build would do. */
export interface BuildPlan {
  /** Whether there is nothing to do. */
  upToDate: boolean;
  /** In the order of a build. */
  steps: PlannedStep[];
  /** What a person should know though it is no mistake. */
  warnings: string[];
}

/** A target of pipeline.yaml. */
export interface TargetInfo {
  name: string;
  /** The name of its rule. */
  rule: string;
  /** Files and folders it makes, relative to the project; empty for rules that name them themselves. */
  out: string[];
}

/** A project. Every call looks at pipeline.yaml and the disk as they are then. */
export interface Project {
  /** Absolute. */
  readonly directory: string;
  /** Its runs, references and model versions. */
  readonly data: DataManager;
  /** In the order of pipeline.yaml. */
  targets(): Promise<TargetInfo[]>;
  /** What a build with the same request would do. Writes nothing. */
  plan(request?: PlanRequest): Promise<BuildPlan>;
  /** What is stale and what is fresh by target; with `targets`, those and what they depend on. Writes nothing. */
  status(request?: Omit<PlanRequest, 'force'>): Promise<TargetStatus[]>;
  /**
   * Builds what is stale. Steps that fail are in the summary and not thrown, and so are those that are interrupted when
   * the signal is aborted: running steps stop, no other starts, and every file is as it was. Waits for another build of
   * this project, and rejects with the signal's reason when it is aborted meanwhile. When `onEvent` throws, the build
   * stops and rejects with that.
   */
  build(request?: BuildRequest): Promise<BuildSummary>;
  /**
   * Builds now and at every change until the signal aborts, and resolves then; `interrupted`: a build was cut off by that.
   * Steps that fail are told and tried again when what they read has changed. When `onEvent` throws, the watch ends and
   * rejects with that.
   * @throws FirnError when pipeline.yaml is wrong at the beginning; later that is told, and the last good one stays in use
   */
  watch(request: WatchRequest): Promise<{ interrupted: boolean }>;
  /**
   * Copies a reference under a tag: immutable, checksummed, with its provenance. The same release again is found and not
   * made anew.
   * @throws FirnError usage for a tag or date that is none, missing without a reference, conflict when the tag stands for
   *   something else
   */
  release(tag: string, options?: ReleaseOptions): Promise<ReleaseResult>;
  /**
   * Reads every byte of a release (by its tag), a reference or another directory of firn's. What is not as it should be is
   * in the report and not thrown.
   * @throws FirnError missing or usage when there is no such thing
   */
  verify(tagOrDirectory: string, options?: VerifyOptions): Promise<VerifyReport>;
}

/**
 * Opens the project in a folder. Looks at nothing but pipeline.yaml, which is checked.
 * @throws FirnError usage when there is none or it is wrong: with `path`, `line` and `column`
 */
export async function openProject(options: ProjectOptions = {}): Promise<Project> {
  const directory = resolve(options.directory ?? '.');
  const { readPipeline } = await import('../project.js');
  const { disk } = await import('../files/disk.js');
  await readPipeline(disk, directory);
  return {
    directory,
    data: new DataManager({ directory }),
    async targets() {
      const { targets } = await readPipeline(disk, directory);
      return [...targets.values()].map(({ name, rule, out }) => ({ name, rule: rule.name, out: [...out] }));
    },
    async plan(request = {}) {
      const { plan } = await import('../project.js');
      const project = await load(directory);
      const steps = await plan(project, request);
      const upToDate = steps.every((step) => step.action === 'fresh');
      return { upToDate, steps, warnings: warningsOf(project) };
    },
    async status(request = {}) {
      const { targetStatus } = await import('../status.js');
      return targetStatus(await load(directory), request);
    },
    build: (request = {}) => build(directory, request),
    async watch(request) {
      const { watchProject } = await import('../watch/watch.js');
      return watchProject({ ...request, directory });
    },
    async release(tag, options = {}) {
      const { makeRelease } = await import('./releases.js');
      return makeRelease(directory, tag, options);
    },
    async verify(text, options = {}) {
      const { verify } = await import('./releases.js');
      return verify(directory, text, options);
    },
  };
}

async function build(directory: string, request: BuildRequest): Promise<BuildSummary> {
  const { build: run } = await import('../project.js');
  const { signal, onEvent } = request;
  const stop = new AbortController();
  let broken: { error: unknown } | undefined;
  const tell = (event: BuildEvent): void => {
    if (broken !== undefined) return;
    try {
      onEvent?.(event);
    } catch (error) {
      // Not through the engine, which would take it for the failure of a step.
      broken = { error };
      stop.abort(error);
    }
  };
  signal?.throwIfAborted();
  const project = await load(directory);
  for (const message of warningsOf(project)) tell({ type: 'warning', message });
  const signals = signal === undefined ? stop.signal : AbortSignal.any([signal, stop.signal]);
  try {
    const summary = await run(project, { ...request, signal: signals, onEvent: tell });
    if (broken === undefined) return summary;
  } catch (error) {
    if (broken === undefined) throw signal?.aborted ? signal.reason : error;
  }
  throw broken.error;
}

async function load(directory: string): Promise<LoadedProject> {
  const project = await import('../project.js');
  return project.openProject({ directory });
}

function warningsOf({ warnings, ignored }: LoadedProject): string[] {
  return [...warnings, ...ignored.map(({ path, reason }) => `passed over ${path}: it ${reason}`)];
}
