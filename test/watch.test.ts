/** A watch: what changes is built, what is not ready is left alone, and nothing is done twice. */
import { appendFileSync, mkdirSync, readFileSync, renameSync, utimesSync, writeFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { acquireLock } from '../src/engine/lock.js';
import { disk } from '../src/files/disk.js';
import { Gate } from './rig/gate.js';
import { TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { Watching } from './rig/watching.js';

const test = suite('watch');

const PIPELINE = `targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
`;

const RUNS = 'consolidated_data/runs';

/** Watches while `work` goes on, and ends it with Ctrl-C. */
async function watching(
  project: TestProject,
  args: string[],
  work: (watch: Watching) => Promise<void>,
): Promise<Watching> {
  const watch = new Watching(project, ...args);
  try {
    await work(watch);
  } finally {
    const { code, stderr } = await watch.stop();
    assert.is(code, 0, stderr);
    assert.is(stderr, '');
  }
  assert.equal(project.leftovers(), []);
  assert.not.ok(project.exists('cache/lock'));
  return watch;
}

test('it starts before the first run is there, and builds what comes, changes and goes', async () => {
  const project = new TestProject(PIPELINE);
  await watching(project, [], async (watch) => {
    const problem = await watch.next('a problem', ({ type }) => type === 'problem');
    assert.match(problem.error ?? '', 'there is no run in consolidated_data/runs');
    await project.writeRun('A/r1', { seed: 1 });
    await watch.built('index:reference');
    await project.writeRun('B/r1', { seed: 2 });
    await watch.built('index:reference');
    assert.equal(project.reference().names, ['A/r1', 'B/r1']);
    const values = await project.writeRun('A/r1', { seed: 3 });
    await watch.built('index:reference');
    assert.equal(project.reference().rowsOf('A/r1'), values);
    project.remove(`${RUNS}/A/r1`);
    await watch.built('reference');
    assert.equal(project.reference().retained, ['A/r1']);
    assert.equal(project.reference().rowsOf('A/r1'), values);
  });
  assert.is((await project.build()).fresh, 2);
});

test('a folder that takes the place of another one is watched as well', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('new/r1', { seed: 2 });
  renameSync(project.path(`${RUNS}/new`), project.path('new'));
  await watching(project, [], async (watch) => {
    await watch.built('reference');
    await watch.idle();
    renameSync(project.path(`${RUNS}/A`), project.path('old'));
    renameSync(project.path('new'), project.path(`${RUNS}/A`));
    await watch.built('reference');
    await watch.idle();
    const values = await project.writeRun('A/r1', { seed: 3 });
    await watch.built('reference');
    assert.equal(project.reference().rowsOf('A/r1'), values);
  });
});

for (const name of ['npy', 'npz']) {
  oracleTest(
    test,
    ['numpy'],
    `a run whose ${name} is half written is waited for, and the others go on`,
    async () => {
      const project = new TestProject(PIPELINE);
      await project.writeRun('A/r1', { seed: 1 });
      python(
        `import numpy as np, sys
a = np.arange(800, dtype=np.float32).reshape(100, 8)
np.save(sys.argv[1], a) if sys.argv[1].endswith('npy') else np.savez_compressed(sys.argv[1], embeddings=a)`,
        project.path(`whole.${name}`),
      );
      const bytes = project.read(`whole.${name}`);
      const half = `${RUNS}/A/half/embeddings.${name}`;
      await watching(project, [], async (watch) => {
        await watch.built('reference');
        project.write(half, bytes.subarray(0, 40));
        const { inputs } = await watch.waitsFor('A/half');
        assert.match(
          inputs?.find(({ name }) => name === 'A/half')?.missing ?? '',
          name === 'npy'
            ? 'embeddings.npy has no whole header'
            : 'embeddings.npz has no directory at its end',
        );
        appendFileSync(project.path(half), bytes.subarray(40, bytes.length - 1));
        // Others do not wait for it, also not when it is there for long.
        await project.writeRun('A/other', { seed: 2 });
        await watch.built('reference');
        assert.equal(project.reference().names, ['A/r1', 'A/other']);
        await watch.idle();
        appendFileSync(project.path(half), bytes.subarray(bytes.length - 1));
        await watch.built('reference');
        assert.equal(project.reference().names, ['A/r1', 'A/other', 'A/half']);
      });
      assert.equal(
        [...project.reference().rowsOf('A/half')],
        Array.from({ length: 800 }, (_, i) => i),
      );
    },
  );
}

test('a run that is written over is not taken for one that is gone', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  const path = project.path(`${RUNS}/A/r1/embeddings.npy`);
  const watch = await watching(project, [], async (watch) => {
    await watch.built('reference');
    const bytes = readFileSync(path);
    bytes[bytes.length - 1] ^= 1;
    writeFileSync(path, bytes.subarray(0, 200));
    const { inputs } = await watch.waitsFor('A/r1');
    assert.equal(inputs, [{ name: 'A/r1', missing: 'embeddings.npy has 200 of 768 bytes' }]);
    // A change elsewhere does not make a reference of what is half there.
    await project.writeRun('A/r3', { seed: 3 });
    await watch.next('A/r3 is settled', ({ inputs }) => inputs?.length === 1);
    await watch.idle();
    assert.equal(project.reference().names, ['A/r1', 'A/r2']);
    writeFileSync(path, bytes);
    await watch.built('index:reference');
    assert.equal(project.reference().names, ['A/r1', 'A/r2', 'A/r3']);
    assert.equal(project.reference().retained, []);
  });
  assert.is(watch.count('reference'), 2);
});

