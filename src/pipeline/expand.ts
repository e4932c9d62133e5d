/**
 * Pipeline and disk -> steps. Pure over an injected view: nothing is written, nothing is digested. Runs and files that a
 * step will make count as if they were there, which is why expansion repeats until it settles.
 */
import { join, relative, sep } from 'node:path';
import { findCycle } from '../engine/graph.js';
import type { ExpandView, FileMatch, KnownRun, RunFilter, Step, StepDraft } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { byName, type Discovered, discoverRuns, type IgnoredRun, type Run } from '../runs/discover.js';
import { RUN_FACTS_FILE, versionInFacts } from '../runs/run-facts.js';
import { selectRuns } from '../runs/select.js';
import { loadRegistry, type Registry, versionOf } from '../runs/versions.js';
import { textOf } from '../system-errors.js';
import { checkDrafts, checkSteps } from './check-steps.js';
import type { Pipeline, Target } from './load.js';
import { findFiles, isPattern, matchPattern } from './pattern.js';

export interface ExpandOptions {
  port: ReadPort;
  /** Absolute. */
  root: string;
  nowMs: number;
  /** Of a path of the project, as in ExpandView. */
  wasWritten: (path: string) => boolean;
}

export interface Expansion {
  steps: Step[];
  /** Runs whose files are elsewhere. The steps that made them are left out until they are restored. */
  archived: Run[];
  /** What is passed over, and why: folders in the runs folder, files that a pattern matches. */
  ignored: IgnoredRun[];
  /** What rules had to say, `target: message`. */
  warnings: string[];
}

/** Throws FirnError for a target that cannot be expanded, with its place in pipeline.yaml. */
export function expandPipeline(pipeline: Pipeline, options: ExpandOptions): Expansion {
  const order = orderTargets(pipeline);
  const discovered = discoverRuns(options.port, join(options.root, pipeline.runsDir));
  const world = new World(pipeline, options, discovered);
  let steps: Step[] = [];
  // What one target makes another may need, and so on through all of them; after that only a circle goes on.
  const ignored = (): IgnoredRun[] => [...discovered.ignored, ...world.passedOver.values()];
  for (let rounds = order.length + 2; ; rounds--) {
    const before = fingerprint(steps);
    const known = new Set(steps.map((step) => step.id));
    const expanded = expandOnce(order, world);
    steps = expanded.steps;
    const settled = !world.minds(steps) || fingerprint(steps) === before;
    // Two steps with one output may be why another target finds nothing.
    if (settled) checkSteps(pipeline, steps);
    if (expanded.error !== undefined && (settled || rounds === 0)) {
      const passed = ignored().map(
        ({ path, reason }) => `passed over ${relative(options.root, path)}: it ${reason}`,
      );
      throw withNotes(expanded.error, [...expanded.warnings, ...passed]);
    }
    if (settled) {
      return { steps, archived: discovered.archived, ignored: ignored(), warnings: expanded.warnings };
    }
    if (rounds === 0) throw endless(pipeline, steps.find((step) => !known.has(step.id)) ?? steps[0]);
    world.learn(steps);
  }
}

/** As many as an error can hold. */
const NOTES = 5;

/** The error, and what else was found out: one target may lack what another one should have made. */
function withNotes(error: unknown, notes: readonly string[]): unknown {
  if (!(error instanceof FirnError) || notes.length === 0) return error;
  const { kind, message, advice, path, line, column, cause } = error;
  const lines = [...(advice === undefined ? [] : [advice]), ...notes.slice(0, NOTES)];
  if (notes.length > NOTES) lines.push(`and ${notes.length - NOTES} more such notes`);
  return new FirnError(kind, message, {
    ...(path === undefined ? {} : { path }),
    ...(line === undefined ? {} : { line }),
    ...(column === undefined ? {} : { column }),
    advice: lines.join('\n  '),
    cause,
  });
}

function endless(pipeline: Pipeline, step: Step): Error {
  const target = pipeline.targets.get(step.target) as Target;
  const advice = 'A target must not match its own outputs, directly or through others.';
  return target.error(
    `${step.target} keeps finding new inputs among what is made, such as ${step.inputs[0]?.path}`,
    advice,
  );
}

/** A target that finds nothing may find it in the next round: the first error counts once nothing changes any more. */
function expandOnce(
  order: readonly Target[],
  world: World,
): { steps: Step[]; warnings: string[]; error?: unknown } {
  const warnings: string[] = [];
  const byTarget = new Map<string, Step[]>();
  let first: { error: unknown } | undefined;
  for (const target of order) {
    let drafts: StepDraft[] = [];
    try {
      drafts = expandTarget(
        target,
        world.viewFor(byTarget, (message) => warnings.push(`${target.name}: ${message}`)),
      );
    } catch (error) {
      first ??= { error };
    }
    drafts = drafts.filter((draft) => !world.isArchived(draft));
    byTarget.set(
      target.name,
      drafts.map((draft) => ({ ...draft, target: target.name, rule: target.rule })),
    );
  }
  return { steps: [...byTarget.values()].flat(), warnings, ...first };
}

