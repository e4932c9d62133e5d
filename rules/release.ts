/**
 * Reference -> release: the immutable, checksummed copy under a tag that `firn release` makes, as a target. A release never
 * changes: when the reference has moved on, its target fails and asks for another tag.
 */
import { join } from 'node:path';
import {
  type ExpandView,
  inputId,
  type Json,
  type Output,
  type Rule,
  type RuleTarget,
  type RunContext,
  type Step,
} from '../src/engine/types.js';
import type { FirnError } from '../src/errors.js';
import type { ReadPort } from '../src/files/port.js';
import { EMBEDDINGS_FILE, INDEX_FILE, METADATA_FILE } from '../src/reference/files.js';
import { readMetadata } from '../src/reference/metadata.js';
import type { ArchiveKind } from '../src/release/archive.js';
import {
  CRATE_FILE,
  nameProblem,
  RELEASES_FOLDER,
  type ReleaseFiles,
  releaseFiles,
  SUMS_FILE,
} from '../src/release/names.js';

interface Params {
  tag: string;
  name: string;
  date?: string;
  fields?: { [term: string]: Json };
  archive?: ArchiveKind;
}

interface Detail {
  /** Of the reference, relative to the project. */
  reference: string;
  /** The folder of releases. */
  folder: string;
  versionsFile: string;
}

/** Digests of the inputs when the release was made, or last found to be the one asked for. */
interface State {
  made: { [input: string]: string };
}

const rule: Rule = {
  name: 'release',
  version: '1',
  summary: 'Copies a reference under a tag: immutable, checksummed, with its provenance.',
  fields: { from: 'required' },
  stored: false,
  immutable: true,
  proves: true,
  parameters: {
    type: 'object',
    additionalProperties: false,
    required: ['tag'],
    properties: {
      tag: {
        type: 'string',
        minLength: 1,
        description: 'What the release is called. Quote it: 1.10 unquoted is the number 1.1.',
      },
      name: {
        type: 'string',
        minLength: 1,
        default: 'reference',
        description: 'What stands before the tag in the names of directory and files.',
      },
      date: {
        type: 'string',
        minLength: 4,
        description:
          'The date of the release, when neither the tag nor the names of runs tell it: 2024-11-30.',
      },
      fields: {
        type: 'object',
        description:
          'What the sequences are of, by terms of FAIRe and MIxS such as target_gene, for the crate.',
      },
      archive: {
        type: 'string',
        enum: ['tar.gz', 'zip'],
        description: 'Also write the release as one file beside its directory.',
      },
    },
  },

  expand(target, view) {
    const params = target.with as unknown as Params;
    for (const field of ['tag', 'name'] as const) {
      const problem = nameProblem(params[field]);
      if (problem !== undefined)
        throw target.error(
          `the ${field} of a release ${problem}`,
          'Choose one such as "2024-11".',
          `with.${field}`,
        );
    }
    const reference = referenceOf(target, view);
    if (reference === undefined) return [];
    const files = releaseFiles(params.name, params.tag);
    const folder = view.releasesDir ?? `${reference}/${RELEASES_FOLDER}`;
    const index = `${reference}/${INDEX_FILE}`;
    const hasIndex = view.files(index).length > 0;
    const inputs = [EMBEDDINGS_FILE, METADATA_FILE, ...(hasIndex ? [INDEX_FILE] : [])];
    return [
      {
        id: target.name,
        params: target.with,
        inputs: inputs.map((name) => ({ kind: 'file', path: `${reference}/${name}` })),
        outputs: outputsOf(folder, files, hasIndex, params.archive),
        detail: { reference, folder, versionsFile: view.versionsFile } satisfies Detail,
      },
    ];
  },

  /** Nothing of the key: whether the release that stands is still the one asked for, so that a dry run says so. */
  async memory(step, context) {
    const made: State['made'] = {};
    for (const input of step.inputs) made[input.path] = context.digests.get(inputId(input))?.digest ?? '';
    const state = { made } satisfies State;
    const before = (context.recorded?.state as unknown as Partial<State> | undefined)?.made;
    if (before !== undefined && JSON.stringify(before) === JSON.stringify(made))
      return { entries: [], state };
    const obstacle = await whyAnother(step, context.root, context.port, made);
    return { entries: [], state, ...(obstacle === undefined ? {} : { obstacle }) };
  },

  async recognises(step, _output, { port, root }) {
    // A release, whole or not, is nothing that could be overwritten: `run` looks at it closely.
    const { folder } = step.detail as unknown as Detail;
    const { name, tag } = step.params as unknown as Params;
    return port.stat(join(root, folder, releaseFiles(name, tag).directory)) === undefined ? undefined : true;
  },

  async run(step, context) {
    const { makeRelease } = await import('../src/release/make.js');
    const { readFields } = await import('../src/release/fields.js');
    const { modelsIn, pipelineDigest } = await import('../src/release/take.js');
    const { name, tag, date, fields: given, archive } = step.params as unknown as Params;
    const detail = step.detail as unknown as Detail;
    const { port, root, workers, signal } = context;
    const { fields, warnings } = readFields(given);
    for (const warning of warnings) context.warn(warning);
    const digestOf = (file: string): string | undefined =>
      context.digests.get(`file:${detail.reference}/${file}`)?.digest;
    const release = await makeRelease({
      port,
      reference: context.resolve(detail.reference),
      folder: context.resolve(detail.folder),
      name,
      tag,
      date,
      fields,
      models: modelsIn(port, context.resolve(detail.versionsFile)),
      pipeline: await pipelineDigest(port, root),
      expected: { embeddings: digestOf(EMBEDDINGS_FILE) as string, index: digestOf(INDEX_FILE) ?? null },
      workers,
      signal,
      onProgress: (done, total) => context.progress(done, total, 'bytes'),
    });
    if (archive !== undefined) await pack(release, archive, context);
    const { rows, runs, dims, bytes, existed } = release;
    return { keep: true, stats: { tag, date: release.date, rows, runs, dims, bytes, existed } };
  },
};

