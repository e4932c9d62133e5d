/**
 * FAISS files that somebody made to be searched wrongly. A damaged one is refused or answers with what it holds; one that
 * names rows twice, or rows that are not there, or holds what no distance can be computed from, changes no answer.
 */
import { writeFileSync } from 'node:fs';
import { join } from 'node:path';
import * as fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { createNpy } from '../src/arrays/npy-writer.js';
import { FirnError } from '../src/errors.js';
import { flatHead, floatBytes, ivfHead, ivfLayout, type Metric } from '../src/faiss/format.js';
import { openIndex } from '../src/faiss/search.js';
import { encodeTrailer } from '../src/faiss/trailer.js';
import { disk } from '../src/files/disk.js';
import { openReference } from '../src/reference/open.js';
import { openReferenceIndex, searchReference } from '../src/reference/search.js';
import { refused } from './faiss-rig.js';
import { temporaryFolder } from './rig/folder.js';
import { memoryPort } from './rig/memory-port.js';
import { seededValues } from './rig/project.js';
import { damaged, holds } from './rig/property.js';

const s = suite('hostile indexes');

const DIMS = 3;

interface List {
  vectors: Float32Array;
  ids: number[];
}

function idBytes(ids: readonly number[]): Buffer {
  return Buffer.from(BigInt64Array.from(ids, (id) => BigInt(id)).buffer);
}

/** An IVF,Flat file of these lists, whatever their ids; the centroid of list i is all i. */
function ivfOf(lists: readonly List[], metric: Metric = 'l2', nprobe = lists.length): Buffer {
  const layout = ivfLayout(
    DIMS,
    metric,
    Float64Array.from(lists, ({ ids }) => ids.length),
  );
  const centroids = Float32Array.from({ length: DIMS * lists.length }, (_, i) => Math.floor(i / DIMS));
  const parts = lists.flatMap(({ vectors, ids }) => [floatBytes(vectors), idBytes(ids)]);
  return Buffer.concat([ivfHead(layout, nprobe, centroids), ...parts]);
}

function flatOf(vectors: Float32Array, metric: Metric = 'l2'): Buffer {
  return Buffer.concat([flatHead(DIMS, vectors.length / DIMS, metric), floatBytes(vectors)]);
}

const listOf = (seed: number, ids: number[]): List => ({
  vectors: seededValues(seed, ids.length * DIMS),
  ids,
});

s('a damaged index is refused by name, or answers with vectors that it holds', async () => {
  const good = [
    flatOf(seededValues(1, 4 * DIMS)),
    flatOf(seededValues(2, 4 * DIMS), 'ip'),
    ivfOf([listOf(1, [0, 2]), listOf(2, [1]), listOf(3, [3, 4])]),
    ivfOf([listOf(4, []), listOf(5, [0, 1]), listOf(6, []), listOf(7, []), listOf(8, [])], 'ip', 1),
  ];
  const queries = seededValues(9, 2 * DIMS);
  const seen = { answered: 0, refused: 0 };
  await holds(
    12_000,
    fc.asyncProperty(
      fc.constantFrom(...good).chain(damaged),
      fc.integer({ min: 1, max: 6 }),
      async (bytes, k) => {
        try {
          const index = await openIndex(memoryPort(bytes), 'small');
          // What only FAISS reads goes to a process of its own.
          if (index.header.kind === 'other') return;
          for (const found of await index.search(queries, k)) {
            assert.ok(found.length <= k);
            for (const { id, distance } of found)
              assert.ok(Number.isSafeInteger(id) && !Number.isNaN(distance));
          }
          seen.answered += 1;
        } catch (error) {
          if (!(error instanceof FirnError)) throw error;
          assert.equal([/input|usage/.test(error.kind), error.path], [true, 'small'], error.message);
          seen.refused += 1;
        }
      },
    ),
  );
  assert.ok(seen.answered > 200 && seen.refused > 200, JSON.stringify(seen));
});

const ROWS = 40;
const values = seededValues(3, ROWS * DIMS);
const vectorsOf = (rows: readonly number[]): Float32Array =>
  Float32Array.from(rows.flatMap((row) => [...values.subarray(row * DIMS, (row + 1) * DIMS)]));
