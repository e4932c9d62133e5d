/** What `build -n` says is what the next build does, and saying it changes nothing. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { build, openProject, plan } from '../src/project.js';
import { idsWith, TestProject } from './rig/project.js';

const test = suite('dry run');

interface Choices {
  recall?: number;
  sequences?: boolean;
  reordered?: boolean;
}

/** `count` writes how many runs there are, so that most changes end there; `report` hangs on it and on notes.txt. */
function pipeline({ recall = 0.95, sequences = true, reordered = false }: Choices = {}): string {
  const index = `
  index:
    with: {recall: ${recall}, metric: l2}
    rule: index
    from: [reference, reference-v1]`;
  const count = `
  count:
    rule: command
    from: reference
    run: [${process.execPath}, count.mjs, "{in}", "{out}"]
    out: reports/count.txt
  report:
    rule: command
    from: [count, notes.txt]
    run: [${process.execPath}, join.mjs, "{out}", "{in}"]
    out: reports/report.txt`;
  return `
targets:
  compressed:
    rule: compress
    runs: {dataset: A}
  reference:
    rule: consolidate
    runs: all
    out: data/reference
    with: {sequences: ${sequences}}
  reference-v1:
    rule: consolidate
    runs: {version: v1}
    out: data/reference_v1
${reordered ? count + index.replace(/( +with: .*)\n( +rule: index)/, '$2\n$1') : index + count}
`;
}

const COUNT = `
import { readFileSync, writeFileSync } from 'node:fs';
const [from, to] = process.argv.slice(2);
const { total_runs } = JSON.parse(readFileSync(from + '/consolidated_metadata.json', 'utf8'));
writeFileSync(to, String(total_runs));
`;
const JOIN = `
import { readFileSync, writeFileSync } from 'node:fs';
const [to, ...from] = process.argv.slice(2);
writeFileSync(to, from.map((path) => readFileSync(path, 'utf8')).join('; '));
`;

const RUNS = 'consolidated_data/runs';

type Edit = [name: string, apply: (project: TestProject) => unknown];

const EDITS: Edit[] = [
  ['touch a run', (project) => project.age(`${RUNS}/A/r1/embeddings.npy`, 3)],
  ['change a run', (project) => project.writeRun('A/r1', { seed: 11 })],
  ['change it back', (project) => project.writeRun('A/r1', { seed: 1 })],
  ['add a run', (project) => project.writeRun('A/r0', { seed: 4 })],
  ['delete a run', (project) => project.remove(`${RUNS}/B/r1`)],
  ['bring it back otherwise', (project) => project.writeRun('B/r1', { seed: 33, rows: 5 })],
  ['delete an index', (project) => project.remove('data/reference/consolidated_index.faiss')],
  [
    'edit a report and cut the metadata',
    (project) => {
      project.write('reports/count.txt', 'ninety');
      const path = 'data/reference/consolidated_metadata.json';
      project.write(path, project.read(path).subarray(0, 700));
    },
  ],
  ['change a parameter', (project) => project.write('pipeline.yaml', pipeline({ recall: 0.9 }))],
  ['and back', (project) => project.write('pipeline.yaml', pipeline())],
  [
    'reorder the YAML and change a note',
    (project) => {
      project.write('pipeline.yaml', pipeline({ reordered: true }));
      project.write('notes.txt', 'other');
    },
  ],
  ['break a run', (project) => project.write(`${RUNS}/A/r2/embeddings.npy`, 'broken')],
  ['repair it', (project) => project.writeRun('A/r2', { seed: 2 })],
  [
    'lose the stored outputs, and an output',
    (project) => {
      project.remove('cache/objects');
      project.remove('data/reference_v1/consolidated_embeddings.npy');
    },
  ],
  [
    'a new run, a lost output and another parameter at once',
    async (project) => {
      await project.writeRun('C/r1', { seed: 7 });
      project.remove('reports/report.txt');
      project.write('pipeline.yaml', pipeline({ sequences: false }));
    },
  ],
  ['lose the cache', (project) => project.remove('cache')],
];

