/**
 * Builds, and builds again whenever something changed. Signs of changes only wake it; what there is to do is decided by
 * looking, as every build does. A look that finds nothing to do is cheap, so there is one every minute as well: signs get
 * lost. Prints nothing.
 */
import { relative, resolve, sep } from 'node:path';
import { setTimeout as delay } from 'node:timers/promises';
import { checkNumber, checkWholeNumber } from '../check-number.js';
import type { BuildSummary } from '../engine/events.js';
import { Failures } from '../engine/failures.js';
import { errnoOf } from '../errors.js';
import { disk } from '../files/disk.js';
import type { Port } from '../files/port.js';
import { build, holderOf, type Project } from '../project.js';
import { Alarm } from './alarm.js';
import type { WatchEvent } from './events.js';
import { type FolderListener, type FolderWatch, watchFolders } from './folders.js';
import { Lookout, type Sight } from './lookout.js';
import { findRemote } from './network.js';
import { ignoredPaths, isIgnored } from './own-paths.js';
import { delayAfterHint, delayOfPolling, isAboutToSettle, isTimeToBuild, nextSettling } from './pace.js';
import { Told } from './told.js';

export const SETTLE_MS = 2000;
export const POLL_MS = 10_000;
const RESCAN_MS = 60_000;
/** How often it is asked whether another build has ended. */
const LOCK_MS = 250;

/** What to watch, and how. */
export interface WatchOptions {
  /** The folder of pipeline.yaml. */
  directory: string;
  /** Names of targets, which stand for all they depend on; every target when empty. */
  targets?: readonly string[];
  /** How many independent steps run side by side (1). */
  jobs?: number;
  /** Ends the watch; a build that runs is interrupted. */
  signal: AbortSignal;
  /** Told everything that happens, in order. When it throws, the watch ends and rejects with that. */
  onEvent: (event: WatchEvent) => void;
  /** How long an input has to stay the same until it counts as written, in ms (2000). */
  settleMs?: number;
  /** Look so often instead of watching folders, in ms. */
  pollMs?: number;
  /** How often to look for what was not noticed, in ms (60,000). */
  rescanMs?: number;
}

/** What stands in for the world, for tests. */
export interface WatchPlace {
  port?: Port;
  /** milliseconds since 1970 */
  now?: () => number;
  /** Another way to be told of changes. */
  watchFolders?: (listener: FolderListener) => FolderWatch;
}

/**
 * Builds now and at every change until the signal aborts. Throws FirnError when pipeline.yaml is wrong at the beginning;
 * later it is told, and the last one that could be used stays in use. `interrupted`: a build was cut off by the end.
 */
export async function watchProject(
  options: WatchOptions,
  place: WatchPlace = {},
): Promise<{ interrupted: boolean }> {
  const watch = new Watch(options, place);
  try {
    return await watch.run();
  } finally {
    await watch.close();
  }
}

class Watch {
  private readonly root: string;
  private readonly port: Port;
  private readonly clock = (): number => performance.now();
  private readonly lookout: Lookout;
  private readonly alarm: Alarm;
  private readonly told: Told;
  private readonly failures = new Failures();
  private readonly settleMs: number;
  private folders: FolderWatch | undefined;
  /** Set while it polls. */
  private pollMs: number | undefined;
  private isAnnounced = false;
  /** Of the last look. */
  private seenFolders: ReadonlySet<string> = new Set();
  /** Paths in the project under which changes are firn's own, or looked at soon anyway. */
  private ignored: ReadonlySet<string> = new Set();
  /** Since when there have been inputs that are about to settle. */
  private settlingSince: number | undefined;
  private lastBuildMs: number | undefined;
  /** Aborts with what the listener threw. */
  private readonly broken = new AbortController();
  private readonly signal: AbortSignal;

  constructor(
    private readonly options: WatchOptions,
    private readonly place: WatchPlace,
  ) {
    const { targets = [], settleMs = SETTLE_MS, pollMs } = options;
    const { port = disk, now = Date.now } = place;
    checkWholeNumber('jobs', options.jobs, 1);
    checkNumber('settleMs', settleMs, 0);
    checkNumber('pollMs', pollMs, 1);
    checkNumber('rescanMs', options.rescanMs, 1);
    this.root = resolve(options.directory);
    this.port = port;
    this.settleMs = settleMs;
    this.pollMs = pollMs;
    this.lookout = new Lookout({ root: this.root, port, targets, settleMs, now, clock: this.clock });
    this.signal = AbortSignal.any([options.signal, this.broken.signal]);
    this.alarm = new Alarm(this.clock, this.signal);
    this.told = new Told(this.tell);
  }

  private readonly tell = (event: WatchEvent): void => {
    if (this.broken.signal.aborted) return;
    try {
      this.options.onEvent(event);
    } catch (error) {
      this.broken.abort(error);
    }
  };

  async close(): Promise<void> {
    await this.folders?.close();
  }

  async run(): Promise<{ interrupted: boolean }> {
    const { signal } = this;
    const { rescanMs = RESCAN_MS } = this.options;
    await this.lookout.checkPipeline();
    while (!signal.aborted) {
      const began = this.clock();
      const sight = await this.look();
      const lookMs = this.clock() - began;
      const interrupted = sight !== undefined && (await this.buildIfTime(sight));
      this.broken.signal.throwIfAborted();
      if (interrupted) return { interrupted };
      const isIdle = !this.alarm.isHinted && !sight?.unsettled.some(isAboutToSettle);
      if (isIdle && !signal.aborted) this.tell({ type: 'idle', failing: this.failures.steps });
      const rest = this.pollMs === undefined ? rescanMs : delayOfPolling(this.pollMs, lookMs);
      const next = Math.min(this.clock() + rest, nextSettling(sight?.unsettled ?? []));
      await this.alarm.sleep(next, delayAfterHint(lookMs));
    }
    this.broken.signal.throwIfAborted();
    return { interrupted: false };
  }

