/** `firn init`: the pipeline it writes builds what it found, and it never writes over one. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, TestProject } from './rig/project.js';

const test = suite('init');

test('what it writes for runs builds', async () => {
  const project = new TestProject();
  await project.writeRun('Marine/2024-11-20');
  await project.writeRun('Soil/2024-11-21', { seed: 2 });
  project.age('consolidated_data/runs/Soil/2024-11-21/embeddings.npy', 60);
  const { code, stdout, stderr } = await project.firn('init');
  assert.equal([code, stderr], [0, '']);
  assert.is(
    stdout,
    'wrote pipeline.yaml: 2 runs found in consolidated_data/runs\nnext: firn build --dry-run\n',
  );
  const built = await project.build();
  assert.equal(
    [built.failed, idsWith(built, 'ran')],
    [0, ['compressed:Soil/2024-11-21', 'index:reference', 'reference']],
  );
});

test('sequences beside runs are not embedded by another model', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1');
  project.write('sequences/A/r1.fasta', '>a\nACGTACGT\n');
  await project.firn('init');
  assert.not.match(project.read('pipeline.yaml').toString(), 'rule: embed');
  assert.is((await project.build()).failed, 0);
});

test('it refuses to write over a pipeline', async () => {
  const project = new TestProject('mine');
  const { code, stdout, stderr } = await project.firn('init');
  assert.equal([code, stdout], [2, '']);
  assert.is(stderr, 'firn: pipeline.yaml: is there already\n  Edit it, or move it away first.\n');
  assert.is(project.read('pipeline.yaml').toString(), 'mine');
});

test('sequences become runs, in every form that is there', async () => {
  const project = new TestProject();
  project.write('sequences/A/r1.fasta', '>a\nACGTACGT\n');
  project.write('sequences/B/r1.fq', '@a\nACGTACGT\n+\nIIIIIIII\n');
  project.write('sequences/B/notes.txt', 'no sequences');
  assert.match((await project.firn('init')).stdout, /0 runs found .*, sequences in sequences\//);
  const built = await project.build();
  assert.equal(
    [built.failed, idsWith(built, 'ran')],
    [0, ['embedded:A/r1', 'embedded:B/r1', 'index:reference', 'reference']],
  );
});

test('each registered version gets a reference of its own, and a number stays a text', async () => {
  const project = new TestProject();
  await project.writeRun('A/old');
  await project.firn('versions', 'register', '--version', '1.10', '--model', 'm');
  await project.firn('versions', 'register', '--version', 'v2 (new: #1)', '--model', 'm');
  await project.firn('versions', 'register', '--version', 'v2/new/1', '--model', 'm');
  await project.firn('versions', 'register', '--version', 'unused', '--model', 'm');
  await project.firn('versions', 'auto-tag', '--version', '1.10');
  await project.writeRun('A/new', { seed: 2 });
  await project.firn('versions', 'auto-tag', '--version', 'v2 (new: #1)');
  await project.writeRun('B/newer', { seed: 3 });
  await project.firn('versions', 'auto-tag', '--version', 'v2/new/1');
  await project.writeRun('B/untagged', { seed: 4, dims: 5 });
  const { code, stderr } = await project.firn('init');
  assert.is(code, 0);
  assert.is(stderr, '1 run without a model version: in none of these references; see `firn versions`\n');
  const text = project.read('pipeline.yaml').toString();
  assert.match(text, 'runs: {version: "1.10"}');
  assert.not.match(text, 'unused', 'a version without runs has no reference yet');
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.equal(project.reference('data/reference_1.10').names, ['A/old']);
  assert.equal(project.reference('data/reference_v2-new-1').names, ['A/new']);
  assert.equal(project.reference('data/reference_v2-new-1-2').names, ['B/newer']);
  // Vectors of two models must not meet.
  assert.not(project.exists('data/reference/consolidated_embeddings.npy'));
});

test('versions of names that no folder can have get references that build', async () => {
  const project = new TestProject();
  const versions = ['v'.repeat(300), `${'v'.repeat(300)}w`, 'αβ', '..'];
  for (const [i, version] of versions.entries()) {
    await project.writeRun(`A/r${i}`, { seed: i });
    await project.firn('versions', 'register', '--version', version, '--model', 'm');
    await project.firn('versions', 'tag-run', `A/r${i}`, '--version', version);
  }
  assert.is((await project.firn('init')).code, 0);
  const build = await project.build();
  assert.equal([build.failed, build.ran], [0, 8]);
});

test('two versions of different dimensions, one of them said by the runs themselves, build', async () => {
  const project = new TestProject();
  await project.writeRun('A/old');
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'auto-tag', '--version', 'v1');
  await project.writeRun('A/new', { dims: 5 });
  project.write('consolidated_data/runs/A/new/embedding_run.json', '{"version": "v2"}');
  assert.is((await project.firn('init')).stderr, '');
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.equal(project.reference('data/reference_v2').names, ['A/new']);
});

test('one version leaves one reference of every run beside its own', async () => {
  const project = new TestProject();
  await project.writeRun('A/old');
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'auto-tag', '--version', 'v1');
  await project.writeRun('A/new', { seed: 2 });
  await project.firn('init');
  assert.is((await project.build()).failed, 0);
  assert.equal(project.reference().names, ['A/new', 'A/old']);
  assert.equal(project.reference('data/reference_v1').names, ['A/old']);
});

test('where there is nothing yet, it says what to do and not to build', async () => {
  const project = new TestProject();
  const { code, stdout } = await project.firn('init', '--runs', 'nothere');
  assert.is(code, 0);
  assert.is(
    stdout,
    'wrote pipeline.yaml: 0 runs found in nothere\nnext: put a run at nothere/<dataset>/<run>/embeddings.npy, or correct `runs` in pipeline.yaml\n',
  );
});

test('runs in another place', async () => {
  const project = new TestProject();
  await project.writeRun('A/r1');
  project.write('runs: here/A/r1/embeddings.npy', project.read('consolidated_data/runs/A/r1/embeddings.npy'));
  project.remove('consolidated_data');
  assert.is((await project.firn('init', '--runs', 'runs: here')).code, 0);
  assert.is((await project.build()).failed, 0);
  assert.ok(project.exists('data/reference/consolidated_index.faiss'));

  const other = new TestProject();
  other.write('a file', 'text');
  for (const [runs, says] of [
    ['../runs', /leads out of the project/],
    ['/runs', /is an absolute path/],
    ['a file', /a file: is no folder/],
  ] as const) {
    const { code, stderr } = await other.firn('init', '--runs', runs);
    assert.is(code, 2);
    assert.match(stderr, says);
  }
  assert.not.ok(other.exists('pipeline.yaml'));
});

test.run();
