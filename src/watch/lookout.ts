/**
 * One look after another at a project: what its pipeline comes to now, which inputs are still being written, and what has
 * to be left alone for that. Remembers the last pipeline that could be used. Builds nothing.
 */
import { join } from 'node:path';
import { atOnce } from '../at-once.js';
import { recordsIn } from '../engine/context.js';
import { selectSteps } from '../engine/graph.js';
import { labelOf } from '../engine/manifest.js';
import { Records } from '../engine/records.js';
import type { Reason, Step } from '../engine/types.js';
import type { Port } from '../files/port.js';
import type { Pipeline } from '../pipeline/load.js';
import {
  CACHE_FOLDER,
  checkTargets,
  openProject,
  type Project,
  projectOf,
  readPipeline,
} from '../project.js';
import { hiding } from './hidden.js';
import { type Arrival, arrivalsOf, missingOf, touchedBy } from './inputs.js';
import { RuleImports } from './rule-imports.js';
import { Settling, type Unsettled } from './settling.js';
import { watchedFolders } from './watched-folders.js';

/** Array files that are looked into at a time. */
const CHECKS = 8;

export interface LookoutOptions {
  /** Absolute. */
  root: string;
  port: Port;
  targets: readonly string[];
  settleMs: number;
  /** milliseconds since 1970 */
  now: () => number;
  /** milliseconds, never set back */
  clock: () => number;
}

export interface Sight {
  /** Undefined when nothing can be made of pipeline.yaml. */
  project: Project | undefined;
  /** Why pipeline.yaml, or what is on the disk for it, cannot be used. */
  problem: unknown;
  unsettled: Unsettled[];
  /** Besides those of the project. */
  warnings: string[];
  holdBack: (step: Step) => Reason | undefined;
  /** Absolute; where changes would show. */
  folders: Set<string>;
}

export class Lookout {
  private readonly settling: Settling;
  private readonly imports: RuleImports;
  private usable: Pipeline | undefined;
  private steps: readonly Step[] = [];

  constructor(private readonly options: LookoutOptions) {
    this.settling = new Settling(options.settleMs);
    this.imports = new RuleImports(options.port, options.root);
  }

  /** Throws FirnError when pipeline.yaml is wrong, or has no such target. What is on the disk does not matter. */
  async checkPipeline(): Promise<void> {
    const { port, root, targets } = this.options;
    const pipeline = await readPipeline(port, root);
    checkTargets(pipeline, targets);
    this.usable = pipeline;
  }

  async look(): Promise<Sight> {
    const { root, port, targets } = this.options;
    const { project, problem } = await this.open(port);
    const sight: Sight = {
      project,
      problem,
      unsettled: [],
      warnings: [],
      holdBack: () => undefined,
      folders: new Set([root]),
    };
    if (project === undefined) {
      if (this.usable !== undefined) sight.folders = watchedFolders(this.usable, [], { port, root });
      return sight;
    }
    const steps = selectSteps(project.graph, targets);
    sight.folders = watchedFolders(project.pipeline, project.graph.order, { port: project.glance, root });
    const arrivals = this.arrivals(project, steps);
    sight.unsettled = await this.settle(arrivals);
    this.steps = steps;
    const reasons = new Map<string, Reason>();
    if (sight.unsettled.length > 0) {
      const { visible, held } = await this.leaveOut(
        project,
        problem !== undefined,
        sight.unsettled,
        arrivals,
      );
      sight.project = visible;
      for (const [step, input] of held) reasons.set(step, reasonOf(input));
    }
    const changed = this.imports.changed();
    if (changed !== undefined) {
      const text = `${changed} changed, and what a rule imports is loaded once: start firn watch again`;
      for (const { id, rule } of steps) if (rule.own) reasons.set(id, { code: 'rule', text });
      sight.warnings = [text];
    }
    sight.holdBack = ({ id }) => reasons.get(id);
    return sight;
  }

