/** JSON Schema errors as a person wants them: where, what was expected, and the nearest right word. */
import type { ErrorObject, ValidateFunction } from 'ajv';
import type { Json } from '../engine/types.js';
import type { FirnError } from '../errors.js';
import { durationAdvice } from '../runs/select.js';
import { nearest, suggest } from './nearest.js';
import { bySchema } from './ready-validators.cjs';
import type { YamlPath, YamlSource } from './source.js';

/** By the schema, which many targets may share. */
const known = new WeakMap<object, ValidateFunction>();

async function validatorFor(schema: object): Promise<ValidateFunction> {
  const found = known.get(schema) ?? bySchema.get(JSON.stringify(schema));
  // Loaded here: only rules of users have other schemas.
  const validator = found ?? (await import('./compile-validator.js')).compileSchema(schema);
  known.set(schema, validator);
  return validator;
}

/** Errors looked at to find the first; thousands of them are one mistake. */
const CONSIDERED = 200;

/** Checks `value`, which stands at `at` in the source; throws the first error in the order of the file. */
export async function validate(schema: object, value: Json, source: YamlSource, at: YamlPath): Promise<void> {
  const check = await validatorFor(schema);
  if (check(value)) return;
  const all = (check.errors ?? []).slice(0, CONSIDERED);
  const found = all.filter((error) => !isNoise(error, all)).map((error) => toError(error, source, at));
  found.sort((a, b) => (a.line ?? 0) - (b.line ?? 0) || (a.column ?? 0) - (b.column ?? 0));
  throw found[0] ?? source.error(at, 'not as expected');
}

function isNoise(error: ErrorObject, all: readonly ErrorObject[]): boolean {
  // The names that do not match are reported one by one as well.
  if (error.keyword === 'propertyNames') return true;
  // A misspelt field is why the right one is missing.
  if (error.keyword === 'required') {
    return all.some(
      (other) => other.keyword === 'additionalProperties' && other.instancePath === error.instancePath,
    );
  }
  if (isChoice(error)) return all.some((other) => isWithin(other, error) && !isOtherKind(other, error));
  return all.some((choice) => isChoice(choice) && isWithin(error, choice) && isOtherKind(error, choice));
}

function isChoice(error: ErrorObject): boolean {
  return error.keyword === 'oneOf' || error.keyword === 'anyOf';
}

function isWithin(inner: ErrorObject, outer: ErrorObject): boolean {
  return inner.schemaPath.startsWith(`${outer.schemaPath}/`);
}

/** Whether a branch of the choice was not meant at all; one whose kind of value fits tells more than the choice. */
function isOtherKind(inner: ErrorObject, choice: ErrorObject): boolean {
  return (
    inner.instancePath === choice.instancePath && (inner.keyword === 'type' || inner.keyword === 'const')
  );
}

function toError(error: ErrorObject, source: YamlSource, at: YamlPath): FirnError {
  const path = [...at, ...pointerParts(error.instancePath)];
  const name = nameOf(path, source);
  const found = error.data as Json;
  const params = error.params as { [name: string]: unknown };
  const schema = (error.parentSchema ?? {}) as {
    properties?: object;
    description?: string;
    enum?: unknown[];
  };
  const means = schema.description;
  switch (error.keyword) {
    case 'additionalProperties': {
      const wrong = String(params.additionalProperty);
      const known = Object.keys(schema.properties ?? {});
      return source.error([...path, wrong], `unknown field "${wrong}"`, suggest(wrong, known), true);
    }
    case 'required':
      return source.error(
        path,
        `the field "${params.missingProperty}" is missing in ${name}`,
        undefined,
        true,
      );
    case 'enum':
      return source.error(
        path,
        `${name} cannot be ${show(found)}`,
        suggest(String(found), (schema.enum ?? []).map(String)),
      );
    case 'pattern':
      if (error.propertyName !== undefined) {
        const advice = 'Use letters, digits, dots, dashes and underscores, and begin with a letter or digit.';
        return source.error(
          [...path, error.propertyName],
          `"${error.propertyName}" cannot be a name`,
          advice,
          true,
        );
      }
      return source.error(path, `${name} cannot be ${show(found)}`, means);
    case 'type': {
      const expected = String(params.type);
      if (path.length === 0 && found === null)
        return source.error(
          path,
          'is empty',
          'Write `targets:` and what is to be built, or see `firn init`.',
        );
      return source.error(
        path,
        `${name} must be ${article(expected)}, found ${show(found)}`,
        path[path.length - 1] === 'older-than'
          ? durationAdvice(String(found))
          : (typeAdvice(expected, found, source.textAt(path)) ?? means),
      );
    }
    case 'oneOf':
    case 'anyOf':
      return source.error(
        path,
        `${name} cannot be ${show(found)}`,
        choiceAdvice(error, found, source.textAt(path)),
      );
    case 'minItems':
    case 'minLength':
    case 'minProperties':
      return source.error(path, `${name} is empty`, means);
    case 'minimum':
    case 'maximum':
    case 'exclusiveMinimum':
    case 'exclusiveMaximum':
      return source.error(
        path,
        `${name} must be ${params.comparison} ${params.limit}, found ${show(found)}`,
        means,
      );
    default:
      return source.error(path, `${name} ${error.message ?? 'is not as expected'}`, means);
  }
}

/** `"k"`, `item 2 of "run"`. */
function nameOf(path: YamlPath, source: YamlSource): string {
  const last = path[path.length - 1];
  if (last === undefined) return 'the file';
  return source.isItem(path) ? `item ${Number(last) + 1} of "${path[path.length - 2]}"` : `"${last}"`;
}

function choiceAdvice(error: ErrorObject, found: Json, written: string | undefined): string {
  const branches = error.schema as { type?: string; const?: string }[];
  const words = branches.flatMap((branch) => branch.const ?? []);
  const near = typeof found === 'string' ? nearest(found, words) : undefined;
  if (near !== undefined) return `Did you mean "${near}"?`;
  const expected = branches.map((branch) =>
    branch.const === undefined ? article(branch.type ?? 'value') : `"${branch.const}"`,
  );
  const wantsText = branches.some((branch) => branch.type === 'string');
  return (
    (wantsText ? typeAdvice('string', found, written) : undefined) ?? `Expected ${expected.join(' or ')}.`
  );
}

/** What YAML made of a word that was meant otherwise. */
function typeAdvice(expected: string, found: Json, written: string | undefined): string | undefined {
  if (expected === 'boolean') return 'Write true or false, without quotes.';
  if (expected === 'number' || expected === 'integer') {
    return typeof found === 'string' && /^\d+(\.\d+)?$/.test(found)
      ? `Write it without quotes: ${found}`
      : undefined;
  }
  if (expected !== 'string' || written === undefined || /^["']/.test(written)) return undefined;
  const read = show(found) === written ? '' : ` Without them YAML reads ${show(found)}.`;
  return `Put quotes around it: ${JSON.stringify(written)}.${read}`;
}

function article(type: string): string {
  const words: { [type: string]: string } = {
    object: 'a mapping (name: value)',
    array: 'a list ([a, b])',
    string: 'a text',
    number: 'a number',
    integer: 'a whole number',
    boolean: 'true or false',
  };
  return words[type] ?? type;
}

function show(found: Json): string {
  if (found === null) return 'nothing';
  const text = JSON.stringify(found);
  return text.length > 60 ? `${text.slice(0, 57)}...` : text;
}

function pointerParts(pointer: string): string[] {
  return pointer
    .split('/')
    .slice(1)
    .map((part) => part.replaceAll('~1', '/').replaceAll('~0', '~'));
}
