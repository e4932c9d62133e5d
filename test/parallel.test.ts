/** Independent steps run side by side, and a step never before what it waits for. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { Gate } from './rig/gate.js';
import { type BuildJson, parse, TestProject } from './rig/project.js';

const test = suite('parallel');

test('with -j 2 two commands are there at once, and the third waits for both', async () => {
  const gate = await Gate.open();
  try {
    const project = new TestProject(`
targets:
  left: {rule: command, run: ${gate.command('left')}, out: out/left.txt}
  right: {rule: command, run: ${gate.command('right')}, out: out/right.txt}
  both: {rule: command, from: [left, right], run: ${gate.command('both')}, out: out/both.txt}
`);
    const { finished } = project.start('build', '--json', '-j', '2');
    // Neither is told to end before the other has come.
    const visitors = [await gate.next(), await gate.next()];
    assert.equal(visitors.map(({ name }) => name).sort(), ['left', 'right']);
    visitors[1].go('one');
    visitors[0].go('two');
    const last = await gate.next();
    assert.is(last.name, 'both');
    assert.ok(project.exists('out/left.txt') && project.exists('out/right.txt'));
    last.go('three');
    assert.is(parse<BuildJson>(await finished).ran, 3);
  } finally {
    gate.close();
  }
});

test.run();
