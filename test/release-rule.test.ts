/** The rule `release`: a release as a target, made once, kept whatever happens, and never written over. */
import { rmSync, statSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { builtProject, modeOf, RELEASES, release, run, unlock, verify } from './release-rig.js';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('release rule');

const DIRECTORY = `${RELEASES}/reference_2024-11`;

function pipelineWith(target: string): string {
  return `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
  release: {rule: release, ${target}}
`;
}
const PIPELINE = pipelineWith(
  'from: [reference], with: {tag: "2024-11", archive: tar.gz, fields: {target_gene: COI}}',
);

function reasonOf(result: Awaited<ReturnType<TestProject['build']>>): string {
  return stepOf(result, 'release').error ?? '';
}

test('is built after the index, once, as `firn release` makes it, closed for writing', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const planned = await project.plan();
  assert.equal(idsWith(planned, 'run'), ['index:reference', 'reference', 'release']);
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.equal(
    built.steps.map(({ id }) => id),
    ['reference', 'index:reference', 'release'],
  );
  assert.is(modeOf(project, `${DIRECTORY}/reference_2024-11.faiss`), '444');
  assert.is(modeOf(project, DIRECTORY), '555');
  assert.ok(project.exists(`${DIRECTORY}.tar.gz`));
  run(project.path(DIRECTORY), 'sha256sum', '-c', '--strict', '--quiet', 'SHA256SUMS');
  assert.equal((await verify(project, '2024-11', '--rebuild')).findings, []);
  assert.is((await project.build()).fresh, 3);
  assert.is((await release(project, '2024-11')).existed, true);
  assert.equal(project.leftovers(), []);
});

test('a cache that is lost, --force, and a run that goes to an archive leave it as it is', async () => {
  const project = await builtProject(PIPELINE);
  const before = project.snapshot(RELEASES);
  project.remove('cache');
  assert.equal(idsWith(await project.build(), 'ran'), ['index:reference', 'reference', 'release']);
  assert.is((await project.build('--force')).failed, 0);
  project.remove('consolidated_data/runs/B');
  const after = await project.build();
  assert.is(after.failed, 0, JSON.stringify(after.steps));
  assert.is((await project.build()).fresh, 3);
  assert.equal(project.snapshot(RELEASES), before);
});

test('when the reference moved on it fails, also as a dry run and under --force; another tag is made', async () => {
  const project = await builtProject(PIPELINE);
  const before = project.snapshot(RELEASES);
  await project.writeRun('C/r1', { seed: 7 });
  const changed = await project.build();
  assert.equal(idsWith(changed, 'ran', 'failed'), ['index:reference', 'reference', 'release']);
  assert.match(
    reasonOf(changed),
    /with another content; what differs: rows \(95 of 3 runs, now 115 of 4 runs\); index/,
  );
  assert.match(reasonOf(changed), /Choose a new tag instead of 2024-11\./);
  const planned = await project.plan();
  assert.match(stepOf(planned, 'release').reason, /Choose a new tag/);
  assert.is(stepOf(planned, 'release').status, 'blocked');
  assert.match(reasonOf(await project.build('--force')), /Choose a new tag/);
  assert.match((await project.firn('status')).stdout, /^release +release +1 +1 failing/m);
  project.write('pipeline.yaml', PIPELINE.replace('2024-11', '2024-12'));
  assert.is((await project.build()).failed, 0);
  for (const [path, is] of before) assert.is(project.snapshot(RELEASES).get(path), is, path);

  // Going back makes the old tag the right one again.
  project.remove('consolidated_data/runs/C');
  project.write(
    'pipeline.yaml',
    `${PIPELINE.replace('2024-12', '2024-11').replace('out: data/reference}', 'out: data/reference, with: {prune: [C/r1]}}')}`,
  );
  const back = await project.build();
  assert.is(back.failed, 0, JSON.stringify(back.steps));
  for (const [path, is] of before) assert.is(project.snapshot(RELEASES).get(path), is, path);
});

test('other fields or another date under the same tag fail as well; unrelated edits do not', async () => {
  const project = await builtProject(PIPELINE);
  for (const [to, says] of [
    ['fields: {target_gene: ITS}', /what differs: fields/],
    ['fields: {target_gene: COI}, date: "2024-11-30"', /what differs: date \(2024-11, now 2024-11-30\)/],
  ] as const) {
    project.write('pipeline.yaml', PIPELINE.replace('fields: {target_gene: COI}', to));
    assert.match(reasonOf(await project.build()), says);
  }
  project.write('pipeline.yaml', `# a remark\ncache: {limit: 1GB}\n${PIPELINE}`);
  assert.is((await project.build()).fresh, 3);
});

