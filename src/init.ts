/** A first pipeline.yaml for what is in a folder. Prints nothing. */
import { join, relative, sep } from 'node:path';
import { fileURLToPath } from 'node:url';
import { EXTENSIONS } from '../rules/embed.js';
import { FirnError } from './errors.js';
import type { Port } from './files/port.js';
import { writeFileAtomic } from './files/write-file.js';
import { DEFAULT_VERSIONS } from './pipeline/load.js';
import { findFiles } from './pipeline/pattern.js';
import { checkProjectPath, PIPELINE_FILE } from './pipeline/project-path.js';
import { starterPipeline } from './pipeline/starter.js';
import { discoverRuns } from './runs/discover.js';
import { RUN_FACTS_FILE, versionInFacts } from './runs/run-facts.js';
import { listVersions, loadRegistry, versionOf } from './runs/versions.js';

export interface Starter {
  /** Of the file that was written. */
  path: string;
  /** Relative to the project. */
  runsDir: string;
  /** How many were found. */
  runs: number;
  /** Those that nobody says the version of. */
  untagged: number;
  /** Model versions that some run has. */
  versions: readonly string[];
  /** Patterns for the sequences that are here; none where there are runs. */
  sequences: readonly string[];
}

/** Throws FirnError (usage) where there is a pipeline.yaml already, or `runs` is no folder of the project. */
export async function writeStarter(port: Port, root: string, runs: string): Promise<Starter> {
  const path = join(root, PIPELINE_FILE);
  if (port.stat(path) !== undefined) {
    throw new FirnError('usage', 'is there already', { path, advice: 'Edit it, or move it away first.' });
  }
  const runsDir = checkProjectPath(
    runs,
    (message, advice) => new FirnError('usage', message, advice === undefined ? {} : { advice }),
  );
  const there = port.stat(join(root, runsDir));
  if (there !== undefined && there.kind !== 'directory') {
    throw new FirnError('usage', 'is no folder', {
      path: runsDir,
      advice: 'Name the folder of runs, <runs>/<dataset>/<run>/embeddings.npy.',
    });
  }
  const { runs: here, archived } = discoverRuns(port, join(root, runsDir));
  const found = [...here, ...archived];
  // Where there are runs, a model made them, and sequences are not to be embedded by another.
  const sequences = found.length > 0 ? [] : sequencePatterns(port, root);
  const registry = loadRegistry(port, join(root, DEFAULT_VERSIONS));
  const used = found.map(
    ({ name, directory }) =>
      versionOf(registry, name) ?? versionInFacts(port, join(directory, RUN_FACTS_FILE)),
  );
  const registered = listVersions(registry).map(({ version }) => version);
  const versions = [...new Set([...registered, ...used])].filter(
    (version): version is string => version !== undefined && used.includes(version),
  );
  const text = starterPipeline({ runsDir, schema: schemaPath(root), sequences, versions });
  await writeFileAtomic(port, path, text);
  const untagged = used.filter((version) => version === undefined).length;
  return { path, runsDir, runs: found.length, untagged, versions, sequences };
}

function sequencePatterns(port: Port, root: string): string[] {
  return EXTENSIONS.flatMap((extension) => [extension, `${extension}.gz`])
    .map((extension) => `sequences/*/*.${extension}`)
    .filter((pattern) => findFiles(port, root, pattern).length > 0);
}

/** The schema that came with this program, as an editor finds it from the project. */
function schemaPath(root: string): string {
  const shipped = fileURLToPath(new URL('../../schema/pipeline.schema.json', import.meta.url));
  const inside = relative(root, shipped);
  return inside.startsWith('..') ? shipped : `./${inside.split(sep).join('/')}`;
}
