/** Independent steps run side by side, and a step never before what it waits for. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { openRun } from '../src/runs/run-array.js';
import { Gate } from './rig/gate.js';
import { type BuildJson, parse, TestProject } from './rig/project.js';
import { waitForFile } from './rig/running.js';

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
    const running = project.start('build', '--json', '-j', '2');
    // Neither is told to end before the other has come.
    const visitors = [await gate.next(), await gate.next()];
    assert.equal(visitors.map(({ name }) => name).sort(), ['left', 'right']);
    const [early, late] = visitors;
    early.go('one');
    // It is built before the other may end: what waits for both must not start by it.
    await waitForFile(project, `out/${early.name}.txt`, running);
    late.go('two');
    const last = await gate.next();
    assert.is(last.name, 'both');
    assert.ok(project.exists('out/left.txt') && project.exists('out/right.txt'));
    last.go('three');
    assert.is(parse<BuildJson>(await running.finished).ran, 3);
  } finally {
    gate.close();
  }
});

test('a run whose original goes while it is opened is read from its copy', async () => {
  const project = new TestProject('targets:\n  compressed: {rule: compress, runs: all}\n');
  const values = await project.writeRun('A/r1');
  assert.is((await project.build()).ran, 1);
  const directory = project.path('consolidated_data/runs/A/r1');
  const port: Port = {
    ...disk,
    async open(path) {
      if (path.endsWith('.npy')) await disk.unlink(path);
      return disk.open(path);
    },
  };
  const reader = await openRun(port, directory);
  assert.ok(reader.path.endsWith('.npz'));
  for await (const { bytes } of reader.blocks())
    assert.ok(Buffer.from(bytes).equals(Buffer.from(values.buffer)));
  await reader.close();
  await rejects(openRun(port, project.path('consolidated_data/runs/A/r2')), /holds neither/);
});

async function rejects(work: Promise<unknown>, says: RegExp): Promise<void> {
  const error = await work.then(() => undefined, String);
  assert.match(error ?? 'nothing was thrown', says);
}

test.run();
