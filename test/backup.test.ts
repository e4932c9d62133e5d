/** firn backup: what is in the bag, what is copied again, what stays, and where a backup may not go. */
import {
  appendFileSync,
  chmodSync,
  existsSync,
  lstatSync,
  mkdirSync,
  readdirSync,
  readFileSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { setImmediate as nextTurn } from 'node:timers/promises';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { BackupRequest } from '../src/backup/backup.js';
import { copyFile } from '../src/backup/copy.js';
import { verifyBag } from '../src/backup/verify-bag.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { textOf } from '../src/system-errors.js';
import type { Workers } from '../src/workers/pool.js';
import { BAG, backupHere } from './rig/backups.js';
import { makeBag, problemsByRfc } from './rig/bags.js';
import { FaultyPort } from './rig/faulty-port.js';
import { temporaryFolder } from './rig/folder.js';
import { mountLacks, SmallDisk, unmount } from './rig/mounts.js';
import { type Finished, parse, TestProject } from './rig/project.js';
import { oracleTest } from './rig/python.js';
import { waitFor } from './rig/running.js';
import { testWhere } from './rig/where.js';

const test = suite('backup');

const PIPELINE = `
runs: consolidated_data/runs
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;
const REFERENCE = [
  'consolidated_embeddings.npy',
  'consolidated_index.faiss',
  'consolidated_metadata.json',
].map((name) => `data/reference/${name}`);
const BASIC = ['cache/records.jsonl', ...REFERENCE, 'pipeline.yaml'];

let first: Promise<TestProject> | undefined;

/** With a reference of two runs, and its index. */
async function built(): Promise<TestProject> {
  first ??= build();
  return (await first).clone();
}

async function build(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  assert.is((await project.build()).failed, 0);
  return project;
}

/** The files of a bag's payload, as paths of the project. */
function payload(bag: string): string[] {
  const data = join(bag, 'data');
  return readdirSync(data, { recursive: true, encoding: 'utf8' })
    .filter((path) => lstatSync(join(data, path)).isFile())
    .sort();
}

async function assertValid(bag: string): Promise<void> {
  const { valid, findings } = await verifyBag(disk, bag);
  assert.ok(valid, JSON.stringify(findings, null, 1));
}

/** A port that counts: the names that were made, below the bag's payload. */
function counting(): { port: Port; made: string[]; changes: () => number } {
  const made: string[] = [];
  const faulty = new FaultyPort(({ what, path }) => {
    const at = path.indexOf('/data/');
    if (what === 'create' && path.includes(`/${BAG}/`) && at !== -1)
      made.push(path.slice(path.indexOf('.firn-backup/data/') + '.firn-backup/data/'.length));
    return undefined;
  });
  return { port: faulty.port, made, changes: () => faulty.done };
}

oracleTest(test, ['hashlib'], 'a bag by the RFC, whatever the names', async () => {
  const project = await built();
  project.write('data/reference/notes 100% \u00fc\n\r.txt', 'hello');
  project.write('data/reference/empty', '');
  project.write('rules/own.mjs', 'export default {}');
  project.write('rules/lib/more.mjs', '');
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  const bag = join(temporaryFolder(), 'new', 'bag');
  const { code, stdout, stderr } = await project.firn('backup', bag);
  assert.is(code, 0, stderr);
  assert.match(stdout, /^copied 10 files, [\d.]+ kB; read back and compared in /);
  assert.equal(problemsByRfc(bag), []);
  assert.equal(
    payload(bag),
    [
      ...BASIC,
      'data/reference/embedding_versions.json',
      'data/reference/empty',
      'data/reference/notes 100% \u00fc\n\r.txt',
      'rules/lib/more.mjs',
      'rules/own.mjs',
    ].sort(),
  );
  for (const path of payload(bag)) {
    assert.equal(readFileSync(join(bag, 'data', path)), project.read(path), path);
    const [copy, original] = [statSync(join(bag, 'data', path)), statSync(project.path(path))];
    assert.ok(copy.nlink === 1 && copy.ino !== original.ino, 'a file of its own');
    assert.ok(Math.abs(copy.mtimeMs - original.mtimeMs) < 1, 'the date of the original');
  }
  assert.match(readFileSync(join(bag, 'bag-info.txt'), 'utf8'), /^Bag-Software-Agent: firn /);
});

test('what is unchanged is not copied again, and nothing at all is written when nothing changed', async () => {
  const project = await built();
  await backupHere(project);
  const before = project.snapshot(BAG);
  const second = counting();
  const result = await backupHere(project, { port: second.port });
  assert.equal([result.copied, result.unchanged, second.made], [[], BASIC.length, []]);
  assert.equal(project.snapshot(BAG), before);

  await project.writeRun('A/r3', { seed: 3 });
  await project.build();
  const third = counting();
  const { copied, unchanged } = await backupHere(project, { port: third.port });
  const changed = ['cache/records.jsonl', ...REFERENCE];
  assert.equal([copied, unchanged], [changed, BASIC.length - changed.length]);
  assert.equal(third.made.sort(), changed);
  await assertValid(project.path(BAG));
});

test('a touched file is not copied, and its date is noted', async () => {
  const project = await built();
  await backupHere(project);
  utimesSync(project.path('pipeline.yaml'), 1_000_000, 1_000_000);
  const again = counting();
  assert.equal((await backupHere(project, { port: again.port })).copied, []);
  assert.equal(again.made, []);
  assert.match(
    project.read(`${BAG}/firn-backup.json`).toString(),
    /"pipeline.yaml": .*"modified":1000000000,/,
  );
  await assertValid(project.path(BAG));
});

test('a backup that was copied to another disk without its dates is believed after it was read', async () => {
  const project = await built();
  await backupHere(project);
  for (const path of payload(project.path(BAG))) utimesSync(project.path(`${BAG}/data/${path}`), 5, 5);
  const again = counting();
  const { copied, repaired, unchanged } = await backupHere(project, { port: again.port });
  assert.equal([copied, repaired, unchanged], [[], [], BASIC.length]);
  assert.equal(again.made, []);
});

test('damage in the backup: seen by size and date, with --check always, and mended', async () => {
  const project = await built();
  await backupHere(project);
  const copy = project.path(`${BAG}/data/${REFERENCE[0]}`);
  const { atimeMs, mtimeMs } = statSync(copy);
  const bytes = readFileSync(copy);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(copy, bytes);
  assert.equal((await backupHere(project)).repaired, [REFERENCE[0]]);
  await assertValid(project.path(BAG));

  writeFileSync(copy, bytes);
  utimesSync(copy, atimeMs / 1000, mtimeMs / 1000);
  assert.equal((await backupHere(project, { check: true })).repaired, [REFERENCE[0]]);
  await assertValid(project.path(BAG));

  writeFileSync(copy, 'short');
  assert.equal((await backupHere(project)).repaired, [REFERENCE[0]]);
  await assertValid(project.path(BAG));
});

test('what left the project stays, until it is pruned', async () => {
  const project = await built();
  project.write('rules/a.mjs', 'a');
  project.write('rules/b.mjs', 'b');
  await backupHere(project);
  project.remove('rules');
  const kept = await backupHere(project);
  assert.equal([kept.retained, kept.copied, kept.pruned], [['rules/a.mjs', 'rules/b.mjs'], [], []]);
  await assertValid(project.path(BAG));
  assert.match(
    project.read(`${BAG}/firn-backup.json`).toString(),
    /"rules\/a.mjs": .*"retained":"2030-01-02"/,
  );

  project.write('rules/a.mjs', 'a');
  assert.equal((await backupHere(project)).retained, ['rules/b.mjs']);
  const pruned = await backupHere(project, { prune: true });
  assert.equal([pruned.retained, pruned.pruned], [[], ['rules/b.mjs']]);
  assert.equal(payload(project.path(BAG)), [...BASIC, 'rules/a.mjs']);
  await assertValid(project.path(BAG));

  project.remove('rules');
  await backupHere(project, { prune: true });
  assert.not.ok(project.exists(`${BAG}/data/rules`), 'no empty folder stays');
});

test('a damaged copy of a file that left the project is told: by size and date, with --check always', async () => {
  const project = await built();
  for (const name of ['a', 'b', 'c', 'd']) project.write(`rules/${name}.mjs`, 'good');
  utimesSync(project.path('rules/a.mjs'), 1000, 1000);
  await backupHere(project);
  project.remove('rules');
  await backupHere(project);
  const copy = (name: string): string => `${BAG}/data/rules/${name}.mjs`;
  project.write(copy('a'), 'evil');
  utimesSync(project.path(copy('a')), 1000, 1000);
  project.write(copy('b'), 'cut');
  project.write(copy('c'), 'evil');
  utimesSync(project.path(copy('d')), 1, 1);
  const damaged = async (more: Partial<BackupRequest>): Promise<string[]> =>
    (await backupHere(project, more)).problems.map(({ path, message }) => {
      assert.is(message, 'its copy in the backup is damaged, and it is not in the project any more');
      return path;
    });
  assert.equal(await damaged({}), ['rules/b.mjs', 'rules/c.mjs']);
  assert.equal(await damaged({ check: true, dryRun: true }), ['rules/a.mjs', 'rules/b.mjs', 'rules/c.mjs']);
  assert.equal(await damaged({ check: true, prune: true }), []);
  await assertValid(project.path(BAG));
});

test('a copy that cannot be read is made anew', async () => {
  const project = await built();
  await backupHere(project);
  const port: Port = {
    ...disk,
    open: (path) =>
      path === project.path(`${BAG}/data/pipeline.yaml`)
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EIO' }))
        : disk.open(path),
  };
  const { copied, repaired, problems } = await backupHere(project, { check: true, port });
  assert.equal([copied, repaired, problems], [['pipeline.yaml'], ['pipeline.yaml'], []]);
});

test('a file where a folder was has to wait until that is pruned', async () => {
  const project = await built();
  project.write('rules/a/b.mjs', 'b');
  await backupHere(project);
  project.remove('rules/a');
  project.write('rules/a', 'now a file');
  await backupHere(project).then(
    () => assert.unreachable(),
    (error) => assert.match(error.format(), /is in the way of "rules\/a"\n.*--prune/),
  );
  await assertValid(project.path(BAG));
  assert.equal((await backupHere(project, { prune: true })).copied, ['rules/a']);
  await assertValid(project.path(BAG));
});

test('runs, inputs and outputs are backed up when asked for, and then again', async () => {
  const project = new TestProject(`${PIPELINE}
  report: {rule: command, from: [in.txt], run: [cp, "{in}", "{out}"], out: reports/a.txt}
`);
  await project.writeRun('A/r1');
  project.write('consolidated_data/runs/A/r1/notes.txt', 'mine');
  project.write('in.txt', 'in');
  await project.build();
  const runs = ['embeddings.npy', 'notes.txt'].map((name) => `consolidated_data/runs/A/r1/${name}`);
  assert.is((await project.firn('backup', BAG, '--include', 'runs,inputs,outputs')).code, 0);
  const all = [...BASIC, ...runs, 'in.txt', 'reports/a.txt'].sort();
  assert.equal(payload(project.path(BAG)), all);
  project.write('in.txt', 'changed');
  const again = parse<{ copied: string[]; include: string[] }>(await project.firn('backup', BAG, '--json'));
  assert.equal([again.copied, again.include], [['in.txt'], ['runs', 'inputs', 'outputs']]);
  const none = parse<{ retained: string[] }>(
    await project.firn('backup', BAG, '--include', 'none', '--json'),
  );
  assert.equal(none.retained, [...runs, 'in.txt', 'reports/a.txt'].sort());
  assert.is((await project.firn('backup', BAG, '--include', 'everything')).code, 2);
  await assertValid(project.path(BAG));
});

test('a dry run writes nothing, and says what would be done', async () => {
  const project = await built();
  const nothing = await project.firn('backup', BAG, '-n');
  assert.is(nothing.code, 0);
  assert.match(
    nothing.stdout,
    /^would copy cache\/records\.jsonl\n[\s\S]*\n5 files, [\d.]+ kB, would be copied, 0 unchanged; nothing was written\n$/,
  );
  assert.not.ok(project.exists(BAG));
  await backupHere(project);
  appendFileSync(project.path('pipeline.yaml'), '\n');
  const before = project.snapshot();
  const { stdout } = await project.firn('backup', BAG, '-n', '--take-over');
  assert.match(
    stdout,
    /^would copy pipeline\.yaml\n1 file, .* would be copied, 4 unchanged; nothing was written\n$/,
  );
  assert.equal(project.snapshot(), before);
});

function assertRefused({ code, stderr }: Finished, expected: number, message: RegExp): void {
  assert.match(stderr, message);
  assert.is(code, expected);
}

test('places where no backup may go', async () => {
  const project = await built();
  const before = project.snapshot();
  for (const place of [
    'cache',
    'cache/x',
    'data/reference',
    'data/reference/x',
    'consolidated_data/runs/A',
    'rules/x',
  ]) {
    assertRefused(await project.firn('backup', place), 2, /is part of the project's own/);
  }
  for (const place of ['.', '..', '/'])
    assertRefused(await project.firn('backup', place), 2, /holds the project itself/);
  assertRefused(await project.firn('backup', 'pipeline.yaml'), 2, /is no folder/);
  const link = join(temporaryFolder(), 'link');
  symlinkSync(project.path('cache'), link);
  assertRefused(await project.firn('backup', join(link, 'x')), 2, /is part of the project's own cache/);
  const elsewhere = await built();
  elsewhere.write('pipeline.yaml', `releases: tagged\n${PIPELINE}`);
  assertRefused(await elsewhere.firn('backup', 'tagged/bag'), 2, /is part of the project's own tagged/);
  const full = temporaryFolder();
  writeFileSync(join(full, 'thesis.txt'), 'x');
  assertRefused(await project.firn('backup', full), 1, /is not empty, and no backup of firn/);
  assert.equal(readdirSync(full), ['thesis.txt']);
  const foreign = makeBag();
  assertRefused(await project.firn('backup', foreign), 1, /is a bag that another program wrote/);
  assert.equal(readdirSync(foreign).sort(), ['bagit.txt', 'data', 'manifest-sha256.txt']);
  assert.equal(project.snapshot(), before);
});

test('the top of a disk is no place that is taken', async () => {
  const project = await built();
  mkdirSync(project.path(`${BAG}/lost+found`), { recursive: true });
  await backupHere(project);
  await assertValid(project.path(BAG));
});

test('nothing to back up, and a pipeline that is wrong', async () => {
  const empty = new TestProject();
  assertRefused(await empty.firn('backup', 'b'), 1, /there is nothing to back up here/);
  assert.equal(readdirSync(empty.root), []);
  const wrong = new TestProject('targets: 5\n');
  assertRefused(await wrong.firn('backup', 'b'), 2, /pipeline\.yaml:1:/);
});

test('without a pipeline, references are found beside each other', async () => {
  const project = await built();
  project.remove('pipeline.yaml');
  mkdirSync(project.path('data/reference_old'));
  for (const name of ['embeddings.npy', 'metadata.json'])
    project.write(`data/reference_old/reference_${name}`, project.read(REFERENCE[0]));
  await backupHere(project);
  const paths = payload(project.path(BAG));
  assert.ok(paths.includes('data/reference_old/reference_embeddings.npy') && paths.includes(REFERENCE[0]));
});

test('the backup of another project is not overwritten', async () => {
  const [one, two] = [await built(), await built()];
  const bag = join(temporaryFolder(), 'bag');
  assert.is((await one.firn('backup', bag)).code, 0);
  const files = readFileSync(join(bag, 'manifest-sha256.txt'));
  assertRefused(await two.firn('backup', bag), 1, /is the backup of another folder, .*--take-over/s);
  assert.equal(readFileSync(join(bag, 'manifest-sha256.txt')), files);
  assert.is((await two.firn('backup', bag, '--take-over')).code, 0);
  assert.is((await two.firn('backup', bag)).code, 0);
});

test('a reference whose files do not fit does not replace a good copy', async () => {
  const project = await built();
  const first = project.read(REFERENCE[2]);
  await project.writeRun('A/r3', { seed: 3 });
  await project.build();
  await backupHere(project);
  const good = project.digests(BAG);
  project.write(REFERENCE[2], first);
  const { code, stderr, stdout } = await project.firn('backup', BAG, '--take-over');
  assert.is(code, 1);
  assert.match(
    stderr,
    /problem: data\/reference: consolidated_metadata\.json is of another state of consolidated_embeddings\.npy; in the backup it stays as it was/,
  );
  assert.match(stdout, /holds 5 files/);
  for (const path of REFERENCE) assert.is(project.sha256(`${BAG}/data/${path}`), good[`${BAG}/data/${path}`]);
  await assertValid(project.path(BAG));
  project.write(REFERENCE[2], '{"made": "elsewhere"}');
  assert.is((await project.firn('backup', BAG)).code, 0, "other metadata is somebody else's");
});

test('an index that is behind is backed up, and told', async () => {
  const project = await built();
  const index = project.read(REFERENCE[1]);
  await project.writeRun('A/r3', { seed: 3 });
  await project.build();
  project.write(REFERENCE[1], index);
  const { copied, remarks, problems } = await backupHere(project);
  assert.ok(copied.includes(REFERENCE[1]));
  assert.equal([remarks.length, problems.length], [1, 0]);
  assert.match(remarks[0].message, /of an earlier state/);
});

test('a file that is written while it is copied is left out, and the rest is backed up', async () => {
  const project = await built();
  project.write('rules/log.mjs', 'x');
  await backupHere(project);
  project.write('rules/log.mjs', 'changing');
  project.write('rules/more.mjs', 'more');
  let opened = 0;
  const port: Port = {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      if (!path.endsWith('rules/log.mjs')) return handle;
      opened += 1;
      return {
        path,
        size: handle.size,
        read: (...args) => handle.read(...args),
        close: () => handle.close(),
        stat: async () => {
          appendFileSync(path, '.');
          return handle.stat();
        },
      };
    },
  };
  const { copied, problems } = await backupHere(project, { port });
  assert.is(opened, 3);
  assert.equal(copied, ['rules/more.mjs']);
  assert.match(problems[0].message, /changes while it is copied/);
  assert.is(project.read(`${BAG}/data/rules/log.mjs`).toString(), 'x');
  await assertValid(project.path(BAG));
});

test('a file that cannot be read keeps the others from nothing', async () => {
  const project = await built();
  project.write('rules/secret.mjs', 'x');
  const port: Port = {
    ...disk,
    open: (path) =>
      path === project.path('rules/secret.mjs')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EACCES' }))
        : disk.open(path),
  };
  const { copied, problems } = await backupHere(project, { port });
  assert.equal(copied, BASIC);
  assert.equal(problems, [
    { path: 'rules/secret.mjs', message: 'cannot be read: permission denied (EACCES)' },
  ]);
  await assertValid(project.path(BAG));
});

test('links are passed over and counted; names that are no text are told', async () => {
  const project = await built();
  project.write('rules/a.mjs', 'a');
  symlinkSync('/etc/passwd', project.path('rules/link.mjs'));
  writeFileSync(Buffer.concat([Buffer.from(project.path('rules/')), Buffer.from([0xff])]), 'x');
  const folder = Buffer.concat([Buffer.from(project.path('rules/d')), Buffer.from([0xff])]);
  mkdirSync(folder);
  writeFileSync(Buffer.concat([folder, Buffer.from('/x.mjs')]), 'x');
  const { code, stderr } = await project.firn('backup', BAG);
  assert.is(code, 1);
  assert.match(stderr, /passed over 1 link: nothing is read through links\n/);
  assert.match(stderr, /problem: rules\/\ufffd: has a name that is not UTF-8\n/);
  assert.match(stderr, /problem: rules\/d\ufffd: has a name that is not UTF-8\n/);
  assert.equal(payload(project.path(BAG)), [...BASIC, 'rules/a.mjs']);
});

test('builds wait only while the project is read', async () => {
  const project = await built();
  const seen = new Map<string, boolean>();
  await backupHere(project, {
    onProgress: ({ phase }) => void seen.set(phase, project.exists('cache/lock')),
  });
  assert.equal(
    [...seen],
    [
      ['copying', true],
      ['verifying', false],
    ],
  );
  assert.not.ok(project.exists('cache/lock') || project.exists(`${BAG}/.firn-lock`));
});

test('a build that holds the project is waited for', async () => {
  const project = await built();
  const holder = { ...JSON.parse(await lockText(project)), command: 'firn build' };
  project.write('cache/lock/x.json', JSON.stringify(holder));
  const running = project.start('backup', BAG);
  let stderr = '';
  running.child.stderr?.on('data', (chunk) => {
    stderr += chunk;
  });
  await waitFor(running, 'it said so', () =>
    /waiting for firn build \(pid \d+ on .*\) to finish; if it no longer runs, remove .*cache\/lock\n/.test(
      stderr,
    ),
  );
  project.remove('cache/lock');
  assert.is((await running.finished).code, 0);
});

/** What a lock of this very process says. */
async function lockText(project: TestProject): Promise<string> {
  let text = '';
  await backupHere(project, {
    directory: join(temporaryFolder(), 'other'),
    onProgress: () => {
      const [name] = existsSync(project.path('cache/lock')) ? readdirSync(project.path('cache/lock')) : [];
      if (name !== undefined) text ||= project.read(`cache/lock/${name}`).toString();
    },
  });
  return text;
}

test('two backups into one folder: the second waits', async () => {
  const project = await built();
  const holder = await lockText(project);
  project.write(`${BAG}/.firn-lock/x.json`, holder);
  const waited: string[] = [];
  const second = backupHere(project, {
    onWait: (name, lock) => {
      waited.push(name, lock);
      project.remove(`${BAG}/.firn-lock`);
    },
  });
  await second;
  assert.match(waited[0], /^firn backup \(pid/);
  assert.is(waited[1], project.path(`${BAG}/.firn-lock`));
  await assertValid(project.path(BAG));
});

test('an interrupted backup leaves the old one valid, and the next takes over its good copies', async () => {
  const project = await built();
  await backupHere(project);
  const old = project.digests(`${BAG}/data`);
  await project.writeRun('A/r3', { seed: 3, rows: 300 });
  await project.build();
  const abort = new AbortController();
  await backupHere(project, {
    signal: abort.signal,
    onProgress: ({ phase }) => {
      if (phase === 'verifying') abort.abort(new Error('enough'));
    },
  }).then(
    () => assert.unreachable(),
    (error) => assert.is(error.message, 'enough'),
  );
  assert.equal(project.digests(`${BAG}/data`), old);
  await assertValid(project.path(BAG));
  // One of the copies is damaged since.
  appendFileSync(project.path(`${BAG}/.firn-backup/data/cache/records.jsonl`), ' ');
  const again = counting();
  const { copied } = await backupHere(project, { port: again.port });
  assert.equal(again.made, ['cache/records.jsonl']);
  assert.equal(copied, ['cache/records.jsonl', ...REFERENCE]);
  assert.not.ok(project.exists(`${BAG}/.firn-backup`));
  await assertValid(project.path(BAG));
});

test('a dry run beside an update that was cut off says that a backup completes it', async () => {
  const project = await built();
  await backupHere(project);
  project.write('rules/new.mjs', 'x');
  const { port } = new FaultyPort(({ what, path }) =>
    what === 'rename' && path.endsWith('new.mjs')
      ? () => Promise.reject(Object.assign(new Error('no'), { code: 'EIO' }))
      : undefined,
  );
  await backupHere(project, { port }).then(
    () => assert.unreachable(),
    () => undefined,
  );
  await backupHere(project, { dryRun: true }).then(
    () => assert.unreachable(),
    (error) => assert.match(error.format(), /was cut off.*\n.*`firn backup` or `firn restore` completes it/),
  );
  assert.ok((await backupHere(project)).completed);
});

test('copies of an interrupted backup that nobody wants any more go', async () => {
  const project = await built();
  await backupHere(project);
  project.write(`${BAG}/.firn-backup/data/rules/gone.mjs`, 'x');
  await backupHere(project);
  assert.not.ok(project.exists(`${BAG}/.firn-backup`));
  project.write(`${BAG}/.firn-backup/data/rules/gone.mjs`, 'x');
  project.write('rules/new.mjs', 'y');
  assert.equal((await backupHere(project)).copied, ['rules/new.mjs']);
  assert.not.ok(project.exists(`${BAG}/.firn-backup`));
});

test('a full disk: how much is needed, and the old backup is as it was', async () => {
  const project = await built();
  await backupHere(project);
  project.write('rules/large.mjs', 'x'.repeat(5000));
  const before = project.snapshot(`${BAG}/data`);
  const fail = { ...disk, space: (path: string) => ({ ...disk.space(path)!, free: 4999 }) };
  await backupHere(project, { port: fail }).then(
    () => assert.unreachable(),
    (error) => {
      assert.match(
        error.format(),
        /backup: the disk is full: about 44560 bytes are needed beside what is there, and 4999 are free\n.*Nothing in the backup was changed/,
      );
    },
  );
  // A quota, say, of which statfs knows nothing.
  const full: Port = {
    ...disk,
    create: (path) =>
      path.includes('large')
        ? Promise.reject(Object.assign(new Error('no'), { code: 'EDQUOT' }))
        : disk.create(path),
  };
  await backupHere(project, { port: full }).then(
    () => assert.unreachable(),
    (error) => assert.match(error.format(), /the disk is full: about 44560 bytes/),
  );
  assert.not.ok(project.exists(`${BAG}/.firn-backup`), 'what was staged makes room again');
  assert.equal(project.snapshot(`${BAG}/data`), before);
  await assertValid(project.path(BAG));
});

testWhere(test, mountLacks(), 'a disk that is really full', async () => {
  const { path: bag } = new SmallDisk(180 * 1024);
  try {
    const project = await built();
    const large = (letter: string): void => project.write('rules/large.mjs', letter.repeat(50_000));
    large('a');
    await backupHere(project, { directory: bag });
    await assertValid(bag);
    large('b');
    // Asked beforehand, and where the system does not tell.
    for (const space of [disk.space, () => undefined]) {
      await backupHere(project, { directory: bag, port: { ...disk, space } }).then(
        () => assert.unreachable(),
        (error) =>
          assert.match(
            error.format(),
            /the disk is full: about \d+ bytes are needed beside what is there, and \d+ are free/,
          ),
      );
      await assertValid(bag);
      assert.not.ok(existsSync(join(bag, '.firn-backup')));
    }
    project.write('rules/large.mjs', 'small');
    assert.equal((await backupHere(project, { directory: bag })).copied, ['rules/large.mjs']);
    await assertValid(bag);
  } finally {
    unmount(bag);
  }
});

test('where the disk of the project is full, that is said and not that of the backup', async () => {
  const project = await built();
  const { port } = new FaultyPort(({ path }) =>
    path.startsWith(project.path('cache'))
      ? () => Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC', syscall: 'mkdir', path }))
      : undefined,
  );
  await backupHere(project, { port }).then(
    () => assert.unreachable(),
    (error) => assert.match(textOf(error), /cache: cannot be written to: the disk is full/),
  );
});

test('a disk that takes two names for one', async () => {
  const project = await built();
  project.write('rules/A.mjs', 'a');
  project.write('rules/a.mjs', 'b');
  // As vfat does: names are made in lower case only.
  const made = new Set<string>();
  const port: Port = {
    ...disk,
    create: (path) => {
      const folded = path.toLowerCase();
      if (path.includes('.firn-backup/data/') && made.has(folded))
        return Promise.reject(Object.assign(new Error('no'), { code: 'EEXIST' }));
      made.add(folded);
      return disk.create(path);
    },
  };
  await backupHere(project, { port }).then(
    () => assert.unreachable(),
    (error) => assert.match(error.format(), /takes two names of the project for one\n.*Rename one/),
  );
});

test('a copy whose hash fails is not closed, nor its memory handed on, while it is written', async () => {
  const folder = temporaryFolder();
  writeFileSync(join(folder, 'from'), Buffer.alloc(2 * 1024 * 1024));
  const events: string[] = [];
  const port: Port = {
    ...disk,
    create: async (path) => {
      const handle = await disk.create(path);
      return {
        path,
        sync: () => handle.sync(),
        close: () => {
          events.push('closed');
          return handle.close();
        },
        async write(data) {
          await nextTurn();
          await handle.write(data);
          events.push('written');
        },
      };
    },
  };
  const thread = { held: 0, call: () => Promise.reject(new Error('a worker thread ended early')) };
  const workers = { idlest: () => thread } as unknown as Workers;
  await copyFile(port, join(folder, 'from'), join(folder, 'to'), { algorithms: ['sha256'], workers }).then(
    () => assert.unreachable(),
    (error) => assert.match(error.message, /ended early/),
  );
  assert.equal(events, ['written', 'closed']);
  assert.equal(readdirSync(folder), ['from']);
});

test('a copy that is not what was written is noticed', async () => {
  const project = await built();
  const port: Port = {
    ...disk,
    create: async (path) => {
      const handle = await disk.create(path);
      if (!path.endsWith('.npy')) return handle;
      return {
        path,
        sync: () => handle.sync(),
        close: () => handle.close(),
        write: (data, position) => {
          const bent = Uint8Array.from(data);
          bent[0] ^= 1;
          return handle.write(bent, position);
        },
      };
    },
  };
  await backupHere(project, { port }).then(
    () => assert.unreachable(),
    (error) =>
      assert.match(error.format(), /consolidated_embeddings\.npy: was read back and is not what was written/),
  );
  assert.not.ok(project.exists(`${BAG}/manifest-sha256.txt`));
  await backupHere(project);
  await assertValid(project.path(BAG));
});

test('a link in the place of what belongs into a backup is a problem, and costs no copy', async () => {
  const project = await built();
  await backupHere(project);
  const before = project.digests(`${BAG}/data`);
  // As people do who have a larger disk; one of the links leads nowhere while it is not mounted.
  const away = temporaryFolder();
  for (const [path, place] of [
    [REFERENCE[0], join(away, 'gone.npy')],
    ['pipeline.yaml', join(away, 'pipeline.yaml')],
  ]) {
    if (!place.includes('gone')) writeFileSync(place, project.read(path));
    project.remove(path);
    symlinkSync(place, project.path(path));
  }
  symlinkSync('consolidated_embeddings.npy', project.path('data/reference/reference_embeddings.npy'));
  const { problems, links, pruned } = await backupHere(project, { prune: true });
  const linked = 'is a link, and nothing is read through one: put the file itself there';
  assert.equal(problems, [
    { path: 'pipeline.yaml', message: linked },
    { path: REFERENCE[0], message: linked },
  ]);
  assert.equal([links, pruned], [['data/reference/reference_embeddings.npy'], []]);
  assert.equal(project.digests(`${BAG}/data`), before);
  await assertValid(project.path(BAG));
  assert.is((await new TestProject().firn('-C', project.root, 'backup', 'other')).code, 1);
});

test('a folder behind a link that leads nowhere keeps its copies: its disk may come back', async () => {
  const project = await built();
  await backupHere(project, { include: ['runs'] });
  const before = project.digests(`${BAG}/data`);
  for (const folder of ['data', 'consolidated_data']) {
    project.remove(folder);
    symlinkSync(`/nowhere/${folder}`, project.path(folder));
  }
  const { problems, pruned } = await backupHere(project, { prune: true });
  assert.equal(
    problems,
    ['data', 'consolidated_data'].map((path) => ({ path, message: 'is a link that leads nowhere' })),
  );
  assert.equal(pruned, []);
  assert.equal(project.digests(`${BAG}/data`), before);
});

test('a folder that may not be read keeps its copies, and the others from nothing', async () => {
  const project = await built();
  project.write('rules/a.mjs', 'a');
  project.write('rules/lib/b.mjs', 'b');
  assert.is((await project.firn('release', '1', '--date', '2024')).code, 0);
  await backupHere(project);
  project.write('rules/a.mjs', 'changed');
  const closed = ['rules/lib', 'data/private', 'data/reference/releases/reference_1'];
  mkdirSync(project.path('data/private'));
  const port: Port = {
    ...disk,
    list: (path) => {
      if (closed.some((folder) => path === project.path(folder)))
        throw Object.assign(new Error('no'), { code: 'EACCES' });
      return disk.list(path);
    },
  };
  const { copied, problems, retained, pruned } = await backupHere(project, { port, prune: true });
  assert.equal([copied, retained, pruned], [['rules/a.mjs'], [], []]);
  assert.equal(
    problems,
    closed.map((path) => ({ path, message: 'cannot be read: permission denied (EACCES)' })),
  );
  await assertValid(project.path(BAG));
  assert.is(project.read(`${BAG}/data/rules/lib/b.mjs`).toString(), 'b');
});

test('metadata that was cut off does not replace a good copy', async () => {
  const project = await built();
  await backupHere(project);
  const good = project.digests(`${BAG}/data`);
  const whole = project.read(REFERENCE[2]);
  for (const [bytes, what] of [
    [0, 'nothing'],
    [whole.length - 2, 'the end of the list of rows'],
  ] as const) {
    project.write(REFERENCE[2], whole.subarray(0, bytes));
    const { problems } = await backupHere(project);
    assert.equal(
      problems.map(({ message }) => message),
      ['consolidated_metadata.json is cut off, or no JSON; in the backup it stays as it was'],
      what,
    );
    assert.equal(project.digests(`${BAG}/data`), good);
  }
});

test('a damaged copy of a damaged original is told, and not called mended', async () => {
  const project = await built();
  assert.is((await project.firn('release', '1', '--date', '2024')).code, 0);
  await backupHere(project);
  const array = 'data/reference/releases/reference_1/reference_1.npy';
  for (const path of [array, `${BAG}/data/${array}`]) {
    const bytes = project.read(path);
    bytes[200] ^= 1;
    chmodSync(project.path(path), 0o644);
    project.write(path, bytes);
  }
  const { repaired, problems } = await backupHere(project, { check: true });
  assert.equal(repaired, []);
  assert.equal(
    problems.map(({ path, message }) => `${path}: ${message}`),
    [
      'data/reference/releases/reference_1: reference_1.npy is not what SHA256SUMS says; in the backup it stays as it was',
      `${array}: its copy in the backup is damaged or lost, and stays so`,
    ],
  );
});

test('links among the copies of an interrupted backup get no name', async () => {
  const project = await built();
  const outside = join(temporaryFolder(), 'outside.yaml');
  writeFileSync(outside, project.read('pipeline.yaml'));
  const staged = project.path(`${BAG}/.firn-backup/data`);
  mkdirSync(join(staged, 'data/reference'), { recursive: true });
  symlinkSync(outside, join(staged, 'pipeline.yaml'));
  symlinkSync(join(outside, 'nowhere'), join(staged, REFERENCE[0]));
  const { problems } = await backupHere(project);
  assert.equal(problems, []);
  await assertValid(project.path(BAG));
});

test('a backup whose tag files were altered is not built upon', async () => {
  const project = await built();
  await backupHere(project);
  const manifest = `${BAG}/manifest-sha256.txt`;
  project.write(
    manifest,
    project
      .read(manifest)
      .toString()
      .replace(/^./, (digit) => (digit === 'f' ? '0' : 'f')),
  );
  project.write('rules/new.mjs', 'x');
  const before = project.snapshot(BAG);
  await backupHere(project).then(
    () => assert.unreachable(),
    (error) =>
      assert.match(error.format(), /manifest-sha256\.txt: the backup is damaged: .*\n.*Nothing was changed/),
  );
  assert.equal(project.snapshot(BAG), before);
});

test('what people add to bag-info.txt stays, and makes the bag valid again', async () => {
  const project = await built();
  await backupHere(project);
  appendFileSync(project.path(`${BAG}/bag-info.txt`), 'Contact-Name: Ada\nPayload-Oxum: 1.1\n');
  await backupHere(project);
  const info = project.read(`${BAG}/bag-info.txt`).toString();
  assert.match(info, /\nContact-Name: Ada\n$/);
  assert.is(info.match(/Payload-Oxum/g)?.length, 1);
  await assertValid(project.path(BAG));
});

test('files of others in data/ are told, and not touched', async () => {
  const project = await built();
  await backupHere(project);
  project.write(`${BAG}/data/mine.txt`, 'x');
  const { problems } = await backupHere(project);
  assert.equal(problems, [
    { path: project.path(`${BAG}/data/mine.txt`), message: 'in the backup: is in no manifest' },
  ]);
  assert.ok(project.exists(`${BAG}/data/mine.txt`));
  project.write('rules/x.mjs', 'x');
  project.write(`${BAG}/data/rules`, 'in the way');
  await backupHere(project).then(
    () => assert.unreachable(),
    (error) => assert.match(error.format(), /data\/rules: is in the way of "rules\/x.mjs"/),
  );
});

test('releases: read-only folders, links and all', async () => {
  const project = await built();
  assert.is((await project.firn('release', '1', '--archive', 'zip', '--date', '2024-11-30')).code, 0);
  const folder = 'data/reference/releases/reference_1';
  chmodSync(project.path(folder), 0o755);
  symlinkSync('../../consolidated_index.faiss', project.path(`${folder}/out`));
  chmodSync(project.path(folder), 0o555);
  const { links, problems } = await backupHere(project);
  assert.equal([links, problems], [[`${folder}/out`], []]);
  const notes = JSON.parse(project.read(`${BAG}/firn-backup.json`).toString());
  assert.equal(notes.folders, { [folder]: 0o555 });
  assert.is(notes.links[`${folder}/reference_embeddings.npy`], 'reference_1.npy');
  assert.is(notes.files[`${folder}/SHA256SUMS`].mode, 0o444);
  assert.ok(payload(project.path(BAG)).includes('data/reference/releases/reference_1.zip'));
  await assertValid(project.path(BAG));

  const array = `${folder}/reference_1.npy`;
  const good = project.sha256(array);
  chmodSync(project.path(array), 0o644);
  appendFileSync(project.path(array), 'damage');
  const damaged = await backupHere(project);
  assert.match(
    damaged.problems[0].message,
    /^reference_1\.npy is not what SHA256SUMS says; in the backup it stays as it was$/,
  );
  assert.is(project.sha256(`${BAG}/data/${array}`), good);
  await assertValid(project.path(BAG));
  chmodSync(project.path(folder), 0o755);
});

test('the stub of an archived run is in the backup, and leads to its files after a restore', async () => {
  const project = await built();
  const archive = join(temporaryFolder(), 'archive');
  assert.is((await project.firn('runs', 'archive', 'A/r1', '--to', archive, '--execute')).code, 0);
  await project.build();
  await backupHere(project);
  const stub = 'consolidated_data/runs/A/r1/archived.json';
  assert.equal(
    payload(project.path(BAG)).filter((path) => path.startsWith('consolidated_data/')),
    [stub],
  );
  const fresh = new TestProject();
  assert.is((await fresh.firn('restore', project.path(BAG))).code, 0);
  const back = await fresh.firn('runs', 'restore', 'A/r1', '--execute');
  assert.is(back.code, 0, back.stderr);
  assert.ok(fresh.exists('consolidated_data/runs/A/r1/embeddings.npy'));
  const build = await fresh.build();
  assert.is(build.failed, 0, JSON.stringify(build.steps));
  assert.is(fresh.sha256(REFERENCE[0]), project.sha256(REFERENCE[0]));
});

test('firn verify says whether a bag is valid', async () => {
  const project = await built();
  await backupHere(project);
  const good = await project.firn('verify', BAG);
  assert.equal(
    [good.code, good.stdout],
    [0, `${BAG}: this bag is whole (5 files, ${sizeOf(good.stdout)})\n`],
  );
  assert.is(good.stderr, 'note: BagIt 1.0, sha256 and sha512: valid\n');
  appendFileSync(project.path(`${BAG}/data/pipeline.yaml`), '\n');
  const bad = await project.firn('verify', BAG);
  assert.is(bad.code, 1);
  assert.match(bad.stdout, /data\/pipeline\.yaml is not what manifest-sha256\.txt says \(sha256\)\n/);
  assert.match(bad.stderr, /: complete, not valid\n/);
  project.remove(`${BAG}/data/pipeline.yaml`);
  const json = parse<{ what: string; ok: boolean; findings: { path: string }[]; notes: string[] }>(
    await project.firn('verify', BAG, '--json'),
  );
  assert.equal([json.what, json.ok], ['bag', false]);
  assert.ok(json.findings.some(({ path }) => path === 'data/pipeline.yaml'));
  assert.match(json.notes[0], /not complete/);
  assert.is((await project.firn('verify', BAG, '--rebuild')).code, 2);
});

function sizeOf(text: string): string {
  return /, ([^,]*)\)\n$/.exec(text)?.[1] ?? '';
}

test.run();
