/**
 * The JSON Schema of pipeline.yaml, as far as it does not depend on a rule. The same schema, with the rules' parameters
 * filled in, is shipped for editors. Knows no YAML.
 */
import type { Rule } from '../engine/types.js';

type Schema = { [keyword: string]: unknown };

/** Target names reach the command line and file names. */
const TARGET_NAME = '^[A-Za-z0-9][A-Za-z0-9._-]*$';

const text = { type: 'string', minLength: 1 };
const texts = { oneOf: [text, { type: 'array', items: text, minItems: 1 }] };

const runFilter = {
  description: 'Which runs: all of them, or those that match every filter given.',
  oneOf: [
    { const: 'all' },
    {
      type: 'object',
      additionalProperties: false,
      minProperties: 1,
      properties: {
        dataset: { ...texts, description: 'Dataset names; *, ? and [...] are wildcards.' },
        run: { ...texts, description: 'Run names; *, ? and [...] are wildcards.' },
        version: {
          ...text,
          description: 'Runs tagged with this model version. Quote it: 1.10 unquoted is the number 1.1.',
        },
        'older-than': {
          ...text,
          description: 'Runs whose array was last changed this long ago or longer: 30d, 12h, 2w.',
        },
      },
    },
  ],
};

/** The fields every target may have; which of them a rule takes is checked against the rule. */
const TARGET_FIELDS: { [name: string]: Schema } = {
  rule: { ...text, description: 'The rule that builds this target.' },
  from: {
    ...texts,
    description:
      'What it is made from: names of other targets, files, or patterns (* and {name} are wildcards).',
  },
  runs: runFilter,
  out: { ...texts, description: 'The file or folder it makes.' },
  run: {
    type: 'array',
    items: { type: 'string' },
    minItems: 1,
    description: 'The program and its arguments, one a word; {in} and {out} stand for files.',
  },
  with: { type: 'object', description: "The rule's parameters." },
};

export function pipelineSchema(): Schema {
  return {
    type: 'object',
    additionalProperties: false,
    required: ['targets'],
    properties: {
      runs: {
        ...text,
        description:
          'The folder of runs, <runs>/<dataset>/<run>/embeddings.npy. Default: consolidated_data/runs.',
      },
      versions: {
        ...text,
        description: 'The registry of model versions. Default: data/reference/embedding_versions.json.',
      },
      releases: {
        ...text,
        description: 'The folder of releases. Default: releases/ in the directory of each reference.',
      },
      cache: {
        type: 'object',
        additionalProperties: false,
        properties: {
          limit: { ...text, description: 'How much the stored outputs may take: 500MB, 2GB. Default: 2GB.' },
        },
      },
      targets: {
        type: 'object',
        minProperties: 1,
        propertyNames: { pattern: TARGET_NAME },
        additionalProperties: {
          type: 'object',
          required: ['rule'],
          additionalProperties: false,
          properties: TARGET_FIELDS,
        },
      },
    },
  };
}

/** The schema for editors: each rule's own fields and parameters behind its name. */
export function editorSchema(rules: readonly Rule[]): Schema {
  const schema = pipelineSchema() as { properties: { targets: Schema } };
  const target = schema.properties.targets.additionalProperties as { properties: { [name: string]: Schema } };
  const { additionalProperties: _closed, ...open } = target as Schema;
  schema.properties.targets.additionalProperties = {
    ...open,
    properties: {
      ...target.properties,
      rule: {
        description: TARGET_FIELDS.rule.description,
        anyOf: [
          ...rules.map((rule) => ({ const: rule.name, description: rule.summary })),
          { type: 'string', description: 'A rule of your own: rules/NAME.mjs.' },
        ],
      },
    },
    allOf: rules.map((rule) => ({
      if: { properties: { rule: { const: rule.name } }, required: ['rule'] },
      // biome-ignore lint/suspicious/noThenProperty: a keyword of JSON Schema
      then: {
        properties: { with: rule.parameters },
        required: Object.entries(rule.fields).flatMap(([name, use]) => (use === 'required' ? [name] : [])),
      },
    })),
  };
  return { $schema: 'http://json-schema.org/draft-07/schema#', title: 'firn pipeline.yaml', ...schema };
}
