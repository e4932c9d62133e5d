/** The k-mer embedder against counting in Python, and the laws it must keep. */
import { readFileSync, writeFileSync } from 'node:fs';
import { join } from 'node:path';
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { FirnError } from '../src/errors.js';
import { createEmbedder } from '../src/sequences/embedder.js';
import { temporaryFolder } from './rig/folder.js';
import { oracleTest, python } from './rig/python.js';

const s = suite('k-mer embedder');

/** One string slice a word and a dictionary, in numpy: slow, and nothing of it is shared with firn. */
const ORACLE = `
import itertools, json, sys
import numpy as np
job = json.load(open(sys.argv[1]))
rows = []
for sequence in job["sequences"]:
    words = ["".join(w) for w in itertools.product("ACGT", repeat=job["k"])]
    column = {w: i for i, w in enumerate(words)}
    n = np.zeros(len(words), np.int64)
    strands = [sequence.upper().replace("U", "T")]
    if job["both"]:
        strands.append(strands[0][::-1].translate(str.maketrans("ACGT", "TGCA")))
    for strand in strands:
        for at in range(len(strand) - job["k"] + 1):
            word = strand[at:at + job["k"]]
            if word in column:
                n[column[word]] += 1
    if n.any():
        rows.append((n / np.sqrt((n * n).sum())).astype("<f4"))
    else:
        rows.append(np.full(len(words), np.nan, "<f4"))
np.array(rows).tofile(sys.argv[2])
`;

const sequences = [
  ...fc.sample(fc.string({ unit: fc.constantFrom(...'ACGT'), maxLength: 300, size: 'max' }), {
    numRuns: 40,
    seed: 1,
  }),
  ...fc.sample(fc.string({ unit: fc.constantFrom(...'ACGTacgtUuNRY'), maxLength: 60, size: 'max' }), {
    numRuns: 60,
    seed: 2,
  }),
  'ACGT',
  'AAAAAAAAAA',
  'ACG',
  '',
  'NNNNNNNN',
];

for (const k of [1, 2, 3, 4, 5, 6]) {
  for (const both of [false, true]) {
    oracleTest(s, ['numpy'], `k = ${k}${both ? ', both strands' : ''}: every bit as numpy has it`, () => {
      const folder = temporaryFolder();
      writeFileSync(join(folder, 'in.json'), JSON.stringify({ k, both, sequences }));
      python(ORACLE, join(folder, 'in.json'), join(folder, 'out'));
      const bytes = readFileSync(join(folder, 'out'));
      const { dims, embed } = createEmbedder('kmer', { k, 'reverse-complement': both });
      assert.is(dims, 4 ** k);
      let none = 0;
      for (const [row, sequence] of sequences.entries()) {
        const expected = bytes.subarray(row * 4 * dims, (row + 1) * 4 * dims);
        const vector = embed(sequence);
        if (vector === undefined) {
          none += 1;
          assert.ok(Number.isNaN(expected.readFloatLE(0)), sequence);
        } else {
          assert.ok(Buffer.from(vector.buffer).equals(expected), sequence);
        }
      }
      assert.ok(none >= 2 && none < sequences.length / 2, `${none} without a vector`);
    });
  }
}

s('known by hand: k = 1 and k = 2', () => {
  assert.equal(
    [...createEmbedder('kmer', { k: 1 }).embed('AAAGGGGN')!],
    [Math.fround(0.6), 0, Math.fround(0.8), 0],
  );
  const two = createEmbedder('kmer', { k: 2 }).embed('ACGNT')!;
  assert.is(two[1], Math.fround(Math.SQRT1_2), 'AC');
  assert.is(two[6], Math.fround(Math.SQRT1_2), 'CG');
  assert.is(two.filter((value) => value !== 0).length, 2);
});

s('a sequence and its reverse complement have one vector when both strands count', () => {
  const other: Record<string, string> = { A: 'T', C: 'G', G: 'C', T: 'A', N: 'N' };
  const { embed } = createEmbedder('kmer', { 'reverse-complement': true });
  fc.assert(
    fc.property(fc.string({ unit: fc.constantFrom(...'ACGTN'), maxLength: 80 }), (sequence) => {
      const reverse = [...sequence].reverse().map((letter) => other[letter]);
      assert.equal(embed(sequence), embed(reverse.join('')));
    }),
  );
});

s('a vector is new each time, of length one, and none is made without a word', () => {
  const { embed, needs } = createEmbedder('kmer');
  const first = embed('ACGTAC')!;
  const copy = first.slice();
  embed('TTTTTTT');
  assert.equal(first, copy);
  assert.ok(Math.abs(first.reduce((sum, value) => sum + value * value, 0) - 1) < 1e-6);
  for (const sequence of ['', 'ACG', 'ACGNACGNACG', '\u0141\u0141\u0141\u0141'])
    assert.is(embed(sequence), undefined);
  assert.match(needs, /4/);
});

s('an unknown embedder and a k out of range are refused', () => {
  const refused = (error: FirnError) => error instanceof FirnError && error.kind === 'usage';
  assert.throws(() => createEmbedder('bert'), refused);
  assert.throws(() => createEmbedder('constructor'), refused);
  for (const k of [0, 7, 2.5, Number.NaN]) assert.throws(() => createEmbedder('kmer', { k }), refused);
});

s.run();
