/**
 * An in-toto Statement v1 with a SLSA Provenance v1 predicate about the files of a release, unsigned. Pure.
 *
 * Sources: the statement and its resource descriptors, github.com/in-toto/attestation, spec/v1/statement.md and
 * resource_descriptor.md; the predicate, slsa.dev/provenance/v1. `buildType` and `builder.id` are package URLs of firn:
 * docs/reference.md in that package says what the parameters mean. There is no `metadata`, since it would hold clocks, and
 * no SLSA level is claimed: whoever signs it says who ran firn.
 *
 * Runs are dependencies. Their digest is of an array and not of a file, so it is not called sha256: `firn-array-1` is
 * what src/arrays/digest.ts computes.
 */
import { type Description, indexParameters, PROGRAM, type ReleasedFile } from './description.js';
import type { Fields } from './fields.js';

const STATEMENT_TYPE = 'https://in-toto.io/Statement/v1';
const PREDICATE_TYPE = 'https://slsa.dev/provenance/v1';
const ARRAY_DIGEST = 'firn-array-1';

/** What people decide about a release: with the arrays, all that makes it this one and no other. */
export interface ExternalParameters {
  name: string;
  tag: string;
  date: string;
  fields: Fields;
}

export interface Statement {
  _type: string;
  subject: { name: string; digest: { sha256: string } }[];
  predicateType: string;
  predicate: {
    buildDefinition: {
      buildType: string;
      externalParameters: ExternalParameters;
      internalParameters: { [step: string]: unknown };
      resolvedDependencies: {
        name: string;
        digest: { [algorithm: string]: string };
        annotations?: { [name: string]: unknown };
      }[];
    };
    runDetails: { builder: { id: string; version: { [component: string]: string } } };
  };
}

/** `subjects`: every file that is there before the statement. */
export function statementOf(release: Description, subjects: readonly ReleasedFile[]): Statement {
  const { name, tag, date, fields, facts, models, pipeline } = release;
  const runs = facts.ranges.map(({ dataset, run_id, digest, count, dtype, version }) => ({
    name: `${dataset}/${run_id}`,
    digest: { [ARRAY_DIGEST]: digest.replace(/^sha256:/, '') },
    annotations: {
      rows: count,
      dtype,
      ...(version === null ? {} : { modelVersion: version }),
      ...(version === null || !models.has(version) ? {} : { model: models.get(version) }),
    },
  }));
  const index = indexParameters(release.index);
  return {
    _type: STATEMENT_TYPE,
    subject: subjects.map((file) => ({ name: file.name, digest: { sha256: file.sha256 } })),
    predicateType: PREDICATE_TYPE,
    predicate: {
      buildDefinition: {
        buildType: `${PROGRAM}#docs/reference.md`,
        externalParameters: { name, tag, date, fields },
        internalParameters: {
          consolidate: { dims: facts.dims, dtype: facts.dtype },
          ...(release.index === undefined ? {} : { index }),
        },
        resolvedDependencies: [
          ...(pipeline === undefined ? [] : [{ name: 'pipeline.yaml', digest: { sha256: pipeline } }]),
          ...runs,
        ],
      },
      runDetails: { builder: { id: PROGRAM, version: { firn: release.firnVersion } } },
    },
  };
}

/** What a statement must be to speak of a release; undefined when it does not. */
export function readStatement(text: string): Statement | undefined {
  let value: Partial<Statement>;
  try {
    value = JSON.parse(text) as Partial<Statement>;
  } catch {
    return undefined;
  }
  const definition = value?.predicate?.buildDefinition;
  const isOne =
    value?._type === STATEMENT_TYPE &&
    value.predicateType === PREDICATE_TYPE &&
    Array.isArray(value.subject) &&
    value.subject.every(
      (file) => typeof file?.name === 'string' && typeof file.digest?.sha256 === 'string',
    ) &&
    typeof definition?.externalParameters === 'object' &&
    definition.externalParameters !== null &&
    Array.isArray(definition.resolvedDependencies) &&
    definition.resolvedDependencies.every((one) => typeof one === 'object' && one !== null);
  return isOne ? (value as Statement) : undefined;
}
