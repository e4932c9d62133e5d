/**
 * Finding rules by name: firn's own, and those in the `rules/` folder beside pipeline.yaml, one file each. Loaded when a
 * target uses them. Knows no target.
 */
import { join } from 'node:path';
import { pathToFileURL } from 'node:url';
import { fileDigest } from '../engine/store.js';
import type { Rule } from '../engine/types.js';
import { FirnError, messageOf } from '../errors.js';
import type { ReadPort } from '../files/port.js';

/** A rule of a user is read by its file; its name is the file's. */
const EXTENSION = '.mjs';

const builtIn: { [name: string]: () => Promise<{ default: Rule }> } = {
  command: () => import('../../rules/command.js'),
  compress: () => import('../../rules/compress.js'),
  consolidate: () => import('../../rules/consolidate.js'),
  embed: () => import('../../rules/embed.js'),
  index: () => import('../../rules/index.js'),
  release: () => import('../../rules/release.js'),
};

export function builtInRuleNames(): string[] {
  return Object.keys(builtIn);
}

export async function builtInRule(name: string): Promise<Rule | undefined> {
  return Object.hasOwn(builtIn, name) ? (await builtIn[name]()).default : undefined;
}

/** Names of all rules that pipeline.yaml in `root` can use. */
export function ruleNames(port: ReadPort, root: string): string[] {
  const own = port
    .list(join(root, 'rules'))
    .filter((entry) => entry.name.endsWith(EXTENSION))
    .map((entry) => entry.name.slice(0, -EXTENSION.length));
  return [...new Set([...builtInRuleNames(), ...own])].sort();
}

/**
 * A rule by name; undefined when there is none. FirnError when a user's rule is not one, or takes a built-in's name.
 * `checked`: its parameters are known to be a schema.
 */
export async function findRule(
  port: ReadPort,
  root: string,
  name: string,
  checked = false,
): Promise<Rule | undefined> {
  const path = join(root, 'rules', `${name}${EXTENSION}`);
  const isOwn = /^[A-Za-z0-9][A-Za-z0-9._-]*$/.test(name) && port.stat(path)?.kind === 'file';
  const known = await builtInRule(name);
  if (!isOwn) return known;
  if (known !== undefined) {
    throw new FirnError('usage', `has the name of a rule that firn brings along`, {
      path,
      advice: 'Rename the file.',
    });
  }
  const rule = await loadOwnRule(port, path, name);
  const problem = checked ? undefined : await parametersProblem(rule);
  if (problem !== undefined) throw noRule(problem, path);
  return rule;
}

async function loadOwnRule(port: ReadPort, path: string, name: string): Promise<Rule> {
  const digest = await fileDigest(port, path);
  // The digest keeps a changed file from being taken from the module cache.
  const url = `${pathToFileURL(path).href}?${digest.slice(7, 23)}`;
  let loaded: { default?: Partial<Rule> };
  try {
    loaded = await import(url);
  } catch (error) {
    throw await ownError('usage', 'cannot be loaded: ', error, path, url);
  }
  const rule = loaded.default;
  const problem = problemOf(rule, name);
  if (problem !== undefined) throw noRule(problem, path);
  const { version, run } = rule as Rule;
  return {
    ...(rule as Rule),
    own: true,
    // The file is part of the key; what it imports is not, so `version` has to be raised for that.
    version: `${version} ${digest}`,
    async run(step, context) {
      try {
        return (await run.call(rule, step, context)) ?? {};
      } catch (error) {
        if (error instanceof FirnError || context.signal.aborted) throw error;
        throw await ownError('failed', '', error, path, url);
      }
    },
  };
}

function noRule(problem: string, path: string): FirnError {
  return new FirnError('usage', problem, { path, advice: 'docs/reference.md shows what a rule exports.' });
}

/** What a user's file threw, with the line in it. */
async function ownError(
  kind: 'usage' | 'failed',
  what: string,
  error: unknown,
  path: string,
  url: string,
): Promise<FirnError> {
  const stack = error instanceof Error ? (error.stack ?? '') : '';
  const at = stack.indexOf(`${url}:`);
  const [, line, column] =
    error instanceof SyntaxError
      ? await placeOfSyntaxError(path)
      : at === -1
        ? []
        : (/^:(\d+):(\d+)/.exec(stack.slice(at + url.length)) ?? []);
  // Lines of a message are indented.
  return new FirnError(kind, `${what}${messageOf(error).replaceAll('\n', '\n  ')}`, {
    path,
    cause: error,
    ...(line === undefined ? {} : { line: Number(line) }),
    ...(column === undefined ? {} : { column: Number(column) }),
  });
}

/** Node tells it only when it prints the error itself. */
async function placeOfSyntaxError(path: string): Promise<string[]> {
  const { spawnSync } = await import('node:child_process');
  const { stderr } = spawnSync(process.execPath, ['--check', path], { encoding: 'utf8' });
  return stderr.startsWith(`${path}:`) ? (/^:(\d+)/.exec(stderr.slice(path.length)) ?? []) : [];
}

const FIELDS = ['from', 'runs', 'out', 'run'];

function problemOf(rule: Partial<Rule> | undefined, name: string): string | undefined {
  if (rule === null || typeof rule !== 'object') return 'has no default export that is a rule';
  if (rule.name !== name) return `exports the rule "${rule.name}", expected "${name}" as the file is called`;
  if (typeof rule.version !== 'string') return 'the rule has no `version` (a text)';
  if (typeof rule.expand !== 'function' || typeof rule.run !== 'function')
    return 'the rule lacks `expand` or `run`';
  if (!isObject(rule.parameters) || !isObject(rule.fields)) return 'the rule lacks `parameters` or `fields`';
  for (const [field, use] of Object.entries(rule.fields)) {
    if (!FIELDS.includes(field) || (use !== 'required' && use !== 'optional')) {
      return `\`fields\` says ${field}: ${String(use)}, expected one of ${FIELDS.join(', ')}, required or optional`;
    }
  }
  return undefined;
}

function isObject(value: unknown): value is object {
  return value !== null && typeof value === 'object';
}

async function parametersProblem({ parameters }: Rule): Promise<string | undefined> {
  const { schemaProblem } = await import('./compile-validator.js');
  const problem = parameters.type === 'object' ? schemaProblem(parameters) : 'its type is not "object"';
  return problem === undefined ? undefined : `\`parameters\` is no usable JSON Schema: ${problem}`;
}
