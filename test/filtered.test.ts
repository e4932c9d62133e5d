/** Which runs a reference is of: its filter says, and a run has one version. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { seededValues, TestProject } from './rig/project.js';

const test = suite('filtered');

const RUNS = 'consolidated_data/runs';

const VERSIONED = `
targets:
  reference:
    rule: consolidate
    runs: {version: v1}
    out: data/reference
`;

function tag(project: TestProject, versions: { [run: string]: string }): void {
  const names = [...new Set(Object.values(versions))];
  const registry = {
    versions: Object.fromEntries(names.map((name) => [name, { model: 'm' }])),
    runs: Object.fromEntries(Object.entries(versions).map(([run, version]) => [run, { version }])),
  };
  project.write('data/reference/embedding_versions.json', JSON.stringify(registry));
}

test('a run that the filter no longer selects leaves', async () => {
  const project = new TestProject(VERSIONED);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  tag(project, { 'A/r1': 'v1', 'A/r2': 'v1' });
  await project.build();
  assert.equal(project.reference().names, ['A/r1', 'A/r2']);
  tag(project, { 'A/r1': 'v2', 'A/r2': 'v1' });
  await project.build();
  assert.equal(project.reference().names, ['A/r2']);
  assert.equal(project.reference().retained, []);
  assert.equal(project.reference().rowsOf('A/r2'), seededValues(2, 160));
  // On disk it was not asked for; gone from disk it is what the reference remembers.
  project.remove(`${RUNS}/A/r2`);
  await project.build();
  assert.equal(project.reference().retained, ['A/r2']);
});

test('a run whose own word for its version was damaged does not leave for that', async () => {
  const project = new TestProject(VERSIONED);
  const facts = `${RUNS}/A/r1/embedding_run.json`;
  for (const [i, name] of ['A/r1', 'A/r2'].entries()) {
    await project.writeRun(name, { seed: i + 1 });
    project.write(`${RUNS}/${name}/embedding_run.json`, '{"version": "v1"}');
  }
  await project.build();
  const before = project.digests('data');
  for (const damaged of ['{"version": "v1"', '', '{"version": 1}', '{"version": "\ufffd"}', '[]']) {
    project.write(facts, damaged);
    const build = await project.build();
    assert.match(
      build.steps[0].error ?? '',
      /A\/r1\/embedding_run\.json: does not say .* rows of A\/r1 would leave/,
      damaged,
    );
    assert.equal(project.digests('data'), before);
  }
  // Tagged with another version, or with no word at all, it leaves as it is told to.
  tag(project, { 'A/r1': 'v2' });
  await project.build();
  assert.equal(project.reference().names, ['A/r2']);
  tag(project, { 'A/r1': 'v1' });
  await project.build();
  assert.equal(project.reference().names, ['A/r2', 'A/r1']);
  project.remove('data/reference/embedding_versions.json');
  project.remove(facts);
  await project.build();
  assert.equal(project.reference().names, ['A/r2']);
});

test('a new run that was to say its version, and does not, is left out with a word', async () => {
  const project = new TestProject(VERSIONED);
  for (const [i, name] of ['A/r1', 'A/r2'].entries()) await project.writeRun(name, { seed: i + 1 });
  project.write(`${RUNS}/A/r1/embedding_run.json`, '{"version": "v1"}');
  project.write(`${RUNS}/A/r2/embedding_run.json`, '{"version": "v1"');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.match(stderr, /run A\/r2 is left out: .*A\/r2\/embedding_run\.json does not say its version/);
  assert.equal(project.reference().names, ['A/r1']);
  tag(project, { 'A/r2': 'v1' });
  assert.not.match((await project.firn('build')).stderr, /left out/);
  assert.equal(project.reference().names, ['A/r1', 'A/r2']);
});

test('a run in two versions is an error', async () => {
  const project = new TestProject(VERSIONED);
  await project.writeRun('A/r1', { seed: 1 });
  tag(project, { 'A/r1': 'v1' });
  project.write(`${RUNS}/A/r1/embedding_run.json`, '{"version": "v2"}');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(stderr, /run A\/r1 is in two versions: the registry says "v1", the run itself "v2"/);
  assert.not.ok(project.exists('cache'));
});

test.run();
