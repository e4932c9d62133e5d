/** Taking over a reference that the older Python system wrote, with its habit of counting compressed runs twice. */
import { readdirSync, symlinkSync, writeFileSync } from 'node:fs';
import { join, relative } from 'node:path';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { adoptReference } from '../src/adopt.js';
import { disk } from '../src/files/disk.js';
import type { Port } from '../src/files/port.js';
import { temporaryFolder } from './rig/folder.js';
import { parse, stepOf, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('adopt');

const PIPELINE = `
targets:
  reference:
    rule: consolidate
    runs: all
    out: data/reference
`;

/** What the older system does: every .npy and every .npz below the runs folder, sorted, stacked. */
const OLD_SYSTEM = `
import json, sys, numpy as np
from pathlib import Path
root = Path(sys.argv[1]); runs = root / 'consolidated_data/runs'; out = root / 'data/reference'
out.mkdir(parents=True)
files = [p for name in ('embeddings.npy', 'embeddings.npz') for p in runs.rglob(name)]
files.sort(key=lambda p: (p.parent.parent.name, p.parent.name))
arrays, rows = [], []
for p in files:
    a = np.load(p) if p.suffix == '.npy' else np.load(p)['embeddings']
    arrays.append(a)
    rows += [{'dataset': p.parent.parent.name, 'run_id': p.parent.name, 'seq_idx': i, 'source_file': str(p.relative_to(runs))} for i in range(len(a))]
np.save(out / 'consolidated_embeddings.npy', np.vstack(arrays))
json.dump({'total_sequences': len(rows), 'total_runs': 3, 'datasets': ['A', 'B'], 'embedding_dim': 8,
           'created_at': '2024-11-20T10:30:00', 'incremental': False, 'sequences': rows}, open(out / 'consolidated_metadata.json', 'w'), indent=2)
`;

async function oldProject(): Promise<TestProject> {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.writeRun('A/r2', { seed: 2, rows: 6 });
  await project.writeRun('B/r1', { seed: 3, rows: 7 });
  const npz =
    'd = sys.argv[1] + "/consolidated_data/runs/A/r2/"; np.savez_compressed(d + "embeddings.npz", embeddings=np.load(d + "embeddings.npy"))';
  python(`import sys, numpy as np\n${npz}`, project.root);
  python(OLD_SYSTEM, project.root);
  return project;
}

interface Metadata {
  total_sequences: number;
  runs: { dataset: string; run_id: string; start: number; count: number; retained: boolean }[];
  sequences: { dataset: string; run_id: string; seq_idx: number }[];
}

function metadata(project: TestProject): Metadata {
  return JSON.parse(project.read('data/reference/consolidated_metadata.json').toString()) as Metadata;
}

oracleTest(
  test,
  ['numpy'],
  'a foreign reference is not overwritten, and the refusal names adopt',
  async () => {
    const project = await oldProject();
    const before = project.sha256('data/reference/consolidated_embeddings.npy');
    const result = await project.build();
    assert.is(result.failed, 1);
    assert.match(String(result.steps[0].error), /firn adopt/);
    assert.is(project.sha256('data/reference/consolidated_embeddings.npy'), before);
  },
);

oracleTest(test, ['numpy'], 'adopting keeps the rows, and the next build counts each run once', async () => {
  const project = await oldProject();
  const before = project.sha256('data/reference/consolidated_metadata.json');
  const adopted = await project.firn('adopt', '--json');
  assert.is(adopted.code, 0, adopted.stderr);
  const told = JSON.parse(adopted.stdout) as { rows: number; runs: number; repeated: string[] };
  assert.equal([told.rows, told.runs, told.repeated], [24, 4, ['A/r2']]);
  assert.is(project.sha256('data/reference/consolidated_metadata.before-adopt.json'), before);
  assert.is(metadata(project).sequences.length, 24);

  assert.is((await project.build()).failed, 0);
  const after = metadata(project);
  assert.equal(
    after.runs.map((run) => [run.dataset, run.run_id, run.start, run.count]),
    [
      ['A', 'r1', 0, 5],
      ['A', 'r2', 5, 6],
      ['B', 'r1', 11, 7],
    ],
  );
  assert.is((await project.build()).ran, 0);
});

oracleTest(test, ['numpy'], 'a run that was deleted before the adoption is retained', async () => {
  const project = await oldProject();
  const rows = python(
    'import sys, numpy as np\nprint(np.load(sys.argv[1] + "/consolidated_data/runs/B/r1/embeddings.npy").tobytes().hex())',
    project.root,
  );
  project.remove('consolidated_data/runs/B/r1');
  assert.is((await project.firn('adopt')).code, 0);
  assert.is((await project.build()).failed, 0);
  assert.equal(
    metadata(project).runs.map((run) => run.retained),
    [false, false, true],
  );
  const kept = python(
    'import sys, numpy as np\nprint(np.load(sys.argv[1] + "/data/reference/consolidated_embeddings.npy")[11:].tobytes().hex())',
    project.root,
  );
  assert.is(kept, rows);
});

oracleTest(
  test,
  ['numpy'],
  'metadata that does not fit the array is refused, and nothing is written',
  async () => {
    const project = await oldProject();
    python(
      'import sys, numpy as np\np = sys.argv[1] + "/data/reference/consolidated_embeddings.npy"; np.save(p, np.load(p)[:-1])',
      project.root,
    );
    const refused = await project.firn('adopt');
    assert.is(refused.code, 1);
    assert.match(refused.stderr, /lists 24 rows, but the array has 23/);
    assert.not(project.exists('data/reference/consolidated_metadata.before-adopt.json'));
  },
);

oracleTest(test, ['numpy'], 'a reference of firn is not adopted again', async () => {
  const project = await oldProject();
  assert.is((await project.firn('adopt')).code, 0);
  const again = await project.firn('adopt');
  assert.is(again.code, 2);
  assert.match(again.stderr, /is a reference of firn already/);
});

test('a reference outside of the project, or under other names, is refused as it is', async () => {
  const project = new TestProject(PIPELINE);
  const [array, metadata] = ['consolidated_embeddings.npy', 'consolidated_metadata.json'];
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  await project.build();
  const { sequences } = project.reference().metadata;
  const foreign = JSON.stringify({ total_sequences: 5, total_runs: 1, sequences });
  const elsewhere = temporaryFolder();
  writeFileSync(join(elsewhere, array), project.read(`data/reference/${array}`));
  writeFileSync(join(elsewhere, metadata), foreign);
  symlinkSync(elsewhere, project.path('data/linked'));
  project.write('data/old/old_consolidated_embeddings.npy', project.read(`data/reference/${array}`));
  project.write('data/old/old_consolidated_embeddings.json', foreign);
  const before = project.digests('data/old');
  const cases: [directory: string, says: RegExp][] = [
    [elsewhere, /lies outside of the project/],
    [relative(project.root, elsewhere), /lies outside of the project/],
    ['data/linked', /data\/linked: leads to .*, outside of the project/],
    ['data/old', /has other names than a reference that firn builds/],
  ];
  for (const [directory, says] of cases) {
    const { code, stdout, stderr } = await project.firn('adopt', directory);
    assert.match(stderr, says);
    assert.equal([code, stdout], [2, '']);
  }
  assert.equal(readdirSync(elsewhere).sort(), [array, metadata]);
  assert.equal(project.digests('data/old'), before);
  assert.is((await project.firn('adopt', project.path('data/reference'))).code, 2);
});

test('where another program wrote over what firn built, the refusal names adopt, and that solves it', async () => {
  const project = new TestProject(PIPELINE);
  await project.writeRun('A/r1', { seed: 1, rows: 5 });
  assert.is((await project.build()).failed, 0);
  const other = project.clone();
  await other.writeRun('B/r1', { seed: 3, rows: 7 });
  assert.is((await other.build()).failed, 0);
  const { sequences } = other.reference().metadata;
  project.write(METADATA, JSON.stringify({ total_sequences: 12, total_runs: 2, sequences }));
  const array = 'data/reference/consolidated_embeddings.npy';
  project.write(array, other.read(array));
  const refused = await project.firn('build');
  assert.match(
    refused.stderr,
    /is not what firn wrote, and another program wrote its metadata\n {2}`firn adopt data\/reference` takes the rows over/,
  );
  assert.is((await project.firn('adopt', 'data/reference')).code, 0);
  assert.is((await project.build()).failed, 0);
  assert.equal(project.reference().names, ['A/r1', 'B/r1']);
  assert.equal(project.reference().retained, ['B/r1']);
});

const WITH_INDEX = `${PIPELINE}
  index:
    rule: index
    from: [reference]
`;

/** The index that the older system wrote beside its reference. */
const OLD_INDEX = `
import sys, faiss, numpy as np
d = sys.argv[1] + '/data/reference/consolidated_'
x = np.load(d + 'embeddings.npy').astype('f4'); index = faiss.IndexFlatL2(x.shape[1]); index.add(x); faiss.write_index(index, d + 'index.faiss')
`;

async function oldIndexedProject(): Promise<TestProject> {
  const project = await oldProject();
  project.write('pipeline.yaml', WITH_INDEX);
  python(OLD_INDEX, project.root);
  return project;
}

const METADATA = 'data/reference/consolidated_metadata.json';
const INDEX = 'data/reference/consolidated_index.faiss';
const KEPT_INDEX = 'data/reference/consolidated_index.before-adopt.faiss';
const KEPT = 'data/reference/consolidated_metadata.before-adopt.json';

oracleTest(
  test,
  ['numpy', 'faiss'],
  'the index of the older system is kept aside, and the next build makes its own',
  async () => {
    const project = await oldIndexedProject();
    const before = project.sha256(INDEX);
    const adopted = await project.firn('adopt');
    assert.is(adopted.code, 0, adopted.stderr);
    assert.match(adopted.stdout, /the index as it was: .*consolidated_index\.before-adopt\.faiss/);
    assert.is(project.sha256(KEPT_INDEX), before);
    assert.not(project.exists(INDEX));
    const found = parse<{ results: unknown[] }>(
      await project.firn('search', '--run', 'A/r1', '--seq-idx', '0', '--json', '--top-k', '3'),
    );
    assert.is(found.results.length, 3);

    const built = await project.build();
    assert.is(built.failed, 0, JSON.stringify(built));
    assert.is(stepOf(built, 'index:reference').status, 'ran');
    const rows = 'import sys, faiss\nprint(faiss.read_index(sys.argv[1]).ntotal)';
    assert.is(python(rows, project.path(INDEX)).trim(), '18');
    assert.is(project.sha256(KEPT_INDEX), before);
    assert.is((await project.build()).ran, 0);
    assert.equal(project.leftovers(), []);
  },
);

oracleTest(test, ['numpy', 'faiss'], 'what is in the way is named, and nothing is changed', async () => {
  for (const taken of [KEPT, KEPT_INDEX]) {
    const project = await oldIndexedProject();
    project.write(taken, 'of somebody');
    const before = project.digests('data');
    const refused = await project.firn('adopt');
    assert.is(refused.code, 1);
    assert.match(refused.stderr, /before-adopt\.(json|faiss): is in the way: .*\n {2}Move it away\.\n$/);
    assert.equal(project.digests('data'), before);
  }
});

oracleTest(test, ['numpy'], 'a name that is no run of the project is refused', async () => {
  const project = await oldProject();
  project.write(METADATA, project.read(METADATA).toString().replaceAll('"dataset": "B"', '"dataset": ".."'));
  const refused = await project.firn('adopt');
  assert.is(refused.code, 1);
  assert.match(
    refused.stderr,
    /names the run "\.\.\/r1", and firn has no place for it\n {2}Runs are named dataset\/run/,
  );
});

/** The disk until its `at`-th change; that one and, when the process is dead by then, all later ones fail. */
function brokenPort(at: number, how: 'fails' | 'dies'): { port: Port; changes(): number } {
  let changes = 0;
  const strike = (): void => {
    changes += 1;
    if (changes === at || (how === 'dies' && changes > at)) throw new Error('no more');
  };
  const changing = ['create', 'append', 'rename', 'unlink', 'syncDirectory', 'copy'] as const;
  const port = { ...disk } as Port;
  for (const name of changing) {
    Object.assign(port, {
      [name]: async (...args: unknown[]) => {
        strike();
        return (disk[name] as (...args: unknown[]) => unknown)(...args);
      },
    });
  }
  return { port, changes: () => changes };
}

oracleTest(
  test,
  ['numpy', 'faiss'],
  'an adoption that fails or dies anywhere leaves the old state or the new, and again completes it',
  async () => {
    const original = await oldIndexedProject();
    const adopt = (project: TestProject, port: Port) =>
      adoptReference({
        port,
        root: project.root,
        cacheDirectory: project.path('cache'),
        directory: project.path('data/reference'),
        runsDir: project.path('consolidated_data/runs'),
        signal: new AbortController().signal,
        onProgress: () => undefined,
        onWait: () => assert.unreachable('nobody else is here'),
      });
    const whole = original.clone();
    const counted = brokenPort(0, 'fails');
    await adopt(whole, counted.port);
    const goal = whole.digests('data');
    assert.ok(counted.changes() >= 6);
    const old = original.digests('data');
    for (const how of ['fails', 'dies'] as const) {
      for (let at = 1; at <= counted.changes(); at++) {
        const project = original.clone();
        await adopt(project, brokenPort(at, how).port).then(
          () => assert.unreachable(`change ${at} did not stop it`),
          () => undefined,
        );
        // Its holder lives: this process.
        if (project.exists('cache/lock')) project.remove('cache/lock');
        const now = project.digests('data');
        const changed = now[METADATA] !== old[METADATA];
        if (changed) assert.equal(now, goal, `${how} at ${at}`);
        if (how === 'fails' && !changed) {
          const { [KEPT]: kept, ...rest } = now;
          assert.equal(rest, old, `${how} at ${at}`);
          assert.ok(kept === undefined || kept === old[METADATA]);
        }
        if (!changed) await adopt(project, disk);
        const { ...after } = project.digests('data');
        for (const path of Object.keys(after)) if (path.includes('/.firn-')) delete after[path];
        assert.equal(after, goal, `${how} at ${at}, adopted again`);
      }
    }
  },
);

test.run();
