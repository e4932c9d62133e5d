/** Builds with archived runs: nothing is stale by them, their rows stay, and the steps that made them rest. */
import { readdirSync, rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { archiveRuns } from '../src/run-life/archive.js';
import { restoreRuns } from '../src/run-life/restore.js';
import { temporaryFolder } from './rig/folder.js';
import { idsWith, seededValues, stepOf, TestProject } from './rig/project.js';

const test = suite('archived runs');

const RUNS = 'consolidated_data/runs';
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const REFERENCE = '  reference: {rule: consolidate, runs: all, out: data/reference}\n';
const INDEX = '  index: {rule: index, from: [reference]}\n';
const signal = new AbortController().signal;

let first: Promise<{ project: TestProject; archive: string }> | undefined;

/** A/r1 (seed 1), A/r2 (2) and B/r1 (3), built; then A/r1 was archived. */
async function archivedProject(): Promise<{ project: TestProject; archive: string }> {
  first ??= (async () => {
    const project = new TestProject(`targets:\n${REFERENCE}${INDEX}`);
    await project.writeRun('A/r1', { seed: 1 });
    await project.writeRun('A/r2', { seed: 2 });
    await project.writeRun('B/r1', { seed: 3 });
    await project.build();
    const archive = temporaryFolder();
    await archive_(project, ['A/r1'], archive);
    return { project, archive };
  })();
  const { project, archive } = await first;
  return { project: project.clone(), archive };
}

async function archive_(project: TestProject, patterns: string[], to: string): Promise<void> {
  const { items } = await archiveRuns({ directory: project.root, patterns, to, signal });
  for (const { run, done, error } of items) assert.ok(done, `${run}: ${error}`);
}

async function restore(project: TestProject, patterns: string[] = []): Promise<void> {
  const { items } = await restoreRuns({ directory: project.root, patterns, removeArchive: false, signal });
  for (const { run, done, error } of items) assert.ok(done, `${run}: ${error}`);
}

test('a new run is appended behind the rows of the archived one, as if that were here', async () => {
  const { project } = await archivedProject();
  const whole = project.clone();
  await restore(whole);
  for (const one of [project, whole]) {
    await one.writeRun('A/r3', { seed: 4 });
    const build = await one.build();
    assert.equal(idsWith(build, 'ran'), ['index:reference', 'reference'], JSON.stringify(build.steps));
  }
  assert.equal(project.digests('data'), whole.digests('data'));
  assert.equal(project.reference().rowsOf('A/r1'), seededValues(1, 160));
  assert.equal(project.reference().retained, []);
});

test('--force and the loss of cache/ change no byte, and neither does restoring', async () => {
  const { project } = await archivedProject();
  const before = project.digests('data');
  assert.is((await project.build('--force')).ran, 2);
  assert.equal(project.digests('data'), before);
  project.remove('cache');
  const build = await project.build();
  assert.is(build.failed, 0, JSON.stringify(build.steps));
  assert.equal(project.digests('data'), before);
  await restore(project);
  assert.is((await project.build()).fresh, 2);
  assert.equal(project.digests('data'), before);
});

test('a build with nothing to do says so again and again', async () => {
  const { project } = await archivedProject();
  for (let i = 0; i < 3; i++) assert.is((await project.build()).fresh, 2);
  assert.equal(idsWith(await project.plan(), 'fresh'), ['index:reference', 'reference']);
});

test('without its stub the run is gone: its rows are retained', async () => {
  const { project } = await archivedProject();
  rmSync(project.path(`${RUNS}/A/r1`), { recursive: true });
  assert.equal(idsWith(await project.build(), 'ran'), ['reference']);
  assert.equal(project.reference().retained, ['A/r1']);
  assert.equal(project.reference().rowsOf('A/r1'), seededValues(1, 160));
});

test('the rows are lost with the array: the build says what to restore, and restoring mends it', async () => {
  const { project } = await archivedProject();
  const before = project.digests('data');
  rmSync(project.path('cache'), { recursive: true });
  rmSync(project.path(EMBEDDINGS));
  const build = await project.build();
  assert.match(
    stepOf(build, 'reference').error ?? '',
    /held the rows of A\/r1, which are archived, and it is gone\n {2}Bring the runs back with `firn runs restore`/,
  );
  await restore(project);
  assert.is((await project.build()).failed, 0);
  assert.equal(project.digests('data'), before);
});

test('with no run here and no reference, the error says that they are archived', async () => {
  const { project, archive } = await archivedProject();
  await archive_(project, ['A/r2', 'B/r1'], archive);
  assert.is((await project.build()).fresh, 2);
  project.remove('data');
  project.remove('cache');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 2);
  assert.match(stderr, /there is no run in .*\n {2}All are archived; `firn runs restore` brings them back/);
  await restore(project);
  assert.is((await project.build()).ran, 2);
});

