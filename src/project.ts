/** A project on disk, loaded and expanded: what every command starts from. Prints nothing and changes nothing. */
import { setMaxListeners } from 'node:events';
import { dirname, join, relative, resolve } from 'node:path';
import { checkWholeNumber } from './check-number.js';
import { runBuild } from './engine/build.js';
import { type BuildOptions, lockIn, recordsIn } from './engine/context.js';
import type { BuildEvent, BuildSummary } from './engine/events.js';
import type { Failures } from './engine/failures.js';
import { buildGraph, type StepGraph, selectSteps } from './engine/graph.js';
import { describeHolder, readLock } from './engine/lock.js';
import { type PlannedStep, planBuild } from './engine/plan.js';
import { Records } from './engine/records.js';
import { fileDigest } from './engine/store.js';
import type { Digester, Reason, Step } from './engine/types.js';
import { FirnError } from './errors.js';
import { disk } from './files/disk.js';
import { glanceAt } from './files/glance.js';
import type { Port, ReadPort } from './files/port.js';
import { expandPipeline } from './pipeline/expand.js';
import { DEFAULT_RUNS, DEFAULT_VERSIONS, loadPipeline, type Pipeline } from './pipeline/load.js';
import { suggest } from './pipeline/nearest.js';
import { CACHE_FOLDER, PIPELINE_FILE } from './pipeline/project-path.js';
import { recallPipeline, rememberPipeline } from './pipeline/remembered.js';
import { findRule, ruleNames } from './pipeline/rules.js';
import type { IgnoredRun, Run } from './runs/discover.js';
import { runDigester } from './runs/run-array.js';

export { CACHE_FOLDER, PIPELINE_FILE };

/** bytes; people write far less */
const PIPELINE_LIMIT = 1024 * 1024;

export interface ProjectOptions {
  /** The folder of pipeline.yaml. */
  directory: string;
  port?: Port;
  /** milliseconds since 1970 */
  now?: () => number;
}

export interface Project {
  /** Absolute. */
  root: string;
  port: Port;
  /** The disk as the steps were found on it. Used up by the first plan or build: afterwards the disk may be another. */
  glance: Port;
  now: () => number;
  pipeline: Pipeline;
  graph: StepGraph;
  archived: Run[];
  ignored: IgnoredRun[];
  /** What the rules said while the targets were expanded. */
  warnings: string[];
  digesters: ReadonlyMap<string, Digester>;
  /** What is to be remembered of its pipeline.yaml once a build may write. */
  onBuilt?: () => Promise<void>;
}

/** What to build, and how. */
export interface BuildRequest {
  /** Names of targets, which stand for all they depend on; every target when empty. */
  targets?: readonly string[];
  /** Build the named targets (all when none is named) whatever their state, and overwrite files that firn did not write. */
  force?: boolean;
  /** How many independent steps run side by side (1). */
  jobs?: number;
  /** Go on past a failure with what does not depend on it. */
  keepGoing?: boolean;
  signal?: AbortSignal;
  /** Told everything that happens, in order. */
  onEvent?: (event: BuildEvent) => void;
}

/** Absolute. What Node shows for a name that is not UTF-8 may be that of another folder: then it is refused. */
export function rootAt(port: Port, directory: string): string {
  const root = resolve(directory);
  if (!root.includes('\ufffd') || port.stat(directory)?.ino === port.stat(root)?.ino) return root;
  throw new FirnError('usage', 'the path of this folder is not UTF-8', {
    path: root,
    advice: 'Rename the folder, or the one above that it is in.',
  });
}

/** What only those need who build again and again. */
export interface RepeatedBuild {
  /** What another build is told that waits for this one (`firn build`). */
  command?: string;
  /** As in BuildOptions. */
  holdBack?: (step: Step) => Reason | undefined;
  failures?: Failures;
}