/** What may become of a step that the plan gave such a mark. */
const OUTCOMES: { [action: string]: string[] } = {
  fresh: ['fresh'],
  run: ['ran'],
  restore: ['restored'],
  maybe: ['ran', 'restored', 'fresh'],
  blocked: ['failed', 'skipped'],
};

let first: Promise<TestProject> | undefined;

async function freshProject(): Promise<TestProject> {
  first ??= prepare();
  return (await first).clone();
}

async function prepare(): Promise<TestProject> {
  const project = new TestProject(pipeline());
  project.write('count.mjs', COUNT);
  project.write('join.mjs', JOIN);
  project.write('notes.txt', 'notes');
  const registry = { versions: { v1: { model: 'm' } }, runs: { 'A/r2': { version: 'v1' } } };
  project.write('data/reference/embedding_versions.json', JSON.stringify(registry));
  await project.writeRun('A/r1', { seed: 1 });
  await project.writeRun('A/r2', { seed: 2 });
  await project.writeRun('B/r1', { seed: 3 });
  return project;
}

test('after each of many edits the build does what the dry run said, and the dry run wrote nothing', async () => {
  const project = await freshProject();
  const seen = new Set<string>();
  for (const [name, apply] of [['the first build', () => undefined] as Edit, ...EDITS]) {
    await apply(project);
    const before = project.snapshot();
    const plan = await project.plan();
    assert.equal(project.snapshot(), before, `${name}: the dry run changed something`);
    // In this process, for speed; what the command prints of a build is tested elsewhere.
    const { outcomes } = await build(await openProject({ directory: project.root }), { keepGoing: true });
    assert.equal(
      outcomes.map((step) => step.id),
      plan.steps.map((step) => step.id),
      name,
    );
    for (const [i, { id, status }] of plan.steps.entries()) {
      const became = outcomes[i].status;
      assert.ok(
        OUTCOMES[status].includes(became),
        `${name}: ${id} was planned "${status}" and became "${became}"`,
      );
      seen.add(`${status} ${became}`);
    }
    assert.equal(project.leftovers(), [], name);
  }
  // The list is worth something only if it brought all of this about.
  for (const pair of [
    'run ran',
    'restore restored',
    'maybe ran',
    'maybe fresh',
    'blocked failed',
    'blocked skipped',
  ]) {
    assert.ok(seen.has(pair), `nothing was "${pair}"`);
  }
});

test('a dry run of one target speaks of it and what it depends on', async () => {
  const project = await freshProject();
  const plan = await project.plan('count');
  assert.equal(idsWith(plan, 'run'), ['count', 'reference']);
  assert.is(plan.steps.length, 2);
  assert.not.ok(project.exists('cache'));
});

test('one that is interrupted while it reads an output does not call it damaged', async () => {
  const project = new TestProject(
    'targets:\n  made: {rule: command, run: [cp, pipeline.yaml, "{out}"], out: out.txt}\n',
  );
  await project.build();
  project.write('out.txt', project.read('out.txt'));
  const abort = new AbortController();
  const port: Port = {
    ...disk,
    open(path) {
      abort.abort(new FirnError('interrupted', 'interrupted'));
      return disk.open(path);
    },
  };
  let kind: string | undefined;
  await plan(await openProject({ directory: project.root, port }), { signal: abort.signal }).catch(
    (error: FirnError) => {
      kind = error.kind;
    },
  );
  assert.is(kind, 'interrupted');
});

test('under --force everything named runs, in the plan as in the build', async () => {
  const project = await freshProject();
  await project.build();
  const plan = await project.plan('--force', 'count');
  assert.equal(idsWith(plan, 'run'), ['count']);
  assert.equal(idsWith(await project.build('--force', 'count'), 'ran'), ['count']);
});

test.run();
