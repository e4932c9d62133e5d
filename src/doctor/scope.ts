/** What the words of a request stand for: targets with all they are made from, runs, and paths of the project. */
import { join, relative, resolve, sep } from 'node:path';
import { selectSteps } from '../engine/graph.js';
import type { Step } from '../engine/types.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import { suggest } from '../pipeline/nearest.js';
import { isRunName } from '../runs/run-name.js';
import type { Opening } from './opening.js';

export interface Scope {
  /** Files and folders relative to the project, with all below them; undefined when everything is asked about. */
  paths: ReadonlySet<string> | undefined;
  /** Those among them that were named as paths. */
  named: ReadonlySet<string>;
  /** In the order of a build. */
  steps: readonly Step[];
  /** The targets these are of, and those that were named; undefined when all are asked about. */
  targets: ReadonlySet<string> | undefined;
}

/** Throws FirnError (usage) for a word that is nothing. */
export function scopeOf(words: readonly string[], opening: Opening, port: ReadPort): Scope {
  const { project, pipeline, runsDir, root } = opening;
  const order = project?.graph.order ?? [];
  if (words.length === 0) return { paths: undefined, named: new Set(), steps: order, targets: undefined };
  const named = new Set<string>();
  const paths = new Set<string>();
  const targets: string[] = [];
  for (const word of words) {
    const target = pipeline?.targets.get(word);
    if (target !== undefined) {
      targets.push(word);
      for (const out of target.out) paths.add(out);
      continue;
    }
    const run = isRunName(word) ? `${runsDir}/${word}` : undefined;
    const isRun = run !== undefined && port.stat(join(root, run)) !== undefined;
    named.add(isRun ? run : placeOf(word, opening, port));
  }
  const chosen = new Set(
    project === undefined || targets.length === 0 ? [] : selectSteps(project.graph, targets),
  );
  for (const { inputs, outputs } of chosen) for (const { path } of [...inputs, ...outputs]) paths.add(path);
  for (const path of named) paths.add(path);
  const steps = order.filter(
    (step) => chosen.has(step) || step.outputs.some(({ path }) => isWithinAny(path, named)),
  );
  return { paths, named, steps, targets: new Set([...targets, ...steps.map((step) => step.target)]) };
}

/** The path, relative to the project, that a word names. */
function placeOf(word: string, { root, pipeline }: Opening, port: ReadPort): string {
  const path = resolve(root, word);
  const inside = shownIn(root, path);
  const isThere = port.stat(path) !== undefined;
  if (isThere && inside !== path) return inside;
  throw new FirnError(
    'usage',
    isThere
      ? `"${word}" is not in this project`
      : `"${word}" is no target, no run and no path of this project`,
    { path: root, advice: suggest(word, [...(pipeline?.targets.keys() ?? [])]) },
  );
}

/** A path as findings name it: relative to the project where it is in it, with `/`. */
export function shownIn(root: string, path: string): string {
  const inside = relative(root, path);
  if (inside === '') return '.';
  return inside === '..' || inside.startsWith(`..${sep}`) ? path : inside.split(sep).join('/');
}

/** Whether a path is one of these or below one. Costs the depth of the path, however many they are. */
export function isWithinAny(path: string, folders: ReadonlySet<string>): boolean {
  if (folders.has('.')) return true;
  for (let end = path.length; end > 0; end = path.lastIndexOf('/', end - 1))
    if (folders.has(path.slice(0, end))) return true;
  return false;
}

/** The folders above a path, the nearest first. */
export function foldersAbove(path: string): string[] {
  const above: string[] = [];
  for (let end = path.lastIndexOf('/'); end > 0; end = path.lastIndexOf('/', end - 1))
    above.push(path.slice(0, end));
  return above;
}
