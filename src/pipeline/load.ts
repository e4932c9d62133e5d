/**
 * pipeline.yaml -> typed pipeline. Every mistake is an error with file, line and column before anything runs.
 * Knows no disk beyond the text it is given; rules are handed in by name.
 */
import type { Json, Rule, RuleTarget, RunFilter } from '../engine/types.js';
import { FirnError } from '../errors.js';
import { compileGlob } from '../runs/glob.js';
import { parseDuration } from '../runs/select.js';
import { nearest } from './nearest.js';
import { checkPattern } from './pattern.js';
import { checkProjectPath } from './project-path.js';
import { pipelineSchema } from './schema.js';
import type { YamlSource } from './source.js';
import type { validate as Validate } from './validate.js';

export const DEFAULT_RUNS = 'consolidated_data/runs';
export const DEFAULT_VERSIONS = 'data/reference/embedding_versions.json';
const DEFAULT_CACHE_LIMIT = '2GB';
/** The same in bytes. */
export const DEFAULT_CACHE_BYTES = 2e9;

/** One object: what checks it is looked up once. */
const SCHEMA = pipelineSchema();

export interface Target extends RuleTarget {
  rule: Rule;
}

export interface Pipeline {
  /** As given: what errors name. */
  path: string;
  /** Relative to the project. */
  runsDir: string;
  versionsFile: string;
  /** Relative to the project; beside each reference when undefined. */
  releasesDir?: string;
  /** bytes */
  cacheLimit: number;
  /** By name, in the order of the file. */
  targets: Map<string, Target>;
}

/** Finds a rule; undefined when there is none of that name. */
export type RuleFinder = (name: string) => Promise<Rule | undefined>;

interface RawTarget {
  rule: string;
  from?: string | string[];
  runs?: RunFilter;
  out?: string | string[];
  run?: string[];
  with?: { [name: string]: Json };
}

interface RawPipeline {
  runs?: string;
  versions?: string;
  releases?: string;
  cache?: { limit?: string };
  targets: { [name: string]: RawTarget };
}

export async function loadPipeline(
  path: string,
  text: string,
  findRule: RuleFinder,
  ruleNames: readonly string[],
): Promise<Pipeline> {
  // Loaded here: where the pipeline is remembered, nobody needs them.
  const { YamlSource } = await import('./source.js');
  const { validate } = await import('./validate.js');
  const source = new YamlSource(path, text);
  await validate(SCHEMA, source.value, source, []);
  const raw = source.value as unknown as RawPipeline;
  const targets = new Map<string, Target>();
  for (const [name, target] of Object.entries(raw.targets)) {
    const rule = await findRule(target.rule);
    if (rule === undefined) {
      throw source.error(
        ['targets', name, 'rule'],
        `unknown rule "${target.rule}"`,
        adviceForRule(target.rule, ruleNames),
      );
    }
    targets.set(name, await readTarget(source, name, target, rule, validate));
  }
  checkNames(source, targets);
  const field = (name: 'runs' | 'versions' | 'releases', fallback: string) =>
    checkProjectPath(raw[name] ?? fallback, (message, advice) => source.error([name], message, advice));
  return {
    path,
    runsDir: field('runs', DEFAULT_RUNS),
    versionsFile: field('versions', DEFAULT_VERSIONS),
    // As it is remembered: JSON has no undefined.
    ...(raw.releases === undefined ? {} : { releasesDir: field('releases', raw.releases) }),
    cacheLimit: parseSize(raw.cache?.limit ?? DEFAULT_CACHE_LIMIT, () =>
      source.error(['cache', 'limit'], `"${raw.cache?.limit}" is no size`, 'Write it as 500MB or 2GB.'),
    ),
    targets,
  };
}

