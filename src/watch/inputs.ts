/** What steps read from the disk, as it is there: runs and files that no step makes. Looks, and decides nothing. */
import { join, sep } from 'node:path';
import { whatIsMissing } from '../arrays/incomplete.js';
import { type Input, inputId, type Step } from '../engine/types.js';
import { errnoOf } from '../errors.js';
import type { Port, ReadPort } from '../files/port.js';
import { STUB_FILE } from '../runs/archived.js';
import { NPY_FILE, NPZ_FILE } from '../runs/discover.js';
import { RUN_FACTS_FILE } from '../runs/run-facts.js';
import type { Sighting } from './settling.js';

const ARRAY = /\.np[yz]$/;

/** An input that people, programs and other machines may be writing. */
export interface Arrival extends Sighting {
  input: Input;
  /** Those that are there and that no step writes. Relative to the project. */
  files: string[];
}

interface Place {
  port: ReadPort;
  /** Absolute. */
  root: string;
  /** ns since 1970 */
  oldBefore: bigint;
}

/** The inputs of `steps` that are there, by id. `all`: every step, for what they make. */
export function arrivalsOf(
  steps: readonly Step[],
  all: readonly Step[],
  place: Place,
): Map<string, Arrival & { readers: string[] }> {
  const outputs = all.flatMap((step) => step.outputs);
  const made = new Set(outputs.map(({ path }) => path));
  const madeRuns = new Set(outputs.filter(({ kind }) => kind === 'run').map(({ path }) => folderOf(path)));
  const found = new Map<string, Arrival & { readers: string[] }>();
  for (const step of steps) {
    for (const input of step.inputs) {
      const id = inputId(input);
      const known = found.get(id);
      if (known !== undefined) known.readers.push(step.id);
      // What a step makes is there at once, and is that step's business.
      else if (!(input.kind === 'run' ? madeRuns : made).has(input.path)) {
        const looks = lookAt(
          filesOf(input).filter((path) => !made.has(path)),
          place,
        );
        if (looks.files.length > 0)
          found.set(id, {
            ...looks,
            id,
            path: input.path,
            name: input.name ?? input.path,
            input,
            readers: [step.id],
          });
      }
    }
  }
  return found;
}

/** The ids of the runs and files that a step writes or removes. */
export function touchedBy({ outputs, removes = [] }: Step): string[] {
  return [...outputs.map(({ path }) => path), ...removes].flatMap((path) => [
    inputId({ kind: 'file', path }),
    inputId({ kind: 'run', path: folderOf(path) }),
  ]);
}

function folderOf(path: string): string {
  return path.slice(0, Math.max(0, path.lastIndexOf('/')));
}

/** The files that make out an input. */
function filesOf({ kind, path }: Input): string[] {
  return kind === 'run'
    ? [NPY_FILE, NPZ_FILE, STUB_FILE, RUN_FACTS_FILE].map((name) => `${path}/${name}`)
    : [path];
}

function lookAt(
  paths: readonly string[],
  { port, root, oldBefore }: Place,
): Pick<Arrival, 'files' | 'signature' | 'isOld'> {
  const files: string[] = [];
  let signature = '';
  let isOld = true;
  for (const path of paths) {
    // Not `join`: there may be thousands.
    const stat = port.stat(`${root}${sep}${path}`);
    if (stat === undefined) continue;
    files.push(path);
    signature += `${path}|${stat.size}|${stat.mtimeNs}|${stat.ctimeNs}|${stat.ino}\n`;
    if (stat.mtimeNs > oldBefore || stat.ctimeNs > oldBefore) isOld = false;
  }
  return { files, signature, isOld };
}

/** What an arrival lacks to be complete: `embeddings.npy has 512 of 10368 bytes`; undefined when nothing shows. */
export async function missingOf(
  { input, files }: Arrival,
  port: Port,
  root: string,
): Promise<string | undefined> {
  for (const path of files) {
    if (!ARRAY.test(path)) continue;
    try {
      const missing = await whatIsMissing(port, join(root, path));
      const name = input.kind === 'run' ? path.slice(input.path.length + 1) : path;
      if (missing !== undefined) return `${name} ${missing}`;
    } catch (error) {
      // What the system refuses is told by the step that reads it.
      if (errnoOf(error) === undefined) throw error;
    }
  }
  return undefined;
}
