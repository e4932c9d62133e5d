/** `firn build` in this process, over any port. */
import * as assert from 'uvu/assert';
import type { BuildSummary } from '../../src/engine/events.js';
import type { Port } from '../../src/files/port.js';
import { type BuildRequest, build, openProject } from '../../src/project.js';
import type { TestProject } from './project.js';

/** Files that are younger than a tick are hashed again, and by another number of operations: by this clock they are older. */
export function aheadOfFiles(port: Port): Port {
  const probe: Port['probe'] = async (directory) => {
    const stat = await port.probe(directory);
    return { ...stat, mtimeNs: stat.mtimeNs + 60_000_000_000n };
  };
  return Object.assign(Object.create(port) as Port, { probe });
}

function summaryOf({ root }: { root: string }, port: Port, request: BuildRequest): Promise<BuildSummary> {
  return openProject({ directory: root, port: aheadOfFiles(port) }).then((project) =>
    build(project, request),
  );
}

/** Throws when a step fails. */
export async function buildHere(
  project: Pick<TestProject, 'root'>,
  port: Port,
  request: BuildRequest = {},
): Promise<void> {
  const { failed, outcomes } = await summaryOf(project, port, request);
  if (failed > 0) throw outcomes.find(({ error }) => error !== undefined)?.error;
}

/** That a build finds all fresh. */
export async function nothingToDo(project: TestProject, port: Port): Promise<void> {
  const { ran, restored, failed } = await summaryOf(project, port, {});
  assert.equal([ran, restored, failed], [0, 0, 0], 'another build has something to do');
}
