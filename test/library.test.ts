/** Building from a program: events, the end by a signal, projects side by side, and nothing kept between calls. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { type BuildEvent, diagnose, FirnError, openProject } from '../src/index.js';
import { TestProject } from './rig/project.js';

const test = suite('library');

const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;
const NODE = JSON.stringify(process.execPath);

async function lab(pipeline = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('B/r1', { seed: 2 });
  return project;
}

async function rejection(promise: Promise<unknown>): Promise<unknown> {
  try {
    await promise;
  } catch (error) {
    return error;
  }
  throw new Error('nothing was thrown');
}

test('events come in the order that is documented, and the summary agrees with them', async () => {
  const { root } = await lab(`${PIPELINE}  noise:
    rule: command
    from: pipeline.yaml
    out: noise.txt
    run: [${NODE}, -e, "console.log('hi'); require('fs').writeFileSync(process.argv[1], '')", "{out}"]
  later: {rule: consolidate, runs: {version: v9}, out: data/later}
`);
  const project = await openProject({ directory: root });
  const events: BuildEvent[] = [];
  const summary = await project.build({ onEvent: (event) => events.push(event) });
  assert.equal([summary.ran, summary.failed], [3, 0]);
  assert.equal(events[0], {
    type: 'warning',
    message: 'later: `runs` selects no run, so there is nothing to build yet',
  });
  assert.equal(events[1], { type: 'begin', steps: 3 });
  assert.equal(events.at(-1), { type: 'end', summary });
  const known = new Set<string>();
  for (const event of events) {
    if (event.type === 'start') known.add(event.step);
    else if (event.type === 'log') assert.ok(known.has(event.step));
    else if (event.type === 'finish') assert.ok(known.delete(event.outcome.id));
  }
  assert.is(known.size, 0);
  assert.equal(
    events.filter((event) => event.type === 'log'),
    [{ type: 'log', step: 'noise', line: 'hi' }],
  );
  const again: string[] = [];
  await project.build({ onEvent: ({ type }) => again.push(type) });
  assert.equal(again, ['warning', 'begin', 'finish', 'finish', 'finish', 'end']);
});

test('every call looks at pipeline.yaml and the disk as they are then', async () => {
  const made = await lab();
  const project = await openProject({ directory: made.root });
  assert.is((await project.build()).ran, 2);
  assert.ok((await project.plan()).upToDate);
  await made.writeRun('C/r1', { seed: 3 });
  const plan = await project.plan();
  assert.not.ok(plan.upToDate);
  assert.equal(
    plan.steps.map((step) => step.action),
    ['run', 'maybe'],
  );
  assert.is((await project.build()).ran, 2);
  assert.is(made.reference().names.length, 3);
  made.write('pipeline.yaml', `${PIPELINE}  compressed: {rule: compress, runs: all}\n`);
  assert.equal(
    (await project.targets()).map(({ name }) => name),
    ['reference', 'index', 'compressed'],
  );
  assert.is((await project.build({ targets: ['compressed'] })).ran, 3);
  made.write('pipeline.yaml', 'targets: {reference: {rule: konsolidate, runs: all, out: x}}\n');
  const error = await rejection(project.plan());
  assert.instance(error, FirnError);
  const { kind, path, line } = error as FirnError;
  assert.equal([kind, path, line], ['usage', 'pipeline.yaml', 1]);
  assert.instance(await rejection(openProject({ directory: made.root })), FirnError);
});

test('plan and status write nothing and agree with the build', async () => {
  const made = await lab();
  const project = await openProject({ directory: made.root });
  const before = [...made.snapshot()];
  const { steps } = await project.plan();
  assert.equal(
    (await project.status()).map(({ target, state }) => [target, state]),
    [
      ['reference', 'run'],
      ['index', 'run'],
    ],
  );
  assert.equal([...made.snapshot()], before);
  const summary = await project.build();
  assert.equal(
    summary.outcomes.map(({ id }) => id),
    steps.map(({ id }) => id),
  );
  const status = await project.status({ targets: ['reference'] });
  assert.equal(
    status.map(({ target, rule, state }) => [target, rule, state]),
    [['reference', 'consolidate', 'fresh']],
  );
  assert.is(status[0].steps[0].stats?.rows, 40);
  assert.instance(await rejection(project.status({ targets: ['refrence'] })), FirnError);
});

test('a failing step is in the summary, and a wrong target is thrown', async () => {
  const made = await lab(
    `${PIPELINE}  bad: {rule: command, from: pipeline.yaml, out: x, run: [${NODE}, -e, "process.exit(3)"]}\n`,
  );
  const project = await openProject({ directory: made.root });
  const summary = await project.build({ keepGoing: true });
  assert.equal([summary.ran, summary.failed], [2, 1]);
  const bad = summary.outcomes.find(({ id }) => id === 'bad');
  assert.instance(bad?.error, FirnError);
  const error = (await rejection(project.build({ targets: ['bat'] }))) as FirnError;
  assert.is(error.kind, 'usage');
  assert.match(error.format(), /Did you mean "bad"\?/);
});

/** A step that says when it runs and does not end by itself. */
const ENDLESS = `targets:
  slow:
    rule: command
    from: pipeline.yaml
    out: slow.txt
    run: [${NODE}, -e, "console.log(process.pid); setInterval(() => 0, 1000)"]
  after: {rule: command, from: slow, out: after.txt, run: [${NODE}, -e, "0"]}
`;

