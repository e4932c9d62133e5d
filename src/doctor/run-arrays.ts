/**
 * Checks of the arrays of runs: can they be used, do the copies beside them agree, do they fit each other. By headers, and
 * with every value when all is to be read.
 */
import type { ArrayShape } from '../arrays/types.js';
import type { Step } from '../engine/types.js';
import { errnoOf } from '../errors.js';
import { someOf } from '../reference/warnings.js';
import type { Run } from '../runs/discover.js';
import { command } from '../shell-word.js';
import { plural } from '../units.js';
import type { Group } from './check.js';
import type { DoctorContext } from './context.js';
import { type Finding, finding, findingOf } from './finding.js';
import { type RunLook, truthOf } from './run-looks.js';

export const runArrayChecks: Group = {
  name: 'runs',
  checks: {
    'arrays of runs': usable,
    'values of runs': values,
    'copies of runs': copies,
    'equal runs': duplicates,
    'dimensions of targets': dimensions,
  },
  whenLimited: true,
  async summary(context) {
    const looks = [...(await context.looks()).values()];
    if (looks.length === 0) return undefined;
    const rows = looks.reduce((sum, look) => sum + (truthOf(look).shape?.rows ?? 0), 0);
    return `${plural(looks.length, 'run')} in ${context.opening.runsDir}, ${plural(rows, 'row')}`;
  },
};

const AGAIN = 'Save it again with numpy.save, or run the analysis again.';

async function* usable(context: DoctorContext): AsyncIterable<Finding> {
  for (const look of (await context.looks()).values()) {
    const truth = truthOf(look);
    const shown = context.shown(truth.path);
    if (truth.error !== undefined) {
      if (errnoOf(truth.error) === 'EACCES') continue;
      context.told.add(shown);
      yield findingOf('run-unusable', shown, truth.error, AGAIN);
    } else if (truth.shape?.rows === 0) {
      yield finding(
        'run-no-rows',
        shown,
        'has no rows',
        'Look at the sequences it was made from; a run without rows adds nothing to a reference.',
      );
    }
    if (look.npz !== undefined && look.npz !== truth && look.npz.error !== undefined) {
      const remove = command('rm', '--', context.shown(look.npz.path));
      const { message } = findingOf('copy-unusable', null, look.npz.error, '');
      yield finding(
        'copy-unusable',
        context.shown(look.npz.path),
        `${message}; embeddings.npy beside it is the truth`,
        `${remove}; a target with the rule compress, or ${command('firn', 'compress', look.run.name, '--execute')}, makes it again.`,
      );
    }
  }
}

/** Values that are not finite, and files whose bytes changed behind their stat. Only where every byte is read. */
async function* values(context: DoctorContext): AsyncIterable<Finding> {
  if (!context.full) return;
  const looks = await context.looks();
  const allowed = runsAllowed(context);
  for (const [name, content] of await context.contents()) {
    const look = looks.get(name) as RunLook;
    const path = context.shown(truthOf(look).path);
    if (content.error !== undefined) {
      context.told.add(path);
      yield findingOf('run-unusable', path, content.error, AGAIN);
      continue;
    }
    if (content.notFinite !== undefined && !allowed.has(name)) {
      const { rows, first } = content.notFinite;
      yield finding(
        'run-not-finite',
        path,
        `${rows} ${rows === 1 ? 'row holds' : 'rows hold'} NaN or infinity, the first is row ${first}: a reference refuses them, and no index can be built of them`,
        'Embed these sequences again, or remove their rows; `with: {non-finite: allow}` in the target of a reference takes them as they are.',
      );
    }
    const known = recalled(context, look.run);
    if (known !== undefined && known !== content.digest) {
      context.told.add(path);
      yield finding(
        'content-changed',
        path,
        'its values are not what they were, though size and times are: the disk may be failing, or something writes behind the clock',
        'Compare it with a backup and look at the disk (`dmesg`, `smartctl`); `touch` the file if the new values are right, so that a build reads them.',
      );
    }
  }
}

/** Names of the runs that only references take which were told to take such values. */
function runsAllowed({ steps }: DoctorContext): Set<string> {
  const takers = steps.filter(({ rule }) => rule.name === 'consolidate');
  const allows = ({ params }: Step): boolean =>
    (params as { 'non-finite'?: unknown })['non-finite'] === 'allow';
  const namesOf = (some: readonly Step[]) =>
    some.flatMap(({ inputs }) => inputs.flatMap(({ name }) => name ?? []));
  const refused = new Set(namesOf(takers.filter((step) => !allows(step))));
  return new Set(namesOf(takers.filter(allows)).filter((name) => !refused.has(name)));
}

