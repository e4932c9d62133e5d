/**
 * Whether a build would change a reference, as far as that shows without reading an array: a release holds what stands
 * there. Knows no release.
 */
import { join } from 'node:path';
import { openContext } from '../engine/context.js';
import { decide } from '../engine/decide.js';
import { NotRemembered } from '../engine/digests.js';
import { selectSteps } from '../engine/graph.js';
import { FirnError } from '../errors.js';
import { engineOptions, type Project } from '../project.js';

/** Why a build may change the files in `directory`, in a few words; undefined when it would not, or nobody can tell. */
export async function whyBehind(
  project: Project,
  directory: string,
  signal: AbortSignal,
): Promise<string | undefined> {
  const makers = project.graph.order.filter((step) =>
    step.outputs.some(({ path }) => join(project.root, path).startsWith(`${directory}/consolidated_`)),
  );
  if (makers.length === 0) return undefined;
  const options = engineOptions(project, { signal });
  const context = openContext(options, false, true);
  try {
    for (const step of selectSteps(project.graph, [...new Set(makers.map(({ target }) => target))])) {
      // Without records nothing is known of any step.
      if (context.records.of(step.id) === undefined) return undefined;
      const decision = await decide(step, { ...context, force: false });
      if (decision.action !== 'fresh') return `${step.id}: ${decision.reasons[0]?.text ?? decision.action}`;
    }
    return undefined;
  } catch (error) {
    if (error instanceof NotRemembered) return `${error.message.replace(/^\w+:/, '')} is new or was touched`;
    if (error instanceof FirnError) return undefined;
    throw error;
  } finally {
    await context.workers.close();
  }
}