function isRunning(pid: number): boolean {
  try {
    process.kill(pid, 0);
    return true;
  } catch {
    return false;
  }
}

test('an aborted build stops its programs, leaves the files as they were and can be done again', async () => {
  const made = await lab(ENDLESS);
  const project = await openProject({ directory: made.root });
  const stop = new AbortController();
  let pid = 0;
  const summary = await project.build({
    signal: stop.signal,
    onEvent(event) {
      if (event.type !== 'log') return;
      pid = Number(event.line);
      stop.abort();
    },
  });
  assert.equal(
    summary.outcomes.map(({ status }) => status),
    ['interrupted', 'skipped'],
  );
  assert.is(summary.interrupted, 1);
  assert.not.ok(isRunning(pid));
  assert.equal(made.leftovers(), []);
  assert.not.ok(made.exists('slow.txt'));
  made.write('pipeline.yaml', PIPELINE);
  assert.is((await project.build()).failed, 0);
});

test('a signal that is aborted already, and one while the build waits for another', async () => {
  const made = await lab(ENDLESS);
  const project = await openProject({ directory: made.root });
  const reason = new Error('enough');
  assert.is(await rejection(project.build({ signal: AbortSignal.abort(reason) })), reason);
  assert.is(await rejection(project.plan({ signal: AbortSignal.abort(reason) })), reason);
  const first = new AbortController();
  const second = new AbortController();
  let started = () => {};
  const running = new Promise<void>((resolve) => {
    started = resolve;
  });
  const one = project.build({ signal: first.signal, onEvent: ({ type }) => type === 'log' && started() });
  await running;
  let holder = '';
  const two = project.build({
    signal: second.signal,
    onEvent(event) {
      if (event.type !== 'waiting') return;
      holder = event.holder;
      second.abort(reason);
    },
  });
  assert.is(await rejection(two), reason);
  assert.match(holder, new RegExp(`^firn build \\(pid ${process.pid} on `));
  first.abort();
  assert.is((await one).interrupted, 1);
});

test('a listener that throws stops the build, which rejects with what it threw', async () => {
  const made = await lab();
  const project = await openProject({ directory: made.root });
  const thrown = new Error('the listener is broken');
  let calls = 0;
  const build = project.build({
    onEvent(event) {
      calls += 1;
      if (event.type === 'start') throw thrown;
    },
  });
  assert.is(await rejection(build), thrown);
  assert.equal(made.leftovers(), []);
  const told = calls;
  assert.is((await project.build()).ran, 2);
  assert.is(calls, told);
});

test('projects side by side in one process do not touch each other', async () => {
  const made = await Promise.all(['one', 'two', 'three'].map(() => lab()));
  const alone = await lab();
  await (await openProject({ directory: alone.root })).build();
  for (const [i, one] of made.entries()) await one.writeRun(`C/r${i}`, { seed: 10 + i, rows: 5 + i });
  const projects = await Promise.all(made.map(({ root }) => openProject({ directory: root })));
  const summaries = await Promise.all(projects.map((project) => project.build({ jobs: 2 })));
  for (const [i, summary] of summaries.entries()) {
    assert.equal([summary.ran, summary.failed], [2, 0]);
    const reference = made[i].reference();
    assert.equal(reference.names, ['A/r1', 'B/r1', `C/r${i}`]);
    assert.is(reference.metadata.total_sequences, 45 + i);
    // What the three have in common is what one alone gives.
    assert.equal(reference.rowsOf('B/r1'), alone.reference().rowsOf('B/r1'));
  }
  const answers = await Promise.all(
    projects.map((project, i) =>
      project.data.searchAcrossEmbeddings({ run: `C/r${i}`, seqIdx: 2, topK: 1, excludeSameRun: false }),
    ),
  );
  assert.equal(
    answers.map(({ results: [hit] }) => [hit.dataset, hit.run_id, hit.seq_idx, hit.distance]),
    [0, 1, 2].map((i) => ['C', `r${i}`, 2, 0]),
  );
});