  /** The steps that were just done change some of the inputs themselves. */
  done(ids: ReadonlySet<string>): void {
    this.settling.expectChange(this.steps.filter(({ id }) => ids.has(id)).flatMap(touchedBy));
  }

  private async open(port: Port): Promise<{ project: Project | undefined; problem: unknown }> {
    const { root, now, targets } = this.options;
    try {
      const project = await openProject({ directory: root, port, now });
      checkTargets(project.pipeline, targets);
      this.usable = project.pipeline;
      return { project, problem: undefined };
    } catch (problem) {
      if (this.usable === undefined) return { project: undefined, problem };
      try {
        return { project: projectOf(this.usable, { root, port, now }), problem };
      } catch {
        return { project: undefined, problem };
      }
    }
  }

  private arrivals({ glance, graph }: Project, steps: readonly Step[]): Map<string, Arrival> {
    const { root, now, settleMs } = this.options;
    const oldBefore = BigInt(Math.floor(now() - settleMs)) * 1_000_000n;
    return arrivalsOf(steps, graph.order, { port: glance, root, oldBefore });
  }

  private async settle(arrivals: ReadonlyMap<string, Arrival>): Promise<Unsettled[]> {
    const { port, root, clock } = this.options;
    const at = clock();
    const unchecked = this.settling.see([...arrivals.values()], at);
    await atOnce(CHECKS, unchecked, async (id) => {
      this.settling.check(id, await missingOf(arrivals.get(id) as Arrival, port, root));
    });
    return this.settling.unsettled(at);
  }

  /**
   * New inputs that are not settled are not there yet; steps that read one which was there before are held back, since
   * without it they would make something else.
   */
  private async leaveOut(
    project: Project,
    isOfOldPipeline: boolean,
    unsettled: readonly Unsettled[],
    arrivals: ReadonlyMap<string, Arrival>,
  ): Promise<{ visible: Project; held: Map<string, Unsettled> }> {
    const recorded = this.recordedReaders(unsettled, arrivals);
    const held = new Map<string, Unsettled>();
    const unknown: Unsettled[] = [];
    for (const one of unsettled) {
      const before = recorded.get(one.id) ?? [];
      if (!one.isKnown && before.length === 0) unknown.push(one);
      else for (const step of [...one.readers, ...before]) held.set(step, one);
    }
    if (unknown.length === 0) return { visible: project, held };
    const { port, root } = this.options;
    const paths = unknown.map(({ path }) => join(root, path));
    const { project: visible, problem } = await this.open(hiding(port, paths));
    if (visible !== undefined && (isOfOldPipeline || problem === undefined)) return { visible, held };
    // Without them nothing can be made of the pipeline. Then the steps wait.
    for (const one of unknown) for (const step of one.readers) held.set(step, one);
    return { visible: project, held };
  }

  /** Which steps read an input when they were last built, for those inputs that this watch has never seen settled. */
  private recordedReaders(
    unsettled: readonly Unsettled[],
    arrivals: ReadonlyMap<string, Arrival>,
  ): Map<string, string[]> {
    const found = new Map<string, string[]>();
    const labels = new Map<string, string>();
    for (const { id, isKnown } of unsettled) {
      const arrival = arrivals.get(id);
      if (!isKnown && arrival !== undefined) labels.set(labelOf(arrival.input), id);
    }
    if (labels.size === 0) return found;
    const { port, root } = this.options;
    for (const { step, manifest } of new Records(port, recordsIn(join(root, CACHE_FOLDER))).all()) {
      for (const [label] of manifest) {
        const id = labels.get(label);
        if (id !== undefined) found.set(id, [...(found.get(id) ?? []), step]);
      }
    }
    return found;
  }
}

function reasonOf({ name, isGone }: Unsettled): Reason {
  const text = `${name} ${isGone ? 'has just gone, and may come back' : 'is still being written'}`;
  return { code: 'incomplete', text };
}
