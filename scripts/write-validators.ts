/**
 * Writes dist/src/pipeline/ready-validators.cjs: the functions that ajv makes of the schema of pipeline.yaml and of the
 * parameters of the built-in rules. Making them takes longer than all they check.
 */
import { writeFileSync } from 'node:fs';
import standalone from 'ajv/dist/standalone/index.js';
import type { Rule } from '../src/engine/types.js';
import { schemaCompiler } from '../src/pipeline/compile-validator.js';
import { builtInRule, builtInRuleNames } from '../src/pipeline/rules.js';
import { pipelineSchema } from '../src/pipeline/schema.js';

const rules = await Promise.all(builtInRuleNames().map((name) => builtInRule(name) as Promise<Rule>));
const schemas = [pipelineSchema(), ...rules.map((rule) => rule.parameters)];
const ajv = schemaCompiler(true);
for (const [i, schema] of schemas.entries()) ajv.addSchema(schema, `schema-${i}`);
const code = standalone.default(
  ajv,
  Object.fromEntries(schemas.map((_, i) => [`validate${i}`, `schema-${i}`])),
);
const entries = schemas.map(
  (schema, i) => `[${JSON.stringify(JSON.stringify(schema))}, exports.validate${i}]`,
);
writeFileSync(
  new URL('../src/pipeline/ready-validators.cjs', import.meta.url),
  `${code}\nexports.bySchema = new Map([${entries.join(',')}]);\n`,
);
