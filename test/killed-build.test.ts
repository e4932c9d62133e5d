/** kill -9: the next build takes the lock over, completes what was decided, drops the rest, and ends in the same bytes. */
import { mkdirSync, readdirSync, readFileSync, readlinkSync, renameSync } from 'node:fs';
import { hostname } from 'node:os';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readLog, rewriteLog } from '../src/engine/log-file.js';
import type { StepRecord } from '../src/engine/types.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { buildHere } from './rig/build-here.js';
import { Gate } from './rig/gate.js';
import { type BuildJson, idsWith, parse, stepOf, TestProject } from './rig/project.js';

const test = suite('killed build');

test('killed while a command runs: old outputs stay, the next build ends as if nothing had been', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`
targets:
  made: {rule: command, from: in.txt, run: ${gate.command('made')}, out: [out/a.txt, out/b.txt]}
  behind: {rule: command, from: made, run: [cp, "{in[1]}", "{out}"], out: out/c.txt}
`);
    const kill = async (): Promise<void> => {
      const { child, finished } = project.start('build');
      const visitor = await gate.next();
      child.kill('SIGKILL');
      // The command is in a process group of its own and lives on.
      process.kill(visitor.pid, 'SIGKILL');
      assert.is((await finished).code, null);
      assert.ok(project.exists('cache/lock'));
      assert.is(project.leftovers().filter((path) => path.endsWith('a.txt')).length, 1);
    };
    const build = async (content: string): Promise<BuildJson> => {
      const { finished } = project.start('build', '--json');
      (await gate.next()).go(content);
      return parse<BuildJson>(await finished);
    };
    project.write('in.txt', '1');
    await kill();
    assert.not.ok(project.exists('out/a.txt'));
    assert.is((await build('first')).ran, 2);
    assert.equal(project.leftovers(), []);
    const first = project.digests('out');

    project.write('in.txt', '2');
    await kill();
    for (const [path, digest] of Object.entries(first)) assert.is(project.sha256(path), digest);
    // Gone back before the next build: no step runs, and still nothing is left lying about.
    project.write('in.txt', '1');
    assert.is((await project.build()).fresh, 2);
    assert.equal(project.leftovers(), []);
    assert.equal(project.digests('out'), first);
    assert.not.ok(project.exists('cache/lock'));
  } finally {
    gate.close();
  }
});

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`;
const EMBEDDINGS = 'data/reference/consolidated_embeddings.npy';
const METADATA = 'data/reference/consolidated_metadata.json';
const STAGE = 'data/reference/.firn-0123456789ab-0123456789ab';
const JOURNAL = 'cache/journal/planted.jsonl';

interface Crash {
  project: TestProject;
  /** What `data` is when all is done. */
  after: { [path: string]: string };
  record: StepRecord;
}

let first: Promise<Crash> | undefined;

/** A project whose step `reference` has staged its outputs, beside the old ones, and lies there with a dead holder's lock. */
async function stagedProject(): Promise<Crash> {
  first ??= stage();
  const { project, ...rest } = await first;
  return { project: project.clone(), ...rest };
}

async function stage(): Promise<Crash> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.build();
  const done = project.clone();
  for (const one of [project, done]) await one.writeRun('A/r2', { seed: 2 });
  await done.build();
  const records = readLog(disk, done.path('cache/records.jsonl')).entries as unknown as StepRecord[];
  const record = records.filter(({ step }) => step === 'reference').pop() as StepRecord;
  for (const path of [EMBEDDINGS, METADATA])
    project.write(path.replace('data/reference', STAGE), done.read(path));
  plantDeadHolder(project);
  return { project, after: done.digests('data'), record };
}

/** A lock whose holder had the pid of this process, and started at another time. */
function plantDeadHolder(project: TestProject): void {
  const dead = {
    host: hostname(),
    machine: '',
    boot: readFileSync('/proc/sys/kernel/random/boot_id', 'utf8').trim(),
    namespace: readlinkSync('/proc/self/ns/pid'),
    pid: process.pid,
    started: '1',
    command: 'firn build',
  };
  project.write('cache/lock/dead.json', JSON.stringify(dead));
}

function plantJournal({ project, record }: Crash): Promise<void> {
  const moves = [EMBEDDINGS, METADATA].map((to) => ({ from: to.replace('data/reference', STAGE), to }));
  mkdirSync(project.path('cache/journal'), { recursive: true });
  return rewriteLog(disk, project.path(JOURNAL), [{ moves, record }]);
}

for (const moved of [[], [EMBEDDINGS], [EMBEDDINGS, METADATA]]) {
  test(`killed in the commit after ${moved.length} of 2 names: what was decided is completed and not done again`, async () => {
    const crash = await stagedProject();
    const { project, after } = crash;
    await plantJournal(crash);
    for (const path of moved)
      renameSync(project.path(path.replace('data/reference', STAGE)), project.path(path));
    const result = await project.build();
    assert.equal(idsWith(result, 'fresh'), ['reference']);
    assert.equal(idsWith(result, 'ran'), ['index:reference']);
    assert.equal(project.digests('data'), after);
    assert.equal(project.leftovers(), []);
    assert.not.ok(project.exists(JOURNAL));
    assert.is((await project.build()).fresh, 2);
  });
}

test('a dry run says what the build does once it has completed the commit, and completes nothing itself', async () => {
  for (const moved of [[], [EMBEDDINGS]]) {
    const crash = await stagedProject();
    const { project } = crash;
    await plantJournal(crash);
    for (const path of moved)
      renameSync(project.path(path.replace('data/reference', STAGE)), project.path(path));
    const before = project.snapshot();
    const planned = await project.plan();
    assert.equal(idsWith(planned, 'fresh'), ['reference']);
    assert.equal(idsWith(planned, 'run'), ['index:reference']);
    assert.equal(project.snapshot(), before);
    const result = await project.build();
    assert.equal(idsWith(result, 'ran'), idsWith(planned, 'run'));
  }
});

test('names that were given right before the kill are synced before the journal goes', async () => {
  const crash = await stagedProject();
  const { project } = crash;
  await plantJournal(crash);
  for (const path of [EMBEDDINGS, METADATA])
    renameSync(project.path(path.replace('data/reference', STAGE)), project.path(path));
  const done: string[] = [];
  const port: Port = Object.assign(Object.create(disk), {
    syncDirectory(path: string) {
      done.push(path);
      return disk.syncDirectory(path);
    },
    unlink(path: string) {
      done.push(path);
      return disk.unlink(path);
    },
  });
  await buildHere(project, port);
  const synced = done.indexOf(project.path('data/reference'));
  assert.ok(synced >= 0 && synced < done.indexOf(project.path(JOURNAL)), done.join('\n'));
});

test('a commit that cannot be completed fails its own step; the others are built, and later so is it', async () => {
  const crash = await stagedProject();
  const { project, after } = crash;
  project.write(
    'pipeline.yaml',
    `${PIPELINE}  other: {rule: command, run: [cp, pipeline.yaml, "{out}"], out: out/other.txt}\n`,
  );
  await plantJournal(crash);
  // What was staged needs a folder's place.
  renameSync(project.path(METADATA), project.path(`${METADATA}.old`));
  mkdirSync(project.path(METADATA));
  const planned = await project.plan();
  assert.equal(idsWith(planned, 'blocked'), ['index:reference', 'reference']);
  const result = await project.build('-k');
  assert.ok(project.exists(`${STAGE}/consolidated_embeddings.npy`), 'no file has its name before the other');
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.match(
    stepOf(result, 'reference').error ?? '',
    /consolidated_metadata\.json: reference is done, but this name/,
  );
  assert.equal(idsWith(result, 'skipped'), ['index:reference']);
  assert.equal(idsWith(result, 'ran'), ['other']);
  assert.ok(project.exists(JOURNAL), 'what was decided stays decided');
  assert.ok(project.exists(`${STAGE}/consolidated_metadata.json`), 'and what it needs is not swept away');
  const cleaned = parse<{ removed: string[] }>(
    await project.firn('clean', 'reference', '--execute', '--json'),
  );
  assert.equal(cleaned.removed, []);
  project.remove(METADATA);
  assert.equal(idsWith(await project.build(), 'ran'), ['index:reference']);
  assert.is(project.sha256(EMBEDDINGS), after[EMBEDDINGS]);
  assert.is(project.sha256(METADATA), after[METADATA]);
  assert.equal(project.leftovers(), []);
});

test('clean completes the commit of a killed build, takes its leftovers away, and only then cleans', async () => {
  const crash = await stagedProject();
  const { project } = crash;
  await plantJournal(crash);
  const expected = [EMBEDDINGS, METADATA];
  const planned = parse<{ removed: string[] }>(await project.firn('clean', 'reference', '--json'));
  assert.equal(planned.removed, expected);
  const cleaned = parse<{ removed: string[] }>(
    await project.firn('clean', 'reference', '--execute', '--json'),
  );
  assert.equal(cleaned.removed, expected);
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists(JOURNAL));
});

test('what a dead build left goes at the next build, also when `unlock` took its lock away', async () => {
  const { project } = await stagedProject();
  assert.is((await project.firn('unlock')).code, 0);
  assert.is((await project.build()).failed, 0);
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists('cache/unswept'));
});

test('a staging folder that a surviving program made again goes with the next build that does something', async () => {
  const project = new TestProject(PIPELINE);
  project.write('notes.txt', 'one');
  project.write(
    'pipeline.yaml',
    `${PIPELINE}  notes: {rule: command, from: notes.txt, run: [cp, "{in}", "{out}"], out: out/notes.txt}\n`,
  );
  await project.writeRun('A/r1', { seed: 1 });
  assert.is((await project.build()).failed, 0);
  project.write('data/reference/.firn-0123456789ab-0123456789ab/consolidated_metadata.json', 'late');
  project.write('data/reference/.firn-mine', 'not of a step');
  project.write('notes.txt', 'two');
  assert.equal(idsWith(await project.build('-j', '2'), 'ran'), ['notes']);
  assert.equal(project.leftovers(), ['data/reference/.firn-mine']);
});

test('a journal that was cut or altered was never decided: the step is done again', async () => {
  const crash = await stagedProject();
  const { project, after } = crash;
  await plantJournal(crash);
  project.write('precious.txt', 'precious');
  const altered = project.read(JOURNAL).toString().replace(`"to":"${METADATA}"`, '"to":"precious.txt"');
  assert.match(altered, /precious/);
  project.write('cache/journal/altered.jsonl', altered);
  project.write(JOURNAL, project.read(JOURNAL).subarray(0, -20));
  const result = await project.build();
  assert.equal(idsWith(result, 'ran'), ['index:reference', 'reference']);
  assert.is(stepOf(result, 'reference').reason.split(';')[0], 'run A/r2 is new');
  assert.equal(project.digests('data'), after);
  assert.equal(project.leftovers(), []);
  assert.equal(readdirSync(project.path('cache/journal')), []);
  assert.is(project.read('precious.txt').toString(), 'precious');
});

test('records and remembered digests that were cut or garbled cost time only', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  const before = project.digests('data');
  for (const damage of [
    (text: Buffer) => text.subarray(0, text.length / 2),
    () => Buffer.from('\0garbage\n{}'),
  ]) {
    for (const log of ['cache/records.jsonl', 'cache/digests.jsonl'])
      project.write(log, damage(project.read(log)));
    assert.is((await project.build()).failed, 0);
    assert.equal(project.digests('data'), before);
    assert.is((await project.build()).fresh, 2);
  }
});

test.run();