test('a run that is half written when the watch begins, and known from before, is waited for as well', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  const path = project.path(`${RUNS}/A/r1/embeddings.npy`);
  const bytes = readFileSync(path);
  bytes[bytes.length - 1] ^= 1;
  writeFileSync(path, bytes.subarray(0, 300));
  utimesSync(path, 1, 1);
  await watching(project, [], async (watch) => {
    await watch.waitsFor('A/r1');
    await watch.idle();
    assert.equal(watch.builds.at(-1)?.event?.steps?.[0], {
      id: 'reference',
      status: 'skipped',
      reason: 'A/r1 is still being written',
      seconds: 0,
    });
    writeFileSync(path, bytes);
    await watch.built('reference');
    assert.equal(project.reference().retained, []);
  });
});

test('changes during a build queue exactly one more', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`targets:
  fast: {rule: command, from: a.txt, run: [cp, "{in}", "{out}"], out: fast.txt}
  slow: {rule: command, from: b.txt, run: ${gate.command('slow')}, out: slow.txt}
`);
    project.write('a.txt', 'one');
    project.write('b.txt', 'one');
    const watch = await watching(project, [], async (watch) => {
      const first = await gate.next();
      for (const text of ['two', 'three', 'four']) {
        project.write('a.txt', text);
        await new Promise(setImmediate);
      }
      first.go('slow one');
      await watch.built('slow');
      await watch.built('fast');
      assert.is(project.read('fast.txt').toString(), 'four');
      await watch.idle();
      project.write('b.txt', 'two');
      (await gate.next()).go('slow two');
      await watch.built('slow');
    });
    assert.equal(
      watch.builds.map(({ event }) => event?.steps?.map(({ id, status }) => `${id} ${status}`)),
      [['fast ran', 'slow ran'], ['fast ran'], ['slow ran']],
    );
    assert.is(gate.visits.length, 2);
  } finally {
    gate.close();
  }
});

test('a step that failed is repeated when what it reads has changed, and not before', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`targets:
  bad: {rule: command, from: in.txt, run: ${gate.command('bad')}, out: bad.txt}
  after: {rule: command, from: bad, run: [cp, "{in}", "{out}"], out: after.txt}
  other: {rule: command, from: o.txt, run: [cp, "{in}", "{out}"], out: other.txt}
`);
    project.write('in.txt', 'one');
    project.write('o.txt', 'one');
    await watching(project, [], async (watch) => {
      (await gate.next()).go('', 3);
      await watch.built('bad', 'failed');
      // What does not depend on it was built all the same.
      assert.is(project.read('other.txt').toString(), 'one');
      assert.equal((await watch.idle()).failing, ['bad']);
      project.write('o.txt', 'two');
      const { event } = await watch.built('other');
      assert.equal(
        event?.steps?.map(({ id, reason }) => `${id}: ${reason}`),
        [
          'bad: it failed, and nothing that it reads has changed',
          'other: o.txt changed',
          'after: bad was skipped',
        ],
      );
      // Another date is no change.
      project.write('in.txt', 'one');
      await watch.waitsFor('in.txt');
      project.write('o.txt', 'three');
      await watch.built('other');
      assert.is(gate.visits.length, 1);
      project.write('in.txt', 'two');
      (await gate.next()).go('good');
      await watch.built('after');
      assert.is(project.read('after.txt').toString(), 'good');
      assert.equal((await watch.idle()).failing, []);
    });
    assert.is(gate.visits.length, 2);
  } finally {
    gate.close();
  }
});

