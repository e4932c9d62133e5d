/** The functions that were made of firn's own schemas beforehand: there is one for each, and ajv would say the same. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Rule } from '../src/engine/types.js';
import { compileSchema } from '../src/pipeline/compile-validator.js';
import { bySchema } from '../src/pipeline/ready-validators.cjs';
import { builtInRule, builtInRuleNames } from '../src/pipeline/rules.js';
import { pipelineSchema } from '../src/pipeline/schema.js';

const test = suite('ready validators');

const rules = await Promise.all(builtInRuleNames().map((name) => builtInRule(name) as Promise<Rule>));
const schemas: { properties?: unknown }[] = [pipelineSchema(), ...rules.map((rule) => rule.parameters)];

test('they find the same errors and fill in the same defaults', () => {
  for (const schema of schemas) {
    const ready = bySchema.get(JSON.stringify(schema));
    assert.ok(ready, JSON.stringify(schema));
    const made = compileSchema(schema);
    const fields = Object.keys(schema.properties ?? {});
    const value = fc.oneof(
      fc.jsonValue(),
      fc.dictionary(fc.constantFrom(...fields, 'other'), fc.jsonValue(), { maxKeys: 4 }),
      fc.record({ targets: fc.dictionary(fc.constantFrom('a', '-b'), fc.record({ rule: fc.jsonValue() })) }),
    );
    fc.assert(
      fc.property(value, (given) => {
        const [one, two] = [structuredClone(given), structuredClone(given)];
        assert.is(ready(one), made(two));
        assert.equal(one, two);
        assert.equal(ready.errors, made.errors);
      }),
      { numRuns: 200 },
    );
  }
});

test.run();
