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
  /** Paths relative to the project; undefined when everything is asked about. */
  prefixes: string[] | undefined;
  /** In the order of a build. */
  steps: readonly Step[];
  /** The targets these are of, and those that were named; undefined when all are asked about. */
  targets: ReadonlySet<string> | undefined;
}

/** Throws FirnError (usage) for a word that is nothing. */
export function scopeOf(words: readonly string[], opening: Opening, port: ReadPort): Scope {
  const { project, pipeline, runsDir, root } = opening;
  const order = project?.graph.order ?? [];
  if (words.length === 0) return { prefixes: undefined, steps: order, targets: undefined };
  const prefixes = new Set<string>();
  const named: string[] = [];
  for (const word of words) {
    const target = pipeline?.targets.get(word);
    if (target !== undefined) {
      named.push(word);
      for (const out of target.out) prefixes.add(out);
      continue;
    }
    const run = isRunName(word) ? `${runsDir}/${word}` : undefined;
    const isRun = run !== undefined && port.stat(join(root, run)) !== undefined;
    prefixes.add(isRun ? run : placeOf(word, opening, port));
  }
  const chosen = new Set(
    project === undefined || named.length === 0 ? [] : selectSteps(project.graph, named),
  );
  for (const { inputs, outputs } of chosen)
    for (const { path } of [...inputs, ...outputs]) prefixes.add(path);
  const paths = [...prefixes];
  const writesThere = ({ outputs }: Step): boolean =>
    outputs.some(({ path }) => paths.some((prefix) => isWithin(path, prefix)));
  const steps = order.filter((step) => chosen.has(step) || writesThere(step));
  return { prefixes: paths, steps, targets: new Set([...named, ...steps.map((step) => step.target)]) };
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

/** Whether a path is another one or below it. */
export function isWithin(path: string, folder: string): boolean {
  return folder === '.' || path === folder || path.startsWith(`${folder}/`);
}
