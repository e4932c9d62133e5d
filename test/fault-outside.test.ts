/** Faults that the program cannot know of: system calls that fail or kill it, by strace. The port hides no mistake from them. */
import { rmSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { buildHere, nothingToDo } from './rig/build-here.js';
import { type Files, filesOf, journals } from './rig/faults.js';
import { TestProject } from './rig/project.js';
import { forAll } from './rig/running.js';
import { CALLS, type Call, countOf, straceLacks, traced } from './rig/strace.js';
import { testWhere } from './rig/where.js';

const test = suite('faults from outside');
const lacks = straceLacks();

/** Every trace takes half a second. */
const STRIDE = process.env.FIRN_TEST_FAULTS === 'all' ? 1 : 5;

const REFERENCE = 'data/reference/consolidated_embeddings.npy';

interface Change {
  project: TestProject;
  before: Files;
  after: Files;
  /** How often an undisturbed build makes each call. */
  counts: Map<Call, number>;
}

let prepared: Promise<Change> | undefined;

/** Originals go, a run is replaced, one is new: everything that a build does with files. */
async function prepare(): Promise<Change> {
  const project = new TestProject(`
targets:
  compressed: {rule: compress, runs: {dataset: B}, with: {delete-original: true}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
`);
  await project.writeRun('A/r1', { seed: 1 });
  await buildHere(project, disk);
  await project.writeRun('A/r1', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3, rows: 400 });
  const done = project.clone();
  const { code, calls } = await traced(done, undefined, 'build');
  assert.is(code, 0);
  const counts = new Map(CALLS.map((call) => [call, countOf(calls, call)]));
  return { project, before: filesOf(project), after: filesOf(done), counts };
}

function assertWhole(project: TestProject, { before, after }: Change, where: string): void {
  const now = filesOf(project);
  for (const path of new Set([...Object.keys(before), ...Object.keys(now)]))
    assert.ok([before[path], after[path]].includes(now[path]), `${where}: ${path} is neither old nor new`);
  const run = 'consolidated_data/runs/B/r1/embeddings';
  assert.ok(now[`${run}.npy`] ?? now[`${run}.npz`], `${where}: no copy of the run is left`);
}

async function assertConverges(project: TestProject, { after }: Change, where: string): Promise<void> {
  await buildHere(project, disk);
  assert.equal(filesOf(project), after, where);
  await nothingToDo(project, disk);
  assert.equal([journals(project), project.leftovers()], [[], []], where);
}

/** Each call at every so manieth time; all kinds of calls are met. */
function places({ counts }: Change): [call: Call, when: number][] {
  const all = [...counts].flatMap(([call, count]) =>
    Array.from({ length: count }, (_, i): [Call, number] => [call, i + 1]),
  );
  return all.filter((_, i) => i % STRIDE === 0);
}

testWhere(
  test,
  lacks,
  'killed at any system call that changes a file, the next build converges',
  async () => {
    prepared ??= prepare();
    const change = await prepared;
    const all = places(change);
    let kills = 0;
    await forAll(all, async ([call, when]) => {
      const project = change.project.clone();
      const where = `killed at ${call} number ${when}`;
      const { code, stderr } = await traced(project, `${call}:signal=KILL:when=${when}`, 'build');
      // How often something is hashed again, and so written down, depends on how young files are.
      assert.ok(code === null || code === 0, `${where}: ${code} ${stderr}`);
      if (code === null) kills += 1;
      assertWhole(project, change, where);
      await assertConverges(project, change, where);
      rmSync(project.root, { recursive: true });
    });
    assert.ok(kills > all.length * 0.8, `${kills} of ${all.length}`);
    console.log(`\nWALKED a build under strace: SIGKILL at ${kills} system calls, every ${STRIDE}.`);
  },
);

testWhere(
  test,
  lacks,
  'whatever call fails, the build says so in words, keeps what was there, and leaves nothing',
  async () => {
    prepared ??= prepare();
    const change = await prepared;
    const all = places(change);
    let failures = 0;
    await forAll(all, async ([call, when]) => {
      const error = call === 'pwrite64' || call === 'copy_file_range' ? 'ENOSPC' : 'EIO';
      const project = change.project.clone();
      const where = `${error} from ${call} number ${when}`;
      const { code, stderr } = await traced(project, `${call}:error=${error}:when=${when}`, 'build');
      // Some of what fails is a hint, such as a remembered digest: it costs time later.
      assert.ok(code === 1 || code === 0, `${where}: ${code} ${stderr}`);
      if (code === 1) {
        failures += 1;
        assert.match(stderr, new RegExp(`FAILED|firn: .*${error}`), where);
        assert.not.match(stderr, /\n +at /, where);
      }
      assertWhole(project, change, where);
      if (project.exists('cache/lock')) assert.ok(['unlink', 'rmdir'].includes(call), where);
      await assertConverges(project, change, where);
      rmSync(project.root, { recursive: true });
    });
    assert.ok(failures > 0);
    console.log(
      `\nWALKED a build under strace: errors from ${all.length} system calls, ${failures} of them fatal`,
    );
  },
);

testWhere(
  test,
  lacks,
  'an fsync that failed is not tried again on that file, and its temporary goes',
  async () => {
    prepared ??= prepare();
    const change = await prepared;
    const undisturbed = await traced(change.project.clone(), undefined, 'build');
    const syncs = undisturbed.calls.filter((line) => / fsync\(/.test(line));
    for (const name of [
      'embeddings.npz',
      'consolidated_embeddings.npy',
      'consolidated_metadata.json',
      'journal/.firn-tmp',
    ]) {
      const when = syncs.findIndex((line) => line.includes(name)) + 1;
      assert.ok(when > 0, name);
      const project = change.project.clone();
      const { code, calls } = await traced(project, `fsync:error=EIO:when=${when}`, 'build');
      assert.is(code, 1, name);
      const failed = calls.findIndex((line) => line.includes('(INJECTED)'));
      const path = /<(.*)>/.exec(calls[failed])?.[1] as string;
      assert.match(path, name);
      const later = calls.slice(failed + 1).filter((line) => line.includes(path));
      assert.not.ok(
        later.some((line) => /fsync|rename/.test(line)),
        later.join('\n'),
      );
      assert.ok(
        later.some((line) => /unlink/.test(line)),
        later.join('\n'),
      );
      assertWhole(project, change, name);
      if (name.startsWith('consolidated')) assert.is(project.sha256(REFERENCE), change.before[REFERENCE]);
      assert.equal(project.leftovers(), [], name);
    }
  },
);

testWhere(
  test,
  lacks,
  'an original is not removed before its copy, and the name of its copy, are on disk',
  async () => {
    prepared ??= prepare();
    const { calls } = await traced((await prepared).project.clone(), undefined, 'build');
    const at = (pattern: RegExp, from = 0) => {
      const found = calls.findIndex((line, i) => i >= from && pattern.test(line));
      assert.ok(found >= 0, `${pattern} is not among\n${calls.join('\n')}`);
      return found;
    };
    const written = at(/pwrite64\(.*embeddings\.npz>/);
    const synced = at(/fsync\(.*\.firn-.*embeddings\.npz>\) += 0/, written);
    const renamed = at(/rename\(.*embeddings\.npz"\) += 0/, synced);
    const named = at(/fsync\(\d+<[^>]*\/B\/r1>\) += 0/, renamed);
    const removed = at(/unlink\(.*B\/r1\/embeddings\.npy"\)/);
    assert.ok(named < removed, calls.join('\n'));
  },
);

test.run();
