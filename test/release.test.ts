/** `firn release`: an immutable copy under a tag that other programs read, made of the same bytes whatever the history. */
import { cpSync, lstatSync, mkdirSync, readdirSync, readFileSync, symlinkSync } from 'node:fs';
import { hostname } from 'node:os';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { builtProject, modeOf, PIPELINE, RELEASES, release, run, unlock, verify } from './release-rig.js';
import { parse, TestProject } from './rig/project.js';

const test = suite('release');

const DIRECTORY = `${RELEASES}/reference_2024-11`;

test('copies array, index and metadata, checksummed and closed for writing', async () => {
  const project = await builtProject();
  const made = await release(project, '2024-11');
  assert.equal(
    [made.tag, made.name, made.date, made.directory, made.existed, made.rows, made.runs, made.index],
    ['2024-11', 'reference', '2024-11', DIRECTORY, false, 95, 3, true],
  );
  const files = [
    'SHA256SUMS',
    'reference_2024-11.faiss',
    'reference_2024-11.json',
    'reference_2024-11.npy',
    'reference_2024-11.provenance.json',
    'ro-crate-metadata.json',
  ];
  const links = ['reference_embeddings.npy', 'reference_index.faiss', 'reference_metadata.json'];
  assert.equal(readdirSync(project.path(DIRECTORY)).sort(), [...files, ...links].sort());
  assert.is(
    run(project.path(DIRECTORY), 'sha256sum', '-c', '--strict', 'SHA256SUMS').match(/: OK$/gm)?.length,
    5,
  );
  for (const [file, copy] of [
    ['consolidated_embeddings.npy', 'reference_2024-11.npy'],
    ['consolidated_index.faiss', 'reference_2024-11.faiss'],
  ])
    assert.is(project.sha256(`data/reference/${file}`), project.sha256(`${DIRECTORY}/${copy}`));
  // Modes are what they are for root as well; only that they hold root back cannot be tested.
  for (const name of files) assert.is(modeOf(project, `${DIRECTORY}/${name}`), '444', name);
  assert.is(modeOf(project, DIRECTORY), '555');
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists('cache/lock'));
  if (process.getuid?.() !== 0)
    assert.throws(() => project.write(`${DIRECTORY}/reference_2024-11.npy`, 'x'), /EACCES/);
});

test('the same again says so; another content, date or field is refused and changes nothing', async () => {
  const project = await builtProject();
  await release(project, '2024-11');
  const before = project.snapshot(RELEASES);
  const again = await project.firn('release', '2024-11');
  assert.is(again.code, 0);
  assert.match(
    again.stdout,
    /^reference_2024-11 is there already, with this very content: 95 rows of 3 runs/,
  );
  assert.is((await release(project, '2024-11', '--date', '2024-11')).existed, true);

  project.write('fields.yaml', 'target_gene: COI\n');
  for (const [args, says] of [
    [['--date', '2024-12-01'], /what differs: date \(2024-11, now 2024-12-01\)/],
    [['--fields', 'fields.yaml'], /what differs: fields/],
  ] as const) {
    const { code, stderr } = await project.firn('release', '2024-11', ...args);
    assert.is(code, 1);
    assert.match(stderr, says);
  }
  await project.writeRun('B/2024-12-05', { seed: 9, rows: 5 });
  await project.build();
  const { code, stdout, stderr } = await project.firn('release', '2024-11');
  assert.equal([code, stdout], [1, '']);
  assert.match(
    stderr,
    /is there already with another content; what differs: rows \(95 of 3 runs, now 100 of 4 runs\); index/,
  );
  assert.match(stderr, /A release never changes\. Choose a new tag instead of 2024-11\./);
  assert.equal(project.snapshot(RELEASES), before);
  assert.is((await release(project, '2024-12')).rows, 100);
  assert.equal(Object.fromEntries(before), pick(project.snapshot(RELEASES), [...before.keys()]));
});

function pick(from: Map<string, string>, keys: string[]): object {
  return Object.fromEntries(keys.map((key) => [key, from.get(key)]));
}

