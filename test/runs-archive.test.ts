/** `firn runs archive`: the whole folder goes, and references do not notice. */
import { execFileSync } from 'node:child_process';
import {
  cpSync,
  existsSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { DiskSpace, Port } from '../src/files/port.js';
import { archiveRuns } from '../src/run-life/archive.js';
import { removeRuns } from '../src/run-life/remove.js';
import { temporaryFolder } from './rig/folder.js';
import { type Finished, idsWith, TestProject } from './rig/project.js';
import { builtProject, difference, errorOf, life, PIPELINE, RUNS } from './run-life-rig.js';

const test = suite('runs archive');

test('a dry run says what would go, and writes nothing', async () => {
  const project = await builtProject();
  const to = join(temporaryFolder(), 'archive');
  const before = project.snapshot();
  const result = await life(project, 'archive', '--older-than', '180', '--to', to);
  assert.equal(
    result.runs.map(({ run, status, files }) => [run, status, files]),
    [['A/old', 'would archive', 5]],
  );
  assert.is(result.code, 0);
  assert.equal(project.snapshot(), before);
  const said = await project.firn('runs', 'archive', '--older-than', '180', '--to', to);
  assert.match(
    said.stdout,
    /A\/old +300 d +5 .*\n1 run, .* would be moved to .*\nnothing was written; add --execute/,
  );
  assert.not.ok(readdirSync(join(to, '..')).includes('archive'));
});

test('the folder is in the archive as it was, a stub says where, and no byte of the reference changes', async () => {
  const project = await builtProject();
  const original = temporaryFolder();
  cpSync(project.path(RUNS), original, { recursive: true, preserveTimestamps: true });
  const reference = project.digests('data');
  const dated = ['embeddings.npy', 'embeddings.npz', 'plots/umap.html', 'plots', '.'];
  const times = dated.map((name) => project.mtime(`${RUNS}/A/old/${name}`));
  const archive = join(temporaryFolder(), 'new', 'archive');
  const result = await life(project, 'archive', '--older-than', '180', '--to', archive, '--execute');
  assert.equal([result.code, result.runs[0].status], [0, 'archived'], errorOf(result));

  assert.equal(readdirSync(project.path(`${RUNS}/A/old`)), ['archived.json']);
  assert.is(difference(join(original, 'A/old'), join(archive, 'A/old')), '');
  for (const [i, name] of dated.entries())
    assert.ok(Math.abs(statSync(join(archive, 'A/old', name)).mtimeMs - times[i]) < 0.01, name);
  const stub = JSON.parse(project.read(`${RUNS}/A/old/archived.json`).toString('utf8'));
  assert.equal(
    [stub.archived, stub.run, stub.rows, stub.dims, stub.dtype, stub.version],
    [join(archive, 'A/old'), 'A/old', 50, 8, 'f4', null],
  );
  const sums = stub.files.map((file: { sha256: string; path: string }) => `${file.sha256}  ${file.path}\n`);
  execFileSync('sha256sum', ['-c', '--quiet', '--strict'], {
    cwd: join(archive, 'A/old'),
    input: sums.join(''),
  });
  assert.is(stub.files.length, 5);

  const build = await project.build();
  assert.equal([build.ran, build.restored, build.failed], [0, 0, 0], JSON.stringify(build.steps));
  assert.equal(project.digests('data'), reference);
  assert.equal(idsWith(await project.plan(), 'fresh'), ['compressed:A/new', 'index:reference', 'reference']);
});

test('a search by a row of an archived run answers as before', async () => {
  const project = await builtProject();
  const ask = ['search', '--run', 'A/old', '--seq-idx', '7', '--json'];
  const before = (await project.firn(...ask)).stdout;
  await life(project, 'archive', 'A/old', '--to', '../archive-of-search', '--execute');
  const after = await project.firn(...ask);
  assert.equal([after.code, after.stdout], [0, before]);
  rmSync(project.path('../archive-of-search'), { recursive: true });
});

test('a run that no reference holds as it is stays, and the target to build is named', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  await project.writeRun('A/latest', { seed: 9 });
  await project.writeRun('A/new', { seed: 22 });
  const result = await life(project, 'archive', 'A/latest', 'A/new', 'B/r1', '--to', archive, '--execute');
  assert.is(result.code, 1);
  assert.equal(
    result.runs.map(({ run, status }) => [run, status]),
    [
      ['A/latest', 'refused'],
      ['A/new', 'refused'],
      ['B/r1', 'archived'],
    ],
  );
  assert.match(
    result.runs[0].error ?? '',
    /has to stay: reference does not hold it yet\n {2}First: firn build reference$/,
  );
  assert.match(
    result.runs[1].error ?? '',
    /has to stay: reference holds other values of it\n {2}First: firn build reference$/,
  );
  assert.equal(readdirSync(join(archive)), ['B']);
  await project.build();
  assert.is((await life(project, 'archive', 'A/latest', 'A/new', '--to', archive, '--execute')).code, 0);
});

