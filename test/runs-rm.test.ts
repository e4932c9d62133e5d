/** `firn runs rm`: a run goes only when a reference holds its rows now, and nothing goes that was not listed. */
import { createHash } from 'node:crypto';
import {
  mkdirSync,
  readdirSync,
  readFileSync,
  renameSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, seededValues, TestProject } from './rig/project.js';
import { builtProject, errorOf, type Life, life, RUNS } from './run-life-rig.js';

const test = suite('runs rm');

test('a dry run lists what would go, and writes nothing', async () => {
  const project = await builtProject();
  const before = project.snapshot();
  const { code, stdout } = await project.firn('runs', 'rm', 'B/r1');
  assert.is(code, 0);
  assert.match(
    stdout,
    /^would remove B\/r1: embeddings\.npy; its rows stay in reference\n1 run, 768 B; nothing was removed, add --execute/,
  );
  assert.equal(project.snapshot(), before);
});

test('the run goes, its rows stay and are searched as before, and the next build retains them by name', async () => {
  const project = await builtProject();
  const ask = ['search', '--run', 'B/r1', '--seq-idx', '3', '--json'];
  const answer = (await project.firn(...ask)).stdout;
  const arrays = project.sha256('data/reference/consolidated_embeddings.npy');
  const result = await life(project, 'rm', `${RUNS}/B/r1/`, '--execute');
  assert.equal([result.code, result.runs[0].status], [0, 'removed'], errorOf(result));
  assert.not.ok(project.exists(`${RUNS}/B/r1`));
  assert.is((await project.firn(...ask)).stdout, answer);
  await project.build();
  assert.equal(project.reference().retained, ['B/r1']);
  assert.equal(project.reference().rowsOf('B/r1'), seededValues(3, 160));
  assert.is(project.sha256('data/reference/consolidated_embeddings.npy'), arrays);
  assert.equal(project.leftovers(), []);
  // Once more is no mistake, and does nothing.
  const again = await life(project, 'rm', 'B/r1', '--execute');
  assert.equal([again.code, again.runs], [0, []]);
});

test('other work in the folder keeps the run, unless it is to go as well', async () => {
  const project = await builtProject();
  const refused = await life(project, 'rm', 'A/old', '--execute');
  assert.is(refused.code, 1);
  assert.match(
    errorOf(refused),
    /has to stay: it holds other work: \.note, plots\/umap\.html, taxonomy; touch X\.csv, plots\n/,
  );
  assert.ok(project.exists(`${RUNS}/A/old/embeddings.npy`));
  const result = await life(project, 'rm', 'A/old', '--all-files', '--execute');
  assert.is(result.code, 0, errorOf(result));
  assert.not.ok(project.exists(`${RUNS}/A/old`) || project.exists('X'));
});

test('what firn put into the folder is no other work', async () => {
  const project = await builtProject();
  for (const name of ['embedding_run.json', 'sequence_names.txt', 'skipped_sequences.tsv'])
    project.write(`${RUNS}/A/new/${name}`, '{}');
  project.write(`${RUNS}/A/new/.firn-tmp-0123456789ab`, 'half');
  const result = await life(project, 'rm', 'A/new', '--execute');
  assert.is(result.code, 0, errorOf(result));
  assert.not.ok(project.exists(`${RUNS}/A/new`));
});

test('a link keeps the run, whatever is asked for', async () => {
  const project = await builtProject();
  writeFileSync(project.path('precious'), 'precious');
  symlinkSync(project.path('precious'), project.path(`${RUNS}/B/r1/link`));
  const result = await life(project, 'rm', 'B/r1', '--all-files', '--execute');
  assert.match(errorOf(result), /B\/r1\/link: is a link, and is not removed/);
  assert.ok(project.exists('precious') && project.exists(`${RUNS}/B/r1/embeddings.npy`));
});

test('names that are not UTF-8 keep the run, also where one looks like that of another file', async () => {
  const project = await builtProject();
  project.write(`${RUNS}/B/r1/a\ufffd`, 'mine');
  const bytes = Buffer.from(`${project.path(`${RUNS}/B/r1`)}/a`);
  writeFileSync(Buffer.concat([bytes, Buffer.of(0xff)]), 'mine, too');
  const result = await life(project, 'rm', 'B/r1', '--all-files', '--execute');
  assert.match(errorOf(result), /B\/r1\/a\ufffd: has a name that is not UTF-8, and is not removed/);
  assert.is(readdirSync(project.path(`${RUNS}/B/r1`)).length, 3);
});