test('where the runs are now is no matter of a release: a run that is moved away changes none', async () => {
  const project = await builtProject();
  await release(project, '2024-11');
  project.remove('consolidated_data/runs/B');
  await project.build();
  assert.equal(project.reference().retained, ['B/2024-10-01']);
  assert.is((await release(project, '2024-11')).existed, true);
  const other = await release(project, '2024-11b');
  assert.is(
    project.sha256(`${other.directory}/reference_2024-11b.npy`),
    project.sha256(`${DIRECTORY}/reference_2024-11.npy`),
  );
  assert.not.match(project.read(`${other.directory}/reference_2024-11b.json`).toString(), /"retained": true/);
});

test('a damaged or foreign directory under the name is refused and left', async () => {
  const project = await builtProject();
  await release(project, '2024-11');
  unlock(project, DIRECTORY);
  project.write(`${DIRECTORY}/reference_2024-11.npy`, 'not what it was');
  const before = project.snapshot(RELEASES);
  const damaged = await project.firn('release', '2024-11');
  assert.is(damaged.code, 1);
  assert.match(damaged.stderr, /is damaged: reference_2024-11\.npy is not what SHA256SUMS says/);
  project.write(`${RELEASES}/reference_mine/notes.txt`, 'mine');
  const foreign = await project.firn('release', 'mine');
  assert.is(foreign.code, 1);
  assert.match(foreign.stderr, /is there already, and cannot be read as a release/);
  assert.equal(pick(project.snapshot(RELEASES), [...before.keys()]), Object.fromEntries(before));
});

test('tags that cannot be part of a name are refused; odd ones work with sha256sum, and by tag', async () => {
  const project = await builtProject();
  for (const [tag, says] of [
    ['../x', 'a part of a path'],
    ['a/b', 'a part of a path'],
    ['a\\b', 'a part of a path'],
    ['', 'is empty'],
    ['..', 'begins with a dot'],
    ['.hidden', 'begins with a dot'],
    ['a\nb', 'a control character'],
    ['a\u001b[31m', 'a control character'],
    [' a', 'begins or ends with a space'],
    ['x'.repeat(200), 'longer than 200 bytes'],
  ]) {
    const { code, stdout, stderr } = await project.firn('release', '--date', '2024', '--', tag);
    assert.equal([code, stdout], [2, ''], tag);
    assert.ok(stderr.includes(says), `${JSON.stringify(tag)}: ${stderr}`);
    assert.not.match(stderr, /\u001b/);
  }
  assert.not.ok(project.exists(RELEASES));
  const odd = ['v 1.0 é$(touch X)`', "it's 100%", '冬', 'embeddings', 'metadata'];
  for (const tag of odd) {
    const made = await release(project, tag, '--date', '2024-11-30');
    assert.is(made.tag, tag);
    run(project.path(made.directory), 'sha256sum', '-c', '--strict', '--quiet', 'SHA256SUMS');
    assert.equal((await verify(project, tag)).findings, [], tag);
    const search = await project.firn(
      'search',
      '--reference',
      tag,
      '--run',
      'B/2024-10-01',
      '--seq-idx',
      '3',
      '--json',
    );
    assert.is(JSON.parse(search.stdout).results[0].seq_idx, 3, search.stderr);
  }
  const listed = parse<{ releases: { tag: string }[] }>(await project.firn('releases', '--json'));
  assert.equal(listed.releases.map(({ tag }) => tag).sort(), [...odd].sort());
  assert.not.ok(project.exists('X'));
});