export default rule;

async function pack(
  release: import('../src/release/make.js').Release,
  kind: ArchiveKind,
  { port, workers, signal, progress }: RunContext,
): Promise<void> {
  const { writeArchive } = await import('../src/release/archive.js');
  const { directory, files, date } = release;
  await writeArchive({
    port,
    directory,
    stem: files.directory,
    kind,
    date,
    workers,
    signal,
    onProgress: (done, total) => progress(done, total, 'bytes packed'),
  });
}

/** The one reference that `from` names, as its directory; undefined when its target has nothing to build yet. */
function referenceOf(target: RuleTarget, view: ExpandView): string | undefined {
  const directories = new Set<string>();
  let isEmpty = false;
  for (const from of target.from) {
    const upstream = view.target(from);
    if (upstream === undefined) {
      directories.add(directoryOnDisk(target, view, from));
      continue;
    }
    isEmpty ||= upstream.steps.length === 0;
    const outputs = upstream.steps.flatMap((step) => step.outputs);
    const made = directoriesOf(outputs, EMBEDDINGS_FILE);
    const indexed = directoriesOf(outputs, INDEX_FILE);
    if (upstream.steps.length > 0 && made.length + indexed.length === 0) {
      throw target.error(
        `the target "${from}" makes no reference`,
        'A release is made from a target of the rule consolidate.',
        'from',
      );
    }
    // An index beside several references goes with the one that is named.
    for (const directory of made.length > 0 || indexed.length > 1 ? made : indexed)
      directories.add(directory);
  }
  if (directories.size > 1) {
    throw target.error(
      `a release is of one reference, and \`from\` names ${directories.size}: ${[...directories].join(', ')}`,
      'Write a target for each.',
      'from',
    );
  }
  const [directory] = directories;
  if (directory !== undefined || isEmpty) return directory;
  throw target.error(
    '`from` names no reference',
    'Name a target of the rule consolidate, or the directory of a reference.',
    'from',
  );
}

function directoriesOf(outputs: readonly Output[], file: string): string[] {
  return outputs
    .filter(({ path }) => path.endsWith(`/${file}`))
    .map(({ path }) => path.slice(0, -file.length - 1));
}

function directoryOnDisk(target: RuleTarget, view: ExpandView, from: string): string {
  if (view.files(`${from}/${EMBEDDINGS_FILE}`).length > 0) return from;
  throw target.error(
    `there is no ${from}/${EMBEDDINGS_FILE}`,
    'Name a target that makes a reference, or the directory of one.',
    'from',
  );
}

function outputsOf(
  folder: string,
  files: ReleaseFiles,
  hasIndex: boolean,
  archive: ArchiveKind | undefined,
): Output[] {
  const { directory, embeddings, index, metadata, statement } = files;
  const names = [embeddings, ...(hasIndex ? [index] : []), metadata, CRATE_FILE, statement, SUMS_FILE];
  return [
    ...names.map((name) => ({ kind: 'file', path: `${folder}/${directory}/${name}` })),
    ...(archive === undefined ? [] : [{ kind: 'file', path: `${folder}/${directory}.${archive}` }]),
  ];
}

/** Why the release that stands under this name is another one; undefined when none stands, or it is this one. */
async function whyAnother(
  step: Step,
  root: string,
  port: ReadPort,
  now: State['made'],
): Promise<FirnError | undefined> {
  const detail = step.detail as unknown as Detail;
  const { name, tag, date, fields } = step.params as unknown as Params;
  const { directory: stem } = releaseFiles(name, tag);
  const directory = join(root, detail.folder, stem);
  if (port.stat(directory) === undefined) return undefined;
  const { differences, otherContent, readStanding, unreadable } = await import('../src/release/standing.js');
  const { asReleased } = await import('../src/release/source.js');
  const { readFields } = await import('../src/release/fields.js');
  const standing = await readStanding(port, directory, stem);
  if (standing === undefined) return unreadable(directory);
  const facts = await readMetadata(port, join(root, detail.reference, METADATA_FILE)).catch(() => undefined);
  // What is wrong with the reference itself is told when the release would be made.
  if (facts === undefined) return undefined;
  const wanted = {
    date,
    fields: readFields(fields).fields,
    facts: asReleased(facts),
    index: now[`${detail.reference}/${INDEX_FILE}`],
  };
  const others = differences(standing, wanted, stem);
  return others.length === 0 ? undefined : otherContent(directory, tag, others);
}
