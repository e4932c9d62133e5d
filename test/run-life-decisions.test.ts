/** Which runs may go, and in which order their files do: pure decisions. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import type { Range } from '../src/reference/layout.js';
import { removalOrder } from '../src/run-life/archive-one.js';
import { holdingOf, type ProjectReference, whyItStays } from '../src/run-life/references.js';
import { restoreOrder } from '../src/run-life/restore.js';
import { signatureOf, type Tree } from '../src/run-life/tree.js';

const test = suite('decisions on runs');

const RUN = { name: 'A/r1', digest: 'sha256:a' };

function range(run: string, digest: string): Range {
  const [dataset, run_id] = run.split('/') as [string, string];
  return { dataset, run_id, count: 2, digest, dtype: 'f4', version: null, retained: false };
}

function reference(target: string, ranges: Range[] | undefined, pruned: string[] = []): ProjectReference {
  const held = new Map(
    (ranges ?? []).map((one, i) => [`${one.dataset}/${one.run_id}`, { range: one, start: 2 * i }]),
  );
  const facts = ranges && { ranges, dims: 4, dtype: 'f4' as const, embeddings: 'sha256:e' };
  return { target, directory: `data/${target}`, facts, held, pruned: new Set(pruned) };
}

const HOLDS = reference('holds', [range('B/x', 'sha256:b'), range('A/r1', 'sha256:a')]);
const DIFFERS = reference('differs', [range('A/r1', 'sha256:other')]);
const LACKS = reference('lacks', [range('B/x', 'sha256:a')]);
const PRUNES = reference('prunes', [range('A/r1', 'sha256:a')], ['A/r1']);
const UNBUILT = reference('unbuilt', undefined);
const UNREADABLE = { ...reference('unreadable', undefined), problem: new Error('altered') };
const ALL = [HOLDS, DIFFERS, LACKS, PRUNES, UNBUILT, UNREADABLE];

test('what a reference has of a run', () => {
  assert.equal(
    ALL.map((one) => holdingOf(one, RUN)),
    ['holds', 'differs', 'lacks', 'pruned', 'unbuilt', 'unreadable'],
  );
});

test('a run may go only if each reference that selects it holds it, and one at least does', () => {
  fc.assert(
    fc.property(fc.subarray(ALL), fc.subarray(ALL.map(({ target }) => target)), (references, selected) => {
      const there = references.filter(({ target }) => selected.includes(target));
      const may = references.includes(HOLDS) && there.every((one) => one === HOLDS);
      const why = whyItStays(RUN, references, new Set(selected));
      assert.is(why === undefined, may);
      if (why === undefined || there.length === 0) return;
      // The targets to build are those that lack it, and no others.
      const lacking = there.filter((one) => one !== HOLDS).map(({ target }) => target);
      if (lacking.length > 0) assert.is(why.advice, `First: firn build ${lacking.join(' ')}`);
    }),
  );
});

test('a rounded copy is never alone: not while files go, and not while they come', () => {
  const names = ['taxonomy.csv', 'embeddings.npz', 'embeddings.npy', 'a/b', '.hidden'];
  fc.assert(
    fc.property(fc.shuffledSubarray(names), (some) => {
      const files = some.map((path) => ({ path }));
      if (!some.includes('embeddings.npy')) return;
      const left = new Set(some);
      for (const { path } of removalOrder(files)) {
        left.delete(path);
        assert.not.ok(left.has('embeddings.npz') && !left.has('embeddings.npy'));
      }
      const come = new Set<string>();
      for (const { path } of restoreOrder(files)) {
        come.add(path);
        assert.not.ok(come.has('embeddings.npz') && !come.has('embeddings.npy'));
      }
      assert.is(come.size, some.length);
    }),
  );
});

test('the signature of a folder changes with any file in it', () => {
  const stat = { kind: 'file', size: 1, mtimeNs: 1n, ctimeNs: 1n, ino: 1n } as const;
  const tree: Tree = { files: [{ path: 'a', stat }], folders: [{ path: 'f', stat }], odd: [] };
  const others: Tree[] = [
    { ...tree, files: [] },
    { ...tree, files: [{ path: 'b', stat }] },
    { ...tree, files: [{ path: 'a', stat: { ...stat, size: 2 } }] },
    { ...tree, files: [{ path: 'a', stat: { ...stat, mtimeNs: 2n } }] },
    { ...tree, files: [{ path: 'a', stat: { ...stat, ctimeNs: 2n } }] },
    { ...tree, files: [{ path: 'a', stat: { ...stat, ino: 2n } }] },
    { ...tree, folders: [] },
    { ...tree, odd: [{ path: 'l', reason: 'is a link' }] },
  ];
  assert.is(new Set([tree, ...others].map(signatureOf)).size, others.length + 1);
});

test.run();
