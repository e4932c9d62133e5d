/**
 * Every way to fail, at every operation: a scenario is a folder and a command that changes it. The command is run again
 * and again on copies of the folder; at its first, second, third... change of the disk the program dies, the disk refuses,
 * or the power goes, until one run passes untouched. After each, what must hold is checked, and the next run has to end as
 * an undisturbed one does.
 *
 *   faultTests(test, {
 *     name: 'compress',
 *     prepare: async () => { ...a TestProject, as it is before the command },
 *     run: (project, port) => buildHere(project, port),      // throws when the command fails
 *   });
 *
 * Dying happens in this process: from the N-th change on the port does nothing and never answers (FaultyPort.die). Not one
 * change more reaches the disk than after SIGKILL, since all changes go through the port (test/no-way-around.test.ts), and
 * no handler is run that could clean up, since they all wait for it. test/fault-kill.test.ts compares the two, and kills for good.
 */
import {
  copyFileSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { basename, dirname, join, relative } from 'node:path';
import type { Worker } from 'node:worker_threads';
import type { Test } from 'uvu';
import * as assert from 'uvu/assert';
import type { Port } from '../../src/files/port.js';
import { type Change, type Fault, FaultyPort, systemError } from './faulty-port.js';
import { MEMORY, removeFolder, temporaryFolder } from './folder.js';
import { PowerCut, SURVIVALS, type Survival } from './power-cut.js';
import { TestProject } from './project.js';
import { swiftDisk } from './swift-disk.js';

/** path -> sha256 */
export type Files = { [path: string]: string };

export interface Scenario {
  name: string;
  /** The folder before the command. Called once; every run gets a copy. */
  prepare(): Promise<TestProject>;
  /** The command, in this process and over this port. Throws when it fails. Clocks have to stand still. */
  run(project: TestProject, port: Port): Promise<unknown>;
  /**
   * What must hold right after the fault, besides what is checked for all: each file is as it was or as it will be, and
   * there are no others.
   */
  invariant?(project: TestProject, states: States): void | Promise<void>;
  /** Gets from any state to the end; `run` once more when not given. */
  converge?(project: TestProject, port: Port): Promise<unknown>;
  /** When all is done: for instance that another build has nothing to do. */
  settled?(project: TestProject, port: Port): Promise<void>;
  /** Temporary files (project paths) that a killed command may leave for ever. */
  leaves?: RegExp;
  /** A file may be any of these too (by path); for what lies between the two states, and files with times in them. */
  between?(path: string, project: TestProject): boolean;
  /** Faults to try; all of them when not given. */
  modes?: readonly Mode[];
  /** Every so manieth operation only, where a run takes long. Everything with FIRN_TEST_FAULTS=all. */
  stride?: number;
}

export interface States {
  before: Files;
  after: Files;
  /** What happened, for messages. */
  where: string;
}

/**
 * `die`: SIGKILL. `fails once`: EIO, and the next operation works again. `disk full`: from then on ENOSPC, and what frees
 * room works. `read-only`: from then on EROFS for everything, as file systems do after an error. `power cut`: the machine
 * ends; what was not synced is lost in one of three ways. `a read fails`: EIO for one read of an open file.
 */
export const MODES = [
  'die',
  'fails once',
  'disk full',
  'read-only',
  ...SURVIVALS.map((how) => `power cut, ${how}` as const),
  'a read fails',
] as const;
export type Mode = (typeof MODES)[number];
/** For a command that does without what it cannot read, and says so. */
export const CHANGE_MODES = MODES.filter((mode) => mode !== 'a read fails');

/** What a full disk still does. */
const FREES = new Set(['unlink', 'removeDirectory', 'rename', 'setTimes', 'setMode', 'syncDirectory']);
const EVERYTHING = process.env.FIRN_TEST_FAULTS === 'all';

/** One test for each mode. How many operations were walked is printed, and the runner shows it. */
export function faultTests(test: Test, scenario: Scenario): void {
  const { name, modes = MODES } = scenario;
  const stride = EVERYTHING ? 1 : (scenario.stride ?? 1);
  let prepared: Promise<Prepared> | undefined;
  let began = 0;
  let walked = 0;
  for (const mode of modes) {
    test(`${name}: ${mode}, at any change of the disk`, async () => {
      if (prepared === undefined) began = performance.now();
      prepared ??= prepare(scenario);
      const { changes } = await prepared;
      walked += await walk(scenario, await prepared, mode, stride);
      if (mode !== modes[modes.length - 1]) return;
      const every = stride === 1 ? '' : `1 in ${stride} of `;
      const more = stride === 1 ? '' : '; all with FIRN_TEST_FAULTS=all';
      const seconds = ((performance.now() - began) / 1000).toFixed(1);
      console.log(
        `\nWALKED ${name}: ${every}${changes} operations, ${modes.length} faults, ${walked} runs (${seconds} s${more})`,
      );
    });
  }
}

interface Prepared {
  project: TestProject;
  before: Files;
  after: Files;
  changes: number;
  reads: number;
}

async function prepare(scenario: Scenario): Promise<Prepared> {
  const project = await scenario.prepare();
  const done = copyOf(project);
  const reads = new FaultyPort(() => undefined, swiftDisk, 'reads');
  const counting = new FaultyPort(() => undefined, reads.port);
  await scenario.run(done, counting.port);
  const after = filesOf(done);
  await scenario.settled?.(done, swiftDisk);
  assert.equal(filesOf(done), after, `${scenario.name}: it goes on changing`);
  const left = done.leftovers().filter((path) => !project.exists(path));
  assert.equal(left, [], `${scenario.name}: undisturbed, it leaves temporary files`);
  return { project, before: filesOf(project), after, changes: counting.done, reads: reads.done };
}

/** How many runs were struck. */
async function walk(scenario: Scenario, prepared: Prepared, mode: Mode, stride: number): Promise<number> {
  let walked = 0;
  const all = mode === 'a read fails' ? prepared.reads : prepared.changes;
  // Steps that run side by side do not always come in one order: the end is where nothing struck.
  for (let at = 1; ; at += stride) {
    const struck = await strike(scenario, prepared, mode, at);
    if (!struck) break;
    walked += 1;
  }
  assert.ok(walked * stride >= all / 2, `only ${walked} of ${all} operations`);
  return walked;
}

/** Whether the run came that far. */
async function strike(scenario: Scenario, prepared: Prepared, mode: Mode, at: number): Promise<boolean> {
  const project = copyOf(prepared.project);
  const cut = new PowerCut(project.root, prepared.project.root);
  let struck: Change | undefined;
  const faulty: FaultyPort = new FaultyPort(
    (change) => {
      if (change.at < at) return undefined;
      struck ??= change;
      return faultOf(mode, change, at, faulty);
    },
    cut.watch(swiftDisk),
    mode === 'a read fails' ? 'reads' : 'changes',
  );
  const threads = watchThreads();
  let endedWell = false;
  const run = scenario.run(project, faulty.port).then(
    () => {
      endedWell = true;
    },
    () => undefined,
  );
  await Promise.race([run, faulty.died]);
  await threads.end(struck !== undefined && dies(mode));
  if (struck === undefined) {
    // The last one: all is done, and the power goes a moment later.
    if (isPowerCut(mode)) await checkAfterEnd(scenario, prepared, cut, mode);
    discard(project);
    return false;
  }
  const where = `${scenario.name}: ${mode} at ${at} (${struck.what} ${relative(project.root, struck.path)})`;
  const left = isPowerCut(mode) ? leftBy(cut, survivalOf(mode)) : project;
  bury(left.root);
  const states = { before: prepared.before, after: prepared.after, where };
  try {
    assertWhole(scenario, left, states);
    if (endedWell) assert.equal(filesOf(left), states.after, 'it ended well, and is not done');
    await scenario.invariant?.(left, states);
    await assertConverges(scenario, left, states);
  } catch (error) {
    if (error instanceof Error && !error.message.includes(where))
      error.message = `${where}: ${error.message}`;
    throw error;
  }
  if (left !== project) discard(left);
  discard(project);
  return true;
}

function faultOf(mode: Mode, change: Change, at: number, { die }: FaultyPort): Fault | undefined {
  const fails =
    (code: string): Fault =>
    () =>
      Promise.reject(systemError(code, change));
  switch (mode) {
    case 'fails once':
    case 'a read fails':
      return change.at === at ? fails('EIO') : undefined;
    case 'disk full':
      return FREES.has(change.what) ? undefined : fails('ENOSPC');
    case 'read-only':
      return fails('EROFS');
    default:
      return die;
  }
}

function dies(mode: Mode): boolean {
  return mode === 'die' || isPowerCut(mode);
}

function isPowerCut(mode: Mode): boolean {
  return mode.startsWith('power cut');
}

function survivalOf(mode: Mode): Survival {
  return mode.slice('power cut, '.length) as Survival;
}

function leftBy(cut: PowerCut, survival: Survival): TestProject {
  const project = inMemory();
  rmSync(project.root, { recursive: true });
  cut.leave(project.root, survival);
  return project;
}

/** What was reported as done is done for good. */
async function checkAfterEnd(
  scenario: Scenario,
  { after }: Prepared,
  cut: PowerCut,
  mode: Mode,
): Promise<void> {
  const left = leftBy(cut, survivalOf(mode));
  assert.equal(
    filesOf(left),
    after,
    `${scenario.name}: it has ended well, and then the power goes (${mode})`,
  );
  discard(left);
}

function assertWhole(scenario: Scenario, project: TestProject, { before, after, where }: States): void {
  const now = filesOf(project);
  for (const path of new Set([...Object.keys(before), ...Object.keys(after), ...Object.keys(now)])) {
    if (now[path] === before[path] || now[path] === after[path]) continue;
    if (scenario.between?.(path, project)) continue;
    const what =
      now[path] === undefined
        ? 'is gone'
        : path in before || path in after
          ? 'is neither old nor new'
          : 'has come from nowhere';
    assert.unreachable(`${where}: ${path} ${what}`);
  }
}

async function assertConverges(
  scenario: Scenario,
  project: TestProject,
  { after, where }: States,
): Promise<void> {
  await (scenario.converge ?? scenario.run)(project, swiftDisk);
  assert.equal(filesOf(project), after, `${where}: the next run ends otherwise than an undisturbed one`);
  await scenario.settled?.(project, swiftDisk);
  assert.equal(filesOf(project), after, `${where}: it goes on changing`);
  assert.equal(journals(project), [], `${where}: a journal is left`);
  const left = project.leftovers().filter((path) => scenario.leaves?.test(path) !== true);
  assert.equal(left, [], `${where}: temporary files are left`);
}

/** All files that are not firn's own state, and not temporary. */
export function filesOf(project: TestProject): Files {
  const files = project.digests('.');
  return Object.fromEntries(
    Object.entries(files).filter(([path]) => !path.startsWith('cache/') && !/(^|\/)\.firn-/.test(path)),
  );
}

export function journals(project: TestProject): string[] {
  return project.exists('cache/journal') ? readdirSync(project.path('cache/journal')) : [];
}

/** Thousands of copies come and go, and none of them is much. */
function inMemory(): TestProject {
  return new TestProject(undefined, temporaryFolder(MEMORY));
}

/** The project as another copy, with the times of its files. */
function copyOf(project: TestProject): TestProject {
  const copy = inMemory();
  copyTree(project.root, copy.root);
  return copy;
}

function copyTree(from: string, to: string): void {
  for (const entry of readdirSync(from, { withFileTypes: true })) {
    const [source, target] = [join(from, entry.name), join(to, entry.name)];
    if (entry.isDirectory()) {
      mkdirSync(target);
      copyTree(source, target);
    } else if (entry.isSymbolicLink()) {
      symlinkSync(readlinkSync(source), target);
    } else {
      copyFileSync(source, target);
      const { atimeMs, mtimeMs } = statSync(source);
      utimesSync(target, atimeMs / 1000, mtimeMs / 1000);
    }
  }
}

function discard(project: TestProject): void {
  removeFolder(project.root);
}

/** What this process held when it was as good as killed is held by a process that is gone. */
export function bury(root: string): void {
  const locks = readdirSync(root, { withFileTypes: true, recursive: true })
    .filter((entry) => entry.isDirectory() && /^(\.firn-lock-.*|.*lock)$/.test(entry.name))
    .map((entry) => join(entry.parentPath, entry.name));
  for (const folder of locks) {
    for (const name of readdirSync(folder)) {
      const path = join(folder, name);
      const text = readFileSync(path, 'utf8');
      if (text.includes(`"pid":${process.pid},`))
        writeFileSync(path, text.replace(/"started":"\d*"/, '"started":"1"'));
    }
    // Before its file is whole, the name of the folder is all that tells of its maker.
    const named = basename(folder).replace(`-${process.pid}-`, `-${NOBODY}-`);
    renameSync(folder, join(dirname(folder), named));
  }
}

/** More than there are pids. */
const NOBODY = 2 ** 22 + 1;

/** Threads that are started from now on. */
function watchThreads(): { end(abandoned: boolean): Promise<void> } {
  const threads: Worker[] = [];
  const add = (thread: Worker): void => void threads.push(thread);
  process.on('worker', add);
  return {
    /** Those of a program that died have nobody to end them. */
    async end(abandoned) {
      process.off('worker', add);
      if (abandoned) for (const thread of threads) await thread.terminate();
    },
  };
}
