/** firn restore: a project from nothing, what is missing, what differs, and backups that are not to be trusted. */
import {
  chmodSync,
  lstatSync,
  mkdirSync,
  readFileSync,
  readlinkSync,
  renameSync,
  rmSync,
  statSync,
  symlinkSync,
  utimesSync,
  writeFileSync,
} from 'node:fs';
import { join } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { verifyBag } from '../src/backup/verify-bag.js';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { BAG, backupHere, restoreHere } from './rig/backups.js';
import { hex, makeBag } from './rig/bags.js';
import { temporaryFolder } from './rig/folder.js';
import { parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { shell } from './rig/running.js';

const test = suite('restore');

const PIPELINE = `
runs: consolidated_data/runs
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`;
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const METADATA = 'data/reference/consolidated_metadata.json';
const REFERENCE = [EMBEDDINGS, 'data/reference/consolidated_index.faiss', METADATA];

let first: Promise<TestProject> | undefined;

/** A built project of three runs, one of them gone, and beside it a bag with the runs. */
async function prepared(): Promise<TestProject> {
  first ??= prepare();
  return (await first).clone();
}

async function prepare(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  for (const [i, name] of ['A/r1', 'A/r2', 'B/r1'].entries()) await project.writeRun(name, { seed: i });
  await project.build();
  project.remove('consolidated_data/runs/B');
  assert.is((await project.build()).failed, 0);
  await backupHere(project, { include: ['runs'] });
  return project;
}

async function assertRefused(work: Promise<unknown>, message: RegExp): Promise<void> {
  await work.then(
    () => assert.unreachable(),
    (error) => assert.match(error instanceof FirnError ? error.format() : String(error), message),
  );
}

oracleTest(test, ['numpy'], 'a project from nothing: the same bytes, and nothing to build', async () => {
  const project = await prepared();
  const fresh = new TestProject();
  const { code, stdout, stderr } = await fresh.firn('-C', 'new', 'restore', project.path(BAG));
  assert.is(code, 0, stderr);
  assert.match(stderr, /^the backup is whole: 7 files, [\d.]+ kB, checked in /);
  assert.match(stdout, /^restored 7 files, [\d.]+ kB, to .*\/new\n$/);
  const same = shell(
    project,
    `diff -r data ${fresh.path('new/data')} && diff -r consolidated_data ${fresh.path('new/consolidated_data')} && cmp pipeline.yaml ${fresh.path('new/pipeline.yaml')}`,
  );
  assert.equal([same.code, same.stdout], [0, '']);
  const sum = 'import sys, numpy; print(numpy.load(sys.argv[1]).sum(dtype="f8"))';
  assert.is(python(sum, fresh.path(`new/${EMBEDDINGS}`)), python(sum, project.path(EMBEDDINGS)));
  const built = parse<{ fresh: number; ran: number }>(await fresh.firn('-C', 'new', 'build', '--json'));
  assert.equal([built.fresh, built.ran], [2, 0], 'the records came along');
});

test('without runs and without records a build makes the same array and index', async () => {
  const project = await prepared();
  await backupHere(project, { include: [], prune: true });
  const bag = project.path(BAG);
  const fresh = new TestProject();
  assert.is((await fresh.firn('restore', bag)).code, 0);
  fresh.remove('cache');
  const before = fresh.digests('data');
  const build = await fresh.build();
  assert.is(build.failed, 0, JSON.stringify(build.steps));
  for (const path of REFERENCE.slice(0, 2)) assert.is(fresh.sha256(path), before[path], path);
  const { retained } = fresh.reference();
  assert.equal(retained, ['A/r1', 'A/r2', 'B/r1'], 'only the metadata says that the runs are gone');
});

test('dates and permissions come back, read-only releases with their links', async () => {
  const project = await prepared();
  const release = 'data/reference/releases/reference_1';
  assert.is((await project.firn('release', '1', '--date', '2024-11-30')).code, 0);
  utimesSync(project.path(`${release}/SHA256SUMS`), 1_000_000.25, 1_000_000.25);
  await backupHere(project);
  const fresh = new TestProject();
  const bag = project.path(BAG);
  await restoreHere(fresh, { directory: bag });
  const mode = (path: string): number => statSync(fresh.path(path)).mode & 0o777;
  assert.equal(
    [mode(release), mode(`${release}/SHA256SUMS`), mode('data/reference'), mode('pipeline.yaml')],
    [
      0o555,
      0o444,
      statSync(project.path('data')).mode & 0o777,
      statSync(project.path('pipeline.yaml')).mode & 0o777,
    ],
  );
  assert.is(statSync(fresh.path(`${release}/SHA256SUMS`)).mtimeMs, 1_000_000_250);
  assert.is(readlinkSync(fresh.path(`${release}/reference_embeddings.npy`)), 'reference_1.npy');
  assert.is(shell(fresh, `cd ${release} && sha256sum --quiet -c SHA256SUMS`).code, 0);
  assert.is((await fresh.firn('verify', '1')).code, 0);

  // A release that lost a file gets it back, and is read-only again.
  chmodSync(fresh.path(release), 0o755);
  rmSync(fresh.path(`${release}/reference_1.json`), { force: true });
  rmSync(fresh.path(`${release}/reference_embeddings.npy`));
  chmodSync(fresh.path(release), 0o555);
  const { restored } = await restoreHere(fresh, { directory: bag });
  assert.equal(restored, [`${release}/reference_1.json`]);
  assert.is(mode(release), 0o555);
  assert.is((await fresh.firn('verify', '1')).code, 0);
  assert.ok(lstatSync(fresh.path(`${release}/reference_embeddings.npy`)).isSymbolicLink());
  for (const { root } of [project, fresh]) chmodSync(join(root, release), 0o755);
});

test('a release that was damaged is whole again, and what it held is kept beside it', async () => {
  const project = await prepared();
  const releases = 'data/reference/releases';
  assert.is((await project.firn('release', '1', '--date', '2024-11-30')).code, 0);
  await backupHere(project);
  for (const name of ['reference_1.npy', 'SHA256SUMS']) {
    chmodSync(project.path(`${releases}/reference_1/${name}`), 0o644);
    project.write(`${releases}/reference_1/${name}`, 'damaged');
  }
  const { kept } = await restoreHere(project, { force: true });
  assert.equal(
    [...kept],
    [
      [`${releases}/reference_1/SHA256SUMS`, `${releases}/SHA256SUMS.before-restore`],
      [`${releases}/reference_1/reference_1.npy`, `${releases}/reference_1.before-restore.npy`],
    ],
  );
  assert.is(project.read(`${releases}/reference_1.before-restore.npy`).toString(), 'damaged');
  const { code, stdout } = await project.firn('verify', '1');
  assert.is(code, 0, stdout);
});

test('what is missing is put back, what is the same is left alone', async () => {
  const project = await prepared();
  project.remove('data/reference');
  const before = project.snapshot('consolidated_data');
  const { restored, same, different } = await restoreHere(project);
  assert.equal(restored, REFERENCE);
  assert.equal([same.length, different], [3, []]);
  assert.equal(project.snapshot('consolidated_data'), before);
  assert.is((await project.build()).ran, 0);
  assert.equal((await restoreHere(project)).restored, []);
});

test('where something differs nothing at all is written, unless forced; then what was there is kept', async () => {
  const project = await prepared();
  project.remove(METADATA);
  const yaml = project.read('pipeline.yaml').toString();
  project.write('pipeline.yaml', `${yaml}# mine\n`);
  utimesSync(project.path('consolidated_data/runs/A/r1/embeddings.npy'), 5, 5);
  project.write('consolidated_data/runs/A/r2/embeddings.npy', 'older');
  utimesSync(project.path('consolidated_data/runs/A/r2/embeddings.npy'), 5, 5);
  const before = project.snapshot();
  const { code, stderr, stdout } = await project.firn('restore', BAG);
  assert.is(code, 1);
  assert.match(
    stderr,
    /2 files of the project differ from the backup:\n {2}consolidated_data\/runs\/A\/r2\/embeddings\.npy \(older than in the backup\)\n {2}pipeline\.yaml \(newer than in the backup\)\nnothing was written\. --force replaces them/,
  );
  assert.not.match(stdout, /restored/);
  const now = project.snapshot();
  for (const path of [...now.keys()].filter((name) => name === 'cache' || name.startsWith('cache/')))
    now.delete(path);
  for (const path of [...before.keys()].filter((name) => name === 'cache' || name.startsWith('cache/')))
    before.delete(path);
  assert.equal(now, before);

  const forced = await project.firn('restore', BAG, '--force');
  assert.is(forced.code, 0, forced.stderr);
  assert.match(forced.stdout, /pipeline\.yaml as it was: pipeline\.before-restore\.yaml\n/);
  assert.is(project.read('pipeline.yaml').toString(), yaml);
  assert.is(project.read('pipeline.before-restore.yaml').toString(), `${yaml}# mine\n`);
  assert.is(project.read('consolidated_data/runs/A/r2/embeddings.before-restore.npy').toString(), 'older');
  assert.is((await project.build()).failed, 0);

  project.write('pipeline.yaml', 'again');
  const { kept } = await restoreHere(project, { force: true });
  assert.equal([...kept], [['pipeline.yaml', 'pipeline.before-restore-2.yaml']]);
});

test('one folder or file by name', async () => {
  const project = await prepared();
  project.remove('data');
  project.write('pipeline.yaml', 'mine');
  assert.is((await project.firn('restore', BAG, 'data/reference/')).code, 0);
  assert.ok(project.exists(EMBEDDINGS));
  assert.is(project.read('pipeline.yaml').toString(), 'mine');
  const unknown = await project.firn('restore', BAG, 'data/ref');
  assert.is(unknown.code, 2);
  assert.match(unknown.stderr, /data\/ref: is not in the backup/);
  assert.is((await project.firn('restore', BAG, '../x')).code, 2);
});

test('what had left the project comes back only when asked for', async () => {
  const project = await prepared();
  project.write('rules/a.mjs', 'a');
  await backupHere(project);
  project.remove('rules');
  await backupHere(project);
  const { restored, retained } = await restoreHere(project);
  assert.equal([restored, retained], [[], ['rules/a.mjs']]);
  const { stderr } = await project.firn('restore', BAG);
  assert.match(stderr, /1 file had left the project before the backup; --retained puts it back/);
  assert.equal((await restoreHere(project, { paths: ['rules'] })).restored, ['rules/a.mjs']);
  project.remove('rules');
  assert.equal((await restoreHere(project, { retained: true })).restored, ['rules/a.mjs']);
});

test('a dry run writes nothing', async () => {
  const project = await prepared();
  project.remove('data');
  const before = project.snapshot();
  const { code, stdout } = await project.firn('restore', BAG, '-n');
  assert.is(code, 0);
  assert.match(stdout, /^would restore data\/reference\/consolidated_embeddings\.npy\n/);
  assert.match(stdout, /3 files, [\d.]+ kB, would be restored to .*; nothing was written\n$/);
  assert.equal(project.snapshot(), before);
  const json = parse<{ restored: string[]; different: unknown[] }>(
    await project.firn('restore', BAG, '-n', '--json'),
  );
  assert.equal([json.restored, json.different], [REFERENCE, []]);
});

test('the project as it is keeps its records', async () => {
  const project = await prepared();
  project.write('cache/records.jsonl', '');
  const { restored, different } = await restoreHere(project);
  assert.equal([restored, different], [[], []]);
  assert.is(project.read('cache/records.jsonl').length, 0);
});

test('a backup that is damaged anywhere restores nothing', async () => {
  const project = await prepared();
  const bag = project.path(BAG);
  const damages: [string, () => void][] = [
    ['a byte', () => flip(join(bag, 'data', EMBEDDINGS))],
    ['a file', () => rmSync(join(bag, 'data', METADATA))],
    ['one more', () => writeFileSync(join(bag, 'data/more'), '')],
    ['a manifest', () => flip(join(bag, 'manifest-sha512.txt'))],
    ['the notes', () => flip(join(bag, 'firn-backup.json'))],
  ];
  for (const [what, damage] of damages) {
    const copy = project.clone();
    renameSync(bag, `${bag}.good`);
    shell(project, `cp -a ${BAG}.good ${BAG}`);
    damage();
    const fresh = new TestProject();
    const { code, stderr } = await fresh.firn('restore', bag);
    assert.is(code, 1, what);
    assert.match(stderr, /the backup is not whole, and nothing was written:\n/, what);
    assert.equal([...fresh.snapshot().keys()], [], what);
    rmSync(bag, { recursive: true });
    renameSync(`${bag}.good`, bag);
    rmSync(copy.root, { recursive: true });
  }
});

function flip(path: string): void {
  const bytes = readFileSync(path);
  bytes[bytes.length >> 1] ^= 1;
  writeFileSync(path, bytes);
}

test('a disk that fails while it is copied from, or to', async () => {
  const project = await prepared();
  const bag = project.path(BAG);
  const opens = new Map<string, number>();
  const bent: Port = {
    ...disk,
    async open(path) {
      const handle = await disk.open(path);
      opens.set(path, (opens.get(path) ?? 0) + 1);
      // Good when it was checked, and another one when it is copied.
      if (path !== join(bag, 'data', EMBEDDINGS) || opens.get(path) === 1) return handle;
      return {
        path,
        size: handle.size,
        stat: () => handle.stat(),
        close: () => handle.close(),
        read: async (into, at) => {
          const read = await handle.read(into, at);
          into[0] ^= 1;
          return read;
        },
      };
    },
  };
  const fresh = new TestProject();
  await assertRefused(
    restoreHere(fresh, { directory: bag, port: bent }),
    /changed since it was checked\n.*Nothing was restored/,
  );
  assert.equal(fresh.leftovers(), []);
  assert.not.ok(fresh.exists(EMBEDDINGS) || fresh.exists('pipeline.yaml'));
  const small: Port = { ...disk, space: (path) => ({ ...disk.space(path)!, free: 9 }) };
  await assertRefused(
    restoreHere(fresh, { directory: bag, port: small }),
    /the disk is full: \d+ bytes are to be restored, and there is room for 9\n/,
  );
});

test('a disk that is full when the second file gets its name: what is restored is said', async () => {
  const project = await prepared();
  const fresh = new TestProject();
  let names = 0;
  const port: Port = {
    ...disk,
    rename: (from, to) => {
      if (/firn-restore-/.test(from) && ++names === 2)
        return Promise.reject(Object.assign(new Error('full'), { code: 'ENOSPC' }));
      return disk.rename(from, to);
    },
  };
  const request = { port, directory: project.path(BAG) };
  await assertRefused(
    restoreHere(fresh, request),
    /the disk is full.*\n.*1 files are restored, the others are as they were: the same command goes on/,
  );
  assert.is((await restoreHere(fresh, { directory: project.path(BAG) })).restored.length, 6);
});

test('what is in the way, and links, are not written over or through', async () => {
  const project = await prepared();
  const bag = project.path(BAG);
  const elsewhere = temporaryFolder();
  const fresh = new TestProject();
  symlinkSync(elsewhere, fresh.path('data'));
  await assertRefused(
    restoreHere(fresh, { directory: bag }),
    /data: is a link, and nothing is written through one/,
  );
  rmSync(fresh.path('data'));
  mkdirSync(fresh.path('data/reference'), { recursive: true });
  symlinkSync(join(elsewhere, 'not there'), fresh.path(EMBEDDINGS));
  await assertRefused(
    restoreHere(fresh, { directory: bag, force: true }),
    /consolidated_embeddings\.npy: is a link/,
  );
  rmSync(fresh.path(EMBEDDINGS));
  mkdirSync(fresh.path(EMBEDDINGS));
  await assertRefused(
    restoreHere(fresh, { directory: bag, force: true }),
    /consolidated_embeddings\.npy: is in the way/,
  );
  rmSync(fresh.path('data'), { recursive: true });
  fresh.write('data', 'a file');
  await assertRefused(
    restoreHere(fresh, { directory: bag, force: true }),
    /data: is a file, and the backup has a folder/,
  );
  assert.equal(shell(project, `ls -A ${elsewhere}`).stdout, '');
  await assertRefused(
    restoreHere(fresh, { directory: bag, root: join(bag, 'inside') }),
    /is inside the backup/,
  );
});

test('what is no backup of firn', async () => {
  const project = new TestProject();
  assert.is((await project.firn('restore', 'nowhere')).code, 2);
  const empty = await project.firn('restore', temporaryFolder());
  assert.is(empty.code, 1);
  assert.match(empty.stderr, /not whole/);
  const foreign = await project.firn('restore', makeBag());
  assert.is(foreign.code, 2);
  assert.match(foreign.stderr, /is no backup of firn/);
});

/** A bag as firn writes it, with other notes. */
function withNotes(
  project: TestProject,
  change: (notes: { files: { [path: string]: { mode: number } }; links: { [path: string]: string } }) => void,
): void {
  const notes = JSON.parse(project.read(`${BAG}/firn-backup.json`).toString());
  change(notes);
  project.write(`${BAG}/firn-backup.json`, JSON.stringify(notes));
  sealTags(project);
}

/** Whoever makes a bag makes its checksums as well. */
function sealTags(project: TestProject): void {
  for (const algorithm of ['sha256', 'sha512']) {
    const names = [
      'bag-info.txt',
      'bagit.txt',
      'firn-backup.json',
      'manifest-sha256.txt',
      'manifest-sha512.txt',
    ];
    project.write(
      `${BAG}/tagmanifest-${algorithm}.txt`,
      names.map((name) => `${hex(algorithm, project.read(`${BAG}/${name}`))}  ${name}\n`).join(''),
    );
  }
}

test('a hostile backup reaches nothing outside the project', async () => {
  const note = { kind: 'rule', size: 1, modified: 0, mode: 0o644, written: '0' };
  for (const path of ['../evil', '/tmp/evil', 'a/../../evil', '~/evil', 'a\\..\\..\\evil']) {
    const project = await prepared();
    withNotes(project, ({ files }) => {
      files[path] = note;
    });
    await assertRefused(restoreHere(new TestProject(), { directory: project.path(BAG) }), /in no manifest/);
    const linked = await prepared();
    withNotes(linked, ({ links }) => {
      links[path] = 'x';
    });
    await assertRefused(
      restoreHere(new TestProject(), { directory: linked.path(BAG) }),
      /speaks of a file outside the project/,
    );
  }
  const project = await prepared();
  withNotes(project, ({ links }) => {
    links['data/link'] = '../../../etc';
  });
  await assertRefused(
    restoreHere(new TestProject(), { directory: project.path(BAG) }),
    /a link that leads elsewhere/,
  );
});

test('a hostile backup lends nobody the rights of another user', async () => {
  const project = await prepared();
  withNotes(project, ({ files }) => {
    files['pipeline.yaml'].mode = 0o6755;
  });
  const fresh = new TestProject();
  await restoreHere(fresh, { directory: project.path(BAG) });
  assert.is(statSync(fresh.path('pipeline.yaml')).mode & 0o7777, 0o755);
});

test('a hostile update that seems to be cut off is not completed', async () => {
  for (const change of [
    { renames: ['data/../../evil'], removes: [], tags: [] },
    { renames: [], removes: ['../victim'], tags: [] },
    { renames: [], removes: ['data/way/victim'], tags: [] },
    { renames: [], removes: [], tags: ['../evil'] },
    { renames: [], removes: [], tags: ['/evil'] },
    { renames: 'all', removes: [], tags: [] },
    [],
    null,
  ]) {
    const project = await prepared();
    project.write('victim', 'x');
    symlinkSync(project.root, project.path(`${BAG}/data/way`));
    project.write(`${BAG}/.firn-backup/switch.json`, JSON.stringify(change));
    await assertRefused(
      restoreHere(project),
      /switch\.json: (is not what firn writes|would write through data\/way)/,
    );
    await assertRefused(
      backupHere(project),
      /switch\.json: (is not what firn writes|would write through data\/way)/,
    );
    assert.ok(project.exists('victim'));
    assert.ok(project.exists(`${BAG}/manifest-sha256.txt`));
  }
  const project = await prepared();
  mkdirSync(project.path('victim/data'), { recursive: true });
  project.write('victim/data/x', 'x');
  symlinkSync(project.path('victim'), project.path(`${BAG}/.firn-backup`));
  await assertRefused(backupHere(project), /\.firn-backup: is a link/);
  assert.ok(project.exists('victim/data/x'));
});

test('an update that was cut off is completed before it is restored; a dry run says that it was', async () => {
  const project = await prepared();
  await project.writeRun('C/r1', { seed: 9 });
  await project.build();
  // Ended after the journal and the first rename.
  let renames = 0;
  const port: Port = {
    ...disk,
    rename: (from, to) => {
      if (to.includes(`${BAG}/data/`) && renames++ === 1) return Promise.reject(new Error('the end'));
      return disk.rename(from, to);
    },
  };
  await assertRefused(backupHere(project, { port }), /the end/);
  const { valid, complete, findings } = await verifyBag(disk, project.path(BAG));
  assert.equal([valid, complete], [false, false]);
  assert.ok(
    findings.some(({ code }) => code === 'unfinished') && findings.some(({ code }) => code === 'no-manifest'),
  );
  const fresh = new TestProject();
  await assertRefused(
    restoreHere(fresh, { directory: project.path(BAG), dryRun: true }),
    /not whole.*cut off/s,
  );
  const { completed } = await restoreHere(fresh, { directory: project.path(BAG) });
  assert.ok(completed);
  assert.equal(fresh.digests('data'), project.digests('data'));
  assert.ok((await verifyBag(disk, project.path(BAG))).valid);
});

test('a backup that is being written is not restored from', async () => {
  const project = await prepared();
  project.write(
    `${BAG}/.firn-lock/x.json`,
    JSON.stringify({
      host: 'elsewhere',
      machine: 'm',
      boot: 'b',
      namespace: 'n',
      pid: 1,
      started: '1',
      command: 'firn backup',
    }),
  );
  await assertRefused(
    restoreHere(project),
    /firn backup \(pid 1 on elsewhere.*\) is writing to this backup\n.*remove .*\.firn-lock/,
  );
});

test.run();