test('a broken pipeline.yaml is told once, and the one before stays in use', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  const watch = await watching(project, [], async (watch) => {
    await watch.built('reference');
    project.write('pipeline.yaml', `${PIPELINE}  broken: {rule: consolidat}\n`);
    const problem = await watch.next('a problem', ({ type }) => type === 'problem');
    assert.match(problem.error ?? '', /^pipeline.yaml:4:\d+: unknown rule "consolidat"/);
    assert.is(problem.goesOn, true);
    await project.writeRun('A/r2', { seed: 2 });
    await watch.built('reference');
    project.write('pipeline.yaml', `${PIPELINE}  second: {rule: consolidate, runs: all, out: data/second}\n`);
    await watch.next('it is mended', ({ type }) => type === 'mended');
    await watch.built('second');
    // A file that is gone for a moment is a problem like any other.
    renameSync(project.path('pipeline.yaml'), project.path('elsewhere'));
    const gone = await watch.next('a problem', ({ type }) => type === 'problem');
    assert.match(gone.error ?? '', 'there is no pipeline.yaml here');
    renameSync(project.path('elsewhere'), project.path('pipeline.yaml'));
    await watch.next('it is mended', ({ type }) => type === 'mended');
  });
  assert.is(watch.told.filter(({ type }) => type === 'problem').length, 2);
});

test('what firn makes itself begins no build, also not in the folder of runs', async () => {
  const project = new TestProject(`targets:
  embedded: {rule: embed, from: "sequences/*/*.fasta"}
  compressed: {rule: compress, with: {delete-original: true}, runs: {dataset: A}}
${PIPELINE.slice('targets:\n'.length)}`);
  await project.writeRun('A/r1', { seed: 1, rows: 500, dims: 256 });
  project.write('sequences/S/s1.fasta', '>a\nACGTACGTAC\n>b\nACCCGTTTGA\n');
  const watch = await watching(project, [], async (watch) => {
    await watch.built('embedded:S/s1');
    await watch.idle();
    project.write('sequences/S/s2.fasta', '>a\nACGTACGTACG\n');
    await watch.built('embedded:S/s2');
    await watch.idle();
    await project.writeRun('A/r2', { seed: 2, rows: 500, dims: 256 });
    await watch.built('compressed:A/r2');
    await watch.idle();
    project.write('sequences/S/s3.fasta', '>a\nACGTACGTACGG\n');
    await watch.built('embedded:S/s3');
  });
  assert.not.ok(project.exists(`${RUNS}/A/r2/embeddings.npy`));
  const ran = watch.builds.map(({ event }) => event?.steps?.map(({ id }) => id.replace(/:.*/, '')));
  const S = ['embedded', 'reference', 'index'];
  assert.equal(
    ran.map((ids) => ids?.sort()),
    [['compressed', ...S], S, ['compressed', 'index', 'reference'], S].map((ids) => [...ids].sort()),
  );
  assert.equal(
    new Set(watch.told.flatMap(({ inputs = [] }) => inputs.map(({ name }) => name))).has('S/s1'),
    false,
  );
});

