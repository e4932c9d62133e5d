/** JSON Schema errors as a person wants them: where, what was expected, and the nearest right word. */
import { Ajv, type ErrorObject } from 'ajv';
import type { Json } from '../engine/types.js';
import type { FirnError } from '../errors.js';
import { suggest } from './nearest.js';
import type { YamlPath, YamlSource } from './source.js';

let shared: Ajv | undefined;

function validator(): Ajv {
  // Defaults are written into the value, so that a rule sees every parameter and the key holds it.
  shared ??= new Ajv({ allErrors: true, useDefaults: true, allowUnionTypes: true, verbose: true });
  return shared;
}

/** Checks `value`, which stands at `at` in the source; throws the first error in the order of the file. */
export function validate(schema: object, value: Json, source: YamlSource, at: YamlPath): void {
  const ajv = validator();
  if (ajv.validate(schema, value)) return;
  const errors = (ajv.errors ?? []).filter((error) => !isNoise(error, ajv.errors ?? []));
  const found = errors.map((error) => toError(error, value, source, at));
  found.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  throw found[0] ?? source.error(at, 'not as expected');
}

/** `oneOf` reports each branch and then itself; the branch whose type fits the value tells most. */
function isNoise(error: ErrorObject, all: readonly ErrorObject[]): boolean {
  if (error.keyword === 'propertyNames') return true;
  if (error.keyword === 'oneOf' || error.keyword === 'anyOf') {
    return all.some((other) => other !== error && isInside(other, error) && other.keyword !== 'type' && other.keyword !== 'const');
  }
  const parent = all.find((other) => (other.keyword === 'oneOf' || other.keyword === 'anyOf') && isInside(error, other));
  return parent !== undefined && (error.keyword === 'type' || error.keyword === 'const') && error.instancePath === parent.instancePath;
}

function isInside(inner: ErrorObject, outer: ErrorObject): boolean {
  return inner.schemaPath.startsWith(`${outer.schemaPath}/`);
}

function toError(error: ErrorObject, value: Json, source: YamlSource, at: YamlPath): FirnError {
  const path = [...at, ...pointerParts(error.instancePath)];
  const name = path.length === 0 ? 'the file' : `"${path[path.length - 1]}"`;
  const params = error.params as { [name: string]: unknown };
  switch (error.keyword) {
    case 'additionalProperties': {
      const wrong = String(params.additionalProperty);
      const known = Object.keys((error.parentSchema as { properties?: object }).properties ?? {});
      return source.error([...path, wrong], `unknown field "${wrong}"`, suggest(wrong, known), true);
    }
    case 'required':
      return source.error(path, `the field "${params.missingProperty}" is missing in ${name}`, undefined, true);
    case 'enum': {
      const allowed = (params.allowedValues as unknown[]).map(String);
      return source.error(path, `${name} cannot be ${show(at, path, value)}`, suggest(show(at, path, value), allowed));
    }
    case 'pattern':
      if (error.propertyName !== undefined) {
        return source.error([...path, error.propertyName], `"${error.propertyName}" cannot be a name`, 'Use letters, digits, dots, dashes and underscores.', true);
      }
      return source.error(path, `${name} ${error.message}`);
    case 'type':
      return source.error(path, `${name} must be ${article(String(params.type))}, found ${show(at, path, value)}`, quoteAdvice(params.type, get(value, path.slice(at.length))));
    case 'oneOf':
    case 'anyOf':
      return source.error(path, `${name} cannot be ${show(at, path, value)}`, expected(error, get(value, path.slice(at.length))));
    default:
      return source.error(path, `${name} ${error.message ?? 'is not as expected'}`);
  }
}

function expected(error: ErrorObject, found: Json | undefined): string {
  const branches = (error.schema as { type?: string; const?: string }[]).map((branch) =>
    branch.const === undefined ? article(branch.type ?? 'value') : `"${branch.const}"`,
  );
  const advice = `Expected ${branches.join(' or ')}.`;
  return typeof found === 'number' ? `${advice} ${quoteAdvice('string', found)}` : advice;
}

function quoteAdvice(type: unknown, found: Json | undefined): string | undefined {
  return type === 'string' && (typeof found === 'number' || typeof found === 'boolean')
    ? 'Put quotes around it: YAML reads it as something else (1.10 is the number 1.1).'
    : undefined;
}

function article(type: string): string {
  const words: { [type: string]: string } = {
    object: 'a mapping',
    array: 'a list',
    string: 'a text',
    number: 'a number',
    integer: 'a whole number',
    boolean: 'true or false',
  };
  return words[type] ?? type;
}

function show(at: YamlPath, path: YamlPath, value: Json): string {
  const found = get(value, path.slice(at.length));
  if (typeof found === 'string') return `"${found}"`;
  const text = JSON.stringify(found) ?? 'nothing';
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function get(value: Json, path: YamlPath): Json | undefined {
  let at: Json | undefined = value;
  for (const part of path) {
    if (at === null || typeof at !== 'object') return undefined;
    at = (at as { [key: string]: Json })[String(part)];
  }
  return at;
}

function pointerParts(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}