test('the date: given, from SOURCE_DATE_EPOCH, from the tag, from the newest run, and else it is asked for', async () => {
  const project = await builtProject();
  assert.is((await release(project, '2024-11-30')).date, '2024-11-30');
  assert.is((await release(project, 'v1')).date, '2024-11-22');
  assert.is((await release(project, 'v2', '--date', '2025')).date, '2025');
  project.env = { SOURCE_DATE_EPOCH: '1700000000' };
  assert.is((await release(project, 'v3')).date, '2023-11-14');
  assert.is((await release(project, 'v4', '--date', '2024-02-29T01:02:03Z')).date, '2024-02-29T01:02:03Z');
  project.env = {};
  for (const wrong of ['2024-13', '2023-02-29', 'yesterday', '20241130']) {
    const { code, stderr } = await project.firn('release', 'v5', '--date', wrong);
    assert.is(code, 2);
    assert.match(stderr, /is no date/);
  }
  const plain = new TestProject(PIPELINE);
  await plain.writeRun('A/r1', { seed: 1 });
  await plain.build();
  const { code, stderr } = await plain.firn('release', 'v1.0');
  assert.is(code, 2);
  assert.match(stderr, /nothing tells the date of the release v1\.0.*\n.*--date 2024-11-30/);
  assert.not.ok(plain.exists(RELEASES));
});

test('one made on a clean checkout equals one of the incremental history, byte for byte, and names no host', async () => {
  const grown = new TestProject(PIPELINE);
  const runs = ['A/2024-10-01', 'A/2024-11-20', 'B/2024-11-22'];
  for (const [i, name] of runs.entries()) {
    await grown.writeRun(name, { seed: i, rows: 20 + i });
    await grown.build();
  }
  const clean = new TestProject(PIPELINE);
  for (const [i, name] of [...runs.entries()].reverse())
    await clean.writeRun(name, { seed: i, rows: 20 + i });
  await clean.build();
  for (const kind of ['tar.gz', 'zip']) {
    await release(grown, '2024-11', '--archive', kind);
    await release(clean, '2024-11', '--archive', kind);
  }
  assert.equal(grown.digests(RELEASES), clean.digests(RELEASES));
  assert.is(Object.keys(grown.digests(RELEASES)).length, 11);

  // What a checkout brings along is enough: runs, reference and pipeline, without cache.
  const copied = new TestProject();
  for (const path of ['pipeline.yaml', 'consolidated_data'])
    cpSync(grown.path(path), copied.path(path), { recursive: true });
  mkdirSync(copied.path('data/reference'), { recursive: true });
  for (const name of readdirSync(grown.path('data/reference')).filter((name) => name !== 'releases'))
    cpSync(grown.path(`data/reference/${name}`), copied.path(`data/reference/${name}`));
  await release(copied, '2024-11');
  assert.equal(copied.digests(DIRECTORY), grown.digests(DIRECTORY));
  for (const name of [
    'ro-crate-metadata.json',
    'reference_2024-11.provenance.json',
    'reference_2024-11.json',
    'SHA256SUMS',
  ]) {
    const text = grown.read(`${DIRECTORY}/${name}`).toString();
    assert.not.ok(text.includes(grown.root), name);
    assert.not.ok(text.includes(hostname()), name);
    assert.not.match(text, new RegExp(`"${new Date().getFullYear()}-`), name);
  }
});

test('a reference of several states, of another program, or none is refused', async () => {
  const project = await builtProject();
  const refuse = async (says: RegExp, kind = 1, ...args: string[]): Promise<void> => {
    const { code, stdout, stderr } = await project.firn('release', '2024-11', ...args);
    assert.equal([code, stdout], [kind, ''], stderr);
    assert.match(stderr, says);
    assert.not.ok(project.exists(RELEASES), 'no folder is left');
    assert.equal(project.leftovers(), []);
  };
  const index = project.read('data/reference/consolidated_index.faiss');
  await project.writeRun('C/2024-12-24', { seed: 8, rows: 3 });
  await project.build('reference');
  await refuse(/consolidated_index\.faiss: is of 95 other rows than the reference beside it has/);
  await project.build();

  // Bytes that nobody recorded: a vector in the middle of the index.
  const whole = project.read('data/reference/consolidated_index.faiss');
  const altered = Buffer.from(whole);
  altered[200] ^= 1;
  project.write('data/reference/consolidated_index.faiss', altered);
  await refuse(/holds other vectors than the rows of the array/);
  project.write('data/reference/consolidated_index.faiss', whole);

  const array = project.read('data/reference/consolidated_embeddings.npy');
  const flipped = Buffer.from(array);
  flipped[flipped.length - 1] ^= 1;
  project.write('data/reference/consolidated_embeddings.npy', flipped);
  await refuse(/consolidated_embeddings\.npy: is not what its metadata says/);
  project.write('data/reference/consolidated_embeddings.npy', array);
  assert.ok(index.length < whole.length);

  await refuse(/there is no reference here/, 1, '--reference', 'data/nowhere');
  project.write(
    'data/other/consolidated_metadata.json',
    JSON.stringify({ sequences: [{ dataset: 'A', run_id: 'r', seq_idx: 0 }] }),
  );
  cpSync(
    project.path('data/reference/consolidated_embeddings.npy'),
    project.path('data/other/consolidated_embeddings.npy'),
  );
  await refuse(/was not written by firn.*\n.*firn adopt/, 2, '--reference', 'data/other');
});