/** Changes exactly when another round could see something new. */
function fingerprint(steps: readonly Step[]): string {
  return steps
    .map((step) => `${step.id}\0${step.outputs.map((output) => output.path).join('\0')}`)
    .join('\n');
}

function expandTarget(target: Target, view: ExpandView): StepDraft[] {
  try {
    const drafts = target.rule.expand(target, view);
    checkDrafts(target, drafts, view.runsDir);
    return drafts;
  } catch (error) {
    if (!(error instanceof FirnError))
      throw target.error(`the rule ${target.rule.name} cannot say what to do: ${textOf(error)}`);
    // What a rule asks of the view may be wrong in a way that knows no file; here its place is known.
    if (error.kind !== 'usage' || error.path !== undefined) throw error;
    throw target.error(error.message, error.advice);
  }
}

/** Targets after those they are made from; a circle is an error. */
function orderTargets(pipeline: Pipeline): Target[] {
  const names = new Set(pipeline.targets.keys());
  const makers = new Map(
    [...pipeline.targets.values()].flatMap(({ name, out }) => out.map((path) => [path, name] as const)),
  );
  const makerOf = (from: string) => (names.has(from) ? from : makerOfPath(makers, from));
  const upstream = new Map(
    [...pipeline.targets].map(([name, target]) => [
      name,
      target.from.flatMap((from) => makerOf(from) ?? []).filter((maker) => maker !== name),
    ]),
  );
  const circle = findCycle(upstream, names);
  if (circle.length > 0) {
    const target = pipeline.targets.get(circle[0]) as Target;
    const at = target.from.findIndex((from) => makerOf(from) === circle[1]);
    throw target.error(
      `these targets are made from each other: ${circle.join(' -> ')}`,
      'Take one of them out of `from`.',
      `from.${at}`,
    );
  }
  const done = new Set<string>();
  const order: Target[] = [];
  const visit = (name: string): void => {
    if (done.has(name)) return;
    done.add(name);
    for (const before of upstream.get(name) ?? []) visit(before);
    order.push(pipeline.targets.get(name) as Target);
  };
  for (const name of names) visit(name);
  return order;
}

/** The target whose `out` is this file or a folder that holds it. */
function makerOfPath(makers: ReadonlyMap<string, string>, path: string): string | undefined {
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1)) {
    const maker = makers.get(path.slice(0, end));
    if (maker !== undefined) return maker;
  }
  return undefined;
}

interface Known {
  runs: Run[];
  /** Those that are not archived. */
  here: Run[];
  /** By name. */
  views: Map<string, KnownRun>;
}

/** A run as rules see it. A class, since there may be thousands, and a getter of its own in each would cost most. */
class RunView implements KnownRun {
  readonly name: string;
  readonly dataset: string;
  readonly run: string;
  readonly hasNpy: boolean;
  readonly hasNpz: boolean;
  readonly archived: boolean;
  readonly #source: Run;
  readonly #versionOf: (run: Run) => string | undefined;
  /** Looked up once: it may stand in a file. */
  #version: { is: string | undefined } | undefined;

  constructor(
    source: Run,
    readonly directory: string,
    readonly made: boolean,
    versionOf: (run: Run) => string | undefined,
  ) {
    this.name = source.name;
    this.dataset = source.dataset;
    this.run = source.run;
    this.hasNpy = source.npy !== undefined;
    this.hasNpz = source.npz !== undefined;
    this.archived = !made && !this.hasNpy && !this.hasNpz;
    this.#source = source;
    this.#versionOf = versionOf;
  }

  get version(): string | undefined {
    this.#version ??= { is: this.#versionOf(this.#source) };
    return this.#version.is;
  }
}

/** What is on disk together with what steps will make. */
class World {
  private made = new Map<string, { run: Run; version: string | undefined }>();
  private madeFiles: string[] = [];
  private registry: Registry | undefined;
  private known: Known | undefined;
  private askedForFiles = false;
  /** What matched a pattern and cannot be read. */
  readonly passedOver = new Map<string, IgnoredRun>();
  /** Their folders, relative to the project. */
  private readonly archivedRuns: ReadonlySet<string>;

  constructor(
    private readonly pipeline: Pipeline,
    private readonly options: ExpandOptions,
    private readonly discovered: Discovered,
  ) {
    this.archivedRuns = new Set(
      discovered.archived.map(({ dataset, run }) => `${pipeline.runsDir}/${dataset}/${run}`),
    );
  }