test('a run stays where one of the references that select it lacks it, or drops it', async () => {
  const project = await builtProject();
  const more = (line: string) => project.write('pipeline.yaml', `${PIPELINE}${line}`);
  const archive = temporaryFolder();
  more('  second: {rule: consolidate, runs: {dataset: B}, out: data/second}\n');
  const lacking = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.match(errorOf(lacking), /has to stay: second was never built\n {2}First: firn build second$/);
  project.write('pipeline.yaml', PIPELINE.replace('runs: all,', 'runs: all, with: {prune: [B/r1]},'));
  const pruned = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.match(errorOf(pruned), /has to stay: no reference holds it/);
  project.write('pipeline.yaml', 'targets:\n  compressed: {rule: compress}\n');
  const none = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.match(errorOf(none), /no target of pipeline\.yaml builds a reference/);
  assert.ok(project.exists(`${RUNS}/B/r1/embeddings.npy`));
});

test('a run stays where the array of the reference no longer holds its rows, whatever its metadata says', async () => {
  const project = await builtProject();
  const path = project.path('data/reference/consolidated_embeddings.npy');
  const bytes = readFileSync(path);
  bytes[bytes.length - 3] ^= 1;
  const { atime, mtime } = statSync(path);
  writeFileSync(path, bytes);
  utimesSync(path, atime, mtime);
  const archive = temporaryFolder();
  const result = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.is(result.code, 1);
  assert.match(
    errorOf(result),
    /consolidated_embeddings\.npy: does not hold the rows of B\/r1 that its metadata names/,
  );
  assert.equal(readdirSync(archive), []);
  assert.ok(project.exists(`${RUNS}/B/r1/embeddings.npy`));
});

test('places that cannot be an archive are refused', async () => {
  const project = await builtProject();
  const link = join(temporaryFolder(), 'link');
  symlinkSync(project.path(RUNS), link);
  for (const to of [RUNS, `${RUNS}/../runs/archive`, 'cache/archive', link]) {
    const { code, stderr } = await project.firn('runs', 'archive', 'A/old', '--to', to, '--execute');
    assert.is(code, 2, to);
    assert.match(stderr, /lies in (consolidated_data\/runs|cache), and an archive belongs elsewhere/, to);
  }
  const archive = temporaryFolder();
  symlinkSync(temporaryFolder(), join(archive, 'A'));
  const linked = await life(project, 'archive', 'A/old', '--to', archive, '--execute');
  assert.match(errorOf(linked), /is a link, and the run goes there/);
  const taken = temporaryFolder();
  mkdirSync(join(taken, 'A/old'), { recursive: true });
  writeFileSync(join(taken, 'A/old/.note'), 'HIDDEN');
  const inTheWay = await life(project, 'archive', 'A/old', '--to', taken, '--execute');
  assert.match(errorOf(inTheWay), /\.note: is there already, and is another file/);
  assert.is(readFileSync(join(taken, 'A/old/.note'), 'utf8'), 'HIDDEN');
  assert.equal(readdirSync(join(taken, 'A/old')), ['.note']);
});