test('without an index it says so; a reference that is behind its runs is told', async () => {
  const project = await builtProject(
    'targets: {reference: {rule: consolidate, runs: all, out: data/reference}}',
  );
  await project.writeRun('A/2024-12-01', { seed: 5 });
  const { code, stdout, stderr } = await project.firn('release', '2024-11');
  assert.is(code, 0, stderr);
  assert.match(stdout, /^released reference_2024-11: 95 rows of 3 runs, 8 dimensions, \d+/);
  assert.match(stderr, /note: there is no index beside this reference/);
  assert.match(
    stderr,
    /warning: `firn build` may change this reference \(consolidated_data\/runs\/A\/2024-12-01 is new or was touched\)/,
  );
  assert.equal((await verify(project, '2024-11')).findings, []);
});

test('several references: named by target or directory; `releases` and --name say where and how', async () => {
  const project = await builtProject(`releases: published
targets:
  a: {rule: consolidate, runs: {dataset: A}, out: data/a}
  b: {rule: consolidate, runs: {dataset: B}, out: data/b}
`);
  const { code, stderr } = await project.firn('release', '2024-11');
  assert.is(code, 2);
  assert.match(stderr, /there are 2 references\n {2}Name one: --reference a or --reference b\./);
  assert.is(
    (await release(project, '2024-11', '--reference', 'a', '--name', 'a')).directory,
    'published/a_2024-11',
  );
  assert.is(
    (await release(project, '2024-11', '--reference', 'data/b', '--name', 'b_only')).directory,
    'published/b_only_2024-11',
  );
  const { releases } = parse<{ releases: { tag: string; name: string; rows: number; missing: string[] }[] }>(
    await project.firn('releases', '--json'),
  );
  assert.equal(
    releases.map(({ tag, name, rows, missing }) => [tag, name, rows, missing]),
    [
      ['2024-11', 'a', 70, []],
      ['2024-11', 'b_only', 25, []],
    ],
  );
  const both = await project.firn('verify', '2024-11');
  assert.is(both.code, 2);
  assert.match(both.stderr, /there are 2 releases "2024-11"\n {2}Name the directory:/);
  assert.equal((await verify(project, 'b_only_2024-11')).findings, []);
  assert.equal((await verify(project, 'published/a_2024-11')).findings, []);
  const ofRelease = await project.firn('release', 'x', '--reference', 'published/a_2024-11');
  assert.is(ofRelease.code, 2);
  assert.match(ofRelease.stderr, /is the release 2024-11 already/);
});

test('nothing is written through a link', async () => {
  const project = await builtProject();
  const elsewhere = new TestProject();
  symlinkSync(elsewhere.root, project.path(RELEASES));
  const { code, stderr } = await project.firn('release', '2024-11');
  assert.is(code, 1);
  assert.match(stderr, /leads to .*, through a link/);
  assert.equal(readdirSync(elsewhere.root), []);
});

