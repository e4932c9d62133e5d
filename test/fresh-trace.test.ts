/** What was looked at when all was fresh: it spares looking again, and never hides a change. */
import { existsSync, renameSync, utimesSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { readLog, rewriteLog } from '../src/engine/log-file.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { build, openProject } from '../src/project.js';
import { TestProject } from './rig/project.js';

const test = suite('fresh trace');

const TRACE = 'cache/fresh.jsonl';
const INPUT = 'consolidated_data/runs/A/r1/embeddings.npy';
const PIPELINE = `
targets:
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: reference}
  copy: {rule: command, from: in.txt, out: out.txt, run: [cp, "{in}", "{out}"]}
`;

/** For this disk it is long after whatever was written now. */
const LATE: Port = {
  ...disk,
  async probe(directory) {
    const stat = await disk.probe(directory);
    return { ...stat, mtimeNs: stat.mtimeNs + 3_600_000_000_000n };
  },
};

/** Built, and found fresh with digests that are remembered. */
async function traced(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  project.write('in.txt', 'text');
  await project.writeRun('A/r1');
  await project.writeRun('A/r2');
  utimesSync(project.path(INPUT), 1_000_000, 1_000_000);
  for (let time = 0; time < 3; time++) {
    await build(await openProject({ directory: project.root, port: LATE }));
  }
  assert.ok(project.exists(TRACE));
  return project;
}

/** Whether the next build believes it, and what it does. */
async function next(project: TestProject): Promise<{ believed: boolean; ran: number; fresh: number }> {
  let believed = true;
  const port: Port = {
    ...LATE,
    readText(path, limit) {
      if (path.endsWith('records.jsonl')) believed = false;
      return disk.readText(path, limit);
    },
  };
  const { ran, fresh } = await build(await openProject({ directory: project.root, port }));
  return { believed, ran, fresh };
}

test('a build with nothing to do reads neither records nor digests nor metadata, and says what it would say', async () => {
  const project = await traced();
  const before = project.snapshot();
  const opened: string[] = [];
  const port: Port = {
    ...disk,
    readText(path, limit) {
      opened.push(path);
      return disk.readText(path, limit);
    },
    open(path) {
      opened.push(path);
      return disk.open(path);
    },
  };
  const { fresh, outcomes } = await build(await openProject({ directory: project.root, port }));
  assert.is(fresh, 3);
  assert.is(outcomes[0].stats?.rows, 40);
  const names = opened.filter((path) => existsSync(path)).map((path) => path.slice(project.root.length + 1));
  assert.equal(names, ['pipeline.yaml', 'cache/pipeline.jsonl', TRACE]);
  assert.equal(project.snapshot(), before);
});

test('any file that is another one is seen: inputs, outputs, records, digests, stored mtime or not', async () => {
  const project = await traced();
  const changes: [string, () => unknown, number][] = [
    ['input', () => project.write('in.txt', 'texT'), 1],
    ['output', () => project.write('out.txt', 'xxxx'), 0],
    ['output gone', () => project.remove('out.txt'), 0],
    ['run', () => project.writeRun('A/r2', { seed: 9 }), 2],
    ['more runs', () => project.writeRun('A/r3', { seed: 3 }), 2],
    ['metadata gone', () => project.remove('data/reference/consolidated_metadata.json'), 0],
    ['index gone', () => project.remove('data/reference/consolidated_index.faiss'), 0],
    ['records gone', () => project.remove('cache/records.jsonl'), 3],
  ];
  for (const [what, change, ran] of changes) {
    assert.ok((await next(project)).believed, `before ${what}`);
    await change();
    const found = await next(project);
    assert.not.ok(found.believed, what);
    assert.is(found.ran, ran, what);
    await next(project);
    await next(project);
  }
  assert.is(project.read('out.txt').toString(), 'texT');
});

test('the same size and mtime do not hide another content', async () => {
  const project = await traced();
  await project.writeRun('A/r1', { seed: 7 });
  utimesSync(project.path(INPUT), 1_000_000, 1_000_000);
  assert.is((await next(project)).ran, 2);
});

test('another file under the name of an input is another file', async () => {
  const project = await traced();
  project.write('new.txt', 'neww');
  renameSync(project.path('new.txt'), project.path('in.txt'));
  const { believed, ran } = await next(project);
  assert.equal([believed, ran], [false, 1]);
});

test('an edit of pipeline.yaml is seen', async () => {
  const project = await traced();
  project.write('pipeline.yaml', PIPELINE.replace('index, from', 'index, with: {nlist: 1}, from'));
  const { believed, ran } = await next(project);
  assert.equal([believed, ran], [false, 1]);
});

test('one that is cut, altered, empty, of another format or of another project costs time only', async () => {
  const project = await traced();
  const whole = project.read(TRACE).toString();
  const [trace] = readLog(disk, project.path(TRACE)).entries as { [name: string]: unknown }[];
  const other = await traced();
  await rewriteLog(disk, other.path('odd'), [{ ...trace, format: 99 }]);
  await rewriteLog(disk, other.path('less'), [{ ...trace, paths: (trace.paths as string[]).slice(1) }]);
  const contents = ['', whole.slice(0, -9), whole.replace('out.txt', 'bad.txt'), 'no JSON\n', 'null\n'];
  for (const name of ['odd', 'less', TRACE]) contents.push(other.read(name).toString());
  for (const content of contents) {
    project.write(TRACE, content);
    assert.equal(await next(project), { believed: false, ran: 0, fresh: 3 });
    assert.is(project.read(TRACE).toString(), whole);
  }
});

test('files that changed within the last tick are not remembered', async () => {
  const project = await traced();
  project.remove(TRACE);
  // So long after the last change of what it looks at, and of the one before it was hashed.
  const after = async (ms: number): Promise<void> => {
    const changed = disk.stat(project.path('cache/digests.jsonl'))!;
    const probe = async () => ({ ...changed, mtimeNs: changed.ctimeNs + BigInt(ms) * 1_000_000n });
    await build(await openProject({ directory: project.root, port: { ...disk, probe } }));
  };
  await after(10);
  assert.not.ok(project.exists(TRACE));
  await after(30);
  assert.ok(project.exists(TRACE));
});

test('a part of the targets neither uses nor replaces it', async () => {
  const project = await traced();
  const whole = project.read(TRACE).toString();
  await build(await openProject({ directory: project.root, port: LATE }), { targets: ['copy'] });
  assert.is(project.read(TRACE).toString(), whole);
});

test('a dry run and a rule of the project with a memory leave none', async () => {
  const project = await traced();
  project.remove(TRACE);
  await project.plan();
  assert.not.ok(project.exists(TRACE));
  project.write(
    'rules/greet.mjs',
    `import {readFileSync, writeFileSync} from 'node:fs';
export default {
  name: 'greet', version: '1', summary: 's', fields: {out: 'required'}, parameters: {type: 'object'},
  expand: (target) => [{id: target.name, params: {}, inputs: [], outputs: [{kind: 'file', path: target.out[0]}]}],
  memory: (step, {root}) => ({entries: [['word', readFileSync(root + '/word', 'utf8')]], state: null}),
  async run(step, context) { writeFileSync(context.stage(step.outputs[0]), 'hi'); return {}; },
};
`,
  );
  project.write('word', 'one');
  project.write('pipeline.yaml', 'targets:\n  hi: {rule: greet, out: hi.txt}\n');
  assert.is((await next(project)).ran, 1);
  assert.is((await next(project)).ran, 0);
  assert.is((await next(project)).ran, 0);
  project.write('word', 'two');
  assert.is((await next(project)).ran, 1);
  assert.not.ok(project.exists(TRACE));
});

test.run();