test('a lost reference of which every run is archived comes back from the cache, or its loss is told', async () => {
  const { project, archive } = await archivedProject();
  project.write(
    'pipeline.yaml',
    `targets:\n${REFERENCE}  b: {rule: consolidate, runs: {dataset: B}, out: data/b}\n`,
  );
  await project.build();
  await archive_(project, ['B/r1'], archive);
  const before = project.digests('data');
  project.remove('data/b');
  assert.equal(idsWith(await project.build(), 'restored'), ['b']);
  assert.equal(project.digests('data'), before);
  project.remove('data/b');
  project.remove('cache/objects');
  const build = await project.build();
  assert.match(stepOf(build, 'b').error ?? '', /held the rows of B\/r1, which are archived, and it is gone/);
  project.remove('cache');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.match(stderr, /warning: b: all runs that `runs` selects are archived.*`firn runs restore`/);
});

test('clean spares a reference that has the rows of an archived run', async () => {
  const { project } = await archivedProject();
  const { stderr } = await project.firn('clean', '--all', '--execute');
  assert.match(stderr, /kept .*consolidated_embeddings\.npy: it holds the only copy of A\/r1/);
  assert.ok(project.exists(EMBEDDINGS));
});

test('prune drops the rows of an archived run', async () => {
  const { project } = await archivedProject();
  project.write('pipeline.yaml', `targets:\n${REFERENCE.replace('all,', 'all, with: {prune: [A/r1]},')}`);
  await project.build();
  assert.equal(project.reference().names, ['A/r2', 'B/r1']);
});

test('a reference that comes later is told once what it lacks, and takes it in when it is back', async () => {
  const { project } = await archivedProject();
  project.write(
    'pipeline.yaml',
    `targets:\n${REFERENCE}  a: {rule: consolidate, runs: {dataset: A}, out: data/a}\n`,
  );
  const built = await project.firn('build');
  assert.is(built.code, 0, built.stderr);
  assert.match(
    built.stderr,
    /warning: a: archived, and not here as they are: A\/r1; `firn runs restore` brings them back, and the next build takes their rows in/,
  );
  assert.equal(project.reference('data/a').names, ['A/r2']);
  const again = await project.firn('build');
  assert.not.match(again.stderr, 'warning');
  assert.match(again.stderr + again.stdout, /nothing to do/);
  await project.writeRun('A/r3', { seed: 4 });
  assert.not.match((await project.firn('build')).stderr, /archived/);
  await restore(project);
  assert.equal(idsWith(await project.build(), 'ran'), ['a']);
  assert.equal(project.reference('data/a').names.sort(), ['A/r1', 'A/r2', 'A/r3']);
});

test('a filter that no longer selects an archived run loses none of its rows', async () => {
  const { project } = await archivedProject();
  project.write('pipeline.yaml', `targets:\n${REFERENCE.replace('all', '{run: "{A/r2,B/*}"}')}`);
  const { stderr } = await project.firn('build');
  assert.match(stderr, /not selected by `runs`: rows of A\/r1 stay/);
  assert.equal(project.reference().names, ['A/r1', 'A/r2', 'B/r1']);
});

test('an archived run has the age of its array', async () => {
  const project = new TestProject(`targets:\n${REFERENCE.replace('all', '{older-than: 30d}')}`);
  for (const [i, name] of ['A/r1', 'A/r2'].entries()) {
    await project.writeRun(name, { seed: i });
    project.age(`${RUNS}/${name}/embeddings.npy`, 40);
  }
  await project.build();
  const before = project.digests('data');
  await archive_(project, ['A/r1'], temporaryFolder());
  assert.is((await project.build()).fresh, 1);
  assert.equal(project.digests('data'), before);
});

