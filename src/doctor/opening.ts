/**
 * pipeline.yaml and what it expands to, however much of it can be had: checks go on with the default folders where it
 * cannot. Knows no check.
 */
import { join, resolve } from 'node:path';
import type { Port } from '../files/port.js';
import { DEFAULT_CACHE_BYTES, DEFAULT_RUNS, DEFAULT_VERSIONS, type Pipeline } from '../pipeline/load.js';
import { openProject, PIPELINE_FILE, type Project, readPipeline } from '../project.js';

export interface Opening {
  /** Absolute. */
  root: string;
  /** Undefined when pipeline.yaml is missing or cannot be loaded. */
  pipeline: Pipeline | undefined;
  /** Undefined also when a target cannot be expanded. */
  project: Project | undefined;
  /** Why one of the two is undefined; undefined when pipeline.yaml is simply not there. */
  error: unknown;
  /** Relative to the project; the defaults where nothing else is said. */
  runsDir: string;
  versionsFile: string;
  /** bytes */
  cacheLimit: number;
}

/** Never throws for what is wrong with a project. */
export async function openForDoctor(directory: string, port: Port, now: () => number): Promise<Opening> {
  const root = resolve(directory);
  const opening: Opening = {
    root,
    pipeline: undefined,
    project: undefined,
    error: undefined,
    runsDir: DEFAULT_RUNS,
    versionsFile: DEFAULT_VERSIONS,
    cacheLimit: DEFAULT_CACHE_BYTES,
  };
  try {
    opening.project = await openProject({ directory: root, port, now });
    opening.pipeline = opening.project.pipeline;
  } catch (error) {
    if (port.stat(join(root, PIPELINE_FILE)) === undefined) return opening;
    opening.error = error;
    // A pipeline whose targets cannot be expanded still says where runs are.
    opening.pipeline = await readPipeline(port, root).catch(() => undefined);
  }
  const { runsDir, versionsFile, cacheLimit } = opening.pipeline ?? opening;
  return { ...opening, runsDir, versionsFile, cacheLimit };
}