/** Reads pipeline.yaml and expands it. Throws FirnError, with the line, for anything wrong in it. */
export async function openProject(options: ProjectOptions): Promise<Project> {
  const { port = disk, now = Date.now } = options;
  const place = { root: rootAt(port, options.directory), port, now };
  const text = readPipelineText(port, place.root);
  const known = await recall(port, place.root, text);
  try {
    if (known !== undefined) return projectOf(known, place);
  } catch {
    // What is remembered has no places: the same is found again below, and told with its line.
  }
  const pipeline = await load(port, place.root, text);
  const project = projectOf(pipeline, place);
  project.onBuilt = () => rememberPipeline(port, rememberedIn(place.root), text, pipeline);
  return project;
}

/** A project with a pipeline that does not come from its file: for commands that build one target of their own. */
export function projectOf(pipeline: Pipeline, place: Pick<Project, 'root' | 'port' | 'now'>): Project {
  const { root, port, now } = place;
  const glance = glanceAt(port);
  const wasWritten = (path: string): boolean =>
    new Records(port, recordsIn(join(root, CACHE_FOLDER))).forOutput(path) !== undefined;
  const { steps, ...found } = expandPipeline(pipeline, { port: glance, root, nowMs: now(), wasWritten });
  const graph = buildGraph(steps);
  return { ...place, ...found, glance, pipeline, graph, digesters: digestersOf(root) };
}

/** pipeline.yaml alone, without looking at runs. */
export async function readPipeline(port: Port, root: string): Promise<Pipeline> {
  const text = readPipelineText(port, root);
  return (await recall(port, root, text)) ?? load(port, root, text);
}

function recall(port: Port, root: string, text: string): Promise<Pipeline | undefined> {
  return recallPipeline(port, rememberedIn(root), text, (name) => findRule(port, root, name, true));
}

function load(port: Port, root: string, text: string): Promise<Pipeline> {
  return loadPipeline(PIPELINE_FILE, text, (name) => findRule(port, root, name), ruleNames(port, root));
}

function rememberedIn(root: string): string {
  return join(root, CACHE_FOLDER, 'pipeline.jsonl');
}

function readPipelineText(port: Port, root: string): string {
  const path = join(root, PIPELINE_FILE);
  const stat = port.stat(path);
  if (stat?.kind === 'directory') {
    throw new FirnError('usage', 'is a folder, expected a file', {
      path: PIPELINE_FILE,
      advice: 'Move it away, or put the file in its place.',
    });
  }
  if (stat !== undefined && (stat.kind !== 'file' || stat.size > PIPELINE_LIMIT)) {
    throw new FirnError('usage', 'is no text of at most 1 MiB', { path: PIPELINE_FILE });
  }
  const text = port.readText(path, PIPELINE_LIMIT);
  if (text === undefined) throw noPipeline(port, root);
  return text;
}

function noPipeline(port: ReadPort, root: string): FirnError {
  const kind = port.stat(root)?.kind;
  if (kind !== 'directory') {
    const message = kind === undefined ? 'there is no such folder' : 'is no folder';
    return new FirnError('usage', message, { path: root, advice: 'Name the folder of pipeline.yaml.' });
  }
  const above = projectAbove(port, root);
  return new FirnError('usage', 'there is no pipeline.yaml here', {
    path: root,
    advice:
      above === undefined
        ? 'Go to the folder that has one, name it with -C DIR, or write one with `firn init`.'
        : `There is one in ${above}: go there, or use \`firn -C ${relative(root, above)}\`.`,
  });
}

/** The nearest folder above that has a pipeline.yaml. */
function projectAbove(port: ReadPort, root: string): string | undefined {
  for (let at = dirname(root); ; at = dirname(at)) {
    if (port.stat(join(at, PIPELINE_FILE))?.kind === 'file') return at;
    if (dirname(at) === at) return undefined;
  }
}

/** How inputs of each kind are digested in the project at `root`. */
export function digestersOf(root: string): ReadonlyMap<string, Digester> {
  return new Map<string, Digester>([
    [
      'file',
      {
        files: (path) => [path],
        async digest(path, { port, signal, onBytes, workers }) {
          const stat = port.stat(join(root, path));
          if (stat === undefined) return undefined;
          if (stat.kind !== 'file') {
            throw new FirnError('input', 'is no file', {
              path,
              advice: 'Name the files in it, or a pattern such as folder/*.',
            });
          }
          return { digest: await fileDigest(port, join(root, path), { signal, onBytes, workers }) };
        },
      },
    ],
    ['run', runDigester(root)],
  ]);
}

