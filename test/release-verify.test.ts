/** `firn verify`: one altered byte in any file is found, and so is what is missing, beside, or of another state. */
import { readdirSync, renameSync, symlinkSync } from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { projectPlaces } from '../src/project.js';
import { listReleases } from '../src/release/list.js';
import { formatSums } from '../src/release/sums.js';
import { directoryMeant } from '../src/verify.js';
import { builtProject, RELEASES, release, run, unlock, verify } from './release-rig.js';
import { TestProject } from './rig/project.js';

const test = suite('verify');

const STEM = 'reference_2024-11';
const DIRECTORY = `${RELEASES}/${STEM}`;
const FILES = [
  'SHA256SUMS',
  `${STEM}.faiss`,
  `${STEM}.json`,
  `${STEM}.npy`,
  `${STEM}.provenance.json`,
  'ro-crate-metadata.json',
];

let first: Promise<TestProject> | undefined;

/** A copy of a project with a release that may be written to. */
async function openRelease(): Promise<TestProject> {
  first ??= (async () => {
    const project = await builtProject();
    await release(project, '2024-11');
    return project;
  })();
  const project = (await first).clone();
  unlock(project, DIRECTORY);
  return project;
}

/** Writes SHA256SUMS anew, as somebody who alters a release with care would. */
function sumAgain(project: TestProject): void {
  const names = FILES.filter((name) => name !== 'SHA256SUMS' && project.exists(`${DIRECTORY}/${name}`));
  const sums = names.map((name) => ({ name, sha256: project.sha256(`${DIRECTORY}/${name}`) }));
  project.write(`${DIRECTORY}/SHA256SUMS`, formatSums(sums));
}

async function problemsOf(project: TestProject): Promise<string[]> {
  const { findings } = await verify(project, '2024-11');
  return findings.map(({ path, problem }) => `${path} ${problem}`);
}

function expectSome(problems: string[], ...says: RegExp[]): void {
  for (const one of says)
    assert.ok(
      problems.some((text) => one.test(text)),
      `${one} is not among:\n${problems.join('\n')}`,
    );
}

test('a whole release, closed or not, moved or renamed, has no finding; nothing is written', async () => {
  const project = await openRelease();
  const before = project.snapshot();
  const open = await verify(project, '2024-11');
  assert.equal([open.what, open.ok, open.findings], ['release', true, []]);
  assert.equal(open.notes, ['it can be written to; `chmod -R a-w` closes it again']);
  assert.equal(project.snapshot(), before);
  const text = await project.firn('verify', DIRECTORY);
  assert.match(text.stdout, /: this release is whole \(6 files, \d+(\.\d)? kB\)\n$/);
  const closed = await first;
  assert.equal((await verify(closed as TestProject, '2024-11')).notes, []);

  renameSync(project.path(DIRECTORY), project.path('moved'));
  assert.equal((await verify(project, 'moved')).findings, []);
  // As programs copy that follow links.
  const copy = new TestProject();
  run(copy.root, 'cp', '-rL', project.path('moved'), 'copied');
  assert.equal((await verify(copy, 'copied')).findings, []);
});

for (const name of FILES) {
  test(`one altered byte of ${name} is found, and so is its loss`, async () => {
    const project = await openRelease();
    const path = `${DIRECTORY}/${name}`;
    const bytes = project.read(path);
    // At the start, in the middle, at the end.
    for (const at of [0, bytes.length >> 1, bytes.length - 1]) {
      const altered = Buffer.from(bytes);
      altered[at] ^= 0x04;
      project.write(path, altered);
      const problems = await problemsOf(project);
      assert.ok(problems.length > 0, `byte ${at}`);
    }
    project.write(path, bytes.subarray(0, bytes.length - 1));
    assert.ok((await problemsOf(project)).length > 0, 'truncated');
    project.remove(path);
    expectSome(await problemsOf(project), new RegExp(`^${name.replaceAll('.', '\\.')} .*missing`));
    const { releases } = JSON.parse((await project.firn('releases', '--json')).stdout);
    assert.equal(releases[0].missing, [name]);
    project.write(path, bytes);
    assert.equal(await problemsOf(project), []);
  });
}

