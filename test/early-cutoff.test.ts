/** A step that reproduces the same bytes ends the rebuild there. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, TestProject } from './rig/project.js';

const test = suite('early cutoff');

/** Writes what is before the first `#` of its input to the output, and a line into a log. */
const SCRIPT = `
import { appendFileSync, readFileSync, writeFileSync } from 'node:fs';
const [name, from, to] = process.argv.slice(2);
appendFileSync('log.txt', name + '\\n');
writeFileSync(to, readFileSync(from, 'utf8').split('#')[0]);
`;

const step = (name: string, from: string): string => `
  ${name}:
    rule: command
    from: ${from}
    run: [${process.execPath}, cut.mjs, ${name}, "{in}", "{out}"]
    out: out/${name}.txt`;

test('the step behind one that wrote the same again does not run', async () => {
  const project = new TestProject(
    `targets:${step('first', 'in.txt')}${step('second', 'first')}${step('third', 'second')}\n`,
  );
  const ran = () => project.read('log.txt').toString().trim().split('\n').splice(0);
  project.write('cut.mjs', SCRIPT);
  project.write('in.txt', 'value # comment');
  assert.is((await project.build()).ran, 3);
  assert.equal(ran(), ['first', 'second', 'third']);

  project.write('in.txt', 'value # another comment');
  assert.equal(idsWith(await project.plan(), 'maybe'), ['second', 'third']);
  const second = await project.build();
  assert.equal(idsWith(second, 'ran'), ['first']);
  assert.equal(idsWith(second, 'fresh'), ['second', 'third']);
  assert.equal(ran(), ['first', 'second', 'third', 'first']);

  project.write('in.txt', 'other # comment');
  assert.is((await project.build()).ran, 3);
  assert.equal(ran(), ['first', 'second', 'third', 'first', 'first', 'second', 'third']);
});

test.run();