test('an altered file, a lost one, or a lost archive', async () => {
  const project = await builtProject(PIPELINE);
  const before = project.digests(RELEASES);
  rmSync(project.path(`${DIRECTORY}.tar.gz`));
  assert.is((await project.build()).ran, 1);
  assert.equal(project.digests(RELEASES), before);

  unlock(project, DIRECTORY);
  const path = `${DIRECTORY}/reference_2024-11.json`;
  const text = project.read(path);
  project.write(path, 'altered');
  assert.match(reasonOf(await project.build()), /is there already, and cannot be read as a release/);
  project.write(path, text);
  assert.is((await project.build()).failed, 0);
  const array = project.read(`${DIRECTORY}/reference_2024-11.npy`);
  project.write(`${DIRECTORY}/reference_2024-11.npy`, 'altered');
  assert.match(
    reasonOf(await project.build()),
    /is damaged: reference_2024-11\.npy is not what SHA256SUMS says/,
  );
  assert.is(
    project.read(`${DIRECTORY}/reference_2024-11.npy`).toString(),
    'altered',
    'and is left for people to look at',
  );
  project.write(`${DIRECTORY}/reference_2024-11.npy`, array);
  project.remove(DIRECTORY);
  assert.is((await project.build()).ran, 1);
  assert.equal(project.digests(RELEASES), before, 'made anew of the same inputs it is the same');
});

test('clean and cache gc spare it, and it is not stored in the cache', async () => {
  const project = await builtProject(PIPELINE);
  const cleaned = JSON.parse((await project.firn('clean', '--all', '--execute', '--json')).stdout) as {
    removed: string[];
    spared: { path: string; spared: string }[];
  };
  assert.ok(cleaned.removed.every((path) => !path.includes('releases')));
  assert.is(cleaned.spared.length, 7);
  assert.match(cleaned.spared[0].spared, /a release is kept until you remove it yourself/);
  const stored = Object.keys(project.digests('cache/objects')).length;
  assert.is(stored, 3, 'array, metadata and index of the reference');
  await project.firn('cache', 'gc', '--older-than', '0');
  assert.equal((await verify(project, '2024-11')).findings, []);
});

test('several releases side by side, beside one index and in a folder of their own', async () => {
  const project = new TestProject(`releases: published
targets:
  a: {rule: consolidate, runs: {dataset: A}, out: data/a}
  b: {rule: consolidate, runs: {dataset: B}, out: data/b}
  index: {rule: index, from: [a, b]}
  release-a: {rule: release, from: [a, index], with: {tag: "2024-11", name: a}}
  release-b: {rule: release, from: b, with: {tag: "2024-11", name: b}}
`);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('B/r1', { seed: 2 });
  const built = await project.build('-j', '2');
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.ok(statSync(project.path('published/a_2024-11/a_2024-11.faiss')).isFile());
  assert.equal((await verify(project, 'b_2024-11')).findings, []);
  const again = await project.build();
  assert.is(again.fresh, 6, JSON.stringify(again));
});

test('what is wrong in pipeline.yaml is named with its line', async () => {
  for (const [target, says] of [
    ['from: [reference], with: {tag: 2024}', /pipeline\.yaml:4:\d+: .*tag/],
    ['from: [reference], with: {tag: 1.10}', /pipeline\.yaml:4:\d+: /],
    ['from: [reference], with: {}', /pipeline\.yaml:4:\d+: .*tag/],
    [
      'from: [reference], with: {tag: "../x"}',
      /pipeline\.yaml:4:\d+: the tag of a release holds a part of a path/,
    ],
    [
      'from: [reference], with: {tag: a, name: "."}',
      /pipeline\.yaml:4:\d+: the name of a release begins with a dot/,
    ],
    ['from: [reference, other], with: {tag: a}', /from` names 2|there is no other/],
    ['from: [pipeline.yaml], with: {tag: a}', /there is no pipeline\.yaml\/consolidated_embeddings\.npy/],
    ['from: [reference], out: x, with: {tag: a}', /takes no "out"/],
    ['from: [reference], with: {tag: a, archive: rar}', /archive/],
  ] as const) {
    const project = new TestProject(pipelineWith(target));
    await project.writeRun('A/r1', { seed: 1 });
    const { code, stderr } = await project.firn('build');
    assert.is(code, 2, `${target}: ${stderr}`);
    assert.match(stderr, says, target);
  }
  const undated = new TestProject(pipelineWith('from: [reference], with: {tag: v1.0}'));
  await undated.writeRun('A/r1', { seed: 1 });
  assert.match(reasonOf(await undated.build()), /nothing tells the date of the release v1\.0/);
  undated.write('pipeline.yaml', pipelineWith('from: [reference], with: {tag: v1.0, date: "2024-11-30"}'));
  assert.is((await undated.build()).failed, 0);
});

test.run();
