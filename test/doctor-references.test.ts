/** `firn doctor` on references and their indexes: each way to be broken is found, and nothing else. */
import { chmodSync, cpSync, readdirSync } from 'node:fs';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { NPROBE_AT } from '../src/faiss/format.js';
import { readIndexHeader } from '../src/faiss/header.js';
import { encodeTrailer, readTrailer } from '../src/faiss/trailer.js';
import { disk } from '../src/files/disk.js';
import {
  ARRAY,
  type Broken,
  expectFindings,
  INDEX,
  METADATA,
  PIPELINE,
  REFERENCE,
  RUNS,
  withoutFaissNode,
} from './rig/doctor.js';
import { TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('doctor: references');

/** A project with an IVF index, small as it is. */
async function withLists(parameters = 'nlist: 4'): Promise<TestProject> {
  const project = new TestProject(
    PIPELINE.replace('from: [reference]', `from: [reference], with: {${parameters}}`),
  );
  await project.writeRun('A/r1', { rows: 400 });
  await project.build();
  return project;
}

function flipBit(project: TestProject, path: string, fromEnd: number): void {
  const bytes = project.read(path);
  bytes[bytes.length - fromEnd] ^= 1;
  project.write(path, bytes);
}

const RELEASE = `${REFERENCE}/releases/reference_v1`;

/** With a release that can be written to, as root always can. */
async function released(project: TestProject): Promise<void> {
  const { code, stderr } = await project.firn('release', 'v1', '--date', '2024-11-01');
  assert.is(code, 0, stderr);
  chmodSync(project.path(RELEASE), 0o755);
  for (const name of readdirSync(project.path(RELEASE))) chmodSync(project.path(`${RELEASE}/${name}`), 0o644);
}

const CASES: { [what: string]: Broken } = {
  'the metadata is gone': {
    finds: ['reference-incomplete'],
    breaks: (project) => project.remove(METADATA),
    path: METADATA,
    remedy: /`firn build reference` restores it/,
  },
  'the array is gone, and the metadata there': {
    finds: ['reference-incomplete'],
    breaks: (project) => project.remove(ARRAY),
    path: ARRAY,
  },
  'the array is gone, and held the only copy of a run': {
    finds: ['reference-incomplete'],
    async breaks(project) {
      project.remove(`${RUNS}/B/r1`);
      await project.build();
      project.remove(ARRAY);
      project.remove('cache');
    },
    path: ARRAY,
    remedy: /only copy of B\/r1: put the file back from a release or backup/,
  },
  'a folder stands in the place of the array': {
    finds: ['reference-incomplete'],
    breaks(project) {
      project.remove(ARRAY);
      project.write(`${ARRAY}/x`, '');
    },
    path: ARRAY,
    message: /is no file/,
    remedy:
      /^`mv -- data\/reference\/consolidated_embeddings\.npy .*\.away`\. `firn build reference` restores it/,
  },
  'the array is cut short': {
    finds: ['reference-unusable'],
    breaks: (project) => project.write(ARRAY, project.read(ARRAY).subarray(0, 500)),
    path: ARRAY,
    message: /is truncated/,
  },
  'the metadata was edited by hand': {
    finds: ['reference-metadata'],
    breaks: (project) =>
      project.write(METADATA, project.read(METADATA).toString().replace('"run_id": "r2"', '"run_id": "r9"')),
    path: METADATA,
    message: /altered since firn wrote it/,
  },
  'the metadata is of a newer firn': {
    finds: ['reference-metadata'],
    breaks(project) {
      project.write(METADATA, project.read(METADATA).toString().replace('"format": 1', '"format": 2'));
      project.remove('cache');
    },
    message: /newer firn/,
  },
  'the totals of the metadata were edited by hand': {
    finds: ['reference-metadata'],
    breaks(project) {
      const text = project.read(METADATA).toString();
      project.write(METADATA, text.replace('"total_sequences": 60', '"total_sequences": 61'));
      project.remove('cache');
    },
    message: /total_sequences is 61, and the ranges give 60/,
  },
  'the list of rows was edited by hand': {
    finds: ['reference-metadata'],
    breaks(project) {
      const text = project.read(METADATA).toString();
      project.write(METADATA, text.replace('"seq_idx": 7,', '"seq_idx": 8,'));
      project.remove('cache');
    },
    args: ['--full'],
    message: /lists sequences that are not those of its runs/,
  },
  'a bit of the array has flipped': {
    finds: ['reference-altered'],
    breaks: (project) => flipBit(project, ARRAY, 5),
    args: ['--full'],
    path: ARRAY,
    message: /is not the array that its metadata names, does not hold the values of B\/r1 in rows 40 to 59/,
    remedy: /`firn build reference`/,
  },
  'bytes were added at its end': {
    finds: ['reference-altered'],
    breaks: (project) => project.write(ARRAY, Buffer.concat([project.read(ARRAY), Buffer.alloc(9)])),
    args: ['--full'],
    message: /^is not the array that its metadata names$/,
  },
  'a bit of the index has flipped': {
    finds: ['index-altered'],
    breaks: (project) => flipBit(project, INDEX, project.read(INDEX).length - 60),
    args: ['--full'],
    path: INDEX,
    message: /other vectors than the rows of the array/,
  },
  'rows of a run that is gone': {
    finds: ['reference-retained'],
    async breaks(project) {
      project.remove(`${RUNS}/B/r1`);
      await project.build();
    },
    path: REFERENCE,
    message: /1 run that is no longer on disk, and may be the only copy: B\/r1/,
  },
  'rows of a run that is gone, and a release holds them: nothing is wrong': {
    finds: [],
    async breaks(project) {
      await project.firn('release', 'v1', '--date', '2024-11-01');
      project.remove(`${RUNS}/B/r1`);
      await project.build();
    },
    args: ['--full'],
  },
  'a release lacks a file': {
    finds: ['release-damaged'],
    async breaks(project) {
      await released(project);
      project.remove(`${RELEASE}/reference_v1.faiss`);
    },
    path: RELEASE,
    message: /^the release v1 is not whole: lacks reference_v1\.faiss$/,
    remedy: /`firn verify data\/reference\/releases\/reference_v1`/,
  },
  'a bit of a release has flipped': {
    finds: ['release-damaged'],
    async breaks(project) {
      await released(project);
      flipBit(project, `${RELEASE}/reference_v1.npy`, 5);
    },
    args: ['--full'],
    path: RELEASE,
    message: /reference_v1\.npy is not what SHA256SUMS says/,
  },
  'no index beside more than 10,000 rows': {
    finds: ['index-missing'],
    async breaks() {
      const project = new TestProject(PIPELINE.split('\n').slice(0, 2).join('\n'));
      await project.writeRun('A/r1', { rows: 10_001, dims: 2 });
      await project.build();
      return project;
    },
    path: INDEX,
    remedy: /add the target `index: \{rule: index, from: \["reference"\]\}` to pipeline\.yaml/,
  },
  'no index, and a target that makes it': {
    finds: ['index-missing'],
    async breaks() {
      const project = new TestProject(PIPELINE);
      await project.writeRun('A/r1', { rows: 10_001, dims: 2 });
      await project.build('reference');
      return project;
    },
    remedy: /^`firn build index` makes it\.$/,
  },
  'an index that is behind': {
    finds: ['index-behind'],
    async breaks(project) {
      await project.writeRun('C/r1', { seed: 9 });
      await project.build('reference');
    },
    path: INDEX,
    message: /lacks the last 20 of 80 rows/,
    remedy: /^`firn build index` makes it\.$/,
  },
  'an index that is cut short': {
    finds: ['index-unusable'],
    breaks: (project) => project.write(INDEX, project.read(INDEX).subarray(0, 200)),
    path: INDEX,
    remedy: /^`firn build index` makes it\.$/,
  },
  'an index of another reference': {
    finds: ['index-unused'],
    async breaks() {
      const project = new TestProject(`targets:
  a: {rule: consolidate, runs: {dataset: A}, out: data/a}
  b: {rule: consolidate, runs: {dataset: B}, out: data/b}
  index: {rule: index, from: [a, b]}
`);
      await project.writeRun('A/r1', { seed: 1 });
      await project.writeRun('B/r1', { seed: 2 });
      await project.build();
      cpSync(
        project.path('data/b/consolidated_index.faiss'),
        project.path('data/a/consolidated_index.faiss'),
      );
      return project;
    },
    path: 'data/a/consolidated_index.faiss',
    message: /is of other rows/,
  },
  'an index that finds less than was asked for': {
    finds: ['index-recall'],
    breaks: () => withLists('nlist: 16, nprobe: 1'),
    path: INDEX,
    message: /finds \d\d(\.\d)? % of the true neighbours, where 95 % are usual/,
  },
  'a stored nprobe that somebody changed': {
    finds: ['index-nprobe'],
    async breaks() {
      const project = await withLists();
      const bytes = project.read(INDEX);
      bytes.writeBigUInt64LE(1n, NPROBE_AT);
      project.write(INDEX, bytes);
      project.remove('cache');
      return project;
    },
    path: INDEX,
    message: /looks into 1 lists, and \d were measured/,
  },
  'lists that have drifted': {
    finds: ['index-drifted'],
    async breaks() {
      const project = await withLists();
      const header = await readIndexHeader(disk, project.path(INDEX));
      const trailer = (await readTrailer(disk, project.path(INDEX))) as { index: object };
      const facts = { ...trailer, index: { ...trailer.index, imbalance: 9 } };
      if (header.kind === 'other') throw new Error('not reached');
      project.write(
        INDEX,
        Buffer.concat([project.read(INDEX).subarray(0, header.end), encodeTrailer(facts)]),
      );
      project.remove('cache');
      return project;
    },
    path: INDEX,
    message: /their imbalance is 9, and was 1\.\d+ when it was trained/,
  },
};

for (const [what, broken] of Object.entries(CASES)) test(what, () => expectFindings(broken));

oracleTest(test, ['numpy'], 'numpy wrote another array over that of the reference', () =>
  expectFindings({
    finds: ['reference-rows'],
    breaks: (project) => {
      python("import numpy as np, sys\nnp.save(sys.argv[1], np.ones((7, 8), 'f4'))", project.path(ARRAY));
    },
    path: METADATA,
    message: /speaks of 60 rows of 8 f4, and .* has 7 rows of 8 f4/,
  }),
);

oracleTest(test, ['numpy'], 'ranges that leave a gap, with a check that fits them', () =>
  expectFindings({
    finds: ['reference-metadata'],
    breaks(project) {
      python(
        `
import hashlib, json, sys
path = sys.argv[1]
meta = json.load(open(path))
meta['runs'][1]['start'] += 3
said = {k: v for k, v in meta['firn'].items() if k != 'check'}
text = json.dumps([meta['embedding_dim'], said, meta['runs']], separators=(',', ':'), ensure_ascii=False)
meta['firn']['check'] = 'sha256:' + hashlib.sha256(text.encode()).hexdigest()
json.dump(meta, open(path, 'w'), indent=2)
`,
        project.path(METADATA),
      );
      project.remove('cache');
    },
    path: METADATA,
    message: /the rows of A\/r2 begin at 23, expected 20/,
  }),
);

/** An older system's reference; `make` may add to it, and has x, rows and p. */
function pythonReference(project: TestProject, make = '', rows = 20, prefix = 'consolidated'): void {
  python(
    `
import json, numpy as np, os, sys
p = sys.argv[1] + '/${prefix}'
os.makedirs(sys.argv[1])
x = np.random.default_rng(3).standard_normal((${rows}, 2)).astype('f4')
np.save(p + '_embeddings.npy', x)
rows = [{'dataset': 'A', 'run_id': 'r1', 'seq_idx': i, 'source_file': ''} for i in range(${rows})]
json.dump({'sequences': rows}, open(p + '_metadata.json', 'w'), indent=2)
${make}
`,
    project.path(REFERENCE),
  );
}

/** Without a pipeline.yaml, which is said as well. */
const OLDER: {
  [what: string]: Pick<Broken, 'finds' | 'message' | 'args' | 'path' | 'remedy'> & {
    make?: string;
    rows?: number;
    prefix?: string;
  };
} = {
  'an older system wrote the reference': {
    finds: ['reference-foreign', 'pipeline-missing'],
    path: METADATA,
    remedy: /^`firn adopt data\/reference` takes it over/,
  },
  'under its older names': {
    finds: ['reference-foreign', 'pipeline-missing'],
    prefix: 'reference',
    path: `${REFERENCE}/reference_metadata.json`,
    remedy: /copy its files as consolidated_embeddings\.npy/,
  },
  'and its list has other rows than its array': {
    finds: ['reference-rows', 'reference-foreign', 'pipeline-missing'],
    make: "np.save(p + '_embeddings.npy', x[:5])",
    args: ['--full'],
    message: /speaks of 20 rows, and .* has 5/,
  },
};

const WITH_FAISS: typeof OLDER = {
  'an IVF index with the nprobe that FAISS stores unless told': {
    finds: ['index-nprobe', 'reference-foreign', 'pipeline-missing'],
    make: "import faiss; i = faiss.index_factory(2, 'IVF4,Flat'); i.train(x); i.add(x); faiss.write_index(i, p + '_index.faiss')",
    rows: 400,
    message: /looks into 1 of 4 lists/,
    path: INDEX,
  },
  'a Flat index of very many rows': {
    finds: ['index-flat', 'reference-foreign', 'pipeline-missing'],
    make: "import faiss; i = faiss.IndexFlatL2(2); i.add(x); faiss.write_index(i, p + '_index.faiss')",
    rows: 100_001,
    path: INDEX,
  },
};

for (const [modules, cases] of [
  [['numpy'], OLDER],
  [['numpy', 'faiss'], WITH_FAISS],
] as const) {
  for (const [what, { make, rows, prefix, ...broken }] of Object.entries(cases)) {
    oracleTest(test, [...modules], what, () =>
      expectFindings({
        ...broken,
        async breaks() {
          const project = new TestProject();
          await project.writeRun('A/r1', { rows: 20, dims: 2 });
          pythonReference(project, make, rows, prefix);
          return project;
        },
      }),
    );
  }
}

oracleTest(test, ['numpy', 'faiss'], 'an index that only FAISS reads, without the package for it', () =>
  expectFindings({
    finds: ['package-missing', 'reference-foreign', 'pipeline-missing'],
    async breaks() {
      const project = new TestProject();
      await project.writeRun('A/r1', { rows: 20, dims: 2 });
      pythonReference(
        project,
        "import faiss; i = faiss.index_factory(2, 'HNSW8'); i.add(x); faiss.write_index(i, p + '_index.faiss')",
      );
      withoutFaissNode(project);
      return project;
    },
    path: INDEX,
    message:
      /is a FAISS index of type IHNf, so a search compares every row: the package faiss-node is needed/,
  }),
);

oracleTest(test, ['numpy', 'faiss'], 'an index by Python beside a reference of firn', () =>
  expectFindings({
    finds: ['index-unused'],
    async breaks(project) {
      python(
        'import faiss, numpy as np, sys\nx = np.load(sys.argv[1]); i = faiss.IndexFlatL2(8); i.add(x); faiss.write_index(i, sys.argv[2])',
        project.path(ARRAY),
        project.path(INDEX),
      );
      project.remove('cache');
    },
    path: INDEX,
    message: /does not say of which rows it is/,
    remedy:
      /`mv -- data\/reference\/consolidated_index\.faiss data\/reference\/consolidated_index\.faiss\.bad`/,
  }),
);

test.run();
