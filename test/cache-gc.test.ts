/** `firn cache info` and `firn cache gc`: what nothing needs leaves, and what could be the only copy stays. */
import { mkdirSync, readdirSync, renameSync, symlinkSync, utimesSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse, TestProject } from './rig/project.js';

const test = suite('cache gc');

const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;

interface GcJson {
  dryRun: boolean;
  bytes: number;
  objects: { path: string; bytes: number; why: string }[];
  leftovers: { path: string }[];
  records: string[];
  digests: number;
  foreign: string[];
}

async function gc(project: TestProject, ...args: string[]): Promise<GcJson> {
  const finished = await project.firn('cache', 'gc', '--json', ...args);
  assert.is(finished.code, 0, finished.stderr);
  return parse<GcJson>(finished);
}

function objects(project: TestProject): string[] {
  return Object.keys(project.exists('cache/objects') ? project.digests('cache/objects') : {});
}

let first: Promise<TestProject> | undefined;

/** Built in two states, so that going back to the first is a restore. */
async function twoStates(): Promise<TestProject> {
  first ??= (async () => {
    const project = new TestProject(PIPELINE);
    await project.writeRun('A/r1', { seed: 1 });
    await project.build();
    await project.writeRun('A/r2', { seed: 2 });
    await project.build();
    return project;
  })();
  const project = (await first).clone();
  // The files of a copy are others for the system: their digests are remembered by a build.
  assert.is((await project.build()).fresh, 2);
  return project;
}

test('what a record could restore stays; the dry run says what goes, and writes nothing', async () => {
  const project = await twoStates();
  assert.is(objects(project).length, 6);
  const before = project.snapshot();
  const planned = await gc(project, '--dry-run');
  assert.equal([planned.dryRun, planned.objects, planned.records], [true, [], []]);
  assert.equal(project.snapshot(), before);
  await gc(project);
  project.remove('consolidated_data/runs/A/r2');
  project.write(
    'pipeline.yaml',
    PIPELINE.replace('out: data/reference}', 'out: data/reference, with: {prune: [A/r2]}}'),
  );
  await project.build();
  project.write('pipeline.yaml', PIPELINE);
  assert.is((await project.build()).failed, 0);
});

test('a target that is gone: its records and stored outputs go, but for files that are still there', async () => {
  const project = await twoStates();
  project.write('pipeline.yaml', PIPELINE.replace(/ {2}index.*\n/, ''));
  const kept = await gc(project, '--dry-run');
  assert.equal(kept.records, ['index:reference'], 'the earlier one');
  project.remove('data/reference/consolidated_index.faiss');
  const planned = await gc(project, '--dry-run');
  assert.equal(planned.records, ['index:reference', 'index:reference']);
  assert.equal(
    planned.objects.map(({ why }) => why),
    ['no record needs it', 'no record needs it'],
  );
  const text = await project.firn('cache', 'gc', '-n');
  assert.match(text.stdout, /^would remove 2 stored outputs, .*: no record needs it$/m);
  assert.match(text.stdout, /; nothing was removed\n$/);
  const done = await gc(project);
  assert.equal({ ...done, dryRun: true }, planned);
  assert.is(objects(project).length, 4);
  assert.is((await project.build()).fresh, 1);
  // A file that firn wrote and no record knows any more is recognised by its mark.
  project.write('pipeline.yaml', PIPELINE);
  assert.is((await project.build()).failed, 0);
});

