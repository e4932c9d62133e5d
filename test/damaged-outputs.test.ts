/** Outputs are checked: edited, truncated and deleted ones are seen and are afterwards what they were. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('damaged outputs');

const PIPELINE = `
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

const OUTPUTS: { [path: string]: string } = {
  'data/reference/consolidated_embeddings.npy': 'reference',
  'data/reference/consolidated_metadata.json': 'reference',
  'data/reference/consolidated_index.faiss': 'index:reference',
  'consolidated_data/runs/A/r1/embeddings.npz': 'compressed:A/r1',
};

const DAMAGES: { [name: string]: (project: TestProject, path: string) => void } = {
  edited(project, path) {
    const bytes = project.read(path);
    bytes[bytes.length - 5] ^= 4;
    project.write(path, bytes);
  },
  truncated: (project, path) => project.write(path, project.read(path).subarray(0, 100)),
  emptied: (project, path) => project.write(path, ''),
  deleted: (project, path) => project.remove(path),
};

let first: Promise<TestProject> | undefined;

async function builtProject(): Promise<TestProject> {
  first ??= build();
  return (await first).clone();
}

async function build(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  assert.is((await project.build()).ran, 4);
  return project;
}

for (const [damage, apply] of Object.entries(DAMAGES)) {
  test(`every kind of output ${damage} at once is restored, and without the store made again`, async () => {
    const project = await builtProject();
    const before = { ...project.digests('data'), ...project.digests('consolidated_data') };
    for (const stored of [true, false]) {
      for (const path of Object.keys(OUTPUTS)) apply(project, path);
      if (!stored) project.remove('cache/objects');
      const result = await project.build();
      const ids = [...new Set(Object.values(OUTPUTS))].sort();
      // Compressed copies are not stored: that would take what compressing gains.
      const restored = stored ? ids.filter((id) => !id.startsWith('compressed')) : [];
      assert.equal(idsWith(result, 'restored'), restored);
      assert.equal(
        idsWith(result, 'ran'),
        ids.filter((id) => !restored.includes(id)),
      );
      assert.equal({ ...project.digests('data'), ...project.digests('consolidated_data') }, before);
    }
    assert.is((await project.build()).fresh, 4);
  });
}

test('the reason says what happened to which file', async () => {
  const project = await builtProject();
  project.remove('data/reference/consolidated_index.faiss');
  project.write('data/reference/consolidated_metadata.json', 'not JSON at all');
  const plan = await project.plan();
  assert.is(
    stepOf(plan, 'reference').reason,
    'data/reference/consolidated_metadata.json is not what reference wrote',
  );
  await project.build();
  project.remove('data/reference/consolidated_index.faiss');
  assert.is(
    stepOf(await project.plan(), 'index:reference').reason,
    'data/reference/consolidated_index.faiss is missing',
  );
});

test('a folder in the place of an output is named, and nothing of the step is touched', async () => {
  const project = await builtProject();
  const path = 'data/reference/consolidated_metadata.json';
  project.remove(path);
  project.write(`${path}/inside`, 'x');
  const before = project.snapshot('data');
  const result = await project.build();
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.match(stepOf(result, 'reference').error ?? '', /consolidated_metadata\.json: is a folder/);
  assert.equal(project.snapshot('data'), before);
});

test.run();
