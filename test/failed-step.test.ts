/** All or nothing: a step that fails leaves every final name as it was, and the next build goes on from there. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Gate } from './rig/gate.js';
import { type BuildJson, idsWith, parse, stepOf, TestProject } from './rig/project.js';

const test = suite('failed step');

test('a command that fails half way leaves the old outputs, and later steps are skipped', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`
targets:
  first:
    rule: command
    from: in.txt
    run: ${gate.command('first')}
    out: [out/a.txt, out/b.txt]
  second:
    rule: command
    from: first
    run: ${gate.command('second')}
    out: out/c.txt
  alone:
    rule: command
    from: in.txt
    run: ${gate.command('alone')}
    out: other/d.txt
`);
    const build = async (
      answers: { [name: string]: [string, number] },
      ...args: string[]
    ): Promise<BuildJson> => {
      const { finished } = project.start('build', '--json', ...args);
      for (let i = 0; i < Object.keys(answers).length; i++) {
        const visitor = await gate.next();
        visitor.go(...answers[visitor.name]);
      }
      return parse<BuildJson>(await finished);
    };
    project.write('in.txt', '1');
    const first = await build({
      first: ['old first', 0],
      second: ['old second', 0],
      alone: ['old alone', 0],
    });
    assert.is(first.ran, 3);
    const before = { ...project.digests('out'), ...project.digests('other') };

    project.write('in.txt', '2');
    const failed = await build({ first: ['new first', 1] });
    assert.equal([failed.failed, failed.skipped, failed.ran], [1, 2, 0]);
    assert.is(stepOf(failed, 'second').reason, 'first failed');
    assert.is(stepOf(failed, 'alone').reason, 'the build stopped at a failure');
    assert.match(stepOf(failed, 'first').error ?? '', /ended with exit code 1/);
    assert.equal({ ...project.digests('out'), ...project.digests('other') }, before);
    assert.equal(project.leftovers(), []);

    const going = await build({ first: ['new first', 1], alone: ['new alone', 0] }, '-k');
    assert.equal(idsWith(going, 'failed'), ['first']);
    assert.equal(idsWith(going, 'skipped'), ['second']);
    assert.is(stepOf(going, 'second').reason, 'first failed');
    assert.equal(idsWith(going, 'ran'), ['alone']);
    assert.is(project.read('other/d.txt').toString(), 'new alone');
    assert.is(project.read('out/a.txt').toString(), 'old first');

    const repaired = await build({ first: ['new first', 0], second: ['new second', 0] });
    assert.equal([repaired.ran, repaired.fresh, repaired.failed], [2, 1, 0]);
    assert.is(project.read('out/b.txt').toString(), 'new first');
    assert.is(project.read('out/c.txt').toString(), 'new second');
    assert.equal(project.leftovers(), []);
  } finally {
    gate.close();
  }
});

test('a program that ends well without all its outputs has failed, and none appears', async () => {
  const project = new TestProject(`
targets:
  half:
    rule: command
    run: [cp, pipeline.yaml, "{out[0]}"]
    out: [out/a.txt, out/b.txt]
`);
  const result = await project.build();
  assert.match(stepOf(result, 'half').error ?? '', /half ended without writing out\/b\.txt/);
  assert.not.ok(project.exists('out'));
});

test('a damaged run leaves the reference and its index as they were, until it is repaired', async () => {
  const project = new TestProject(`
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
`);
  const npy = 'consolidated_data/runs/A/r2/embeddings.npy';
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.build();
  const before = project.snapshot('data');
  const whole = project.read(npy);
  project.write(npy, whole.subarray(0, whole.length - 10));
  const plan = await project.plan();
  assert.equal(idsWith(plan, 'blocked'), ['index:reference', 'reference']);
  const result = await project.build('-k');
  assert.equal(idsWith(result, 'failed'), ['reference']);
  assert.equal(idsWith(result, 'skipped'), ['index:reference']);
  assert.match(stepOf(result, 'reference').error ?? '', /A\/r2\/embeddings\.npy/);
  assert.equal(project.snapshot('data'), before);
  assert.equal(project.leftovers(), []);
  project.write(npy, whole);
  assert.equal([(await project.build()).fresh, project.snapshot('data')], [2, before]);
});

test('a first build that fails leaves no empty folders', async () => {
  const project = new TestProject(`
targets:
  made: {rule: command, run: ["false"], out: [deep/down/a.txt, deep/b.txt]}
`);
  assert.is((await project.build()).failed, 1);
  assert.not.ok(project.exists('deep'));
});

test.run();