test('a tag, a parameter, a rule of the project: each rebuilds what follows', async () => {
  const project = new TestProject(`targets:
  one: {rule: consolidate, runs: {version: v1}, out: data/one}
  listed: {rule: names, from: one, out: names.txt}
`);
  const rule = (text: string): string => `export default {
  name: 'names', version: '1', summary: 's', fields: {from: 'required', out: 'required'},
  parameters: {type: 'object', additionalProperties: false, properties: {}},
  expand: (target, view) => [{id: target.name, params: {}, outputs: [{kind: 'file', path: target.out[0]}],
    inputs: view.target('one').steps.flatMap((step) => step.outputs.map(({path}) => ({kind: 'file', path})))}],
  async run(step, context) {
    const { writeFileSync } = await import('node:fs');
    writeFileSync(context.stage(step.outputs[0]), ${JSON.stringify(text)});
  },
};`;
  project.write('rules/names.mjs', rule('one'));
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  await project.firn('versions', 'tag-run', 'A/r1', '--version', 'v1');
  await watching(project, [], async (watch) => {
    await watch.built('listed');
    await watch.idle();
    await project.firn('versions', 'tag-run', 'A/r2', '--version', 'v1');
    await watch.built('one');
    assert.equal(project.reference('data/one').names, ['A/r1', 'A/r2']);
    project.write('rules/names.mjs', rule('two'));
    await watch.built('listed');
    assert.is(project.read('names.txt').toString(), 'two');
    project.write('rules/names.mjs', 'export default {');
    const problem = await watch.next('a problem', ({ type }) => type === 'problem');
    assert.match(problem.error ?? '', 'names.mjs:1');
    project.write('rules/names.mjs', rule('three'));
    await watch.next('it is mended', ({ type }) => type === 'mended');
    await watch.built('listed');
    assert.is(project.read('names.txt').toString(), 'three');
    // Its version is written beside a run, in one go or not.
    mkdirSync(project.path(`${RUNS}/B`), { recursive: true });
    await project.writeRun('B/r1', { seed: 3 });
    project.write(`${RUNS}/B/r1/embedding_run.json`, '{"version": "v1"}');
    await watch.built('one');
    writeFileSync(project.path(`${RUNS}/B/r1/embedding_run.json`), '');
    await watch.waitsFor('B/r1');
    writeFileSync(project.path(`${RUNS}/B/r1/embedding_run.json`), '{"version": "v1"} ');
    await project.writeRun('C/r1', { seed: 4 });
    project.write(`${RUNS}/C/r1/embedding_run.json`, '{"version": "v1"}');
    await watch.built('one');
    assert.equal(project.reference('data/one').names, ['A/r1', 'A/r2', 'B/r1', 'C/r1']);
  });
});

test('a file that rules import is loaded once, and a watch does not go on with what it held', async () => {
  const project = new TestProject('targets:\n  made: {rule: made, out: out.txt}\n');
  project.write(
    'rules/made.mjs',
    `import { writeFileSync } from 'node:fs';
import { text } from './text.mjs';
export default {
  name: 'made', version: '1', summary: 's', fields: {out: 'required'},
  parameters: {type: 'object', additionalProperties: false, properties: {}},
  expand: (target) => [{id: target.name, params: {}, inputs: [], outputs: [{kind: 'file', path: target.out[0]}]}],
  async run(step, context) { writeFileSync(context.stage(step.outputs[0]), text); },
};`,
  );
  project.write('rules/text.mjs', 'export const text = "one";');
  await watching(project, [], async (watch) => {
    await watch.built('made');
    await watch.idle();
    project.write('rules/text.mjs', 'export const text = "two";');
    project.write(
      'rules/made.mjs',
      project.read('rules/made.mjs').toString().replace("version: '1'", "version: '2'"),
    );
    const { message } = await watch.next('a warning', ({ type }) => type === 'warning');
    assert.match(message ?? '', 'rules/text.mjs changed, and what a rule imports is loaded once');
    await watch.idle();
    assert.is(project.read('out.txt').toString(), 'one');
  });
  await watching(project, [], async (watch) => {
    await watch.built('made');
    assert.is(project.read('out.txt').toString(), 'two');
  });
});

test('it waits for a build that runs elsewhere, and says who that is', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1 });
  await watching(project, [], async (watch) => {
    await watch.built('reference');
    const lock = await acquireLock(disk, project.path('cache/lock'), {
      command: 'this test',
      onWait: () => undefined,
    });
    await project.writeRun('A/r2', { seed: 2 });
    const { holder } = await watch.next('it is locked', ({ type }) => type === 'locked');
    assert.match(holder ?? '', `this test (pid ${process.pid} on `);
    // What comes while it waits is part of what it builds then.
    await project.writeRun('A/r3', { seed: 3 });
    await lock.release();
    await watch.built('reference');
    assert.equal(project.reference().names.length, 3);
  });
});

test('two watches of one project do the work once', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`targets:
  made: {rule: command, from: in.txt, run: ${gate.command('made')}, out: out.txt}
`);
    project.write('in.txt', 'one');
    await watching(project, [], async (one) => {
      const visitor = await gate.next();
      await watching(project, [], async (two) => {
        const { holder } = await two.next('it is locked', ({ type }) => type === 'locked');
        assert.match(holder ?? '', `firn watch (pid ${one.running.child.pid} on `);
        visitor.go('done');
        await one.built('made');
        await two.idle();
      });
      assert.is(project.read('out.txt').toString(), 'done');
    });
    assert.is(gate.visits.length, 1);
  } finally {
    gate.close();
  }
});

test.run();