const all = Array.from({ length: ROWS }, (_, row) => row);

/** A reference of another program with this index beside it; what it answers to a query near row 7. */
async function answers(index: Uint8Array): Promise<{ ids: number[]; method: string; note: string }> {
  const folder = temporaryFolder();
  const npy = await createNpy(disk, join(folder, 'consolidated_embeddings.npy'), {
    dtype: 'f4',
    dims: DIMS,
    rows: ROWS,
  });
  await npy.write(new Uint8Array(Float32Array.from(values).buffer));
  await npy.finish();
  const sequences = all.map((row) => ({ dataset: 'A', run_id: 'r', seq_idx: row, source_file: '' }));
  writeFileSync(join(folder, 'consolidated_metadata.json'), JSON.stringify({ sequences }));
  writeFileSync(join(folder, 'consolidated_index.faiss'), index);
  const reference = await openReference(disk, folder);
  const opened = await openReferenceIndex(disk, reference);
  try {
    const found = await searchReference(reference, opened, { query: vectorsOf([7]), k: 5 });
    return { ids: found.neighbours.map(({ id }) => id), method: found.method, note: found.note ?? '' };
  } finally {
    await opened.close();
    await reference.close();
  }
}

s(
  'rows that are named twice, or are not there, or are others: the very neighbours all the same',
  async () => {
    const honest = await answers(ivfOf([{ vectors: values, ids: all }]));
    assert.equal([honest.ids[0], honest.method, honest.note], [7, 'index', '']);
    const twice = [...all.slice(0, -1), 7];
    const nan = Float32Array.from(values, (value, i) =>
      i < 30 * DIMS && Math.floor(i / DIMS) !== 7 ? NaN : value,
    );
    const lies: [string, Uint8Array][] = [
      [
        'one row in two lists',
        ivfOf([
          { vectors: vectorsOf(all), ids: all },
          { vectors: vectorsOf([7]), ids: [7] },
        ]),
      ],
      ['one row twice, another not at all', ivfOf([{ vectors: vectorsOf(twice), ids: twice }])],
      ['all rows are row 7', ivfOf([{ vectors: vectorsOf(all.map(() => 7)), ids: all }])],
      ['negative', ivfOf([{ vectors: values, ids: all.map((id) => -1 - id) }])],
      ['beyond the last', ivfOf([{ vectors: values, ids: all.map((id) => id + ROWS) }])],
      ['in another order', ivfOf([{ vectors: values, ids: [...all].reverse() }])],
      ['more rows than there are', flatOf(Float32Array.from([...values, ...values]))],
    ];
    for (const [what, index] of lies) {
      const { ids, method, note } = await answers(index);
      assert.equal([ids, method], [honest.ids, 'exact'], what);
      assert.match(note, /^the index .*every row was compared/, what);
    }
    // Of vectors that are no numbers none is an answer, and they keep none of the others out.
    const { ids } = await answers(flatOf(nan));
    assert.equal([ids[0], ids.slice(1).every((id) => id >= 30)], [7, true]);
  },
);

s('a trailer that anybody can write is not believed', async () => {
  const other = Buffer.concat([Buffer.from('IHNf'), Buffer.alloc(60)]);
  for (const rows of [-3, 0.5, 'many', 1e300, ROWS + 1]) {
    const { ids, method } = await answers(
      Buffer.concat([other, encodeTrailer({ firn: 1, rows, metric: 'l2' })]),
    );
    assert.equal([ids.length, ids[0], method], [5, 7, 'exact'], JSON.stringify(rows));
  }
  const broken = await refused(() => answers(other), 'failed').catch((error: Error) => error);
  // Without faiss-node every row is compared.
  if (broken instanceof FirnError)
    assert.match(broken.format(), /_index\.faiss: FAISS stopped .*\n {2}Build the index again/);
  else assert.match(broken.message, 'was not refused');
  const honest = ivfOf([{ vectors: values, ids: all }]);
  const odd = { firn: 1, rows: 'x', metric: { __proto__: null }, index: { rows: '9', training: null } };
  assert.is((await answers(Buffer.concat([honest, encodeTrailer(odd)]))).ids[0], 7);
});

s.run();
