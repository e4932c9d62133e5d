/** pipeline.yaml, remembered once it was checked: it never changes what a build does or says, also where it is wrong. */
import { copyFileSync, readFileSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import { recallPipeline } from '../src/pipeline/remembered.js';
import { findRule } from '../src/pipeline/rules.js';
import { stepOf, TestProject } from './rig/project.js';

const test = suite('remembered pipeline');

const REMEMBERED = 'cache/pipeline.jsonl';
const PIPELINE = `targets:
  copy:
    rule: command
    from: in.txt
    out: out.txt
    run: [cp, "{in}", "{out}"]
`;

async function built(pipeline = PIPELINE): Promise<TestProject> {
  const project = new TestProject(pipeline);
  project.write('in.txt', 'text');
  assert.is((await project.build()).failed, 0);
  return project;
}

/** What is remembered counts for the pipeline.yaml of now. */
async function isRecalled(project: TestProject): Promise<boolean> {
  const text = project.read('pipeline.yaml').toString();
  const found = await recallPipeline(disk, project.path(REMEMBERED), text, (name) =>
    findRule(disk, project.root, name, true),
  );
  return found !== undefined;
}

test('a build remembers it, and a dry run does not', async () => {
  const project = new TestProject(PIPELINE);
  project.write('in.txt', 'text');
  await project.plan();
  assert.not.ok(project.exists('cache'));
  await project.build();
  assert.ok(await isRecalled(project));
  assert.is((await project.build()).fresh, 1);
});

test('a file that is cut, altered, empty or of another pipeline is not believed', async () => {
  const project = await built();
  const whole = project.read(REMEMBERED).toString();
  const other = await built(PIPELINE.replace('out.txt', 'other.txt'));
  for (const content of [
    '',
    whole.slice(0, -20),
    whole.replace('out.txt', 'bad.txt'),
    'no JSON\n',
    other.read(REMEMBERED).toString(),
  ]) {
    project.write(REMEMBERED, content);
    assert.not.ok(await isRecalled(project));
    const { fresh, ran } = await project.build();
    assert.equal([fresh, ran], [1, 0], content);
    assert.not.ok(project.exists('bad.txt'));
    assert.not.ok(project.exists('other.txt'));
    assert.is(project.read(REMEMBERED).toString(), whole);
  }
});

test('another text is another pipeline, also when only a comment differs', async () => {
  const project = await built();
  project.write('pipeline.yaml', `# new\n${PIPELINE}`);
  assert.not.ok(await isRecalled(project));
  assert.is((await project.build()).fresh, 1);
  assert.ok(await isRecalled(project));
  project.write('pipeline.yaml', PIPELINE.replace('out.txt', 'other.txt'));
  assert.is((await project.build()).ran, 1);
  assert.ok(project.exists('other.txt'));
});

test('an error that shows on disk has its line and column, remembered or not', async () => {
  const project = await built();
  assert.ok(await isRecalled(project));
  project.remove('in.txt');
  const remembered = await project.firn('build');
  assert.is(remembered.code, 2);
  assert.match(remembered.stderr, /pipeline\.yaml:4:11: nothing matches in\.txt/);
  project.remove('cache');
  assert.equal(await project.firn('build'), remembered);
});

const RULE = `export default {
  name: 'greet', version: '1', summary: 's', fields: {out: 'required'},
  parameters: {type: 'object', additionalProperties: false, properties: {word: {type: 'string', default: 'hello'}}},
  expand: (target) => [{id: target.name, params: target.with, inputs: [], outputs: [{kind: 'file', path: target.out[0]}]}],
  async run(step, context) {
    const {writeFile} = await import('node:fs/promises');
    await writeFile(context.stage(step.outputs[0]), step.params.word);
  },
};
`;

test('a rule of the project that changed is asked anew', async () => {
  const project = new TestProject('targets:\n  hi: {rule: greet, out: hi.txt, with: {}}\n');
  project.write('rules/greet.mjs', RULE);
  await project.build();
  assert.ok(await isRecalled(project));
  assert.is(project.read('hi.txt').toString(), 'hello');
  project.write('rules/greet.mjs', RULE.replace("default: 'hello'", "default: 'good day'"));
  assert.not.ok(await isRecalled(project));
  const second = await project.build();
  assert.is(stepOf(second, 'hi').status, 'ran');
  assert.is(project.read('hi.txt').toString(), 'good day');
  // What was fine is no longer.
  project.write('pipeline.yaml', 'targets:\n  hi: {rule: greet, out: hi.txt, with: {word: yo}}\n');
  await project.build();
  project.write('rules/greet.mjs', RULE.replace('word:', 'words:'));
  const refused = await project.firn('build');
  assert.is(refused.code, 2);
  assert.match(refused.stderr, /pipeline\.yaml:2:41: unknown field "word"/);
});

test('a rule whose parameters are made by a file beside it is asked anew when that file changes them', async () => {
  const project = new TestProject('targets:\n  hi: {rule: greet, out: hi.txt}\n');
  project.write('rules/words.cjs', "exports.word = 'hello';\n");
  project.write('rules/greet.mjs', `import {word} from './words.cjs';\n${RULE.replace("'hello'", 'word')}`);
  await project.build();
  assert.ok(await isRecalled(project));
  project.write('rules/words.cjs', "exports.word = 'good day';\n");
  await project.build();
  assert.is(project.read('hi.txt').toString(), 'good day');
});

test('values that JSON does not have are read from the text each time', async () => {
  const project = new TestProject('targets:\n  hi: {rule: greet, out: hi.txt, with: {most: .inf}}\n');
  // JSON Schema takes infinity for no number.
  const rule = RULE.replace('word: {', 'most: {}, word: {').replace(
    'step.params.word',
    'String(step.params.most)',
  );
  project.write('rules/greet.mjs', rule);
  await project.build();
  assert.is(project.read('hi.txt').toString(), 'Infinity');
  assert.not.ok(project.exists(REMEMBERED));
  assert.is((await project.build()).fresh, 1);
});

test('it comes along with the folder', async () => {
  const project = await built();
  const copy = new TestProject(PIPELINE);
  copy.write('in.txt', 'text');
  copy.write(REMEMBERED, '');
  copyFileSync(project.path(REMEMBERED), copy.path(REMEMBERED));
  assert.ok(await isRecalled(copy));
  assert.is((await copy.build()).ran, 1);
  assert.is(readFileSync(copy.path('out.txt'), 'utf8'), 'text');
});

test.run();