test('a folder in the place of SHA256SUMS is found, and `releases` lists it with the others', async () => {
  const project = await openRelease();
  await release(project, 'b', '--date', '2025');
  project.remove(`${DIRECTORY}/SHA256SUMS`);
  project.write(`${DIRECTORY}/SHA256SUMS/x`, '');
  expectSome(await problemsOf(project), /^SHA256SUMS is a folder, expected a file$/);
  const listed = JSON.parse((await project.firn('releases', '--json')).stdout).releases;
  assert.equal(
    listed.map(({ tag, missing }: { tag: string; missing: string[] }) => [tag, missing]),
    [
      ['2024-11', ['SHA256SUMS']],
      ['b', []],
    ],
  );
});

test('a release that may not be read is listed with the others, and in the way of none', async () => {
  const project = await openRelease();
  await release(project, 'b', '--date', '2025');
  const closed = project.path(DIRECTORY);
  const port: Port = {
    ...disk,
    list: (path) => {
      if (path === closed) throw Object.assign(new Error('no'), { code: 'EACCES' });
      return disk.list(path);
    },
  };
  const { root, pipeline } = await projectPlaces(project.root);
  const listed = await listReleases(port, { root, pipeline });
  assert.equal(
    listed.map(({ tag, problem }) => [tag, problem]),
    [
      ['2024-11', 'cannot be read: permission denied (EACCES)'],
      ['b', null],
    ],
  );
  const meant = await directoryMeant(port, { root, pipeline }, 'b');
  assert.is(meant, project.path(`${RELEASES}/reference_b`));
});

test('a statement that holds what is none is a finding, and no crash', async () => {
  const project = await openRelease();
  const path = `${DIRECTORY}/${STEM}.provenance.json`;
  const statement = JSON.parse(project.read(path).toString());
  statement.predicate.buildDefinition.resolvedDependencies.push(null);
  project.write(path, JSON.stringify(statement));
  expectSome(await problemsOf(project), /provenance\.json is no in-toto statement with SLSA provenance$/);
});

test('what is beside the files is found: files, folders, links out', async () => {
  const project = await openRelease();
  project.write(`${DIRECTORY}/notes.txt`, 'mine');
  project.write(`${DIRECTORY}/sub/deep.txt`, 'mine');
  symlinkSync('/etc/passwd', project.path(`${DIRECTORY}/out`));
  expectSome(
    await problemsOf(project),
    /^notes\.txt is not listed in SHA256SUMS$/,
    /^sub\/deep\.txt is not listed in SHA256SUMS$/,
    /^out is not listed in SHA256SUMS$/,
  );
  const other = await openRelease();
  other.remove(`${DIRECTORY}/reference_embeddings.npy`);
  symlinkSync('../../consolidated_embeddings.npy', other.path(`${DIRECTORY}/reference_embeddings.npy`));
  expectSome(await problemsOf(other), /^reference_embeddings\.npy is not listed in SHA256SUMS$/);
  const linked = await openRelease();
  renameSync(linked.path(`${DIRECTORY}/${STEM}.npy`), linked.path('away.npy'));
  symlinkSync(linked.path('away.npy'), linked.path(`${DIRECTORY}/${STEM}.npy`));
  expectSome(await problemsOf(linked), new RegExp(`^${STEM}\\.npy is a link$`));
});