test('a run that no reference holds as it is stays', async () => {
  const project = await builtProject();
  await project.writeRun('B/r1', { seed: 33 });
  await project.writeRun('C/r1', { seed: 34 });
  const result = await life(project, 'rm', 'B/r1', 'C/r1', 'A/new', '--execute');
  assert.is(result.code, 1);
  assert.equal(
    result.runs.map(({ run, status }) => [run, status]),
    [
      ['A/new', 'removed'],
      ['B/r1', 'refused'],
      ['C/r1', 'refused'],
    ],
  );
  assert.match(
    errorOf(result),
    /has to stay: reference holds other values of it\n {2}First: firn build reference/,
  );
  assert.match(errorOf(result), /has to stay: reference does not hold it yet/);
});

test('the array itself is asked: one byte that differs, with the old dates and records, keeps the run', async () => {
  for (const path of ['data/reference/consolidated_embeddings.npy', `${RUNS}/B/r1/embeddings.npy`]) {
    const project = await builtProject();
    const file = project.path(path);
    const { mtimeMs } = { mtimeMs: project.mtime(path) };
    const bytes = readFileSync(file);
    bytes[bytes.length - 3] ^= 1;
    // The same inode, size and mtime: a digest that is remembered by stat may be believed.
    writeFileSync(file, bytes);
    utimesSync(file, mtimeMs / 1000, mtimeMs / 1000);
    const result = await life(project, 'rm', 'B/r1', '--execute');
    assert.is(result.code, 1, path);
    assert.match(errorOf(result), /does not hold the rows of B\/r1|holds other values of it/, path);
    assert.ok(project.exists(`${RUNS}/B/r1/embeddings.npy`));
  }
});

test('what a step makes stays, since it would be made again', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta"}
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  project.write('sequences/A/r1.fasta', '>one\nACGTACGTAA\n');
  await project.build();
  const result = await life(project, 'rm', 'A/r1', '--execute');
  assert.match(errorOf(result), /has to stay: embedded:A\/r1 would make it again/);
});

test('an archived run is not removed before it is back', async () => {
  const project = await builtProject();
  mkdirSync(project.path('archive'));
  await life(project, 'archive', 'B/r1', '--to', project.path('archive'), '--execute');
  const result = await life(project, 'rm', 'B/r1', '--execute');
  assert.match(errorOf(result), /B\/r1: is archived\n {2}Bring it back first: firn runs restore B\/r1/);
  assert.ok(project.exists(`${RUNS}/B/r1/archived.json`));
});

test('a removal that was cut off is completed, and a run of the same name is not touched before', async () => {
  const project = await builtProject();
  await life(project, 'rm', 'A/new', '--execute');
  // As it is right after the rename.
  const hidden = `${RUNS}/B/.firn-removed-${hiddenId()}`;
  renameSync(project.path(`${RUNS}/B/r1`), project.path(hidden));
  await project.writeRun('B/r1', { seed: 3 });
  const dry = parse<Life>(await project.firn('runs', 'rm', 'B/r1', '--json'));
  assert.equal(
    dry.runs.map(({ run, status }) => [run, status]),
    [
      ['B/r1', 'would remove'],
      ['B/r1', 'refused'],
    ],
  );
  assert.match(
    errorOf(dry),
    /an earlier removal of this run was cut off\n {2}Complete that first: firn runs rm B\/r1 --execute/,
  );
  // Named twice, it is completed once.
  assert.is((await life(project, 'rm', 'B/r1', `${RUNS}/B/r1`, '--execute')).runs.length, 2);
  assert.not.ok(project.exists(hidden));
  assert.ok(project.exists(`${RUNS}/B/r1/embeddings.npy`));
  assert.is((await life(project, 'rm', 'B/r1', '--execute')).code, 0);
  assert.not.ok(project.exists(`${RUNS}/B/r1`));
});

/** As a removal names it. */
function hiddenId(): string {
  return createHash('sha256').update('B/r1').digest('hex').slice(0, 12);
}

test.run();
