/** Archiving one run, in the order that loses nothing: copy, prove, note, remove. Knows no request. */
import { dirname, join } from 'node:path';
import { arrayDigest } from '../arrays/digest.js';
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import { makeDurableDirectory } from '../files/make-directory.js';
import type { FileStat, Port } from '../files/port.js';
import { writeFileAtomic } from '../files/write-file.js';
import { formatStub, STUB_FILE, type Stub } from '../runs/archived.js';
import { NPY_FILE, NPZ_FILE } from '../runs/discover.js';
import { runFile } from '../runs/run-array.js';
import { type ArrayFacts, inTheWay, type Job, KEPT_FILES, leftOf } from './archive-job.js';
import type { Life } from './open.js';
import { expectSpace, type Placing, placeFiles, sha256Of } from './place-files.js';
import { proveHeld } from './references.js';
import { readTree, removeEmpty, removeUnfinished, signatureOf } from './tree.js';

const LABEL = 'archive';

/** Copies, proves, notes, removes: in this order. */
export async function archiveOne(job: Job, array: ArrayFacts, life: Life): Promise<void> {
  const { run, tree, archived } = job;
  const { project, open, options, references } = life;
  const { port } = project;
  const { name } = run;
  const { signal } = options;
  await proveHeld(project, { name, digest: array.digest }, references, { signal, workers: open.workers });
  await removeUnfinished(port, run.directory, LABEL);
  const made: Made = { files: [], folders: [] };
  let sums: string[];
  try {
    const before = signatureOf(tree);
    sums = await copyTree(job, made, life);
    await proveArray(job, array.digest, life);
    if (signatureOf(readTree(port, run.directory)) !== before) {
      throw new FirnError('failed', 'changed while it was archived, and stays', {
        path: run.directory,
        advice: 'Archive it again when it is complete.',
      });
    }
  } catch (error) {
    // Copies that no stub speaks of would take room, and be in the way next time.
    for (const path of made.files) await port.unlink(path).catch(() => undefined);
    await removeEmpty(port, made.folders).catch(() => undefined);
    throw error;
  }
  const stub: Stub = {
    archived,
    run: name,
    ...array,
    version: job.version ?? null,
    files: tree.files.map(({ path, stat }, i) => ({
      path,
      bytes: stat.size,
      sha256: sums[i],
      mtimeNs: String(stat.mtimeNs),
      mode: (stat.mode ?? 0o644).toString(8),
    })),
    folders: tree.folders.map(({ path, stat }) => ({ path, mtimeNs: String(stat.mtimeNs) })),
  };
  await writeFileAtomic(port, join(run.directory, STUB_FILE), formatStub(stub), LABEL);
  await removeSources(job, stub, port);
}

/** What this archiving put into the archive. */
interface Made {
  files: string[];
  folders: string[];
}

/** SHA-256 of each file of the tree, whose copy is there when this ends. */
async function copyTree(
  { item, run, tree }: Job,
  made: Made,
  { project, open, options }: Life,
): Promise<string[]> {
  const { port } = project;
  const { signal } = options;
  let done = 0;
  const onBytes = (bytes: number) => {
    done += bytes;
    // Copied, read back, and read again here.
    options.onProgress?.(run.name, 'copying', done, 3 * item.bytes);
  };
  const place = { signal, workers: open.workers };
  await removeUnfinished(port, item.to, LABEL);
  const there = new Set(readTree(port, item.to).files.map(({ path }) => path));
  const sums = new Map<string, string>();
  const missing: (Placing & { path: string })[] = [];
  for (const { path, stat } of tree.files) {
    const [from, to] = [join(run.directory, path), join(item.to, path)];
    if (!there.has(path)) {
      missing.push({ path, from, to, bytes: stat.size });
      continue;
    }
    sums.set(path, await sha256Of(port, from, { ...place, onBytes }));
    if ((await sha256Of(port, to, place)) !== sums.get(path)) throw inTheWay(to);
    await port.sync(to);
  }
  const bytes = missing.reduce((sum, file) => sum + file.bytes, 0);
  expectSpace(port, item.to, bytes);
  const folders = [dirname(item.to), item.to, ...tree.folders.map(({ path }) => join(item.to, path))];
  made.folders = folders.filter((folder) => port.stat(folder) === undefined);
  for (const folder of folders) await makeDurableDirectory(port, folder);
  const onPlaced = (path: string) => made.files.push(path);
  const copied = await placeFiles(port, missing, LABEL, { ...place, onBytes, onPlaced });
  for (const [i, { path }] of missing.entries()) sums.set(path, copied[i]);
  for (const { path, stat } of [...tree.folders].reverse()) {
    await port.setTimes(join(item.to, path), Number(stat.mtimeNs) / 1e6);
  }
  const own = port.stat(run.directory) as FileStat;
  await port.setTimes(item.to, Number(own.mtimeNs) / 1e6);
  // Also for what was there: who copied it may have been killed before the names were on the disk.
  for (const folder of [dirname(dirname(item.to)), ...folders]) await port.syncDirectory(folder);
  return tree.files.map(({ path }) => sums.get(path) as string);
}

