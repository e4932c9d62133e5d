/**
 * Checks of the machine: Node, memory, packages that are compiled, and limits of the system. The answer to "out of memory",
 * and to an index that takes long to build.
 */
import { spawn } from 'node:child_process';
import { once } from 'node:events';
import { createRequire } from 'node:module';
import { totalmem } from 'node:os';
import { FLAT_ROWS, pickLists, sampleRows } from '../faiss/training.js';
import { NODE_FLOOR } from '../firn-version.js';
import { command } from '../shell-word.js';
import { formatBytes } from '../units.js';
import { referenceSizes } from './build-space.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding } from './finding.js';

export const machineChecks: Group = {
  name: 'machine',
  checks: {
    Node: node,
    memory,
    'onnxruntime-node': onnxruntime,
    'open files': openFiles,
    'watched folders': watches,
  },
  whenLimited: false,
  async summary(context) {
    const runtime = (await whyNoRuntime(context)) === undefined ? 'loads' : 'does not load';
    return `Node ${process.versions.node}, ${formatBytes(availableMemory())} of memory available, onnxruntime-node ${runtime}`;
  },
};

function* node(): Iterable<Finding> {
  if (isAtLeast(process.versions.node, NODE_FLOOR)) return;
  yield finding(
    'node-old',
    null,
    `this is Node ${process.versions.node}, and firn needs ${NODE_FLOOR} or newer`,
    'Install a newer Node, for example with `nvm install --lts` or `conda install -c conda-forge nodejs`.',
  );
}

/** Versions of numbers and dots. */
function isAtLeast(version: string, least: string): boolean {
  const [a, b] = [version, least].map((text) =>
    text.split('.').map((part) => Number.parseInt(part, 10) || 0),
  );
  for (let i = 0; i < b.length; i++) if ((a[i] ?? 0) !== b[i]) return (a[i] ?? 0) > b[i];
  return true;
}

/** What this process may still take, by the memory of the machine and the limit of its control group. */
function availableMemory(): number {
  return process.availableMemory();
}

/** Node, V8 and the blocks that data streams through. */
const BASE_BYTES = 200e6;

async function* memory(context: DoctorContext): AsyncIterable<Finding> {
  const available = availableMemory();
  let most = { bytes: BASE_BYTES, what: 'firn', isFactory: false };
  const sizes = await referenceSizes(context);
  for (const { id, rule, params, inputs } of context.steps) {
    const size = rule.name === 'index' ? sizes.get(inputs[0].path) : undefined;
    if (size === undefined) continue;
    const isFactory = (params as { factory?: unknown }).factory !== undefined;
    const bytes = isFactory ? BASE_BYTES + 1.2 * 4 * size.rows * size.dims : ivfMemory(size.rows, size.dims);
    if (bytes > most.bytes) most = { bytes, what: `building ${id}`, isFactory };
  }
  if (available >= most.bytes) return;
  const limit = process.constrainedMemory();
  const isConfined = limit > 0 && limit < totalmem();
  yield finding(
    'memory-short',
    null,
    `${most.what} needs about ${formatBytes(most.bytes)} of memory, and ${formatBytes(available)} are available${isConfined ? `; this job or container may have ${formatBytes(limit)}` : ''}`,
    `${isConfined ? 'Ask for more memory for the job (`--mem` of Slurm, `--memory` of a container).' : 'End other programs, or use a machine with more memory.'}${
      most.isFactory
        ? ' FAISS builds an index of a `factory` in memory: without one, firn builds it on disk.'
        : ''
    } Compressing runs saves disk, not memory.`,
  );
}

/** The sample and its codes, and the list of each row. */
function ivfMemory(rows: number, dims: number): number {
  if (rows <= FLAT_ROWS) return BASE_BYTES;
  const sample = Math.min(rows, sampleRows(pickLists(rows, rows, dims), dims));
  return BASE_BYTES + 4 * (4 * sample * dims) + 4 * rows;
}

async function* onnxruntime(context: DoctorContext): AsyncIterable<Finding> {
  const why = await whyNoRuntime(context);
  if (why === undefined) return;
  yield finding(
    'onnxruntime-missing',
    null,
    `the package onnxruntime-node does not load (${why}): indexes come out the same, some fifty times slower`,
    `${command('npm', 'ci')} in the folder of firn installs it.`,
  );
}

/** A library that does not fit the machine may end the process that loads it. */
const LOAD = "require(process.argv[1]); process.stdout.write('ok')";
const LOAD_MS = 60_000;
const asked = new WeakMap<DoctorContext, Promise<string | undefined>>();

/** Why it cannot be loaded; found out once, in a process of its own. */
function whyNoRuntime(context: DoctorContext): Promise<string | undefined> {
  let why = asked.get(context);
  if (why === undefined) {
    why = tryRuntime(context.signal);
    asked.set(context, why);
  }
  return why;
}

async function tryRuntime(signal: AbortSignal): Promise<string | undefined> {
  let entry: string;
  try {
    entry = createRequire(import.meta.url).resolve('onnxruntime-node');
  } catch {
    return 'it is not installed';
  }
  const child = spawn(process.execPath, ['-e', LOAD, entry], {
    stdio: ['ignore', 'pipe', 'pipe'],
    signal,
    timeout: LOAD_MS,
  });
  let said = '';
  let complaint = '';
  child.stdout.on('data', (chunk) => {
    said += chunk;
  });
  child.stderr.on('data', (chunk) => {
    complaint = (complaint + chunk).slice(-8192);
  });
  const [code, ended] = (await once(child, 'close')) as [number | null, string | null];
  if (said === 'ok') return undefined;
  return /^\w*Error: (.*)$/m.exec(complaint)?.[1] ?? `it ended with ${ended ?? code}`;
}

/** Threads, programs and arrays that are open side by side. */
const FEW_OPEN = 256;

function* openFiles(context: DoctorContext): Iterable<Finding> {
  const text = readSystem(context, '/proc/self/limits');
  const [, limit] = /^Max open files\s+(\d+)/m.exec(text) ?? [];
  if (limit === undefined || Number(limit) >= FEW_OPEN) return;
  yield finding(
    'open-files',
    null,
    `only ${limit} files may be open at a time, and firn with its threads needs up to ${FEW_OPEN}`,
    `${command('ulimit', '-n', '1024')} in the shell that starts firn.`,
  );
}

/** What `watch` would want to be told of. */
function* watches(context: DoctorContext): Iterable<Finding> {
  const limits = ['/proc/sys/fs/inotify/max_user_watches', '/proc/sys/user/max_inotify_watches'].map((path) =>
    Number.parseInt(readSystem(context, path), 10),
  );
  const limit = Math.min(...limits.filter(Number.isFinite));
  const runs = context.discovered().runs;
  const folders = 1 + new Set(runs.map(({ dataset }) => dataset)).size + runs.length;
  if (!Number.isFinite(limit) || folders <= limit) return;
  yield finding(
    'inotify-few',
    null,
    `the system announces changes in ${limit} folders at most, and the runs are in ${folders}`,
    `${command('firn', 'watch')} polls instead. To be told of all: ${command('sudo', 'sysctl', 'fs.inotify.max_user_watches=524288')}.`,
  );
}

/** Empty where there is no such file: another system than Linux. */
function readSystem({ port }: DoctorContext, path: string): string {
  try {
    return port.readText(path) ?? '';
  } catch {
    return '';
  }
}