test('records of steps that made what is in an archived run stay: it comes back as firn’s', async () => {
  const project = new TestProject(`targets:
  compressed: {rule: compress, runs: all, with: {precision: float16}}
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  await project.writeRun('A/r1', { seed: 1, rows: 200 });
  await project.build();
  assert.is((await project.build()).fresh, 2);
  assert.is((await project.firn('runs', 'archive', '--to', 'away', 'A/r1', '--execute')).code, 0);
  assert.not.ok(project.exists('consolidated_data/runs/A/r1/embeddings.npz'));
  assert.equal((await gc(project)).records, []);
  assert.is((await project.firn('runs', 'restore', '--execute')).code, 0);
  const again = await project.build();
  assert.equal([again.fresh, again.failed], [2, 0]);
});

test('--older-than: what was not used for so long goes, and going back costs a computation', async () => {
  const project = await twoStates();
  const old = Date.now() / 1000 - 40 * 86_400;
  const current = new Set(
    ['consolidated_embeddings.npy', 'consolidated_metadata.json', 'consolidated_index.faiss'].map((name) =>
      project.sha256(`data/reference/${name}`),
    ),
  );
  for (const path of objects(project)) utimesSync(project.path(path), old, old);
  assert.is((await gc(project, '--older-than', '60', '-n')).objects.length, 0);
  const done = await gc(project, '--older-than', '30');
  assert.equal(new Set(done.objects.map(({ why }) => why)), new Set(['not used for long']));
  assert.is(objects(project).length, 0);
  assert.ok(current.size === 3 && done.objects.length === 6);
  assert.is((await project.build()).fresh, 2);
  for (const wrong of ['x', '-1', '3m'])
    assert.is((await project.firn('cache', 'gc', '--older-than', wrong)).code, 2);
});

test('the stored copy of an output that is lost or altered stays, however old: it may be the only one', async () => {
  const project = await twoStates();
  project.remove('consolidated_data/runs/A/r1');
  await project.build();
  assert.equal(project.reference().retained, ['A/r1']);
  const old = Date.now() / 1000 - 400 * 86_400;
  for (const path of objects(project)) utimesSync(project.path(path), old, old);
  const array = project.sha256('data/reference/consolidated_embeddings.npy');
  project.remove('data/reference/consolidated_embeddings.npy');
  await gc(project, '--older-than', '1');
  assert.ok(objects(project).some((path) => path.endsWith(array)));
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.is(project.sha256('data/reference/consolidated_embeddings.npy'), array);

  // Even when the target is gone as well.
  project.remove('data');
  project.write('pipeline.yaml', 'targets: {other: {rule: consolidate, runs: all, out: data/other}}\n');
  await gc(project, '--older-than', '0');
  project.write('pipeline.yaml', PIPELINE);
  const again = await project.build('reference');
  assert.is(again.failed, 0, JSON.stringify(again.steps));
  assert.equal(project.reference().retained, ['A/r1']);
});

test('what is beyond the limit goes, the longest unused first', async () => {
  const project = await twoStates();
  const files = objects(project);
  for (const [i, path] of files.entries())
    utimesSync(project.path(path), 1_700_000_000 + i, 1_700_000_000 + i);
  project.write('pipeline.yaml', `cache: {limit: 4kB}\n${PIPELINE}`);
  const done = await gc(project);
  assert.equal(new Set(done.objects.map(({ why }) => why)), new Set(['beyond the limit']));
  const left = objects(project);
  assert.equal(left, files.slice(files.length - left.length));
});

test('leftovers go: half copies at once, other programs’ only after a day; what is not firn’s stays', async () => {
  const project = await twoStates();
  const [object] = objects(project);
  const folder = object.slice(0, object.lastIndexOf('/'));
  project.write(`${folder}/.firn-tmp-0123456789ab`, 'half');
  project.write('cache/.firn-tmp-aaaaaaaaaaaa', 'half');
  project.write('cache/.firn-verify-bbbbbbbbbbbb/embeddings.npy', 'half');
  project.write('cache/.firn-verify-cccccccccccc/embeddings.npy', 'half, and being written');
  project.write('cache/notes.txt', 'mine');
  project.write(`${folder}/notes.txt`, 'mine');
  symlinkSync(project.path('data'), project.path('cache/linked'));
  const old = Date.now() / 1000 - 2 * 86_400;
  // No program of ours makes a name that is no text, and nobody could remove it by what is shown of it.
  const odd = Buffer.concat([Buffer.from(project.path('cache/.firn-')), Buffer.from([0xff])]);
  mkdirSync(odd);
  utimesSync(odd, old, old);
  for (const path of [
    'cache/.firn-tmp-aaaaaaaaaaaa',
    'cache/.firn-verify-bbbbbbbbbbbb/embeddings.npy',
    'cache/.firn-verify-bbbbbbbbbbbb',
  ])
    utimesSync(project.path(path), old, old);
  const data = project.snapshot('data');
  const done = await gc(project);
  assert.equal(done.leftovers.map(({ path }) => path).sort(), [
    'cache/.firn-tmp-aaaaaaaaaaaa',
    'cache/.firn-verify-bbbbbbbbbbbb',
    `${folder}/.firn-tmp-0123456789ab`,
  ]);
  assert.equal(done.foreign.sort(), ['.firn-\ufffd', 'linked', 'notes.txt', `${folder.slice(6)}/notes.txt`]);
  assert.ok(project.exists('cache/.firn-verify-cccccccccccc/embeddings.npy'));
  assert.ok(project.exists('cache/linked') && project.exists('cache/notes.txt'));
  assert.equal(project.snapshot('data'), data);
  assert.not.ok(project.exists('cache/.firn-tmp-aaaaaaaaaaaa'));
});

test('nothing outside of cache/ is touched: a cache or a store behind a link is refused', async () => {
  for (const path of ['cache', 'cache/objects']) {
    const project = await twoStates();
    const elsewhere = new TestProject();
    renameSync(project.path(path), elsewhere.path('moved'));
    symlinkSync(elsewhere.path('moved'), project.path(path));
    const before = elsewhere.snapshot();
    const { code, stderr } = await project.firn('cache', 'gc', '--older-than', '0');
    assert.is(code, 1);
    assert.match(stderr, /it is a link, and nothing outside of cache\/ is touched/);
    assert.equal(elsewhere.snapshot(), before);
  }
});

test('digests of files that are gone are forgotten, the others are not', async () => {
  const project = await twoStates();
  project.remove('consolidated_data/runs/A/r2');
  assert.is((await gc(project)).digests > 0, true);
  assert.is((await gc(project)).digests, 0);
  await project.writeRun('A/r2', { seed: 2 });
  assert.is((await project.build()).fresh, 2);
});

test('`cache info` tells what is there', async () => {
  const project = await twoStates();
  project.write('cache/mine', '');
  const info = JSON.parse((await project.firn('cache', 'info', '--json')).stdout);
  assert.equal(
    [
      info.records.steps,
      info.records.earlier,
      info.objects.count,
      info.objects.limit,
      info.pending,
      info.holder,
      info.foreign,
    ],
    [2, 2, 6, 2e9, 0, null, ['mine']],
  );
  const text = await project.firn('cache', 'info');
  assert.match(
    text.stdout,
    /^stored outputs: 6 files, \d+(\.\d)? kB of at most 2\.0 GB, the oldest last used \d{4}-\d\d-\d\d$/m,
  );
  assert.match(text.stderr, /cache\/mine is not firn's/);
  const empty = new TestProject(PIPELINE);
  await empty.writeRun('A/r1', { seed: 1 });
  assert.is((await empty.firn('cache', 'info')).code, 0);
  assert.equal((await gc(empty)).objects, []);
  assert.equal(readdirSync(empty.path('.')).includes('data'), false);
});

test.run();
