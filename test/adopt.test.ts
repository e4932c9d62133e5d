/** Taking over a reference that the older Python system wrote, with its habit of counting compressed runs twice. */
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestProject } from './rig/project.js';
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

test.run();