/** The array in the archive can be read, and is the one that references hold. */
async function proveArray(
  { item, run }: Job,
  digest: string,
  { project, open, options }: Life,
): Promise<void> {
  const path = runFile(project.port, item.to) as string;
  const reader = await openArray(project.port, path);
  try {
    let done = 0;
    const onBytes = (bytes: number) => {
      done += bytes;
      options.onProgress?.(run.name, 'checking', done, item.bytes);
    };
    const found = await arrayDigest(reader, { signal: options.signal, workers: open.workers, onBytes });
    if (found === digest) return;
  } finally {
    await reader.close();
  }
  throw new FirnError('failed', `was copied, and is not the array of ${run.name} that references hold`, {
    path,
    advice: 'The run stays. Look whether something writes it.',
  });
}

/** Goes on where an archiving was cut off after its stub was written. */
export async function finishOne(
  job: Job,
  stub: Stub,
  { project, open, options, references }: Life,
): Promise<void> {
  const { run, item, tree } = job;
  const { port } = project;
  const place = { signal: options.signal, workers: open.workers };
  const { digest } = stub;
  await removeUnfinished(port, run.directory, LABEL);
  await proveHeld(project, { name: run.name, digest }, references, place);
  const here = new Set(tree.files.map(({ path }) => path));
  for (const { path, sha256 } of stub.files) {
    const copy = join(item.to, path);
    if (port.stat(copy) === undefined || (await sha256Of(port, copy, place)) !== sha256) {
      throw new FirnError('conflict', 'is not what was archived, and what is left of the run stays', {
        path: copy,
        advice: `Put it back as it was, or delete ${STUB_FILE} in the run and archive it anew.`,
      });
    }
    if (!here.has(path) || KEPT_FILES.has(path)) continue;
    const source = join(run.directory, path);
    if ((await sha256Of(port, source, place)) === sha256) continue;
    throw new FirnError('conflict', 'is not what was archived, and stays', {
      path: source,
      advice: `If the run was made anew, delete its ${STUB_FILE}; the archive stays in ${item.to}.`,
    });
  }
  await removeSources(job, stub, port);
}

/** Removes what was proven to be in the archive. */
async function removeSources({ run, tree }: Job, stub: Stub, port: Port): Promise<void> {
  const truth =
    stub.files.find(({ path }) => path === NPY_FILE) ?? stub.files.find(({ path }) => path === NPZ_FILE);
  // Filters go by the age of the run, and the stub is all that is left of it.
  if (truth !== undefined) await port.setTimes(join(run.directory, STUB_FILE), Number(truth.mtimeNs) / 1e6);
  const stats = new Map(tree.files.map(({ path, stat }) => [path, stat]));
  for (const { path } of removalOrder(leftOf(stub, tree))) {
    const file = join(run.directory, path);
    const [was, now] = [stats.get(path), port.stat(file)];
    if (was === undefined || now === undefined || !isSameFile(was, now)) {
      throw new FirnError('failed', 'changed after it was archived, and stays', {
        path: file,
        advice: 'Look what writes it.',
      });
    }
    await port.unlink(file);
  }
  await removeEmpty(
    port,
    stub.folders.map(({ path }) => join(run.directory, path)),
  );
  await port.syncDirectory(run.directory);
}

/**
 * A copy before the array that it is a copy of: left alone it would be the run, and it may be rounded. Then the array, and
 * with it the run is archived; the rest says nothing of what it is.
 */
export function removalOrder<F extends { path: string }>(files: readonly F[]): F[] {
  const rank = ({ path }: F) => (path === NPZ_FILE ? 0 : path === NPY_FILE ? 1 : 2);
  return [...files].sort((a, b) => rank(a) - rank(b));
}

function isSameFile(a: FileStat, b: FileStat): boolean {
  return a.size === b.size && a.mtimeNs === b.mtimeNs && a.ctimeNs === b.ctimeNs && a.ino === b.ino;
}