test('a second one waits for a build; `clean`, pruning and `cache gc` spare releases', async () => {
  const project = await builtProject();
  await release(project, '2024-11', '--archive', 'zip');
  const before = project.snapshot(RELEASES);
  await project.firn('clean', '--all', '--execute');
  assert.not.ok(project.exists('data/reference/consolidated_embeddings.npy'));
  project.write(
    'pipeline.yaml',
    PIPELINE.replace('out: data/reference}', 'out: data/reference, with: {prune: [B/2024-10-01]}}'),
  );
  assert.is((await project.build()).failed, 0);
  assert.equal(project.reference().names.length, 2);
  await project.firn('cache', 'gc', '--older-than', '0');
  assert.equal(project.snapshot(RELEASES), before);
  assert.equal((await verify(project, '2024-11')).findings, []);

  // Its rows come back from the release, as the guide says.
  project.write('pipeline.yaml', PIPELINE);
  project.remove('data/reference/consolidated_embeddings.npy');
  project.remove('data/reference/consolidated_metadata.json');
  project.remove('consolidated_data/runs/B');
  project.remove('cache');
  cpSync(
    project.path(`${DIRECTORY}/reference_2024-11.npy`),
    project.path('data/reference/consolidated_embeddings.npy'),
  );
  cpSync(
    project.path(`${DIRECTORY}/reference_2024-11.json`),
    project.path('data/reference/consolidated_metadata.json'),
  );
  const built = await project.build();
  assert.is(built.failed, 0, JSON.stringify(built.steps));
  assert.equal(project.reference().retained, ['B/2024-10-01']);
});

test('what is left of a killed release goes with the next one', async () => {
  const project = await builtProject();
  project.write(`${RELEASES}/.firn-release-0123456789ab-0123456789ab/reference_x.npy`, 'half');
  project.write(`${RELEASES}/.firn-archive-0123456789ab`, 'half');
  project.write(`${RELEASES}/.firn-mine/notes`, 'mine');
  await release(project, '2024-11');
  assert.equal(project.leftovers(), [`${RELEASES}/.firn-mine`, `${RELEASES}/.firn-mine/notes`]);
});

test('models of the registry and versions of runs are told, and runs are found by tag in a search', async () => {
  const project = await builtProject();
  await project.firn('versions', 'register', '--version', 'v1.0', '--model', 'nt-500m-1000g');
  await project.firn('versions', 'auto-tag', '--version', 'v1.0');
  await project.build();
  const made = await release(project, '2024-11');
  assert.equal(made.versions, ['v1.0']);
  const crate = readFileSync(project.path(`${DIRECTORY}/ro-crate-metadata.json`), 'utf8');
  assert.match(crate, /"name": "nt-500m-1000g"/);
  const table = (await project.firn('releases')).stdout;
  assert.match(
    table,
    /^2024-11 +2024-11 +95 +3 +8 +v1\.0 +\d+.*all +data\/reference\/releases\/reference_2024-11$/m,
  );
  const inReference = await project.firn(
    'search',
    '--run',
    'A/2024-11-20_10-30-00',
    '--seq-idx',
    '7',
    '--json',
  );
  for (const reference of ['2024-11', DIRECTORY, 'reference_2024-11', 'reference']) {
    const search = await project.firn(
      'search',
      '--reference',
      reference,
      '--run',
      'A/2024-11-20_10-30-00',
      '--seq-idx',
      '7',
      '--json',
    );
    assert.is(search.stdout, inReference.stdout, reference);
    assert.not.match(search.stderr, /was not used/);
  }
  const unknown = await project.firn(
    'search',
    '--reference',
    '2023',
    '--run',
    'A/2024-11-20_10-30-00',
    '--seq-idx',
    '7',
  );
  assert.is(unknown.code, 1);
});

test('links lead to the files for tools of the older system, and a release is whole without them', async () => {
  const project = await builtProject();
  await release(project, '2024-11');
  assert.ok(lstatSync(project.path(`${DIRECTORY}/reference_embeddings.npy`)).isSymbolicLink());
  unlock(project, DIRECTORY);
  for (const name of ['reference_embeddings.npy', 'reference_metadata.json', 'reference_index.faiss'])
    project.remove(join(DIRECTORY, name));
  assert.equal((await verify(project, '2024-11')).findings, []);
  const search = await project.firn(
    'search',
    '--reference',
    '2024-11',
    '--run',
    'B/2024-10-01',
    '--seq-idx',
    '0',
  );
  assert.is(search.code, 0, search.stderr);
});

test.run();
