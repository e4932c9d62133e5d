/**
 * The references of a project, and whether a run may go because they hold its rows. What may go is decided here from what
 * metadata says; that the rows really are in the array is proven right before something is removed.
 */
import { join } from 'node:path';
import { openArray } from '../arrays/open.js';
import { FirnError } from '../errors.js';
import type { ReadPort } from '../files/port.js';
import type { Pipeline } from '../pipeline/load.js';
import { EMBEDDINGS_FILE, METADATA_FILE } from '../reference/files.js';
import { type Range, runName, startsOf } from '../reference/layout.js';
import { type ReferenceFacts, readMetadata } from '../reference/metadata.js';
import { holdsRange, type ProofOptions } from '../reference/prove-rows.js';
import { someOf } from '../reference/warnings.js';

export interface ProjectReference {
  target: string;
  /** Relative to the project. */
  directory: string;
  /** Undefined when it was never built, or its metadata cannot be read. */
  facts: ReferenceFacts | undefined;
  /** What it holds, by the name of the run, and the first row of each. */
  held: ReadonlyMap<string, { range: Range; start: number }>;
  /** Why its metadata cannot be read. */
  problem?: unknown;
  /** Runs whose rows the next build drops. */
  pruned: ReadonlySet<string>;
}

/** Those that targets of the pipeline build, in their order, as they stand on disk. */
export async function readReferences(
  port: ReadPort,
  root: string,
  { targets }: Partial<Pick<Pipeline, 'targets'>>,
): Promise<ProjectReference[]> {
  const references: ProjectReference[] = [];
  for (const target of targets?.values() ?? []) {
    if (target.rule.name !== 'consolidate' || target.rule.own) continue;
    const [directory] = target.out;
    const pruned = new Set(target.with.prune as string[]);
    const place = { target: target.name, directory, pruned };
    try {
      const facts = await readMetadata(port, join(root, directory, METADATA_FILE));
      references.push({ ...place, facts, held: heldIn(facts) });
    } catch (problem) {
      references.push({ ...place, facts: undefined, held: new Map(), problem });
    }
  }
  return references;
}

/** The first of a name counts, as in the layout. */
function heldIn(facts: ReferenceFacts | undefined): ProjectReference['held'] {
  const held = new Map<string, { range: Range; start: number }>();
  if (facts === undefined) return held;
  const starts = startsOf(facts.ranges);
  for (const [i, range] of facts.ranges.entries()) {
    const name = runName(range);
    if (!held.has(name)) held.set(name, { range, start: starts[i] });
  }
  return held;
}

export type Holding =
  /** The reference keeps exactly this array under this name. */
  | 'holds'
  /** Its rows are another array. */
  | 'differs'
  | 'lacks'
  /** `prune` names it, and the next build drops its rows. */
  | 'pruned'
  | 'unbuilt'
  | 'unreadable';

export function holdingOf(
  reference: ProjectReference,
  run: { name: string; digest: string | undefined },
): Holding {
  if (reference.facts === undefined) return reference.problem === undefined ? 'unbuilt' : 'unreadable';
  const range = reference.held.get(run.name)?.range;
  if (range === undefined) return 'lacks';
  if (range.digest !== run.digest) return 'differs';
  return reference.pruned.has(run.name) ? 'pruned' : 'holds';
}

const WHY: { [holding in Exclude<Holding, 'holds'>]: string } = {
  differs: 'holds other values of it',
  lacks: 'does not hold it yet',
  pruned: 'drops it, since `prune` names it',
  unbuilt: 'was never built',
  unreadable: 'has metadata that cannot be read',
};

/**
 * Why a run has to stay: its rows must be in every reference whose target selects it, and in one at least. Undefined when
 * it may go. Pure.
 */
export function whyItStays(
  run: { name: string; digest: string },
  references: readonly ProjectReference[],
  /** Targets that select it. */
  selectedBy: ReadonlySet<string>,
): FirnError | undefined {
  if (references.length === 0) {
    return refusal(
      'no target of pipeline.yaml builds a reference',
      'Add one that takes it in, and build it.',
    );
  }
  const found = references.map((reference) => ({ reference, holding: holdingOf(reference, run) }));
  const missing = found.filter(
    ({ reference, holding }) => selectedBy.has(reference.target) && holding !== 'holds',
  );
  if (missing.length > 0) {
    const why = missing.map(
      ({ reference, holding }) => `${reference.target} ${WHY[holding as Exclude<Holding, 'holds'>]}`,
    );
    const targets = missing.map(({ reference }) => reference.target).join(' ');
    return refusal(why.join(', and '), `First: firn build ${targets}`);
  }
  if (found.some(({ holding }) => holding === 'holds')) return undefined;
  const targets = references.map(({ target }) => target);
  return refusal(
    `no reference holds it: \`runs\` of ${someOf(targets)} does not select it`,
    'Let one of them select it, or add a target that does, and build it.',
  );
}

function refusal(why: string, advice: string): FirnError {
  return new FirnError('conflict', `has to stay: ${why}`, { advice });
}

/**
 * Reads the rows of a run out of every reference that says it holds them, and hashes them.
 * @throws FirnError `conflict` when one of them holds something else
 */
export async function proveHeld(
  place: { port: ReadPort; root: string },
  run: { name: string; digest: string },
  references: readonly ProjectReference[],
  options: ProofOptions,
): Promise<void> {
  for (const reference of references) {
    if (holdingOf(reference, run) !== 'holds') continue;
    const { range, start } = reference.held.get(run.name) as { range: Range; start: number };
    await proveRange(place, reference, range, start, options);
  }
}

async function proveRange(
  { port, root }: { port: ReadPort; root: string },
  reference: ProjectReference,
  range: Range,
  start: number,
  options: ProofOptions,
): Promise<void> {
  const path = `${reference.directory}/${EMBEDDINGS_FILE}`;
  const embeddings = await openArray(port, join(root, path));
  try {
    if (embeddings.dims === reference.facts?.dims && (await holdsRange(embeddings, range, start, options)))
      return;
  } finally {
    await embeddings.close();
  }
  throw new FirnError('conflict', `does not hold the rows of ${runName(range)} that its metadata names`, {
    path,
    advice: `The run stays. \`firn build ${reference.target}\` writes the reference again.`,
  });
}