test('what SHA256SUMS was made to agree with is found by what the files say of each other', async () => {
  const alter = async (change: (project: TestProject) => void, ...says: RegExp[]): Promise<void> => {
    const project = await openRelease();
    change(project);
    sumAgain(project);
    expectSome(await problemsOf(project), ...says);
  };
  await alter(
    (project) => {
      const bytes = project.read(`${DIRECTORY}/${STEM}.npy`);
      bytes[bytes.length - 1] ^= 1;
      project.write(`${DIRECTORY}/${STEM}.npy`, bytes);
    },
    /\.npy is not the array that its metadata names/,
    /\.npy does not hold the values of B\/2024-10-01 in rows 70 to 94/,
    /\.faiss holds other vectors than the rows of the array/,
    /^ro-crate-metadata\.json says of reference_2024-11\.npy another sha256/,
    /provenance\.json says of reference_2024-11\.npy another sha256/,
  );
  await alter((project) => {
    const bytes = project.read(`${DIRECTORY}/${STEM}.faiss`);
    bytes[45 + 4 * 8 * 10] ^= 1;
    project.write(`${DIRECTORY}/${STEM}.faiss`, bytes);
  }, /\.faiss holds other vectors than the rows of the array/);
  await alter(
    (project) => project.remove(`${DIRECTORY}/${STEM}.faiss`),
    /provenance\.json speaks of reference_2024-11\.faiss, which is not there/,
    /^ro-crate-metadata\.json describes reference_2024-11\.faiss, which is not there/,
  );
  const rewritten =
    (name: string, from: string | RegExp, to: string) =>
    (project: TestProject): void => {
      const text = project.read(`${DIRECTORY}/${name}`).toString();
      assert.ok(text.search(from) !== -1, `${from} is in ${name}`);
      project.write(`${DIRECTORY}/${name}`, text.replace(from, to));
    };
  await alter(
    rewritten(`${STEM}.json`, '"count": 40', '"count": 41'),
    /\.json was altered since firn wrote it/,
  );
  await alter(
    rewritten(`${STEM}.json`, '"total_runs": 3', '"total_runs": 4'),
    /has no subject|another sha256/,
  );
  await alter(
    rewritten(`${STEM}.json`, '"seq_idx": 7,', '"seq_idx": 8,'),
    /\.json lists sequences that are not those of its runs/,
  );
  const crate = 'ro-crate-metadata.json';
  await alter(
    rewritten(crate, '"datePublished": "2024-11"', '"datePublished": "2024-12"'),
    /has the date 2024-12/,
  );
  await alter(rewritten(crate, '"version": "2024-11"', '"version": "x"'), /is of the release x/);
  await alter(rewritten(crate, /"name": "B\/2024-10-01"/, '"name": "B/other"'), /names other runs than/);
  await alter(
    rewritten(crate, '"@id": "SHA256SUMS"', '"@id": "nothing"'),
    /refers to nothing|does not describe SHA256SUMS/,
  );
  await alter(rewritten(crate, '"contentSize": "', '"contentSize": "1'), /says of .* another size/);
  await alter(rewritten(crate, '{', '['), /is no JSON-LD/);
  const statement = `${STEM}.provenance.json`;
  await alter(rewritten(statement, '"tag": "2024-11"', '"tag": "2023"'), /is of another release than/);
  await alter(rewritten(statement, /"firn-array-1": "./, '"firn-array-1": "x'), /names other runs than/);
  await alter(
    rewritten(statement, 'in-toto.io/Statement/v1', 'in-toto.io/Statement/v2'),
    /is no in-toto statement/,
  );
});

test('--rebuild: the runs on disk give the same bytes, or not', async () => {
  const project = await openRelease();
  const before = project.digests('.');
  const same = await verify(project, '2024-11', '--rebuild');
  assert.equal(same.findings, []);
  assert.ok(same.notes.includes('made again from all 3 runs'));
  assert.equal(project.digests('.'), before, 'what was made for it is gone');
  assert.equal(project.leftovers(), []);

  project.remove('consolidated_data/runs/B');
  const part = await verify(project, '2024-11', '--rebuild');
  assert.equal(part.findings, []);
  assert.match(part.notes.join(), /from the 2 of 3 runs that are on disk/);

  await project.writeRun('A/2024-11-22_15-45-00', { seed: 77, rows: 30 });
  const other = await verify(project, '2024-11', '--rebuild');
  assert.is(other.findings.length, 1, JSON.stringify(other.findings));
  assert.match(other.findings[0].path, /runs\/A\/2024-11-22_15-45-00$/);
  assert.is(other.findings[0].problem, 'is no longer the run that these rows are of');
  project.write('consolidated_data/runs/A/2024-11-22_15-45-00/embeddings.npy', 'broken');
  assert.match(
    (await verify(project, '2024-11', '--rebuild')).findings[0].problem,
    /neither an npy nor an npz/,
  );
});

test('--rebuild of an IVF index that grew: the same bytes by what its trailer says, and a forged one is found', async () => {
  const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference], with: {metric: ip, nprobe: 3}}
`);
  await project.writeRun('A/2024-01-01', { seed: 1, rows: 10_500, dims: 4 });
  await project.build();
  await project.writeRun('A/2024-02-01', { seed: 2, rows: 600, dims: 4 });
  const built = await project.build();
  assert.is(built.failed, 0);
  assert.is(project.reference().metadata.firn.trained_rows, 10_500);
  const made = await release(project, '2024-11');
  const report = await verify(project, '2024-11', '--rebuild');
  assert.equal(report.findings, []);

  // Another nprobe: every vector is right, and yet it is not what these rows give.
  unlock(project, made.directory);
  const index = project.read(`${DIRECTORY}/${STEM}.faiss`);
  index.writeBigUInt64LE(5n, 45);
  project.write(`${DIRECTORY}/${STEM}.faiss`, index);
  const forged = await verify(project, '2024-11', '--rebuild');
  expectSome(
    forged.findings.map(({ path, problem }) => `${path} ${problem}`),
    /\.faiss does not come out again of the array/,
  );
  // One id in a list twice, another not at all.
  const twice = Buffer.from(index);
  twice.writeBigInt64LE(twice.readBigInt64LE(endOf(twice) - 16), endOf(twice) - 8);
  project.write(`${DIRECTORY}/${STEM}.faiss`, twice);
  expectSome(await problemsOf(project), /\.faiss holds other vectors than the rows of the array/);
});

/** Where the index ends and its trailer begins. */
function endOf(bytes: Buffer): number {
  const length = bytes.readUInt32LE(bytes.length - 12);
  return bytes.length - 44 - length;
}

test('a reference directory: whole, altered, behind, of another program, rebuilt', async () => {
  const project = (await builtProject()).clone();
  const whole = await verify(project, 'data/reference', '--rebuild');
  assert.equal([whole.what, whole.ok, whole.findings], ['reference', true, []]);
  const array = project.read('data/reference/consolidated_embeddings.npy');
  const altered = Buffer.from(array);
  altered[altered.length - 1] ^= 1;
  project.write('data/reference/consolidated_embeddings.npy', altered);
  assert.is((await verify(project, 'data/reference')).ok, false);
  project.write('data/reference/consolidated_embeddings.npy', array);

  await project.writeRun('C/2024-12-24', { seed: 8, rows: 3 });
  await project.build('reference');
  const behind = await verify(project, 'data/reference');
  expectSome(
    behind.findings.map(({ path, problem }) => `${path} ${problem}`),
    /^consolidated_index\.faiss says it was made from another array/,
    /^consolidated_index\.faiss holds 95 vectors, and the array has 98 rows/,
  );
  project.remove('data/reference/consolidated_metadata.json');
  const lost = await verify(project, 'data/reference');
  assert.equal(lost.findings, [{ path: 'consolidated_metadata.json', problem: 'is missing' }]);
  const rows = Array.from({ length: 98 }, (_, i) => ({
    dataset: 'A',
    run_id: 'r',
    seq_idx: i,
    source_file: '',
  }));
  project.write('data/reference/consolidated_metadata.json', JSON.stringify({ sequences: rows }));
  project.remove('data/reference/consolidated_index.faiss');
  const foreign = await verify(project, 'data/reference');
  assert.equal(foreign.findings, []);
  assert.match(foreign.notes.join(), /only the number of rows was compared/);
  project.write('data/reference/consolidated_metadata.json', JSON.stringify({ sequences: rows.slice(1) }));
  assert.match((await verify(project, 'data/reference')).findings[0].problem, /speaks of 97 rows/);
});

test('names that are nothing are wrong requests or missing', async () => {
  const project = await openRelease();
  const nothing = await project.firn('verify', '2023');
  assert.is(nothing.code, 1);
  assert.match(nothing.stderr, /there is neither a release "2023" nor a folder of that name/);
  const target = await project.firn('verify', 'reference');
  assert.match(target.stdout, /^reference: this reference is whole/);
  const folder = await project.firn('verify', 'consolidated_data');
  assert.is(folder.code, 2);
  assert.match(folder.stderr, /is no bag, no release, no reference/);
  assert.ok(readdirSync(join(project.path(DIRECTORY))).length > 0);
});

test.run();
