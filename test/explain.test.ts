/** Why: the reason names the cause, and what is no cause makes nothing stale. */
import { renameSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, stepOf, TestProject } from './rig/project.js';

const test = suite('explain');

const RULE = (greeting: string) => `
import { writeFileSync } from 'node:fs';
export default {
  name: 'greet',
  version: '1',
  summary: 'Greets.',
  parameters: { type: 'object', properties: {} },
  fields: { out: 'required' },
  expand: (target) => [
    { id: target.name, params: target.with, inputs: [], outputs: [{ kind: 'file', path: target.out[0] }] },
  ],
  run: async (step, context) => {
    writeFileSync(context.stage(step.outputs[0]), '${greeting}');
    return {};
  },
};
`;

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
  index:
    rule: index
    from: [reference]
    with: {recall: 0.95, metric: l2}
  greeting:
    rule: greet
    out: out/greeting.txt
`;
const REORDERED = `
targets:
  greeting: {out: out/greeting.txt, rule: greet}
  index:
    with:
      metric: l2
      recall: 0.95
    from:
      - reference
    rule: index
  reference: {out: data/reference, runs: all, rule: consolidate}
`;

let first: Promise<TestProject> | undefined;

async function builtProject(): Promise<TestProject> {
  first ??= build();
  return (await first).clone();
}

async function build(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  project.write('rules/greet.mjs', RULE('hello'));
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  assert.is(stepOf(await project.plan(), 'reference').reason, 'never built');
  assert.is((await project.build()).ran, 3);
  return project;
}

/** Reasons of one step, as `firn why --json` gives them. */
async function why(project: TestProject, id: string): Promise<{ code: string; text: string }[]> {
  const { stdout } = await project.firn('why', id, '--json');
  const [step] = (JSON.parse(stdout) as { steps: { reasons: { code: string; text: string }[] }[] }).steps;
  return step.reasons;
}

test('a changed, a new, a removed and a renamed run', async () => {
  const project = await builtProject();
  await project.writeRun('A/r1', { seed: 11 });
  assert.equal(await why(project, 'reference'), [{ code: 'input', text: 'run A/r1 changed' }]);
  await project.writeRun('A/r1', { seed: 1 });

  await project.writeRun('A/r3', { seed: 3 });
  assert.equal((await why(project, 'reference'))[0], { code: 'input', text: 'run A/r3 is new' });
  project.remove('consolidated_data/runs/A/r3');
  assert.equal(await why(project, 'reference'), []);

  renameSync(project.path('consolidated_data/runs/A/r1'), project.path('consolidated_data/runs/A/r9'));
  const renamed = await why(project, 'reference');
  assert.equal(
    renamed.filter(({ code }) => code === 'input').map(({ text }) => text),
    ['run A/r9 is new', 'run A/r1 is gone'],
  );

  project.remove('consolidated_data/runs/A/r9');
  const removed = await why(project, 'reference');
  assert.equal(removed[0], { code: 'input', text: 'run A/r1 is gone' });
});

test('a run that is there and not asked for any more is not gone', async () => {
  const project = await builtProject();
  project.write('pipeline.yaml', PIPELINE.replace('runs: all', 'runs: {run: r2}'));
  assert.equal((await why(project, 'reference'))[0], {
    code: 'input',
    text: 'run A/r1 is no longer selected',
  });
  project.write('pipeline.yaml', PIPELINE.replace('runs: all', 'runs: all\n    with: {prune: [A/r1]}'));
  const texts = (await why(project, 'reference')).map(({ text }) => text);
  assert.ok(texts.includes('run A/r1 is no longer selected'), texts.join('; '));
});

test('what there is to ask about is listed once', async () => {
  const { stderr } = await (await builtProject()).firn('why', 'nope');
  assert.match(stderr, 'There is: reference, index, greeting, index:reference.\n');
});

test('a parameter, from what to what', async () => {
  const project = await builtProject();
  project.write('pipeline.yaml', PIPELINE.replace('0.95', '0.8'));
  const reasons = await why(project, 'index:reference');
  assert.equal(reasons, [{ code: 'parameter', text: 'parameter recall changed from 0.95 to 0.8' }]);
  assert.equal(idsWith(await project.plan(), 'run'), ['index:reference']);
});

test('a missing output, and an edited one', async () => {
  const project = await builtProject();
  project.remove('out/greeting.txt');
  assert.equal(await why(project, 'greeting'), [{ code: 'output', text: 'out/greeting.txt is missing' }]);
  project.write('out/greeting.txt', 'edited');
  assert.equal(await why(project, 'greeting'), [
    { code: 'output', text: 'out/greeting.txt is not what greeting wrote' },
  ]);
});

test("a rule's own file", async () => {
  const project = await builtProject();
  project.write('rules/greet.mjs', RULE('good evening'));
  assert.equal(await why(project, 'greeting'), [{ code: 'rule', text: 'rule changed' }]);
  assert.equal(idsWith(await project.build(), 'ran'), ['greeting']);
  assert.is(project.read('out/greeting.txt').toString(), 'good evening');
});

test('the same pipeline written otherwise makes nothing stale', async () => {
  const project = await builtProject();
  project.write('pipeline.yaml', REORDERED);
  assert.is((await project.build()).fresh, 3);
});

test('what the build says is what why said', async () => {
  const project = await builtProject();
  await project.writeRun('A/r1', { seed: 11 });
  project.write('rules/greet.mjs', RULE('good morning'));
  const planned = await project.plan();
  const result = await project.build();
  for (const id of ['reference', 'greeting']) {
    assert.is(stepOf(result, id).reason, stepOf(planned, id).reason);
  }
});

test.run();
