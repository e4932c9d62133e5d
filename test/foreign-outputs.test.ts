/** What firn did not write it does not overwrite; what it wrote it knows again, also when every record is gone. */
import { readdirSync, symlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('foreign outputs');

const REFERENCE = `
targets:
  compressed:
    rule: compress
    runs: all
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`;

test('a reference of another program stays until --force', async () => {
  const project = new TestProject(REFERENCE);
  await project.writeRun('A/r1', { seed: 1 });
  const foreign = { total_sequences: 1, total_runs: 1, datasets: ['X'], embedding_dim: 8, sequences: [] };
  project.write('data/reference/consolidated_metadata.json', JSON.stringify(foreign));
  project.write('data/reference/consolidated_embeddings.npy', 'not even an array');
  const before = project.snapshot('data');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.equal(idsWith(result, 'skipped'), ['index:reference']);
  assert.match(
    stepOf(result, 'reference').error ?? '',
    /was not written by firn; reference would overwrite it/,
  );
  assert.equal(project.snapshot('data'), before);
  assert.is((await project.build('--force')).failed, 0);
  assert.equal(project.reference().names, ['A/r1']);
});

test('only where a reference stands in the way is `firn adopt` named', async () => {
  const project = new TestProject('targets: {embedded: {rule: embed, from: sequences/A/r1.fasta}}');
  project.write('sequences/A/r1.fasta', '>a\nACGTACGT\n');
  await project.writeRun('A/r1', { seed: 1 });
  const { stdout } = await project.firn('build', '-n');
  assert.match(
    stdout,
    'embedded:A/r1 would overwrite it\n  Move it away, or build with --force to overwrite it.\n',
  );
});

test('an index of another program stays until --force', async () => {
  const project = new TestProject(REFERENCE);
  await project.writeRun('A/r1', { seed: 1 });
  project.write('data/reference/consolidated_index.faiss', 'IxF2 by somebody else');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['index:reference']);
  assert.is(project.read('data/reference/consolidated_index.faiss').toString(), 'IxF2 by somebody else');
  assert.is((await project.build('--force', 'index')).failed, 0);
});

test("firn's own outputs are known again without the cache, and come out the same", async () => {
  const project = new TestProject(REFERENCE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  await project.writeRun('A/r0', { seed: 3 });
  await project.build();
  const before = { ...project.digests('data'), ...project.digests('consolidated_data') };
  project.remove('cache');
  const result = await project.build();
  assert.equal([result.ran, result.failed], [5, 0]);
  assert.equal({ ...project.digests('data'), ...project.digests('consolidated_data') }, before);
  assert.is((await project.build()).fresh, 5);
});

const COMMAND = `
targets:
  made:
    rule: command
    from: in.txt
    run: [cp, "{in}", "{out}"]
    out: out.txt
`;

test('a file that was there before the command first ran stays until --force', async () => {
  const project = new TestProject(COMMAND);
  project.write('in.txt', 'new');
  project.write('out.txt', 'precious');
  const result = await project.build();
  assert.match(
    stepOf(result, 'made').error ?? '',
    /out\.txt: is there already, differs from what the step made/,
  );
  assert.is(project.read('out.txt').toString(), 'precious');
  assert.equal(project.leftovers(), []);
  assert.is((await project.build('--force')).ran, 1);
  assert.is(project.read('out.txt').toString(), 'new');
  // Recorded now: from here on it is firn's.
  project.write('in.txt', 'newer');
  assert.is((await project.build()).ran, 1);
  assert.is(project.read('out.txt').toString(), 'newer');
});

test('after clean a file that somebody else puts there is theirs', async () => {
  const project = new TestProject(COMMAND);
  project.write('in.txt', 'made');
  await project.build();
  const cleaned = await project.firn('clean', 'made', '--execute');
  assert.is(cleaned.code, 0, cleaned.stderr);
  project.write('out.txt', 'precious');
  const dry = await project.plan();
  assert.equal(idsWith(dry, 'restore', 'run'), ['made']);
  const refused = await project.build();
  assert.match(stepOf(refused, 'made').error ?? '', /out\.txt: is there already, differs/);
  assert.is(project.read('out.txt').toString(), 'precious');
  project.remove('out.txt');
  assert.equal(idsWith(await project.build(), 'restored'), ['made']);
  // And it is firn's again.
  project.write('out.txt', 'edited');
  assert.equal(idsWith(await project.build(), 'restored'), ['made']);
});

test('what another target wrote is taken over as it was written, and not when somebody has edited it', async () => {
  const project = new TestProject(COMMAND);
  project.write('in.txt', 'one');
  await project.build();
  project.write('pipeline.yaml', COMMAND.replace('made:', 'renamed:'));
  project.write('in.txt', 'two');
  assert.equal(idsWith(await project.build(), 'ran'), ['renamed']);
  project.write('out.txt', 'edited');
  project.write('pipeline.yaml', COMMAND.replace('made:', 'again:'));
  assert.equal(idsWith(await project.build(), 'failed'), ['again']);
  assert.is(project.read('out.txt').toString(), 'edited');
});

test('nothing is written below a linked folder', async () => {
  const project = new TestProject(COMMAND.replace('out: out.txt', 'out: data/deep/out.txt'));
  const elsewhere = new TestProject();
  symlinkSync(elsewhere.root, project.path('data'));
  project.write('in.txt', 'new');
  for (const result of [await project.plan(), await project.build()]) {
    assert.equal(idsWith(result, 'blocked', 'failed'), ['made']);
  }
  assert.match(
    stepOf(await project.build(), 'made').error ?? '',
    /data\/deep\/out\.txt: would be written to .*: data is a link/,
  );
  assert.equal(readdirSync(elsewhere.root), []);
  // A link above the project is nobody's concern here.
  const plain = new TestProject(COMMAND);
  plain.write('in.txt', 'new');
  symlinkSync(plain.root, elsewhere.path('linked'));
  assert.is((await elsewhere.firn('-C', 'linked', 'build')).code, 0);
});

test('without a record the same bytes prove that an output was made so', async () => {
  const project = new TestProject(COMMAND);
  project.write('in.txt', 'same');
  await project.build();
  project.remove('cache');
  assert.equal(idsWith(await project.build(), 'ran'), ['made']);
  assert.is((await project.build()).fresh, 1);
});

test('without a record an output that comes out otherwise each time is refused', async () => {
  const random = 'require("fs").writeFileSync(process.argv[1], require("crypto").randomBytes(8))';
  const project = new TestProject(`
targets:
  made:
    rule: command
    run: [${process.execPath}, -e, '${random}', "{out}"]
    out: out.bin
`);
  await project.build();
  const before = project.sha256('out.bin');
  project.remove('cache');
  assert.equal(idsWith(await project.build(), 'failed'), ['made']);
  assert.is(project.sha256('out.bin'), before);
});

test.run();
