/** JSON Schema -> a function that checks values, by ajv. Knows no schema; most commands need none of this. */
import { Ajv, type ValidateFunction } from 'ajv';

/** `source`: keeps the code, so that it can be written down. */
export function schemaCompiler(source = false): Ajv {
  // Defaults are written into the value, so that a rule sees every parameter and the key holds it.
  // Whether a schema is one costs more than all else: it is asked of the rules of users only, see `schemaProblem`.
  return new Ajv({
    allErrors: true,
    useDefaults: true,
    allowUnionTypes: true,
    verbose: true,
    validateSchema: false,
    code: { source },
  });
}

let shared: Ajv | undefined;

export function compileSchema(schema: object): ValidateFunction {
  shared ??= schemaCompiler();
  return shared.compile(schema);
}

/** Why a schema cannot be used; undefined when it can. */
export function schemaProblem(schema: object): string | undefined {
  try {
    shared ??= schemaCompiler();
    shared.validateSchema(schema, true);
    shared.compile(schema);
    return undefined;
  } catch (error) {
    return error instanceof Error ? error.message : String(error);
  }
}
