/** Rules of a project's own: found by name, part of the key, and named with their line when they are wrong. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, TestProject } from './rig/project.js';
import { forAll } from './rig/running.js';

const test = suite('own rules');

/** A lab's rule: for each file of sequences how many there are and how long, leaving out those shorter than asked. */
const LENGTHS = `
import { createReadStream } from 'node:fs';
import { writeFile } from 'node:fs/promises';
import { createInterface } from 'node:readline';

export default {
  name: 'lengths',
  version: '1',
  summary: 'Counts sequences and their lengths.',
  fields: { from: 'required', out: 'required' },
  parameters: {
    type: 'object',
    additionalProperties: false,
    properties: { shortest: { type: 'integer', minimum: 0, default: 0, description: 'Shorter ones do not count.' } },
  },

  expand(target, view) {
    const files = target.from.flatMap((pattern) => view.files(pattern));
    if (files.length === 0) throw target.error('nothing matches ' + target.from.join(', '), 'Put sequences there.', 'from');
    return files.map(({ path, wildcards }) => ({
      id: target.name + ':' + wildcards.name,
      params: target.with,
      inputs: [{ kind: 'file', path }],
      outputs: [{ kind: 'file', path: target.out[0].replace('{name}', wildcards.name) }],
    }));
  },

  async run(step, context) {
    const path = context.resolve(step.inputs[0].path);
    const lengths = [];
    for await (const line of createInterface({ input: createReadStream(path) })) {
      if (line.startsWith('>')) lengths.push(0);
      else lengths[lengths.length - 1] += line.trim().length;
    }
    const counted = lengths.filter((length) => length >= step.params.shortest);
    if (counted.length < lengths.length) context.warn(lengths.length - counted.length + ' were too short');
    const bases = counted.reduce((sum, length) => sum + length, 0);
    await writeFile(context.stage(step.outputs[0]), JSON.stringify({ sequences: counted.length, bases }) + '\\n');
    return { stats: { sequences: counted.length, bases } };
  },
};
`;

/** From 1. */
function lineOf(text: string): number {
  return LENGTHS.split('\n').findIndex((line) => line.includes(text)) + 1;
}

const PIPELINE = `targets:
  lengths:
    rule: lengths
    from: "sequences/{name}.fasta"
    out: "reports/{name}.json"
    with: {shortest: 4}
  all:
    rule: command
    from: reports/*.json
    run: [sh, -c, 'out=$1; shift; cat "$@" > "$out"', sh, "{out}", "{in}"]
    out: all.jsonl
`;

function labProject(): TestProject {
  const project = new TestProject(PIPELINE);
  project.write('rules/lengths.mjs', LENGTHS);
  project.write('sequences/a.fasta', '>one\nACGT\nAC\n>two\nAC\n');
  project.write('sequences/b.fasta', '>three\nACGTACGT\n');
  return project;
}

test('a rule of the project builds like one of firn’s', async () => {
  const project = labProject();
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0, stderr);
  assert.match(stderr, /warning: lengths:a: 1 were too short\n/);
  assert.match(stderr, /built lengths:b in .* \(sequences 1, bases 8\)/);
  assert.is(project.read('all.jsonl').toString(), '{"sequences":1,"bases":6}\n{"sequences":1,"bases":8}\n');
  assert.is((await project.build()).ran, 0);
  project.write('sequences/b.fasta', '>three\nACGTACGT\n>four\nACGT\n');
  assert.equal(idsWith(await project.build(), 'ran'), ['all', 'lengths:b']);
  project.write('pipeline.yaml', PIPELINE.replace('shortest: 4', 'shortest: 0'));
  const changed = await project.build();
  assert.equal(idsWith(changed, 'ran'), ['all', 'lengths:a', 'lengths:b']);
  assert.match(changed.steps.find(({ id }) => id === 'lengths:a')?.reason ?? '', /shortest/);
  assert.match((await project.firn('graph')).stdout, /"lengths" -> "all"/);
});

test('editing its file builds its steps again', async () => {
  const project = labProject();
  await project.build();
  project.write('rules/lengths.mjs', LENGTHS.replace('bases })', 'bases, by: 2 })'));
  const plan = await project.plan();
  assert.equal(idsWith(plan, 'run'), ['lengths:a', 'lengths:b']);
  assert.match(plan.steps[0].reason, /rule/);
  const { steps } = await project.build();
  assert.ok(steps.every(({ status }) => status === 'ran'));
  project.write('rules/lengths.mjs', LENGTHS);
  const back = await project.build();
  assert.equal(idsWith(back, 'restored').length, 3, JSON.stringify(back.steps));
});

test('its parameters and fields are checked as those of firn’s rules are', async () => {
  const cases: [yaml: string, says: RegExp][] = [
    [
      PIPELINE.replace('shortest: 4', 'shortes: 4'),
      /^firn: pipeline\.yaml:6:12: unknown field "shortes"\n {2}Did you mean "shortest"\?/,
    ],
    [
      PIPELINE.replace('shortest: 4', 'shortest: -1'),
      /pipeline\.yaml:6:22: "shortest" must be >= 0, found -1\n {2}Shorter ones/,
    ],
    [
      PIPELINE.replace('    from: "sequences/{name}.fasta"\n', ''),
      /pipeline\.yaml:2:3: the field "from" is missing: the rule lengths needs it/,
    ],
    [
      PIPELINE.replace('rule: lengths', 'rule: lenghts'),
      /pipeline\.yaml:3:11: unknown rule "lenghts"\n {2}Did you mean "lengths"\?/,
    ],
    [
      PIPELINE.replace('sequences/', 'nothing/'),
      /pipeline\.yaml:4:11: nothing matches nothing\/\{name\}\.fasta\n {2}Put sequences there\./,
    ],
  ];
  await forAll(cases, async ([yaml, says]) => {
    const project = labProject();
    project.write('pipeline.yaml', yaml);
    const { code, stderr } = await project.firn('build');
    assert.is(code, 2);
    assert.match(stderr, says);
  });
});

