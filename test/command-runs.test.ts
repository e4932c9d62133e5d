/** A lab's own model as a `command`: it is given a folder, makes runs in it, and the runs remember their version. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, TestProject } from './rig/project.js';

const test = suite('command runs');

/** `--input FILE --output FOLDER`, as the older system's run_pipeline.py takes it: writes FOLDER/embeddings.npy. */
const MODEL = `
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
const word = (name) => process.argv[process.argv.indexOf(name) + 1];
const rows = readFileSync(word('--input'), 'utf8').trim().split('\\n');
const header = "{'descr': '<f4', 'fortran_order': False, 'shape': (" + rows.length + ", 3), }";
const head = Buffer.from('\\x93NUMPY\\x01\\x00\\x76\\x00' + header.padEnd(117) + '\\n', 'latin1');
writeFileSync(join(word('--output'), 'embeddings.npy'), Buffer.concat([head, Buffer.from(Float32Array.from(rows.flatMap((row) => row.split(' ').map(Number))).buffer)]));
writeFileSync(join(word('--output'), 'log.txt'), 'embedded ' + rows.length);
`;

const PIPELINE = `
targets:
  model:
    rule: command
    from: "in/{dataset}/{run}.txt"
    run: [node, model.mjs, --input, "{in}", --output, "{out.dir}"]
    out:
      - "consolidated_data/runs/{dataset}/{run}/embeddings.npy"
      - "consolidated_data/runs/{dataset}/{run}/log.txt"
    with: {version: v9}
  reference:
    rule: consolidate
    runs: {version: v9}
    out: data/reference
`;

function modelProject(): TestProject {
  const project = new TestProject(PIPELINE);
  project.write('model.mjs', MODEL);
  project.write('in/A/r1.txt', '1 2 3\n4 5 6\n');
  project.write('in/B/r1.txt', '7 8 9\n');
  return project;
}

test('a program that writes into a folder makes runs of a version, and the reference has them in the same build', async () => {
  const project = modelProject();
  const result = await project.build();
  assert.is(result.failed, 0, JSON.stringify(result.steps));
  assert.equal(idsWith(result, 'ran'), ['model:A/r1', 'model:B/r1', 'reference']);
  assert.is(project.read('consolidated_data/runs/A/r1/log.txt').toString(), 'embedded 2');
  const metadata = JSON.parse(project.read('data/reference/consolidated_metadata.json').toString()) as {
    total_sequences: number;
    runs: { version: string }[];
  };
  assert.is(metadata.total_sequences, 3);
  assert.equal(
    metadata.runs.map((run) => run.version),
    ['v9', 'v9'],
  );
  assert.is((await project.build()).ran, 0);
});

test('the version outlives the sources the run was made from', async () => {
  const project = modelProject();
  await project.build();
  const before = project.sha256('data/reference/consolidated_embeddings.npy');
  project.remove('in/B');
  const result = await project.build();
  assert.is(result.failed, 0, JSON.stringify(result.steps));
  assert.is(project.sha256('data/reference/consolidated_embeddings.npy'), before);
});

test('files in two folders have no one folder', async () => {
  const project = modelProject();
  project.write('pipeline.yaml', PIPELINE.replace('{run}/log.txt', '{run}-log/log.txt'));
  const refused = await project.firn('build');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /pipeline\.yaml:6:\d+: \{out\.dir\} stands for 2 folders/);
});

test.run();
