/**
 * Compressing runs without a target in pipeline.yaml: a project with the one target that does it. Prints nothing and
 * changes nothing.
 */
import { join } from 'node:path';
import { PRECISION_PATTERN } from './arrays/precision.js';
import { FirnError } from './errors.js';
import { disk } from './files/disk.js';
import type { Port } from './files/port.js';
import { loadPipeline } from './pipeline/load.js';
import { builtInRule, builtInRuleNames } from './pipeline/rules.js';
import { openProject, PIPELINE_FILE, type Project, projectOf, projectPlaces } from './project.js';
import { expectNames, filterOf } from './runs/choose.js';
import { discoverRuns } from './runs/discover.js';

export interface CompressRequest {
  /** Of the project; it may have no pipeline.yaml. */
  directory: string;
  /** `dataset/run`, `run` or patterns; all runs when empty. */
  patterns: readonly string[];
  precision: string;
  /** Days, or a duration such as 12h. */
  olderThan: string | undefined;
  deleteOriginal: boolean;
  port?: Port;
}

/** Throws FirnError (usage) for what cannot be done. */
export async function compressProject(request: CompressRequest): Promise<Project> {
  const { directory, patterns, precision, deleteOriginal, port = disk } = request;
  const { root, pipeline: places } = await projectPlaces(directory, port);
  if (!new RegExp(PRECISION_PATTERN).test(precision)) {
    throw new FirnError('usage', `--precision cannot be "${precision}"`, {
      advice: 'Use lossless, float16 or mantissa:BITS with 1 to 22 bits.',
    });
  }
  const { runs, archived } = discoverRuns(port, join(root, places.runsDir));
  const all = [...runs, ...archived];
  const target = {
    rule: 'compress',
    runs: filterOf({ patterns, olderThan: request.olderThan }, all),
    with: { precision, 'delete-original': deleteOriginal },
  };
  // JSON is YAML: the target is checked as one in pipeline.yaml would be.
  const text = JSON.stringify({
    runs: places.runsDir,
    versions: places.versionsFile,
    ...(places.cacheLimit === undefined ? {} : { cache: { limit: String(places.cacheLimit) } }),
    targets: { compress: target },
  });
  const pipeline = await loadPipeline('firn compress', text, builtInRule, builtInRuleNames());
  const project = projectOf(pipeline, { root, port, now: Date.now });
  expectNames(patterns, all, places.runsDir);
  if (precision !== 'lossless' && deleteOriginal && port.stat(join(root, PIPELINE_FILE)) !== undefined) {
    checkMade(project, await openProject({ directory, port }));
  }
  return project;
}

/** A build would make the original again, and with it the reference. */
function checkMade(project: Project, whole: Project): void {
  const makers = new Map(
    whole.graph.order.flatMap((step) => step.outputs.map(({ path }) => [path, step.id] as const)),
  );
  for (const step of project.graph.order) {
    const made = step.removes?.find((path) => makers.has(path));
    if (made === undefined) continue;
    throw new FirnError(
      'usage',
      `${makers.get(made)} makes ${made}, and would make it again with its own values`,
      {
        path: PIPELINE_FILE,
        advice: 'Compress it lossless, keep the original, or name other runs.',
      },
    );
  }
}
