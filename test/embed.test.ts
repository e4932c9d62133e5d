/** The rule `embed`: files of sequences become runs, row by row what an independent count gives. */
import { mkdirSync, symlinkSync } from 'node:fs';
import { gzipSync } from 'node:zlib';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { disk } from '../src/files/disk.js';
import type { Port, WriteHandle } from '../src/files/port.js';
import { buildHere } from './rig/build-here.js';
import { idsWith, TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';

const test = suite('embed');

const RUNS = 'consolidated_data/runs';
const PIPELINE = `targets:
  embedded:
    rule: embed
    from: ["sequences/*/*.fasta", "sequences/*/*.fasta.gz", "sequences/*/*.fastq", "sequences/*/*.fq.gz"]
    with: {k: 3, version: kmer-3}
  reference:
    rule: consolidate
    runs: all
    out: data/reference
`;

/** Sequences that depend on the seed only. */
function sequences(seed: number, count: number): { name: string; bases: string }[] {
  let state = seed;
  const next = (limit: number) => {
    state = (Math.imul(state, 1103515245) + 12345) >>> 0;
    return (state >>> 8) % limit;
  };
  return Array.from({ length: count }, (_, i) => ({
    name: `read_${seed}_${i}`,
    bases: Array.from({ length: 20 + next(120) }, () => 'ACGTACGTACGTN'[next(13)]).join(''),
  }));
}

/** In lines of 60, with a description behind the name. */
function fasta(list: { name: string; bases: string }[]): string {
  return list
    .map(({ name, bases }) => `>${name} sampled somewhere\n${bases.replace(/.{60}/g, '$&\n')}\n`)
    .join('');
}

function fastq(list: { name: string; bases: string }[]): string {
  return list.map(({ name, bases }) => `@${name}\n${bases}\n+\n${'I'.repeat(bases.length)}\n`).join('');
}

/** Counts by slices and a dictionary; compares every run with its own reading of the files. */
const ORACLE = `
import glob, gzip, itertools, json, numpy as np, os, sys
root, k, both = sys.argv[1], int(sys.argv[2]), 'both' in sys.argv
column = {''.join(w): i for i, w in enumerate(itertools.product('ACGT', repeat=k))}
def records(path):
    data = (gzip.open if path.endswith('.gz') else open)(path, 'rt').read()
    if data.startswith('@'):
        lines = data.split('\\n')
        return [(lines[i][1:].split()[0], lines[i + 1]) for i in range(0, len(lines) - 1, 4)]
    return [(r.split('\\n')[0].split()[0], ''.join(r.split('\\n')[1:])) for r in data.split('>')[1:]]
checked = 0
for path in sorted(glob.glob(root + '/sequences/*/*')):
    dataset, name = path.split('/')[-2:]
    rows, names, skipped = [], [], []
    for read, bases in records(path):
        n = np.zeros(len(column))
        for at in range(len(bases) - k + 1):
            if bases[at:at + k] in column: n[column[bases[at:at + k]]] += 1
        if both: n = n + np.array([n[column[''.join('TGCA'['ACGT'.index(b)] for b in reversed(w))]] for w in column])
        if n.any():
            rows.append((n / np.sqrt((n * n).sum())).astype('<f4')); names.append(read)
        else: skipped.append((read, len(bases)))
    run = f"{root}/consolidated_data/runs/{dataset}/{name.split('.')[0]}"
    x = np.load(run + '/embeddings.npy')
    assert x.dtype == np.float32 and x.shape == (len(rows), len(column)), (path, x.dtype, x.shape)
    assert x.tobytes() == b''.join(r.tobytes() for r in rows), path
    assert open(run + '/sequence_names.txt').read().splitlines() == names, path
    lines = [line.split('\\t') for line in open(run + '/skipped_sequences.tsv').read().splitlines()]
    assert lines[0] == ['sequence', 'length', 'reason'], lines
    assert [(l[0], int(l[1])) for l in lines[1:]] == skipped, (path, lines, skipped)
    facts = json.load(open(run + '/embedding_run.json'))
    assert facts['sequences'] == len(rows) and facts['skipped'] == len(skipped) and facts['version'] == 'kmer-3', facts
    checked += 1
print(checked)
`;

oracleTest(test, ['numpy'], 'FASTA and FASTQ, plain and gzip, as an independent count has them', async () => {
  const project = new TestProject(PIPELINE);
  const short = [
    { name: 'tiny', bases: 'AC' },
    { name: 'unknown', bases: 'NNNNNNNNNN' },
    { name: 'broken', bases: 'ACNGTNAC' },
  ];
  project.write('sequences/A/plain.fasta', fasta(sequences(1, 3000)));
  project.write(
    'sequences/A/packed.fasta.gz',
    gzipSync(fasta([...sequences(2, 40), ...short, ...sequences(3, 3)])),
  );
  // Two members in one file, as bgzip and cat make them.
  project.write(
    'sequences/B/members.fq.gz',
    Buffer.concat([gzipSync(fastq(sequences(4, 30))), gzipSync(fastq(short))]),
  );
  project.write('sequences/B/plain.fastq', fastq(sequences(5, 20)));
  project.write('sequences/B/crlf.fasta', fasta(sequences(6, 5)).replaceAll('\n', '\r\n'));
  project.write('sequences/B/none.fasta', '');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0, stderr);
  assert.match(
    stderr,
    /warning: embedded:A\/packed: 3 of 46 sequences were not embedded \(they need at least 3 unambiguous bases in a row\); consolidated_data\/runs\/A\/packed\/skipped_sequences\.tsv names them/,
  );
  assert.is(python(ORACLE, project.root, '3').trim(), '6');
  assert.is(project.reference().metadata.total_sequences, 3000 + 43 + 30 + 20 + 5);
  assert.equal(new Set(project.reference().metadata.runs.map(({ version }) => version)), new Set(['kmer-3']));
});