test('a file that is no rule is named, with the line where there is one', async () => {
  const cases: [content: string, says: RegExp][] = [
    [
      LENGTHS.replace('async run(step, context) {', 'async run(step, context {'),
      new RegExp(`^firn: rules/lengths\\.mjs:${lineOf('async run(')}: cannot be loaded: Unexpected token`),
    ],
    [`const a = 1;\n\nmissing();\n`, /rules\/lengths\.mjs:3:1: cannot be loaded: missing is not defined/],
    [
      'export const rule = {};\n',
      /rules\/lengths\.mjs: has no default export that is a rule\n {2}docs\/reference\.md/,
    ],
    ['import "./nowhere.mjs";\n', /rules\/lengths\.mjs.*: cannot be loaded: .*nowhere\.mjs/],
    [
      LENGTHS.replace("name: 'lengths'", "name: 'length'"),
      /exports the rule "length", expected "lengths" as the file is called/,
    ],
    [LENGTHS.replace("version: '1'", 'version: 1'), /the rule has no `version`/],
    [LENGTHS.replace('expand(', 'expanded('), /the rule lacks `expand` or `run`/],
    [
      LENGTHS.replace("from: 'required'", "form: 'required'"),
      /`fields` says form: required, expected one of from, runs, out, run/,
    ],
    [
      LENGTHS.replace('  async run(', '  parameters: null,\n  async run('),
      /the rule lacks `parameters` or `fields`/,
    ],
    [
      LENGTHS.replace('  async run(', '  fields: null,\n  async run('),
      /the rule lacks `parameters` or `fields`/,
    ],
    [LENGTHS.replace("type: 'integer'", "type: 'int'"), /`parameters` is no usable JSON Schema: .*type/],
    [
      LENGTHS.replace("id: target.name + ':'", "id: 'x'"),
      /pipeline\.yaml:2:3: the rule lengths makes no usable steps: a step has the id "xa", expected "lengths" or "lengths:\.\.\."/,
    ],
    [LENGTHS.replace('params: target.with,', ''), /makes no usable steps: lengths:a has no `params`/],
    [
      LENGTHS.replace('params: target.with,', 'params: target.with, removes: path,'),
      /makes no usable steps: `removes` of lengths:a is no list of paths/,
    ],
    [
      LENGTHS.replace('params: target.with,', "params: target.with, removes: ['../x'],"),
      /lengths:a: "\.\.\/x" leads out of the project/,
    ],
    [
      LENGTHS.replace('params: target.with,', 'params: target.with, rewrites: [path],'),
      /makes no usable steps: `rewrites` of lengths:a is no list of/,
    ],
    [
      LENGTHS.replace("kind: 'file', path: target.out", "kind: 'run', path: target.out"),
      /lengths:a: \S+ is no place for a run\n {2}Runs are made at consolidated_data\/runs\/<dataset>\/<run>\/embeddings\.npy/,
    ],
    [LENGTHS.replace("kind: 'file', path }", "kind: 'fil', path }"), /`inputs` of lengths:a is no list of/],
    [
      LENGTHS.replace('return files.map(', 'return files.forEach('),
      /makes no usable steps: `expand` gives no list/,
    ],
    [
      LENGTHS.replace('view.files(pattern)', 'view.file(pattern)'),
      /pipeline\.yaml:2:3: the rule lengths cannot say what to do: view\.file is not a function/,
    ],
    [
      LENGTHS.replace("target.out[0].replace('{name}', wildcards.name)", "'../' + wildcards.name"),
      /lengths:a: "\.\.\/a" leads out of the project/,
    ],
    [
      LENGTHS.replace("target.out[0].replace('{name}', wildcards.name)", "'same'"),
      /lengths:a and lengths:b both make same/,
    ],
  ];
  await forAll(cases, async ([content, says]) => {
    const project = labProject();
    project.write('rules/lengths.mjs', content);
    const { code, stdout, stderr } = await project.firn('build');
    assert.match(stderr, says);
    assert.equal([code, stdout], [2, ''], stderr);
    assert.not.match(stderr, /\n\s+at /);
  });
});

test('a step that throws has failed, with the line of the rule', async () => {
  const project = labProject();
  project.write('rules/lengths.mjs', LENGTHS.replace('const lengths = [];', 'const lengths = undefined;'));
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(
    stderr,
    new RegExp(
      `FAILED lengths:a: rules/lengths\\.mjs:${lineOf('lengths.push')}:\\d+: Cannot read properties of undefined`,
    ),
  );
  assert.not.ok(project.exists('reports'));
  // One that gives nothing back has nothing to say, and has still done its work.
  project.write(
    'rules/lengths.mjs',
    LENGTHS.replace('return { stats: { sequences: counted.length, bases } };', ''),
  );
  assert.is((await project.build()).failed, 0);
});

test('a name of firn’s own is not taken over', async () => {
  const project = labProject();
  project.write('rules/command.mjs', LENGTHS.replace("name: 'lengths'", "name: 'command'"));
  const { code, stderr } = await project.firn('build');
  assert.is(code, 2);
  assert.match(
    stderr,
    /^firn: rules\/command\.mjs: has the name of a rule that firn brings along\n {2}Rename the file\.\n$/,
  );
});

test('a rule that nobody uses is not run', async () => {
  const project = labProject();
  project.write('rules/unused.mjs', 'throw new Error("was run");\n');
  assert.is((await project.build()).failed, 0);
});

test.run();
