/** `build --check`: an exit code for scripts that says whether anything is stale, and nothing written. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type PlanJson, PROGRAM, parse, TestProject } from './rig/project.js';
import { straceLacks } from './rig/strace.js';
import { testWhere } from './rig/where.js';

const test = suite('check');

const PIPELINE = `
targets:
  compressed: {rule: compress, runs: all}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;

async function lab(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('B/r1', { seed: 2 });
  return project;
}

async function built(): Promise<TestProject> {
  const project = await lab();
  assert.is((await project.build()).failed, 0);
  return project;
}

/** Runs `build --check` with these flags; fails when anything in the project is not as it was. */
async function check(
  project: TestProject,
  ...flags: string[]
): Promise<{ code: number | null; stdout: string; stderr: string }> {
  const before = project.snapshot();
  const finished = await project.firn('build', '--check', ...flags);
  assert.equal([...project.snapshot()], [...before], `--check ${flags.join(' ')} wrote`);
  return finished;
}

test('1 before the first build, 0 after it, and never a file written', async () => {
  const project = await lab();
  const first = await check(project);
  assert.is(first.code, 1);
  assert.is(
    first.stdout,
    `would run compressed:A/r1: never built
would run compressed:B/r1: never built
would run reference: never built
would run index:reference: never built (and 1 more; --explain lists them)
4 steps of 4 are not fresh; nothing was written
`,
  );
  assert.is(first.stderr, '');
  assert.not.ok(project.exists('cache'));
  await project.build();
  const second = await check(project);
  assert.is(second.code, 0);
  assert.is(second.stdout, 'nothing to do: 4 steps fresh\n');
});

test('what is touched is fresh, what is changed is stale, and so is an output that is gone', async () => {
  const project = await built();
  project.age('consolidated_data/runs/A/r1/embeddings.npy', 2);
  assert.is((await check(project)).code, 0);
  await project.writeRun('A/r1', { seed: 3 });
  const changed = await check(project);
  assert.is(changed.code, 1);
  assert.match(changed.stdout, /would run reference: run A\/r1 changed/);
  assert.match(changed.stdout, /may run index:reference: reference runs first/);
  await project.build();
  project.remove('data/reference/consolidated_index.faiss');
  const lost = await check(project);
  assert.is(lost.code, 1);
  assert.match(lost.stdout, /would restore index:reference/);
  await project.build();
  assert.is((await check(project)).code, 0);
});

test('only the named targets count, and what they depend on', async () => {
  const project = await built();
  project.remove('consolidated_data/runs/A/r1/embeddings.npz');
  assert.is((await check(project)).code, 1);
  assert.is((await check(project, 'index')).code, 0);
  assert.is((await check(project, 'compressed')).code, 1);
  assert.is((await check(project, 'indecks')).code, 2);
});

test('--json is the object of the dry run, with the answer in it', async () => {
  const project = await built();
  const fresh = await check(project, '--json');
  assert.is(fresh.code, 0);
  const { steps, ...counts } = parse<PlanJson & { upToDate: boolean }>(fresh);
  assert.equal(counts, { dryRun: true, upToDate: true, run: 0, restore: 0, maybe: 0, fresh: 4, blocked: 0 });
  assert.ok(steps.every((step) => step.status === 'fresh'));
  await project.writeRun('C/r1', { seed: 4 });
  const stale = await check(project, '--json');
  assert.is(stale.code, 1);
  const object = parse<PlanJson & { upToDate: boolean }>(stale);
  assert.is(object.upToDate, false);
  assert.match(object.steps.find(({ id }) => id === 'reference')?.reason ?? '', /^run C\/r1 is new/);
});

test('a dry run succeeds where a check fails; both together check', async () => {
  const project = await lab();
  assert.is((await project.firn('build', '-n')).code, 0);
  assert.is((await check(project, '-n')).code, 1);
  await project.build();
  assert.is((await check(project, '-n')).code, 0);
  assert.match((await check(project, '-n', '--explain')).stdout, /nothing to do/);
});

test('a step that would fail is 1, a wrong request or pipeline is 2', async () => {
  const project = await lab();
  project.write('consolidated_data/runs/A/r1/embeddings.npz', 'somebody else wrote this');
  const blocked = await check(project);
  assert.is(blocked.code, 1);
  assert.match(blocked.stdout, /would fail compressed:A\/r1: /);
  const forced = await check(project, '--force');
  assert.is(forced.code, 2);
  assert.match(forced.stderr, /--check asks what is stale, and --force makes everything so/);
  project.write('pipeline.yaml', 'targets: {reference: {rule: konsolidate, runs: all, out: x}}\n');
  assert.is((await check(project)).code, 2);
});

testWhere(
  test,
  straceLacks(),
  'no file is opened for writing, made, renamed or removed, wherever it is',
  async () => {
    const calls =
      'openat,open,creat,mkdir,mkdirat,rename,renameat,renameat2,unlink,unlinkat,rmdir,link,linkat,symlink,symlinkat,truncate,ftruncate,utimensat,chmod,fchmodat';
    const traced = (project: TestProject, ...args: string[]) =>
      spawnSync('strace', ['-f', '-qq', '-e', `trace=${calls}`, process.execPath, PROGRAM, ...args], {
        cwd: project.root,
        encoding: 'utf8',
        maxBuffer: 1 << 28,
      });
    const changes = (trace: string) =>
      trace
        .split('\n')
        .filter((line) => /^(\[pid +\d+\] )?[a-z0-9]+\(/.test(line))
        .filter((line) => !/ = -1 E/.test(line))
        .filter((line) => !/open(at)?\(/.test(line) || /O_WRONLY|O_RDWR|O_CREAT|O_TRUNC/.test(line))
        .filter((line) => !/"\/dev\/|"\/proc\//.test(line));
    const project = await lab();
    for (const expected of [1, 0]) {
      const { status, stderr } = traced(project, 'build', '--check');
      assert.is(status, expected);
      assert.equal(changes(stderr), []);
      // The same look at a build shows that it would be seen.
      if (expected === 1) assert.ok(changes(traced(project, 'build').stderr).length > 10);
    }
  },
);

test.run();
