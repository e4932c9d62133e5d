/**
 * The collection that several questions share: a project of firn's and, beside it, the folder in which the peer's
 * script builds the same. Knows how each is built, and no question.
 */
import { existsSync, mkdirSync, rmSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import { type Data, runsOf } from './data.js';
import { type Measured, type Program, runQuietly, settleMachine } from './measure.js';
import { firn, peer } from './programs.js';

export const EMBEDDINGS = 'consolidated_embeddings.npy';
export const METADATA = 'consolidated_metadata.json';
export const INDEX = 'consolidated_index.faiss';

export const PIPELINE = `runs: consolidated_data/runs
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
    with: {recall: 0.95}
`;

export class Collection {
  readonly project: string;
  /** Firn's reference and index. */
  readonly reference: string;
  /** The peer's. */
  readonly peerReference: string;
  /** What building firn's side from nothing took, once a question has measured it. */
  fromNothing: Measured | undefined;

  constructor(
    private readonly data: Data,
    readonly runs: number,
    private readonly python: string,
    name = 'collection',
  ) {
    this.project = join(data.directory, name);
    this.reference = join(this.project, 'data/reference');
    this.peerReference = join(data.directory, `${name}-peer`);
  }

  /** The project with its runs; nothing is built by this. */
  async prepare(): Promise<void> {
    if (existsSync(this.project)) return;
    mkdirSync(this.project, { recursive: true });
    writeFileSync(join(this.project, 'pipeline.yaml'), PIPELINE);
    await this.data.addRuns(this.project, 0, this.runs);
  }

  /** `firn build` from nothing. */
  firnFromNothing(): Program {
    const prepare = (): void => {
      this.forget();
      settleMachine();
    };
    return { argv: firn('build', '--json'), cwd: this.project, prepare };
  }

  /** The script that builds the same from nothing. */
  peerFromNothing(): Program {
    const argv = [this.python, peer('reference.py'), runsOf(this.project), this.peerReference];
    const prepare = (): void => {
      rmSync(this.peerReference, { recursive: true, force: true });
      settleMachine();
    };
    return { argv, cwd: this.project, prepare };
  }

  /** Builds firn's side unless it is there. */
  async build(): Promise<void> {
    await this.prepare();
    if (!existsSync(join(this.reference, INDEX))) await runQuietly(firn('build'), this.project);
  }

  /** Builds the peer's side unless it is there. */
  async buildPeer(): Promise<void> {
    await this.prepare();
    if (!existsSync(join(this.peerReference, INDEX))) {
      await runQuietly(this.peerFromNothing().argv, this.project);
    }
  }

  /** Removes what firn built, and what it remembers. */
  forget(): void {
    for (const name of ['data', 'cache']) rmSync(join(this.project, name), { recursive: true, force: true });
  }

  remove(): void {
    for (const path of [this.project, this.peerReference]) rmSync(path, { recursive: true, force: true });
  }
}

/**
 * Twice a build that finds nothing to do, or an error: the first may find files so new that their digests are not to
 * be remembered yet.
 */
export async function settle(project: string): Promise<void> {
  for (let i = 0; i < 2; i++) await expectNothingToDo(project);
}

async function expectNothingToDo(project: string): Promise<void> {
  const printed = await runQuietly(firn('build', '--json'), project);
  const { ran, restored } = JSON.parse(printed) as { ran: number; restored: number };
  if (ran + restored > 0) throw new Error(`${project}: expected nothing to do, but:\n${printed}`);
}
