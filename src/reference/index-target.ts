/** Which target makes the index of a reference, or would. Pure; knows targets by their rule and what they name. */
import type { Target } from '../pipeline/load.js';

type Targets = Iterable<Pick<Target, 'name' | 'from' | 'out'> & { rule: { name: string } }>;

/** The target that makes the reference in a directory (relative to the project). */
export function referenceTarget(targets: Targets, directory: string): string | undefined {
  for (const { name, rule, out } of targets)
    if (rule.name === 'consolidate' && out.includes(directory)) return name;
  return undefined;
}

/** The target that makes its index. */
export function indexTarget(targets: Targets, directory: string): string | undefined {
  const all = [...targets];
  const sources = [referenceTarget(all, directory), directory];
  return all.find(({ rule, from }) => rule.name === 'index' && from.some((one) => sources.includes(one)))
    ?.name;
}

/** What to do so that there is an index, and one that fits: a clause for the end of a sentence. */
export function howToIndex(targets: Targets, directory: string): string {
  const all = [...targets];
  const target = indexTarget(all, directory);
  if (target !== undefined) return `\`firn build ${target}\` mends that`;
  const source = JSON.stringify(referenceTarget(all, directory) ?? directory);
  return `to mend that, add the target \`index: {rule: index, from: [${source}]}\` to pipeline.yaml and type \`firn build\``;
}
