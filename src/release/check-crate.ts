/**
 * Whether the descriptions of a release say what its files are: the crate by the rules of RO-Crate 1.1 and Process Run Crate
 * that firn keeps, the statement by those of in-toto. Pure over their texts; takes no digest.
 */
import type { Finding } from '../finding.js';
import { runName } from '../reference/layout.js';
import type { ReferenceFacts } from '../reference/metadata.js';
import { CRATE, type Entity, encodeId, PROFILE } from './crate.js';
import { CRATE_FILE, type ReleaseFiles, SUMS_FILE } from './names.js';
import { readStatement } from './statement.js';

export interface Described {
  files: ReleaseFiles;
  /** Files that are there as SHA256SUMS says: name -> 64 hexadecimal digits. */
  whole: ReadonlyMap<string, string>;
  /** bytes, by name */
  sizes: ReadonlyMap<string, number>;
  /** Undefined where the metadata cannot be read. */
  facts: ReferenceFacts | undefined;
}

export function crateFindings(text: string, described: Described): Finding[] {
  const problems: string[] = [];
  const graph = graphIn(text);
  if (graph === undefined) return [{ path: CRATE_FILE, problem: 'is no JSON-LD with a @graph of entities' }];
  const byId = new Map<string, Entity>();
  for (const entity of graph) {
    if (byId.has(entity['@id'])) problems.push(`describes ${entity['@id']} twice`);
    byId.set(entity['@id'], entity);
  }
  const descriptor = byId.get(CRATE_FILE);
  if (!refersTo(descriptor?.conformsTo, CRATE)) problems.push(`does not say that it conforms to ${CRATE}`);
  const root = byId.get(idsIn(descriptor?.about)[0] ?? './');
  if (root === undefined || root['@type'] !== 'Dataset') {
    return asFindings([...problems, 'has no root dataset']);
  }
  if (!refersTo(root.conformsTo, PROFILE)) problems.push(`does not say that it conforms to ${PROFILE}`);
  for (const property of ['name', 'description', 'datePublished', 'license'])
    if (root[property] === undefined) problems.push(`says no ${property}`);
  for (const entity of graph) {
    for (const id of idsIn(Object.values(entity))) {
      if (!byId.has(id) && !/^[a-z][a-z0-9+.-]*:/i.test(id))
        problems.push(`refers to ${id}, which it does not describe`);
    }
  }
  problems.push(...partProblems(root, byId, described), ...runProblems(root, byId, described));
  return asFindings(problems);
}

function asFindings(problems: readonly string[]): Finding[] {
  return problems.map((problem) => ({ path: CRATE_FILE, problem }));
}

function graphIn(text: string): Entity[] | undefined {
  try {
    const graph = (JSON.parse(text) as { '@graph'?: unknown })['@graph'];
    return Array.isArray(graph) && graph.every((entity) => typeof entity?.['@id'] === 'string')
      ? (graph as Entity[])
      : undefined;
  } catch {
    return undefined;
  }
}

/** Every `{"@id": ...}` in a value. */
function idsIn(value: unknown): string[] {
  if (Array.isArray(value)) return value.flatMap(idsIn);
  if (value === null || typeof value !== 'object') return [];
  const id = (value as { '@id'?: unknown })['@id'];
  return typeof id === 'string' ? [id] : [];
}

function refersTo(value: unknown, id: string): boolean {
  return idsIn(value).includes(id);
}

/** Every file of the release is a part, with its size and digest where the crate was written after it. */
function partProblems(
  root: Entity,
  byId: ReadonlyMap<string, Entity>,
  { files, whole, sizes }: Described,
): string[] {
  const problems: string[] = [];
  const parts = new Set(idsIn(root.hasPart));
  for (const name of [...whole.keys(), SUMS_FILE]) {
    if (name === CRATE_FILE) continue;
    const id = encodeId(name);
    const part = byId.get(id);
    if (!parts.delete(id) || part === undefined) {
      problems.push(`does not describe ${name}`);
      continue;
    }
    if (name === files.statement || name === SUMS_FILE) continue;
    if (part.sha256 !== whole.get(name)) problems.push(`says of ${name} another sha256`);
    if (part.contentSize !== String(sizes.get(name))) problems.push(`says of ${name} another size`);
  }
  for (const id of parts) {
    const name = decoded(id);
    if (name !== undefined && sizes.has(name)) continue;
    problems.push(`describes ${name ?? id}, which is not there`);
  }
  return problems;
}

function decoded(id: string): string | undefined {
  try {
    return decodeURIComponent(id);
  } catch {
    return undefined;
  }
}

function runProblems(root: Entity, byId: ReadonlyMap<string, Entity>, { files, facts }: Described): string[] {
  if (facts === undefined) return [];
  const problems: string[] = [];
  if (root.version !== facts.release?.tag) problems.push(`is of the release ${String(root.version)}`);
  if (root.datePublished !== facts.release?.date) problems.push(`has the date ${String(root.datePublished)}`);
  const runs = idsIn(byId.get('#consolidate')?.object).flatMap((id) => byId.get(id) ?? []);
  const said = runs.map(({ name, identifier, version }) => [name, identifier, version ?? null].join('\n'));
  const are = facts.ranges.map((range) => [runName(range), range.digest, range.version].join('\n'));
  if (said.join('\0') !== are.join('\0')) problems.push(`names other runs than ${files.metadata}`);
  return problems;
}

export function statementFindings(text: string, { files, whole, sizes, facts }: Described): Finding[] {
  const path = files.statement;
  const statement = readStatement(text);
  if (statement === undefined) return [{ path, problem: 'is no in-toto statement with SLSA provenance' }];
  const problems: string[] = [];
  const subjects = new Map(statement.subject.map(({ name, digest }) => [name, digest.sha256]));
  for (const [name, sha256] of whole) {
    if (name === files.statement) continue;
    if (!subjects.has(name)) problems.push(`has no subject ${name}`);
    else if (subjects.get(name) !== sha256) problems.push(`says of ${name} another sha256`);
    subjects.delete(name);
  }
  for (const name of subjects.keys()) {
    // One that is there and not whole was told already.
    if (!sizes.has(name)) problems.push(`speaks of ${name}, which is not there`);
  }
  if (facts !== undefined) {
    const { externalParameters: given, resolvedDependencies } = statement.predicate.buildDefinition;
    const { name, tag, date } = facts.release ?? {};
    if (given.name !== name || given.tag !== tag || given.date !== date)
      problems.push(`is of another release than ${files.metadata}`);
    const said = resolvedDependencies.flatMap((one) =>
      one.digest?.['firn-array-1'] === undefined ? [] : [`${one.name}\nsha256:${one.digest['firn-array-1']}`],
    );
    const are = facts.ranges.map((range) => `${runName(range)}\n${range.digest}`);
    if (said.join('\0') !== are.join('\0')) problems.push(`names other runs than ${files.metadata}`);
  }
  return problems.map((problem) => ({ path, problem }));
}
