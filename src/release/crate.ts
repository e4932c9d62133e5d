/**
 * The RO-Crate of a release: ro-crate-metadata.json, in the terms of Process Run Crate. Pure.
 *
 * Sources: RO-Crate 1.1 (w3id.org/ro/crate/1.1: root data entity, data entities, contextual entities, provenance) and
 * Process Run Crate 0.5 (w3id.org/ro/wfrun/process/0.5); `sha256` of a file is a term of w3id.org/ro/terms/workflow-run.
 * Runs are no files of the crate, so they are contextual entities (CreativeWork), as the profile allows for other inputs;
 * numbers and words that decided an index are PropertyValues among its inputs, and so are the fields that people gave, of
 * the root. Nothing that only a clock would know is said: actions but the release itself have no time.
 */
import { runName, startsOf } from '../reference/layout.js';
import { type Description, indexParameters, PROGRAM, type ReleasedFile, versionsIn } from './description.js';
import { TERMS } from './field-terms.js';
import { partsOf } from './fields.js';
import { CRATE_FILE, filesIn, SUMS_FILE } from './names.js';

export const CRATE = 'https://w3id.org/ro/crate/1.1';
export const PROFILE = 'https://w3id.org/ro/wfrun/process/0.5';
const CONTEXT = [`${CRATE}/context`, 'https://w3id.org/ro/terms/workflow-run/context'];
const NPY_FORMAT = 'https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html';
const FAISS_FORMAT =
  'https://github.com/facebookresearch/faiss/wiki/Index-IO,-cloning-and-hyper-parameter-tuning';
const UNSTATED = 'No licence is stated. Ask those who made this release before you use it.';

export interface Entity {
  '@id': string;
  '@type': string | string[];
  [property: string]: unknown;
}

export interface Crate {
  '@context': unknown;
  '@graph': Entity[];
}

interface Reference {
  '@id': string;
}

export function crateOf(release: Description): Crate {
  const { data, name, tag } = release;
  const { statement } = filesIn(`${name}_${tag}`);
  const files = fileEntities(release, statement);
  const runs = runEntities(release);
  const models = modelEntities(release);
  const people = peopleOf(release);
  const parameters = Object.entries(indexParameters(release.index)).map(([key, value]) =>
    propertyValue(`#index/${encodeId(key)}`, key, value),
  );
  const fields = Object.entries(release.fields).map(([term, value]) => ({
    ...propertyValue(`#field/${encodeId(term)}`, term, value),
    ...(Object.hasOwn(TERMS, term) && TERMS[term].uri !== undefined ? { propertyID: TERMS[term].uri } : {}),
  }));
  const program: Entity = {
    '@id': `${PROGRAM}@${release.firnVersion}`,
    '@type': 'SoftwareApplication',
    name: 'firn',
    description: 'make for embedding collections',
    softwareVersion: release.firnVersion,
  };
  const license = licenseOf(release);
  const actions = actionEntities({ release, runs, models, parameters, program, people, statement });
  const root: Entity = {
    '@id': './',
    '@type': 'Dataset',
    conformsTo: { '@id': PROFILE },
    name: titleOf(release),
    description: descriptionOf(release),
    datePublished: release.date,
    version: tag,
    license: license.value,
    ...(people.authors.length === 0 ? {} : { author: people.authors.map(refer) }),
    ...(people.publisher === undefined ? {} : { publisher: refer(people.publisher) }),
    hasPart: files.map(refer),
    mentions: actions.map(refer),
    ...(fields.length === 0 ? {} : { additionalProperty: fields.map(refer) }),
  };
  return {
    '@context': CONTEXT,
    '@graph': distinct([
      {
        '@id': CRATE_FILE,
        '@type': 'CreativeWork',
        conformsTo: { '@id': CRATE },
        about: { '@id': './' },
      },
      root,
      { '@id': PROFILE, '@type': 'CreativeWork', name: 'Process Run Crate', version: '0.5' },
      ...files,
      { '@id': NPY_FORMAT, '@type': 'WebSite', name: 'The NPY format of numpy' },
      ...(data.index === undefined
        ? []
        : [{ '@id': FAISS_FORMAT, '@type': 'WebSite', name: 'Index files of FAISS' }]),
      ...license.entities,
      ...people.authors,
      ...(people.publisher === undefined ? [] : [people.publisher]),
      program,
      ...models.map(({ entity }) => entity),
      ...actions,
      ...parameters,
      ...fields,
      ...runs.map(({ entity }) => entity),
    ]),
  };
}

