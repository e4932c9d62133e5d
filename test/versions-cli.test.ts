/** `firn versions` and targets that choose by version, against a Python that reads the same registry. */
import { lstatSync, renameSync, symlinkSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { idsWith, parse, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('versions on the command line');

const REGISTRY = 'data/reference/embedding_versions.json';
const PIPELINE = `targets:
  v1: {rule: consolidate, runs: {version: v1.0}, out: data/reference_v1.0}
  v2: {rule: consolidate, runs: {version: "v2.0"}, out: data/reference_v2.0}
`;

async function labProject(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('Marine/2024-11-20', { seed: 1, rows: 4 });
  await project.writeRun('Marine/2024-12-01', { seed: 2, rows: 5 });
  await project.writeRun('Soil/2024-11-21', { seed: 3, rows: 6 });
  return project;
}

async function versions(project: TestProject, ...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await project.firn('versions', ...args);
  assert.is(code, 0, stderr);
  return stdout;
}

/** What a person with Python sees in the registry: versions with their runs, and two of them side by side. */
const READ = `
import json, sys
import numpy as np
data = json.load(open(sys.argv[1] + '/data/reference/embedding_versions.json'))
assert list(data) == ['versions', 'runs'], list(data)
runs = {}
for name, entry in data['runs'].items(): runs.setdefault(entry['version'], []).append(name)
rows = {v: sum(len(np.load(f'{sys.argv[1]}/consolidated_data/runs/{r}/embeddings.npy')) for r in rs) for v, rs in runs.items()}
for name, entry in data['versions'].items():
    assert entry['version'] == name and entry['run_count'] == len(runs.get(name, [])), entry
print(json.dumps({'versions': {v: [e['model'], e['description'], sorted(runs.get(v, []))] for v, e in data['versions'].items()}, 'rows': rows}))
`;

interface Read {
  versions: { [version: string]: [model: string, description: string, runs: string[]] };
  rows: { [version: string]: number };
}

oracleTest(test, ['numpy'], 'the way of the guide: register, tag, list, compare', async () => {
  const project = await labProject();
  await versions(
    project,
    'register',
    '--version',
    'v1.0',
    '--model',
    'nt-500m-1000g',
    '--description',
    'Initial baseline',
  );
  await versions(project, 'auto-tag', '--version', 'v1.0');
  await versions(
    project,
    'register',
    '--version',
    'v2.0',
    '--model',
    'nt-500m-2000g',
    '--description',
    'Fine-tuned on eDNA',
  );
  await project.writeRun('Marine/2025-01-01', { seed: 4, rows: 7 });
  await project.writeRun('Lake/2025-01-02', { seed: 5, rows: 8 });
  await versions(project, 'tag-run', 'Marine/2025-01-01', '--version', 'v2.0');
  await versions(project, 'tag-run', 'consolidated_data/runs/Lake/2025-01-02/', '--version=v2.0');
  const read = JSON.parse(python(READ, project.root)) as Read;
  assert.equal(read.versions, {
    'v1.0': [
      'nt-500m-1000g',
      'Initial baseline',
      ['Marine/2024-11-20', 'Marine/2024-12-01', 'Soil/2024-11-21'],
    ],
    'v2.0': ['nt-500m-2000g', 'Fine-tuned on eDNA', ['Lake/2025-01-02', 'Marine/2025-01-01']],
  });

  const list = JSON.parse(await versions(project, 'list', '--json')) as {
    versions: { version: string; model: string; description: string; runs: string[] }[];
  };
  assert.equal(
    Object.fromEntries(list.versions.map((v) => [v.version, [v.model, v.description, v.runs]])),
    read.versions,
  );
  assert.match(
    await versions(project, 'list'),
    /^version {2}model +runs {2}registered +description\nv1\.0 +nt-500m-1000g +3 {2}\d{4}-\d\d-\d\d \d\d:\d\d {2}Initial baseline\nv2\.0 +nt-500m-2000g +2 .*\n$/,
  );

  const compared = JSON.parse(await versions(project, 'compare', 'v1.0', 'v2.0', '--json'));
  assert.equal(
    compared.sides.map((side: { version: string; rows: number; runs: string[] }) => [
      side.version,
      side.rows,
      side.runs,
    ]),
    [
      ['v1.0', read.rows['v1.0'], read.versions['v1.0'][2]],
      ['v2.0', read.rows['v2.0'], read.versions['v2.0'][2]],
    ],
  );
  assert.equal([compared.common, compared.onlyFirst, compared.onlySecond], [['Marine'], ['Soil'], ['Lake']]);
  const text = await versions(project, 'compare', 'v1.0', 'v2.0');
  assert.match(text, /v1\.0 +nt-500m-1000g +3 +2 +15 +8\nv2\.0 +nt-500m-2000g +2 +2 +15 +8\n/);
  assert.match(text, /runs of both: Marine\nof v1\.0 only: Soil\nof v2\.0 only: Lake\n$/);

  const built = await project.build();
  assert.equal(idsWith(built, 'ran'), ['v1', 'v2']);
  assert.equal(project.reference('data/reference_v1.0').names, read.versions['v1.0'][2]);
  assert.equal(project.reference('data/reference_v2.0').names, read.versions['v2.0'][2]);
  assert.equal(
    new Set(project.reference('data/reference_v2.0').metadata.runs.map(({ version }) => version)),
    new Set(['v2.0']),
  );
});

test('auto-tag leaves tagged runs, and --json says which it tagged', async () => {
  const project = await labProject();
  await versions(
    project,
    'register',
    '--version',
    'v1.0',
    '--model',
    'a',
    '--description',
    'Initial baseline',
  );
  await versions(project, 'register', '--version', 'v2.0', '--model', 'b');
  await versions(project, 'tag-run', 'Soil/2024-11-21', '--version', 'v2.0');
  assert.equal(JSON.parse(await versions(project, 'auto-tag', '--version', 'v1.0', '--json')), {
    tagged: ['Marine/2024-11-20', 'Marine/2024-12-01'],
    version: 'v1.0',
  });
  assert.match(
    await versions(project, 'auto-tag', '--version', 'v2.0'),
    /^0 runs tagged with v2\.0, 3 had a version already\n$/,
  );
  const before = project.snapshot('data');
  assert.match(
    await versions(project, 'register', '--version', 'v1.0', '--model', 'a'),
    /is registered already/,
  );
  assert.match(await versions(project, 'tag-run', 'Soil/2024-11-21', '--version', 'v2.0'), /tagged Soil/);
  assert.equal(project.snapshot('data'), before, 'what changes nothing writes nothing');
});

test('moving a run to another version moves it between the references', async () => {
  const project = await labProject();
  await versions(project, 'register', '--version', 'v1.0', '--model', 'a');
  await versions(project, 'register', '--version', 'v2.0', '--model', 'b');
  await versions(project, 'auto-tag', '--version', 'v1.0');
  await versions(project, 'tag-run', 'Soil/2024-11-21', '--version', 'v2.0', '--force');
  await project.build();
  assert.equal(project.reference('data/reference_v2.0').names, ['Soil/2024-11-21']);
  const refused = await project.firn('versions', 'tag-run', 'Marine/2024-12-01', '--version', 'v2.0');
  assert.is(refused.code, 1);
  assert.match(
    refused.stderr,
    /run Marine\/2024-12-01 is tagged with version "v1\.0", and can be in one only\n {2}Use --force/,
  );
  await versions(project, 'tag-run', 'Marine/2024-12-01', '--version', 'v2.0', '--force');
  assert.equal(idsWith(await project.build(), 'ran'), ['v1', 'v2']);
  assert.equal(project.reference('data/reference_v1.0').names, ['Marine/2024-11-20']);
  assert.equal(project.reference('data/reference_v2.0').names, ['Soil/2024-11-21', 'Marine/2024-12-01']);
});

test('a run that is not there any more is named, and the others are counted', async () => {
  const project = await labProject();
  await versions(project, 'register', '--version', 'v1.0', '--model', 'a');
  await versions(project, 'auto-tag', '--version', 'v1.0');
  project.remove('consolidated_data/runs/Soil/2024-11-21');
  const { code, stdout, stderr } = await project.firn('versions', 'compare', 'v1.0', 'v1.0', '--json');
  assert.is(code, 0);
  const [side] = (JSON.parse(stdout) as { sides: { rows: number; knownRuns: number; runs: string[] }[] })
    .sides;
  assert.equal([side.runs.length, side.knownRuns, side.rows], [3, 2, 9]);
  assert.match(
    stderr,
    /^note: not on disk or not readable, and not counted in the sequences of v1\.0: Soil\/2024-11-21\n/,
  );
});

test('-C names the project before the command and behind it', async () => {
  const project = await labProject();
  const elsewhere = new TestProject();
  for (const args of [
    ['-C', project.root, 'versions', 'register', '--version', 'v1.0', '--model', 'a'],
    ['versions', 'register', '--version', 'v2.0', '--model', 'b', '-C', project.root],
    ['versions', '-C', project.root, 'register', '--version', 'v3.0', '--model', 'c'],
  ]) {
    const { code, stderr } = await elsewhere.firn(...args);
    assert.is(code, 0, stderr);
  }
  const list = JSON.parse(await versions(project, 'list', '--json')) as { versions: { version: string }[] };
  assert.equal(
    list.versions.map(({ version }) => version),
    ['v1.0', 'v2.0', 'v3.0'],
  );
  assert.not(elsewhere.exists('data'));
});

test('a run in two versions is an error', async () => {
  const project = new TestProject(`targets:
  e: {rule: embed, from: "sequences/*/*.fasta", with: {k: 2, version: kmer-2}}
  r: {rule: consolidate, runs: {version: v1.0}, out: data/reference_v1.0}
`);
  project.write('sequences/A/r.fasta', '>a\nACGT\n');
  await project.writeRun('B/r', { dims: 16 });
  await versions(project, 'register', '--version', 'v1.0', '--model', 'a');
  await versions(project, 'tag-run', 'B/r', '--version', 'v1.0');
  assert.is((await project.build()).failed, 0);
  // The run says itself who made it, and auto-tag leaves it.
  assert.match(await versions(project, 'auto-tag', '--version', 'v1.0'), /^0 runs tagged/);
  const refused = await project.firn('versions', 'tag-run', 'A/r', '--version', 'v1.0', '--force');
  assert.is(refused.code, 1);
  assert.match(refused.stderr, /run A\/r says itself that kmer-2 made it/);
  const registry = JSON.parse(project.read(REGISTRY).toString());
  registry.runs['A/r'] = { version: 'v1.0', tagged_at: '2024-11-20T10:00:00' };
  project.write(REGISTRY, JSON.stringify(registry));
  const { code, stderr } = await project.firn('build');
  assert.is(code, 1);
  assert.match(
    stderr,
    /embedding_versions\.json: run A\/r is in two versions: the registry says "v1\.0", the run itself "kmer-2"/,
  );
});

test('many at once lose nothing', async () => {
  const project = new TestProject();
  const names = Array.from({ length: 6 }, (_, i) => `A/r${i}`);
  for (const name of names) await project.writeRun(name);
  await versions(project, 'register', '--version', 'v1', '--model', 'm');
  await Promise.all(names.map((name) => versions(project, 'tag-run', name, '--version', 'v1')));
  const list = parse<{ versions: { runs: string[] }[] }>(await project.firn('versions', 'list', '--json'));
  assert.equal(list.versions[0].runs, names);
});

test('the description of a version may change, its model may not', async () => {
  const project = await labProject();
  const register = ['register', '--version', 'v1', '--model', 'm'];
  await versions(project, ...register, '--description', 'first');
  const before = JSON.parse(project.read(REGISTRY).toString());
  const { stdout } = await project.firn('versions', ...register, '--description', 'second');
  assert.is(stdout, 'v1 (m) is registered already, now with this description\n');
  const after = JSON.parse(project.read(REGISTRY).toString());
  assert.equal(after, { ...before, versions: { v1: { ...before.versions.v1, description: 'second' } } });
  assert.is((await project.firn('versions', ...register)).stdout, 'v1 (m) is registered already\n');
  assert.equal(JSON.parse(project.read(REGISTRY).toString()), after);
});

test('the nearest name is found among many, and a list of all of them is short', async () => {
  const project = new TestProject('targets:\n  compressed: {rule: compress}\n');
  for (let i = 10; i < 70; i++) await project.writeRun(`Marine/2024-${i}`, { rows: 1 });
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  for (const [args, near] of [
    [['versions', 'tag-run', 'Marin/2024-69', '--version', 'v1'], 'Marine/2024-69'],
    [['compress', 'Marin/2024-69'], 'Marine/2024-69'],
    [['why', 'compressed:Marin/2024-69'], 'compressed:Marine/2024-69'],
  ] as const) {
    const { code, stderr } = await project.firn(...args);
    assert.is(code, 2);
    assert.match(stderr, `Did you mean "${near}"?`);
  }
  const { stderr } = await project.firn('why', 'something else');
  assert.match(stderr, /\n {2}There is: compressed, compressed:Marine\/2024-10, .* and 51 more\.\n$/);
});

test('a registry that is a link is read, and not replaced by a file', async () => {
  const project = new TestProject();
  await project.firn('versions', 'register', '--version', 'v1', '--model', 'm');
  const shared = 'shared.json';
  renameSync(project.path(REGISTRY), project.path(shared));
  symlinkSync(project.path(shared), project.path(REGISTRY));
  const before = project.read(shared);
  assert.match((await project.firn('versions', 'list')).stdout, /v1/);
  const { code, stderr } = await project.firn('versions', 'register', '--version', 'v2', '--model', 'm');
  assert.is(code, 1);
  assert.match(
    stderr,
    /embedding_versions\.json: is a link to .*shared\.json, and nothing is written through links/,
  );
  assert.ok(lstatSync(project.path(REGISTRY)).isSymbolicLink());
  assert.equal(project.read(shared), before);
});

test('mistakes', async () => {
  const project = await labProject();
  await versions(project, 'register', '--version', 'v1.0', '--model', 'a');
  const cases: [args: string[], code: number, says: RegExp][] = [
    [
      ['tag-run', 'Marin/2024-11-20', '--version', 'v1.0'],
      2,
      /there is no run Marin\/2024-11-20\n {2}Did you mean "Marine\/2024-11-20"\?/,
    ],
    [
      ['tag-run', 'Marine/2024-11-20', '--version', 'v1.1'],
      2,
      /version "v1\.1" is not registered\n {2}Did you mean "v1\.0"\?/,
    ],
    [['auto-tag', '--version', 'v9'], 2, /version "v9" is not registered/],
    [['compare', 'v1.0', 'v9'], 2, /version "v9" is not registered/],
    [['register', '--version', 'v1.0', '--model', 'b'], 1, /registered with another model/],
    [['register', '--version', '', '--model', 'b'], 2, /the version has no name/],
    [['register', '--model', 'b'], 2, /required option '--version <name>'/],
    [['lst'], 2, /unknown command 'lst'\n {2}Did you mean "list"\?/],
  ];
  for (const [args, code, says] of cases) {
    const finished = await project.firn('versions', ...args);
    assert.match(finished.stderr, says);
    assert.equal([finished.code, finished.stdout], [code, ''], args.join(' '));
  }
  project.write(REGISTRY, '{"versions": [');
  const damaged = await project.firn('versions', 'list');
  assert.is(damaged.code, 1);
  assert.match(damaged.stderr, /^firn: data\/reference\/embedding_versions\.json/);
});

test.run();