async function readTarget(
  source: YamlSource,
  name: string,
  raw: RawTarget,
  rule: Rule,
  validate: typeof Validate,
): Promise<Target> {
  const at = ['targets', name];
  for (const field of ['from', 'runs', 'out', 'run'] as const) {
    const use = rule.fields[field];
    if (raw[field] !== undefined && use === undefined) {
      throw source.error(
        [...at, field],
        `the rule ${rule.name} takes no "${field}"`,
        fieldAdvice(rule),
        true,
      );
    }
    if (raw[field] === undefined && use === 'required') {
      throw source.error(
        at,
        `the field "${field}" is missing: the rule ${rule.name} needs it`,
        fieldAdvice(rule),
        true,
      );
    }
  }
  // A copy: defaults are filled into it, and an alias may stand for the same value in another target.
  const parameters = structuredClone(raw.with ?? {});
  await validate(rule.parameters, parameters, source, raw.with === undefined ? at : [...at, 'with']);
  const error: RuleTarget['error'] = (message, advice, field) =>
    source.error(
      field === undefined ? at : [...at, ...field.split('.')],
      message,
      advice,
      field === undefined,
    );
  const paths = (field: 'from' | 'out') =>
    list(raw[field]).map((path, i) =>
      checkProjectPath(path, (message, advice) => error(message, advice, `${field}.${i}`)),
    );
  const from = paths('from');
  for (const [i, pattern] of from.entries())
    placed(
      () => checkPattern(pattern),
      (message, advice) => error(message, advice, `from.${i}`),
    );
  checkFilter(raw.runs, error);
  return {
    name,
    rule,
    with: parameters,
    given: new Set(Object.keys(raw.with ?? {})),
    from,
    runs: raw.runs,
    out: paths('out'),
    run: raw.run ?? [],
    error,
  };
}

/** Durations and patterns are read here once, where their places are known. */
function checkFilter(filter: RunFilter | undefined, error: RuleTarget['error']): void {
  if (filter === undefined || filter === 'all') return;
  const { 'older-than': olderThan } = filter;
  if (olderThan !== undefined)
    placed(
      () => parseDuration(olderThan),
      (message, advice) => error(message, advice, 'runs.older-than'),
    );
  for (const field of ['dataset', 'run'] as const) {
    for (const [i, pattern] of list(filter[field]).entries()) {
      placed(
        () => compileGlob(pattern),
        (message, advice) => error(message, advice, `runs.${field}.${i}`),
      );
    }
  }
}

/** Gives an error of code that knows no file its place. */
function placed(check: () => unknown, problem: (message: string, advice?: string) => Error): void {
  try {
    check();
  } catch (error) {
    throw error instanceof FirnError ? problem(error.message, error.advice) : error;
  }
}

function adviceForRule(name: string, names: readonly string[]): string {
  const near = nearest(name, names);
  return near === undefined
    ? `There is: ${names.join(', ')}. Rules of your own are files rules/NAME.mjs.`
    : `Did you mean "${near}"?`;
}

function fieldAdvice(rule: Rule): string {
  const fields = Object.entries(rule.fields).map(([field, use]) =>
    use === 'required' ? field : `${field} (optional)`,
  );
  return `It takes: ${[...fields, 'with (optional)'].join(', ')}.`;
}

function list(value: string | string[] | undefined): string[] {
  return value === undefined ? [] : Array.isArray(value) ? value : [value];
}

/** A word in `from` that is nearly a target's name, and neither a path nor another's output, is a typing error. */
function checkNames(source: YamlSource, targets: ReadonlyMap<string, Target>): void {
  const names = [...targets.keys()];
  const made = new Set([...targets.values()].flatMap((target) => target.out));
  for (const [name, target] of targets) {
    for (const [i, from] of target.from.entries()) {
      const at = ['targets', name, 'from', i];
      if (from === name) throw source.error(at, `${name} cannot be made from itself`);
      if (targets.has(from) || made.has(from) || /[/.*{]/.test(from)) continue;
      const near = nearest(from, names);
      if (near !== undefined)
        throw source.error(at, `there is no target "${from}"`, `Did you mean "${near}"?`);
    }
  }
}

/** `2GB`, `500 MB`, `1024`: decimal units, as disks are sold. */
function parseSize(text: string, problem: () => FirnError): number {
  const found = /^(\d+(?:\.\d+)?)\s*([kMGT]?)B?$/i.exec(text.trim());
  if (found === null) throw problem();
  const unit = { '': 1, k: 1e3, m: 1e6, g: 1e9, t: 1e12 }[found[2].toLowerCase()] ?? 1;
  return Math.floor(Number(found[1]) * unit);
}