test('a disk that is too small is found out before anything is copied', async () => {
  const project = await builtProject();
  const to = temporaryFolder();
  const port = Object.assign(Object.create(disk) as Port, {
    space: (path: string) => ({ ...(disk.space(path) as DiskSpace), free: 700 }),
  });
  const request = {
    directory: project.root,
    port,
    patterns: ['B/r1'],
    to,
    signal: new AbortController().signal,
  };
  const { items } = await archiveRuns(request);
  assert.match(
    (items[0].error as FirnError).format(),
    /B\/r1: 768 bytes are needed there, and 700 are free\n {2}Make room/,
  );
  assert.equal(readdirSync(to), []);
  assert.ok(project.exists(`${RUNS}/B/r1/embeddings.npy`));
});

test('two projects with one archive: what the other put there meanwhile is neither replaced nor removed', async () => {
  for (const links of [true, false]) {
    const project = await builtProject();
    const to = temporaryFolder();
    const path = join(to, 'B/r1/embeddings.npy');
    const port: Port = Object.create(disk);
    if (!links) port.hardLink = async () => Promise.reject(Object.assign(new Error('no'), { code: 'EPERM' }));
    const { items } = await archiveRuns({
      directory: project.root,
      port,
      patterns: ['B/r1'],
      to,
      signal: new AbortController().signal,
      onProgress(_run, doing) {
        if (doing !== 'copying' || existsSync(path)) return;
        mkdirSync(join(to, 'B/r1'), { recursive: true });
        writeFileSync(path, 'of the other');
      },
    });
    assert.match((items[0].error as FirnError).format(), /embeddings\.npy: .*stays/);
    assert.is(readFileSync(path, 'utf8'), 'of the other');
    assert.equal(readdirSync(join(to, 'B/r1')), ['embeddings.npy']);
    assert.equal(readdirSync(project.path(`${RUNS}/B/r1`)), ['embeddings.npy']);
  }
});

test('nothing goes before all names in the archive would survive a power cut, also those that were there', async () => {
  const project = await builtProject();
  const to = temporaryFolder();
  cpSync(project.path(`${RUNS}/A/old`), join(to, 'A/old'), { recursive: true });
  const synced = new Set<string>();
  let late: string[] | undefined;
  const port: Port = Object.assign(Object.create(disk) as Port, {
    async syncDirectory(path: string) {
      synced.add(path);
      await disk.syncDirectory(path);
    },
    async unlink(path: string) {
      if (path.startsWith(project.path(RUNS)))
        late ??= ['', 'A', 'A/old', 'A/old/plots'].filter((name) => !synced.has(join(to, name)));
      await disk.unlink(path);
    },
  });
  const signal = new AbortController().signal;
  const { items } = await archiveRuns({ directory: project.root, port, patterns: ['A/old'], to, signal });
  assert.equal([items[0].error, late], [undefined, []]);
});

test('a run of which a folder may not be read is refused alone', async () => {
  const project = await builtProject();
  const to = temporaryFolder();
  const port: Port = Object.assign(Object.create(disk) as Port, {
    list(path: string) {
      if (/plots\/?$/.test(path)) throw Object.assign(new Error(`EACCES: ${path}`), { code: 'EACCES', path });
      return disk.list(path);
    },
  });
  const common = { directory: project.root, port, signal: new AbortController().signal };
  const { items } = await archiveRuns({ ...common, patterns: ['A/old', 'B/r1'], to });
  assert.equal(
    items.map(({ run, done }) => [run, done]),
    [
      ['A/old', false],
      ['B/r1', true],
    ],
  );
  const removed = await removeRuns({ ...common, patterns: ['A/old', 'A/new'], allFiles: true });
  assert.equal(
    removed.map(({ run, done }) => [run, done]),
    [
      ['A/new', true],
      ['A/old', false],
    ],
  );
});