oracleTest(test, ['numpy'], 'both strands counted, as an independent count has them', async () => {
  const project = new TestProject(PIPELINE.replace('k: 3', 'k: 3, reverse-complement: true'));
  project.write(
    'sequences/A/one.fasta',
    fasta([{ name: 'lower', bases: 'GATTACAGATTACANGT' }, ...sequences(7, 12)]),
  );
  assert.is((await project.build()).failed, 0);
  assert.is(python(ORACLE, project.root, '3', 'both').trim(), '1');
});

test('a changed file rebuilds its run and no other', async () => {
  const project = new TestProject(PIPELINE);
  for (const name of ['a', 'b', 'c'])
    project.write(`sequences/A/${name}.fasta`, fasta(sequences(name.charCodeAt(0), 5)));
  assert.is((await project.build()).ran, 4);
  assert.is((await project.build()).ran, 0);
  project.write('sequences/A/b.fasta', fasta(sequences(99, 6)));
  project.write('sequences/A/d.fasta', fasta(sequences(100, 2)));
  const changed = await project.build();
  assert.equal(idsWith(changed, 'ran'), ['embedded:A/b', 'embedded:A/d', 'reference']);
  assert.equal(project.reference().names, ['A/a', 'A/b', 'A/c', 'A/d']);

  // Other bytes of the same sequences: the run is the same, and the reference hears nothing of it.
  project.write('sequences/A/b.fasta', fasta(sequences(99, 6)).replaceAll(' sampled somewhere', ''));
  const cut = await project.build();
  assert.equal([idsWith(cut, 'ran'), idsWith(cut, 'fresh').includes('reference')], [['embedded:A/b'], true]);

  project.remove('sequences/A/a.fasta');
  const removed = await project.build();
  assert.is(removed.failed, 0);
  assert.ok(project.exists(`${RUNS}/A/a/embeddings.npy`), 'a run stays when its source goes');
});

test('a run that is there by another hand is not overwritten', async () => {
  for (const made of ['npy', 'npz only'] as const) {
    const project = new TestProject(PIPELINE);
    project.write('sequences/A/a.fasta', fasta(sequences(1, 5)));
    project.write('sequences/A/b.fasta', fasta(sequences(2, 5)));
    await project.writeRun('A/a', { dims: 64 });
    if (made === 'npz only') {
      python(
        'import numpy as np, os, sys\nx = np.load(sys.argv[1] + ".npy"); np.savez_compressed(sys.argv[1] + ".npz", embeddings=x); os.unlink(sys.argv[1] + ".npy")',
        project.path(`${RUNS}/A/a/embeddings`),
      );
    }
    const before = project.digests(`${RUNS}/A/a`);
    const { steps } = await project.build('--keep-going');
    const step = steps.find(({ id }) => id === 'embedded:A/a');
    assert.is(step?.status, 'failed');
    assert.match(step?.error ?? '', /consolidated_data\/runs\/A\/a.*firn/);
    assert.equal(project.digests(`${RUNS}/A/a`), before);
    assert.is(steps.find(({ id }) => id === 'embedded:A/b')?.status, 'ran');
    // Its own it does know again, also without a record.
    project.remove(`${RUNS}/A/a`);
    assert.is((await project.build()).failed, 0);
    project.remove('cache');
    assert.is((await project.build()).failed, 0);
  }
});