test('what embedded an archived run rests, also when cache/ is gone, and goes on when it is back', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta", with: {version: kmer-4}}
${REFERENCE.replace('runs: all', 'runs: {version: kmer-4}')}  compressed: {rule: compress}
`);
  project.write('sequences/A/r1.fasta', '>one\nACGTACGTAA\n>two\nTTTTACGA\n');
  project.write('sequences/A/r2.fasta', '>three\nACGACGACGT\n');
  assert.is((await project.build()).failed, 0);
  const before = project.digests('data');
  await archive_(project, ['A/r1'], temporaryFolder());
  // What a search reads of every run stays.
  assert.equal(readdirSync(project.path(`${RUNS}/A/r1`)), [
    'archived.json',
    'embedding_run.json',
    'sequence_names.txt',
  ]);
  const names = await project.firn('search', '--query', 'ACGTACGTAA', '-k', '1', '--json');
  assert.is(JSON.parse(names.stdout).results[0].name, 'one', names.stderr);

  for (const clear of [false, true]) {
    if (clear) project.remove('cache');
    const build = await project.build();
    assert.equal(
      [build.failed, idsWith(build, 'ran', 'fresh', 'restored')],
      [0, ['compressed:A/r2', 'embedded:A/r2', 'reference']],
    );
    assert.not.ok(project.exists(`${RUNS}/A/r1/embeddings.npy`));
    assert.equal(project.digests('data'), before);
  }
  // What made it is not forgotten with what nothing needs.
  await archive_(project, ['A/r2'], temporaryFolder());
  assert.is((await project.firn('cache', 'gc')).code, 0);
  await restore(project, ['A/r2']);
  assert.equal(idsWith(await project.build(), 'ran'), []);
  const why = await project.firn('why', 'embedded:A/r1');
  assert.match(
    why.stdout,
    /embedded:A\/r1 has no step: A\/r1 is archived; `firn runs restore` brings it back/,
  );
  await restore(project);
  const build = await project.build();
  assert.equal([build.failed, build.steps.length], [0, 5]);
  assert.equal(project.digests('data'), before);
});

test('status tells of archived runs, and why a target has no step', async () => {
  const { project, archive } = await archivedProject();
  project.write(
    'pipeline.yaml',
    `targets:\n  compressed: {rule: compress, runs: {dataset: A}}\n${REFERENCE}`,
  );
  await project.build();
  await archive_(project, ['A/r2'], archive);
  const { stdout } = await project.firn('status');
  assert.match(
    stdout,
    /compressed +compress +0 +empty +nothing that is here matches what it asks for; 2 runs archived/,
  );
  assert.match(stdout, /reference +consolidate +1 +fresh/);
  assert.match(stdout, /\n2 runs archived: rows stay in references/);
  assert.equal(JSON.parse((await project.firn('status', '--json')).stdout).archived, ['A/r1', 'A/r2']);
});

test('a search for a run that this reference lacks says that it is archived', async () => {
  const { project, archive } = await archivedProject();
  project.write(
    'pipeline.yaml',
    `targets:\n${REFERENCE}  b: {rule: consolidate, runs: {dataset: B}, out: data/b}\n`,
  );
  await project.build();
  await archive_(project, ['A/r2'], archive);
  const { code, stderr } = await project.firn(
    'search',
    '--run',
    'A/r2',
    '--seq-idx',
    '0',
    '--reference',
    'data/b',
  );
  assert.is(code, 2);
  assert.match(stderr, /run A\/r2 is archived, and this reference does not hold its rows/);
});

test('versions know archived runs', async () => {
  const { project } = await archivedProject();
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'register', '--version', 'v2', '--model', 'm2');
  const { stdout } = await project.firn('versions', 'auto-tag', '--version', 'v1');
  assert.match(stdout, /tagged A\/r1\n/);
  const sides = JSON.parse((await project.firn('versions', 'compare', 'v1', 'v2', '--json')).stdout).sides;
  assert.equal([sides[0].rows, sides[0].knownRuns], [60, 3]);
});

test('a backup without runs knows where archived ones are', async () => {
  const { project } = await archivedProject();
  const [bag, place] = [temporaryFolder(), new TestProject()];
  assert.is((await project.firn('backup', bag)).code, 0);
  assert.is((await place.firn('restore', bag)).code, 0);
  const runs = readdirSync(place.path(RUNS), { recursive: true, encoding: 'utf8' }).sort();
  assert.equal(runs, ['A', 'A/r1', 'A/r1/archived.json']);
  await restore(place);
  await place.build();
  assert.equal(place.reference().retained, ['A/r2', 'B/r1']);
  assert.equal(place.reference().rowsOf('A/r1'), seededValues(1, 160));
});

test('an altered stub is an error that names it, and no row is lost', async () => {
  const { project } = await archivedProject();
  const path = `${RUNS}/A/r1/archived.json`;
  const text = project.read(path).toString();
  for (const broken of [text.replace('"rows": 20', '"rows": 21'), text.slice(0, 50), '{}', 'null']) {
    project.write(path, broken);
    const build = await project.build();
    assert.match(stepOf(build, 'reference').error ?? '', /A\/r1\/archived\.json: /, broken.slice(0, 20));
    assert.match(stepOf(build, 'reference').error ?? '', /move it away: then the run counts as gone/);
  }
  project.write(path, text);
  assert.is((await project.build()).fresh, 2);
});

test.run();