/** Does what is stale. Failed steps are in the summary. */
export async function build(
  project: Project,
  request: BuildRequest & RepeatedBuild = {},
): Promise<BuildSummary> {
  const summary = await runBuild(takeGlance(project, engineOptions(project, request)));
  await project.onBuilt?.();
  return summary;
}

/** What `build` with the same request would do. Writes nothing. */
export function plan(project: Project, request: BuildRequest = {}): Promise<PlannedStep[]> {
  return planBuild(takeGlance(project, engineOptions(project, request)));
}

function takeGlance(project: Project, options: BuildOptions): BuildOptions {
  project.glance = glanceAt(project.port);
  return options;
}

/** Which other process builds in this project now; undefined when none does, or its process is surely gone. */
export function holderOf(project: Project): string | undefined {
  const found = readLock(project.port, lockIn(cacheDirectory(project)));
  return found === undefined || found.gone ? undefined : describeHolder(found.holder);
}

export function cacheDirectory(project: Project): string {
  return join(project.root, CACHE_FOLDER);
}

/** What the engine is told. Throws FirnError for a target that is not there. */
export function engineOptions(project: Project, request: BuildRequest & RepeatedBuild): BuildOptions {
  const { targets = [], force = false, signal = new AbortController().signal } = request;
  // Every program that runs listens to it, and with -j 20 that is no leak.
  setMaxListeners(0, signal);
  checkTargets(project.pipeline, targets);
  checkWholeNumber('jobs', request.jobs, 1);
  const forced = targets.length > 0 ? targets : [...project.pipeline.targets.keys()];
  return {
    port: project.port,
    glance: project.glance,
    root: project.root,
    cacheDirectory: cacheDirectory(project),
    cacheLimit: project.pipeline.cacheLimit,
    digesters: project.digesters,
    graph: project.graph,
    steps: selectSteps(project.graph, targets),
    force: new Set(force ? forced : []),
    jobs: request.jobs ?? 1,
    keepGoing: request.keepGoing ?? false,
    signal,
    emit: request.onEvent ?? (() => undefined),
    now: project.now,
    command: request.command ?? 'firn build',
    ...(request.holdBack === undefined ? {} : { holdBack: request.holdBack }),
    ...(request.failures === undefined ? {} : { failures: request.failures }),
  };
}

/** Throws FirnError (usage) for a name that no target has. */
export function checkTargets(pipeline: Pick<Pipeline, 'targets'>, targets: readonly string[]): void {
  const known = [...pipeline.targets.keys()];
  for (const name of targets) {
    if (known.includes(name)) continue;
    throw new FirnError('usage', `there is no target "${name}"`, {
      path: PIPELINE_FILE,
      advice: suggest(name, known),
    });
  }
}

export interface ProjectPlaces {
  /** Absolute. */
  root: string;
  pipeline: Pick<Pipeline, 'runsDir' | 'versionsFile'> &
    Partial<Pick<Pipeline, 'cacheLimit' | 'releasesDir' | 'targets'>>;
}

/**
 * Where runs and the registry are: as pipeline.yaml says, or the defaults where there is none. FirnError (usage) where there is
 * no such folder, and in a folder inside of a project, since finding nothing there would look like an answer; `anywhere` is for
 * what is named by a path of its own.
 */
export async function projectPlaces(
  directory: string,
  port: Port = disk,
  { anywhere = false } = {},
): Promise<ProjectPlaces> {
  const root = rootAt(port, directory);
  if (port.stat(join(root, PIPELINE_FILE)) !== undefined)
    return { root, pipeline: await readPipeline(port, root) };
  if (port.stat(root)?.kind !== 'directory') throw noPipeline(port, root);
  // There, "no run" would be no answer, and a registry would be lost.
  const isHere = [DEFAULT_RUNS, dirname(DEFAULT_VERSIONS)].some((path) => port.stat(join(root, path)));
  if (!anywhere && !isHere && projectAbove(port, root) !== undefined) throw noPipeline(port, root);
  return { root, pipeline: { runsDir: DEFAULT_RUNS, versionsFile: DEFAULT_VERSIONS } };
}