/** One entity an `@id`: people may give the same address twice. */
function distinct(entities: readonly Entity[]): Entity[] {
  return [...new Map([...entities].reverse().map((entity) => [entity['@id'], entity])).values()].reverse();
}

/** A text as part of an `@id`: a URI path, with letters beyond ASCII as they are. */
export function encodeId(text: string): string {
  return text.replace(/[^A-Za-z0-9._~!$&'()*+,;=@\u0080-\uffff-]/g, (char) => encodeURIComponent(char));
}

function refer({ '@id': id }: Entity): Reference {
  return { '@id': id };
}

function propertyValue(id: string, name: string, value: unknown): Entity {
  return { '@id': id, '@type': 'PropertyValue', name, value };
}

function titleOf({ name, tag, fields }: Description): string {
  const [project] = partsOf(fields.project_name);
  return project === undefined ? `${name} ${tag}` : `${project}: ${name} ${tag}`;
}

function descriptionOf({ facts, data }: Description): string {
  const rows = startsOf(facts.ranges)[facts.ranges.length];
  const datasets = new Set(facts.ranges.map(({ dataset }) => dataset)).size;
  const index = data.index === undefined ? '' : ', and a FAISS index of them';
  return `Embeddings of ${rows} DNA sequences in ${facts.dims} dimensions, from ${facts.ranges.length} runs of ${datasets} datasets, with the source of each row${index}.`;
}

function fileEntities({ data, facts }: Description, statement: string): Entity[] {
  const rows = startsOf(facts.ranges)[facts.ranges.length];
  const known = (file: ReleasedFile, name: string, encodingFormat: unknown): Entity => ({
    '@id': encodeId(file.name),
    '@type': 'File',
    name,
    ...(file.was === undefined ? {} : { alternateName: file.was }),
    encodingFormat,
    contentSize: String(file.bytes),
    sha256: file.sha256,
  });
  const binary = (format: string): unknown => ['application/octet-stream', { '@id': format }];
  return [
    known(data.embeddings, `${rows} x ${facts.dims} embeddings (${facts.dtype})`, binary(NPY_FORMAT)),
    ...(data.index === undefined
      ? []
      : [known(data.index, 'FAISS index of the embeddings', binary(FAISS_FORMAT))]),
    known(data.metadata, 'The run and sequence of each row', 'application/json'),
    {
      '@id': encodeId(statement),
      '@type': 'File',
      name: 'in-toto statement with SLSA provenance, unsigned',
      encodingFormat: 'application/vnd.in-toto+json',
    },
    { '@id': SUMS_FILE, '@type': 'File', name: 'SHA-256 of every other file', encodingFormat: 'text/plain' },
  ];
}

interface RunEntity {
  version: string | null;
  entity: Entity;
}

function runEntities({ facts, models }: Description): RunEntity[] {
  const starts = startsOf(facts.ranges);
  const times = new Map<string, number>();
  return facts.ranges.map((range, i) => {
    const name = runName(range);
    // References that other programs began may hold a run twice.
    const time = (times.get(name) ?? 0) + 1;
    times.set(name, time);
    const path = `#run/${encodeId(range.dataset)}/${encodeId(range.run_id)}`;
    const model = range.version === null ? undefined : models.get(range.version);
    const rows =
      range.count === 0 ? 'no rows' : `rows ${starts[i]} to ${starts[i] + range.count - 1} of the embeddings`;
    return {
      version: range.version,
      entity: {
        '@id': time === 1 ? path : `${path}/${time}`,
        '@type': 'CreativeWork',
        name,
        description: `Run of ${range.count} sequences (${range.dtype}); ${rows}${model === undefined ? '' : `; embedded by ${model}`}`,
        identifier: range.digest,
        ...(range.version === null ? {} : { version: range.version }),
      },
    };
  });
}

interface ModelEntity {
  version: string;
  entity: Entity;
}

function modelEntities({ facts, models }: Description): ModelEntity[] {
  return versionsIn(facts).map((version) => ({
    version,
    entity: {
      '@id': `#model/${encodeId(version)}`,
      '@type': 'SoftwareApplication',
      name: models.get(version) ?? version,
      softwareVersion: version,
    },
  }));
}

interface People {
  authors: Entity[];
  publisher: Entity | undefined;
}

function peopleOf({ fields }: Description): People {
  const ids = partsOf(fields.recordedByID);
  const authors = partsOf(fields.recordedBy).map(
    (name, i): Entity => ({
      '@id': isAddress(ids[i]) ? ids[i] : `#person/${i + 1}`,
      '@type': 'Person',
      name,
    }),
  );
  const [institution] = partsOf(fields.institution);
  const [id] = partsOf(fields.institutionID);
  const publisher: Entity | undefined =
    institution === undefined
      ? undefined
      : { '@id': isAddress(id) ? id : '#institution', '@type': 'Organization', name: institution };
  return { authors, publisher };
}

function licenseOf({ fields }: Description): { value: unknown; entities: Entity[] } {
  const [license] = partsOf(fields.license);
  if (license === undefined) return { value: UNSTATED, entities: [] };
  if (!isAddress(license)) return { value: license, entities: [] };
  return {
    value: { '@id': license },
    entities: [
      { '@id': license, '@type': 'CreativeWork', name: license, description: `The licence at ${license}` },
    ],
  };
}

function isAddress(text: string | undefined): text is string {
  return text !== undefined && /^https?:\/\/[^\s<>"{}|\\^`]+$/.test(text);
}

function actionEntities(parts: {
  release: Description;
  runs: readonly RunEntity[];
  models: readonly ModelEntity[];
  parameters: readonly Entity[];
  program: Entity;
  people: People;
  statement: string;
}): Entity[] {
  const { release, runs, models, parameters, program, people, statement } = parts;
  const { data, facts, date } = release;
  const file = ({ name }: ReleasedFile): Reference => ({ '@id': encodeId(name) });
  const action = (id: string, name: string, more: { [property: string]: unknown }): Entity => ({
    '@id': id,
    '@type': 'CreateAction',
    name,
    ...more,
  });
  const embedded = models.map(({ version, entity }) =>
    action(`#embed/${encodeId(version)}`, `Embedding of sequences by ${entity.name}`, {
      description: `Model version ${version}.`,
      instrument: refer(entity),
      result: runs.filter((run) => run.version === version).map((run) => refer(run.entity)),
    }),
  );
  const consolidated = action('#consolidate', 'Joining of the runs', {
    description: `firn's rule consolidate: ${facts.ranges.length} runs in the order of their rows, ${facts.dims} dimensions, ${facts.dtype}.`,
    instrument: refer(program),
    object: runs.map((run) => refer(run.entity)),
    result: [file(data.embeddings), file(data.metadata)],
  });
  const indexed =
    data.index === undefined
      ? []
      : [
          action('#index', 'Indexing of the embeddings', {
            description: `firn's rule index: ${Object.entries(indexParameters(release.index))
              .map(([key, value]) => `${key} ${value}`)
              .join(', ')}.`,
            instrument: refer(program),
            object: [file(data.embeddings), ...parameters.map(refer)],
            result: [file(data.index)],
          }),
        ];
  const agents = people.authors.length > 0 ? people.authors : people.publisher ? [people.publisher] : [];
  const released = action('#release', `Release ${release.tag}`, {
    description: 'firn release: copies that were read back and compared, and these descriptions of them.',
    ...(date.length >= '2024-11-30'.length ? { endTime: date } : {}),
    instrument: refer(program),
    ...(agents.length === 0 ? {} : { agent: agents.map(refer) }),
    object: [file(data.embeddings), ...(data.index === undefined ? [] : [file(data.index)])],
    result: [{ '@id': encodeId(statement) }, { '@id': SUMS_FILE }],
  });
  return [...embedded, consolidated, ...indexed, released];
}