/** The digest that was remembered of a run as it is by its stat. */
function recalled(context: DoctorContext, run: Run): string | undefined {
  return context.engine()?.digests.recall({ kind: 'run', path: context.shown(run.directory) })?.digest;
}

async function* copies(context: DoctorContext): AsyncIterable<Finding> {
  const contents = context.full ? await context.contents() : undefined;
  for (const look of (await context.looks()).values()) {
    const { npy, npz, note } = look;
    if (npy?.shape === undefined || npz?.shape === undefined) continue;
    const content = contents?.get(look.run.name);
    const copy = context.shown(npz.path);
    const again = `${command('rm', '--', copy)} and ${command('firn', 'compress', look.run.name, '--execute')}`;
    if (content?.copyError !== undefined || content?.copy === 'wrong') {
      const message =
        content.copy === 'wrong'
          ? 'says it is a lossless copy of embeddings.npy, and holds other values'
          : findingOf('copy-unusable', null, content.copyError, '').message;
      yield finding('copy-unusable', copy, `${message}; embeddings.npy beside it is the truth`, `${again}.`);
      continue;
    }
    const differs =
      content === undefined
        ? isSurelyOther(npy.shape, npz.shape, note !== undefined) && !isRecorded(context, copy)
        : content.copy === 'differs';
    if (!differs) continue;
    const original = context.shown(npy.path);
    context.told.add(original);
    yield finding(
      'run-conflict',
      original,
      `differs from ${copy}, and nothing says that firn made that file from it`,
      `One run cannot be two arrays: ${command('rm', '--', copy)} if ${original} is right, or ${command('rm', '--', original)} if it is the other.`,
    );
  }
}

/** By the headers alone. A note allows a copy that was rounded to another dtype. */
function isSurelyOther(original: ArrayShape, copy: ArrayShape, hasNote: boolean): boolean {
  return (
    original.rows !== copy.rows || original.dims !== copy.dims || (!hasNote && original.dtype !== copy.dtype)
  );
}

function isRecorded(context: DoctorContext, path: string): boolean {
  return context.engine()?.records.bytesOf(path) !== undefined;
}

async function* duplicates(context: DoctorContext): AsyncIterable<Finding> {
  const contents = context.full ? await context.contents() : undefined;
  const first = new Map<string, Run>();
  for (const look of (await context.looks()).values()) {
    const { run } = look;
    if (truthOf(look).shape?.rows === 0) continue;
    const digest = contents?.get(run.name)?.digest ?? recalled(context, run);
    if (digest === undefined) continue;
    const other = first.get(digest);
    if (other === undefined) {
      first.set(digest, run);
      continue;
    }
    yield finding(
      'run-duplicate',
      context.shown(run.directory),
      `holds the very values of ${other.name}: they count twice, under two names`,
      `Move one of them out of the runs folder, and name it under \`prune\` of the references that hold it: \`with: {prune: [${JSON.stringify(run.name)}]}\`.`,
    );
  }
}

/** One reference, one number of dimensions. */
async function* dimensions(context: DoctorContext): AsyncIterable<Finding> {
  const looks = await context.looks();
  for (const step of context.steps) {
    if (step.rule.name !== 'consolidate') continue;
    const groups = [...byDimensions(step, looks)].sort((a, b) => b[1].length - a[1].length);
    if (groups.length < 2) continue;
    context.told.add(step.id);
    const lines = groups.map(([dims, names]) => `  ${dims} dimensions: ${someOf(names)}`);
    yield finding(
      'dims-differ',
      step.outputs[0].path,
      `the runs of ${step.id} do not have the same number of dimensions\n${lines.join('\n')}`,
      'They come from different models. Tag them (`firn versions tag-run DATASET/RUN --version V`), and build one reference for each with `runs: {version: V}`.',
    );
  }
}

function byDimensions(step: Step, looks: ReadonlyMap<string, RunLook>): Map<number, string[]> {
  const groups = new Map<number, string[]>();
  for (const { name } of step.inputs) {
    const look = name === undefined ? undefined : looks.get(name);
    const dims = look && truthOf(look).shape?.dims;
    if (dims === undefined) continue;
    const names = groups.get(dims);
    if (names === undefined) groups.set(dims, [name as string]);
    else names.push(name as string);
  }
  return groups;
}