test('interrupted while it copies, the run is as it was', async () => {
  const project = await builtProject();
  const before = project.digests(RUNS);
  const abort = new AbortController();
  const to = temporaryFolder();
  const onProgress = () => abort.abort(new FirnError('interrupted', 'interrupted'));
  const request = { directory: project.root, patterns: ['A/*'], to, signal: abort.signal, onProgress };
  let thrown: unknown;
  await archiveRuns(request).catch((error: unknown) => {
    thrown = error;
  });
  assert.is((thrown as FirnError).kind, 'interrupted');
  assert.equal([project.digests(RUNS), readdirSync(to)], [before, []]);
  assert.not.ok(project.exists('cache/lock'));
});

test('a link in a run is not followed, and keeps the run', async () => {
  const project = await builtProject();
  symlinkSync('/etc/hostname', project.path(`${RUNS}/B/r1/link`));
  const archive = temporaryFolder();
  const result = await life(project, 'archive', 'B/r1', '--to', archive, '--execute');
  assert.match(errorOf(result), /B\/r1\/link: is a link, and is not copied/);
  assert.equal(readdirSync(archive), []);
});

test('requests that are wrong end with 2', async () => {
  const project = await builtProject();
  const archive = temporaryFolder();
  const refused = async (...args: string[]): Promise<Finished> => {
    const finished = await project.firn('runs', ...args);
    assert.is(finished.code, 2, args.join(' '));
    return finished;
  };
  assert.match(
    (await refused('archive', '--to', archive)).stderr,
    /name the runs to archive, or give --older-than/,
  );
  assert.match(
    (await refused('archive', 'A/odl', '--to', archive)).stderr,
    /no run is called A\/odl\n.*Did you mean "A\/old"/,
  );
  // As from a variable of the shell that is not set.
  assert.match((await refused('archive', 'A/old', '--to', '')).stderr, /--to is empty/);
  assert.match((await refused('archive', 'A/old')).stderr, /required option '--to <dir>'/);
  assert.match((await refused('restore', 'A/odl')).stderr, /no run is called A\/odl/);
  assert.match(
    (await refused('archive', 'A/old', '--to', 'pipeline.yaml')).stderr,
    /pipeline\.yaml: is no folder/,
  );
});

test('a run stays where what makes it would have to be asked for it', async () => {
  const project = new TestProject(`targets:
  made:
    rule: command
    from: sources/{dataset}/{run}.npy
    run: [sh, make.sh, "{in}", "{out[0]}", "{out[1]}"]
    out: ["${RUNS}/{dataset}/{run}/embeddings.npy", "${RUNS}/{dataset}/{run}/embedding_run.json"]
    with: {version: v1}
  both:
    rule: command
    from: sources/A/r1.npy
    run: [sh, make.sh, "{in}", "{out[0]}", "{out[1]}", "{in}"]
    out: [${RUNS}/C/r1/embeddings.npy, ${RUNS}/C/r2/embeddings.npy]
  reference: {rule: consolidate, runs: all, out: data/reference}
`);
  await project.writeRun('A/r1');
  project.write('sources/A/r1.npy', project.read(`${RUNS}/A/r1/embeddings.npy`));
  project.remove(RUNS);
  project.write('make.sh', 'cp "$1" "$2" && if [ $# = 4 ]; then cp "$1" "$3"; else echo "{}" > "$3"; fi\n');
  const build = await project.build();
  assert.is(build.failed, 0, JSON.stringify(build.steps));
  const archive = temporaryFolder();
  const result = await life(project, 'archive', 'A/r1', 'C/r1', '--to', archive, '--execute');
  assert.match(
    result.runs[0].error ?? '',
    /only the target that makes it says its version\n {2}Tag it first: firn versions tag-run A\/r1 --version v1/,
  );
  assert.match(result.runs[1].error ?? '', /has to stay: both makes it together with .*C\/r2/);
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'tag-run', 'A/r1', '--version', 'v1');
  const reference = project.digests('data/reference/');
  assert.is((await life(project, 'archive', 'A/r1', '--to', archive, '--execute')).code, 0);
  assert.is((await project.build()).ran, 0);
  assert.equal(project.digests('data/reference/'), reference);
});

test.run();