test('two builds of one project in one process wait for each other and do the work once', async () => {
  const made = await lab();
  const project = await openProject({ directory: made.root });
  const summaries = await Promise.all([project.build(), project.build(), project.build()]);
  assert.is(
    summaries.reduce((sum, { ran }) => sum + ran, 0),
    2,
  );
  assert.ok(summaries.every(({ failed, outcomes }) => failed === 0 && outcomes.length === 2));
});

test('nothing is printed, and the process ends by itself when the work is done', async () => {
  const made = await lab(`${PIPELINE}  noise:
    rule: command
    from: "consolidated_data/runs/{dataset}/r1/embeddings.npy"
    out: "out/{dataset}.txt"
    run: [${NODE}, -e, "console.log('hi'); console.error('ho'); require('fs').writeFileSync(process.argv[1], '')", "{out}"]
  later: {rule: consolidate, runs: {version: v9}, out: data/later}
`);
  for (let i = 0; i < 12; i++) await made.writeRun(`x${i}/r1`);
  const program = `
    import { openProject } from ${JSON.stringify(new URL('../src/index.js', import.meta.url).href)};
    const project = await openProject();
    const { failed, ran } = await project.build({ jobs: 14 });
    await project.status();
    await project.data.searchAcrossEmbeddings({ run: 'A/r1', seqIdx: 0 });
    process.exitCode = failed === 0 && ran === 16 ? 42 : 1;
  `;
  const { status, stdout, stderr } = spawnSync(process.execPath, ['--input-type=module', '-e', program], {
    cwd: made.root,
    encoding: 'utf8',
    timeout: 60_000,
  });
  assert.equal([stdout, stderr, status], ['', '', 42]);
});

test('a watch builds what comes, and ends with the signal', async () => {
  const lab1 = await lab();
  const project = await openProject({ directory: lab1.root });
  const stop = new AbortController();
  let ran = 0;
  let came: Promise<unknown> | undefined;
  const { interrupted } = await project.watch({
    signal: stop.signal,
    settleMs: 0,
    onEvent(event) {
      if (event.type === 'build' && event.event.type === 'end') ran += event.event.summary.ran;
      if (event.type !== 'idle') return;
      if (ran === 2) came ??= lab1.writeRun('C/r1', { seed: 3 });
      if (ran === 4) stop.abort();
    },
  });
  await came;
  assert.is(interrupted, false);
  assert.is((await project.plan()).upToDate, true);
});

test('what is left out by name is left out', async () => {
  const error = await rejection(diagnose({ directory: undefined, full: undefined, only: ['nowhere'] }));
  assert.match((error as Error).message, 'nowhere');
});

test('numbers that are none are refused before anything is done', async () => {
  const { root } = await lab();
  const project = await openProject({ directory: root });
  const refused = async (name: string, promise: Promise<unknown>): Promise<void> => {
    const error = await rejection(promise);
    assert.instance(error, FirnError);
    assert.is((error as FirnError).kind, 'usage');
    assert.match((error as FirnError).message, new RegExp(`^${name} must be a `));
  };
  for (const jobs of [Number.NaN, 0, -1, 1.5, '2' as unknown as number])
    await refused('jobs', project.build({ jobs }));
  const { signal } = new AbortController();
  const onEvent = (): void => assert.unreachable();
  for (const name of ['settleMs', 'pollMs', 'rescanMs', 'jobs'])
    for (const wrong of [Number.NaN, -1, '2'])
      await refused(name, project.watch({ [name]: wrong, signal, onEvent }));
  for (const name of ['pollMs', 'rescanMs'])
    await refused(name, project.watch({ [name]: 0, signal, onEvent }));
});

test.run();
