/** Writes schema/pipeline.schema.json, which editors use to complete and check pipeline.yaml. */
import { mkdirSync, writeFileSync } from 'node:fs';
import { fileURLToPath } from 'node:url';
import type { Rule } from '../src/engine/types.js';
import { builtInRule, builtInRuleNames } from '../src/pipeline/rules.js';
import { editorSchema } from '../src/pipeline/schema.js';

const rules = await Promise.all(builtInRuleNames().map((name) => builtInRule(name) as Promise<Rule>));
const folder = new URL('../../schema/', import.meta.url);
mkdirSync(folder, { recursive: true });
writeFileSync(
  fileURLToPath(new URL('pipeline.schema.json', folder)),
  `${JSON.stringify(editorSchema(rules), null, 2)}\n`,
);
