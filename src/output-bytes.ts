/** How much the outputs of steps take on disk, now. */
import { join } from 'node:path';
import type { Project } from './project.js';

/** bytes of the output files that are there, by step; undefined where none is. */
export function outputBytes({ port, root, graph }: Project): (step: string) => number | undefined {
  const steps = new Map(graph.order.map((step) => [step.id, step]));
  return (id) => {
    const sizes = (steps.get(id)?.outputs ?? []).flatMap(
      ({ path }) => port.stat(join(root, path))?.size ?? [],
    );
    return sizes.length === 0 ? undefined : sizes.reduce((sum, size) => sum + size, 0);
  };
}