test('dataset and run from the parts of a name', async () => {
  const project = new TestProject(
    'targets:\n  e: {rule: embed, from: "raw/{run}/{dataset}_R?.fasta", with: {k: 2}}\n',
  );
  project.write('raw/2024-11-20/Marine_R1.fasta', '>a\nACGT\n');
  project.write('raw/2024-11-21/Soil_R1.fasta', '>a\nACGT\n');
  assert.equal(idsWith(await project.build(), 'ran'), ['e:Marine/2024-11-20', 'e:Soil/2024-11-21']);
  assert.ok(project.exists(`${RUNS}/Soil/2024-11-21/embeddings.npy`));

  const cases: [from: string, files: string[], says: RegExp][] = [
    [
      '"*.fasta"',
      ['a.fasta'],
      /a\.fasta names no dataset\n {2}Put the file into a folder named for its dataset/,
    ],
    [
      '["s/A/*.fasta", "s/A/*.fa"]',
      ['s/A/x.fasta', 's/A/x.fa'],
      /s\/A\/x\.fasta and s\/A\/x\.fa would both be the run A\/x\n {2}Rename one/,
    ],
    ['"s/A/..fasta"', ['s/A/..fasta'], /would be the run A\/\., and names of runs do not begin with a dot/],
    ['s/A/no.fasta', ['s/A/x.fasta'], /there is no file s\/A\/no\.fasta/],
  ];
  for (const [from, files, says] of cases) {
    const other = new TestProject(`targets:\n  e: {rule: embed, from: ${from}}\n`);
    for (const file of files) other.write(file, '>a\nACGT\n');
    const { code, stderr } = await other.firn('build');
    assert.is(code, 2);
    assert.match(stderr, says);
  }
});

test('files that are no sequences fail by name and line, and make no run', async () => {
  const cases: [name: string, content: string | Buffer, says: RegExp][] = [
    ['text.fasta', 'hello\n', /sequences\/A\/text\.fasta:1: expected `>`/],
    ['protein.fasta', '>a\nACGT\n>b\nMKVLQE\n', /sequences\/A\/protein\.fasta:4: .* is no nucleotide letter/],
    ['cut.fasta.gz', gzipSync(fasta(sequences(1, 500))).subarray(0, 2000), /sequences\/A\/cut\.fasta\.gz: /],
    ['reads.fastq', '@a\nACGT\n+\nII\n', /sequences\/A\/reads\.fastq:\d+: /],
  ];
  for (const [name, content, says] of cases) {
    const project = new TestProject(PIPELINE);
    project.write(`sequences/A/${name}`, content);
    const { code, stderr } = await project.firn('build');
    assert.is(code, 1);
    assert.match(stderr, says);
    assert.not.ok(project.exists(`${RUNS}/A/${name.split('.')[0]}`));
  }
});

test('a step that fails leaves none of its files open', async () => {
  const project = new TestProject(PIPELINE);
  project.write('sequences/A/r1.fasta', '>a\nACGTACGT\nno sequence\n');
  const open: string[] = [];
  const port: Port = {
    ...disk,
    async create(path) {
      const handle = await disk.create(path);
      open.push(path);
      return Object.assign(Object.create(handle) as WriteHandle, {
        write: (data: Uint8Array, position?: number) => handle.write(data, position),
        sync: () => handle.sync(),
        close() {
          if (open.includes(path)) open.splice(open.indexOf(path), 1);
          return handle.close();
        },
      });
    },
  };
  await buildHere(project, port).catch(() => undefined);
  assert.equal(open, []);
});

test('a file without any sequence is named', async () => {
  const project = new TestProject('targets:\n  embedded: {rule: embed, from: sequences/*/*.fasta}\n');
  project.write('sequences/A/empty.fasta', '');
  project.write('sequences/A/one.fasta', '>a\nACGTACGT\n');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.match(
    stderr,
    'warning: embedded:A/empty: sequences/A/empty.fasta holds no sequence: the run made of it has no rows\n',
  );
  assert.is(stderr.match(/warning/g)?.length, 1);
});

test('a pattern that matches nothing is named, also where the error stands at what needs its runs', async () => {
  const project = new TestProject(PIPELINE.replace('sequences/*/*.fasta", ', 'sequences/*/*.fa", '));
  project.write('sequences/A/r1.fasta', '>a\nACGTACGT\n');
  const NOTHING = /embedded: nothing matches sequences\/\*\/\*\.fa, .*, so there is nothing to embed\n/;
  for (const command of [['build'], ['build', '-n'], ['status']]) {
    const { code, stderr } = await project.firn(...command);
    assert.is(code, 2);
    assert.match(stderr, /there is no run in consolidated_data\/runs\n/);
    assert.match(stderr, NOTHING);
  }
  mkdirSync(project.path(`${RUNS}/A`), { recursive: true });
  symlinkSync(project.path('sequences/A'), project.path(`${RUNS}/A/link`));
  assert.match((await project.firn('build')).stderr, `passed over ${RUNS}/A/link: it is a link`);
  await project.writeRun('A/own');
  const { code, stderr } = await project.firn('build');
  assert.is(code, 0);
  assert.match(stderr, NOTHING);
});

test.run();