  /** Whether a step would make only runs that were archived: they stay as they are until they are restored. */
  isArchived({ outputs }: StepDraft): boolean {
    if (this.archivedRuns.size === 0) return false;
    const runs = outputs.filter(({ kind }) => kind === 'run');
    return (
      runs.length > 0 && runs.every(({ path }) => this.archivedRuns.has(path.slice(0, path.lastIndexOf('/'))))
    );
  }

  /** Whether anything asked of this world so far could come out otherwise by what these steps make. */
  minds(steps: readonly Step[]): boolean {
    return this.askedForFiles || steps.some(({ outputs }) => outputs.some(({ kind }) => kind === 'run'));
  }

  learn(steps: readonly Step[]): void {
    this.made = new Map();
    this.madeFiles = [];
    this.known = undefined;
    for (const step of steps) {
      for (const output of step.outputs) {
        this.madeFiles.push(output.path);
        if (output.kind !== 'run') continue;
        const directory = output.path.slice(0, output.path.lastIndexOf('/'));
        const [dataset, run] = directory.split('/').slice(-2);
        const params = step.params as { version?: unknown } | null;
        this.made.set(`${dataset}/${run}`, {
          run: { name: `${dataset}/${run}`, dataset, run, directory: join(this.options.root, directory) },
          version: typeof params?.version === 'string' ? params.version : undefined,
        });
      }
    }
  }

  viewFor(byTarget: ReadonlyMap<string, Step[]>, warn: (message: string) => void): ExpandView {
    return {
      port: this.options.port,
      root: this.options.root,
      runsDir: this.pipeline.runsDir,
      versionsFile: this.pipeline.versionsFile,
      releasesDir: this.pipeline.releasesDir,
      wasWritten: this.options.wasWritten,
      warn,
      runs: (filter, options) => this.runs(filter, options?.archived ?? false),
      files: (pattern) => this.files(pattern),
      target: (name) => {
        const steps = byTarget.get(name);
        return steps === undefined ? undefined : { steps, out: this.pipeline.targets.get(name)?.out ?? [] };
      },
    };
  }

  private runs(filter: RunFilter, withArchived: boolean): KnownRun[] {
    this.known ??= this.knownRuns();
    const { runs, here, views } = this.known;
    const selected = selectRuns(withArchived ? runs : here, filter, {
      versionOf: (name) => views.get(name)?.version,
      nowMs: this.options.nowMs,
    });
    return selected.map((run) => views.get(run.name) as KnownRun);
  }

  /** Those on disk, those that are archived and those that are made, sorted by name. */
  private knownRuns(): Known {
    const { runs: here, archived } = this.discovered;
    const all = new Map([...archived, ...here].map((run) => [run.name, run]));
    for (const [name, { run }] of this.made) if (!all.has(name)) all.set(name, run);
    const runs = [...all.values()].sort(byName);
    const versionOf = (run: Run) => this.versionOf(run.name, run);
    const views = new Map<string, KnownRun>();
    for (const run of runs) {
      const directory = `${this.pipeline.runsDir}/${run.dataset}/${run.run}`;
      views.set(run.name, new RunView(run, directory, this.made.has(run.name), versionOf));
    }
    return { runs, here: runs.filter((run) => !views.get(run.name)?.archived), views };
  }

  /** From the registry, the target that makes the run, or the facts beside it. Two different answers are an error. */
  private versionOf(name: string, run: Run): string | undefined {
    this.registry ??= loadRegistry(this.options.port, join(this.options.root, this.pipeline.versionsFile));
    const tagged = versionOf(this.registry, name);
    const facts = this.made.has(name)
      ? this.made.get(name)?.version
      : versionInFacts(this.options.port, `${run.directory}${sep}${RUN_FACTS_FILE}`);
    if (tagged !== undefined && facts !== undefined && tagged !== facts) {
      throw new FirnError(
        'conflict',
        `run ${name} is in two versions: the registry says "${tagged}", the run itself "${facts}"`,
        {
          path: this.pipeline.versionsFile,
          advice: `Tag it again: firn versions tag-run ${name} --version ${facts} --force`,
        },
      );
    }
    return tagged ?? facts;
  }

  private files(pattern: string): FileMatch[] {
    this.askedForFiles = true;
    if (!isPattern(pattern)) {
      const there = this.options.port.stat(join(this.options.root, pattern))?.kind === 'file';
      return there || this.madeFiles.includes(pattern) ? [{ path: pattern, wildcards: {} }] : [];
    }
    const matches = new Map(
      findFiles(this.options.port, this.options.root, pattern, (path, reason) =>
        this.passedOver.set(path, { path: join(this.options.root, path), reason }),
      ).map((match) => [match.path, match]),
    );
    for (const path of this.madeFiles) {
      const wildcards = matchPattern(pattern, path);
      if (wildcards !== undefined) matches.set(path, { path, wildcards });
    }
    return [...matches.values()].sort((a, b) => (a.path < b.path ? -1 : a.path > b.path ? 1 : 0));
  }
}