  /** Undefined when the system would not let it. */
  private async look(): Promise<Sight | undefined> {
    try {
      const sight = await this.lookout.look();
      const { project, problem, unsettled, folders } = sight;
      this.told.problem('pipeline', problem, project !== undefined);
      this.told.waiting(unsettled);
      if (project !== undefined) {
        this.told.warnings(project, sight.warnings);
        this.failures.keepOnly(project.graph.order);
        this.ignored = ignoredPaths(project.graph.order, unsettled);
      }
      this.follow(folders);
      return sight;
    } catch (error) {
      this.told.problem('pipeline', error, false);
      return undefined;
    }
  }

  private follow(folders: ReadonlySet<string>): void {
    const added = [...folders].filter((folder) => !this.seenFolders.has(folder));
    this.seenFolders = folders;
    const remote = this.pollMs === undefined ? findRemote(this.port, added) : undefined;
    if (remote !== undefined) {
      const where = relative(this.root, remote.folder) || '.';
      this.poll(`${where} is on a network file system (${remote.name})`);
    }
    if (this.pollMs !== undefined) {
      this.announce({ type: 'watching', how: 'polling', seconds: this.pollMs / 1000 });
      return;
    }
    this.folders ??= (this.place.watchFolders ?? watchFolders)({
      onHint: (path) => {
        const inside = relative(this.root, path).replaceAll(sep, '/');
        if (!isIgnored(inside, this.ignored)) this.alarm.hint();
      },
      onReady: (count) => {
        if (this.pollMs === undefined) this.announce({ type: 'watching', how: 'events', folders: count });
        this.alarm.hint();
      },
      onLimit: (error) => this.poll(whyNoMore(error)),
    });
    this.folders.follow(folders);
  }

  /** From now on it looks at intervals. */
  private poll(why: string): void {
    if (this.pollMs !== undefined) return;
    this.pollMs = POLL_MS;
    void this.folders?.close();
    this.isAnnounced = false;
    this.announce({ type: 'watching', how: 'polling', seconds: POLL_MS / 1000, why });
    this.alarm.hint();
  }

  private announce(event: WatchEvent): void {
    if (!this.isAnnounced) this.tell(event);
    this.isAnnounced = true;
  }

  /** True when a build was interrupted. */
  private async buildIfTime({ project, unsettled, holdBack }: Sight): Promise<boolean> {
    if (project === undefined) return false;
    const at = this.clock();
    this.settlingSince = unsettled.some(isAboutToSettle) ? (this.settlingSince ?? at) : undefined;
    const { settlingSince: since, settleMs, lastBuildMs = 0 } = this;
    if (!isTimeToBuild({ at, since, settleMs, lastBuildMs })) return false;
    try {
      if (await this.waitForOthers(project)) {
        // What was seen before is out of date.
        this.alarm.hint();
        return false;
      }
    } catch (error) {
      this.cannotBegin(error);
      return false;
    }
    this.settlingSince = undefined;
    const { summary, hasStarted } = await this.build(project, holdBack);
    this.lastBuildMs = this.clock() - at;
    if (summary === undefined) return false;
    const done = summary.outcomes.filter(({ status }) => status === 'ran' || status === 'restored');
    this.lookout.done(new Set(done.map(({ id }) => id)));
    // Ended while it only looked whether there is anything to do, it has lost nothing.
    return summary.outcomes.some(
      ({ status, reasons }) =>
        status === 'interrupted' || (hasStarted && reasons.some(({ code }) => code === 'interrupted')),
    );
  }

  /** No summary when it could not even begin, or was ended before it had. `hasStarted`: a step of it. */
  private async build(
    project: Project,
    holdBack: Sight['holdBack'],
  ): Promise<{ summary?: BuildSummary; hasStarted: boolean }> {
    const { targets = [], jobs = 1 } = this.options;
    const { signal } = this;
    let hasStarted = false;
    try {
      const summary = await build(project, {
        targets,
        jobs,
        // One run that is damaged does not keep the others from being built.
        keepGoing: true,
        signal,
        command: 'firn watch',
        holdBack,
        failures: this.failures,
        onEvent: (event) => {
          hasStarted ||= event.type === 'start';
          this.tell({ type: 'build', event });
        },
      });
      this.told.problem('build', undefined, true);
      return { summary, hasStarted };
    } catch (error) {
      if (signal.aborted) return { hasStarted };
      this.cannotBegin(error);
      return { hasStarted };
    }
  }

  /** What keeps the first build from beginning will hardly go by itself. */
  private cannotBegin(error: unknown): void {
    if (this.lastBuildMs === undefined) throw error;
    this.told.problem('build', error, false);
  }

  /** Whether somebody else was building. Also ends with the watch. */
  private async waitForOthers(project: Project): Promise<boolean> {
    const { signal } = this;
    let waited = false;
    for (
      let holder = holderOf(project);
      holder !== undefined && !signal.aborted;
      holder = holderOf(project)
    ) {
      if (!waited) this.tell({ type: 'locked', holder });
      waited = true;
      await delay(LOCK_MS, undefined, { signal }).catch(() => undefined);
    }
    return waited;
  }
}

function whyNoMore(error: unknown): string {
  const [what, setting] =
    errnoOf(error) === 'ENOSPC'
      ? ['no more watched folders', 'fs.inotify.max_user_watches']
      : ['no more watchers or open files', 'fs.inotify.max_user_instances, or `ulimit -n`'];
  return `the system allows ${what} (${errnoOf(error)}); raise ${setting}`;
}
