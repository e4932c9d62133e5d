/** The manifest of a step: one list gives the key and the explanation, and they cannot disagree. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildManifest, canonicalJson, explainChange, keyOf } from '../src/engine/manifest.js';
import type { Digest, Json, ManifestEntry, Rule, Step } from '../src/engine/types.js';

const test = suite('manifest');

const RULE = { name: 'r', version: '1' } as Rule;

function step(parts: Partial<Step> = {}): Step {
  return {
    id: 't',
    target: 't',
    rule: RULE,
    params: { a: 1, b: [2, { x: 1, y: 2 }] },
    inputs: [{ kind: 'file', path: 'in' }],
    outputs: [{ kind: 'file', path: 'out' }],
    ...parts,
  };
}

function manifest(parts: Partial<Step> = {}, digest = 'sha256:1'): ManifestEntry[] {
  const one = step(parts);
  const digests = new Map<string, Digest>(
    one.inputs.map(({ kind, path }) => [`${kind}:${path}`, { digest }]),
  );
  return buildManifest(one, digests, undefined);
}

/** Few letters, so that equal concatenations turn up. */
const entries = fc.array(
  fc.tuple(
    fc.string({ unit: fc.constantFrom('a', '1', ':', ' '), maxLength: 4 }),
    fc.string({ unit: fc.constantFrom('a', '1', ':', ' '), maxLength: 4 }),
  ),
  { maxLength: 4 },
) as fc.Arbitrary<ManifestEntry[]>;

test('two manifests have one key only when they are equal', () => {
  fc.assert(
    fc.property(entries, entries, (a, b) => {
      assert.is(keyOf(a) === keyOf(b), JSON.stringify(a) === JSON.stringify(b));
    }),
    { numRuns: 5000 },
  );
});

test('text that moves over a boundary gives another key', () => {
  const pairs = fc.tuple(
    fc.string({ minLength: 1 }),
    fc.string({ minLength: 1 }),
    fc.string({ minLength: 1 }),
  );
  fc.assert(
    fc.property(pairs, ([a, b, c]) => {
      const keys = new Set([
        keyOf([[a + b, c]]),
        keyOf([[a, b + c]]),
        keyOf([
          [a, b],
          [c, ''],
        ]),
      ]);
      assert.is(keys.size, 3);
    }),
  );
});

/** The same value with the keys of every object in another order. */
function shuffled(value: Json): Json {
  if (value === null || typeof value !== 'object') return value;
  if (Array.isArray(value)) return value.map(shuffled);
  return Object.fromEntries(
    Object.entries(value)
      .reverse()
      .map(([key, inner]) => [key, shuffled(inner)]),
  );
}

test('the order of keys in objects does not count, and all else does', () => {
  fc.assert(
    fc.property(fc.jsonValue(), fc.jsonValue(), (one, other) => {
      const [a, b] = [one, other] as Json[];
      assert.is(canonicalJson(shuffled(a)), canonicalJson(a));
      assert.equal(JSON.parse(canonicalJson(a)), JSON.parse(JSON.stringify(a)));
      const same = JSON.stringify(shuffled(a)) === JSON.stringify(shuffled(b));
      if (!same && canonicalJson(a) === canonicalJson(b)) {
        // Equal but for the order of keys.
        assert.equal(JSON.parse(JSON.stringify(a)), JSON.parse(JSON.stringify(b)));
      }
    }),
  );
  const reordered = manifest({ params: { b: [2, { y: 2, x: 1 }], a: 1 } });
  assert.is(keyOf(reordered), keyOf(manifest()));
  assert.is.not(keyOf(manifest({ params: { a: 1, b: [{ x: 1, y: 2 }, 2] } })), keyOf(manifest()));
});

test('the key changes exactly when there is a reason, and the reason names what changed', () => {
  const before = manifest();
  assert.equal(explainChange(before, manifest()), []);
  const cases: [ManifestEntry[], string[]][] = [
    [manifest({}, 'sha256:2'), ['in changed']],
    [manifest({ params: { a: 2, b: [2, { x: 1, y: 2 }] } }), ['parameter a changed from 1 to 2']],
    [manifest({ params: { a: 1 } }), ['parameter b is gone']],
    [manifest({ rule: { ...RULE, version: '2' } }), ['rule changed from r 1 to r 2']],
    [manifest({ inputs: [] }), ['in is gone']],
    [
      manifest({
        inputs: [
          { kind: 'file', path: 'in' },
          { kind: 'run', path: 'runs/A/r', name: 'A/r' },
        ],
      }),
      ['run A/r is new'],
    ],
    [manifest({ outputs: [{ kind: 'file', path: 'other' }] }), ['output 0 changed from out to other']],
  ];
  for (const [after, texts] of cases) {
    assert.equal(
      explainChange(before, after).map(({ text }) => text),
      texts,
    );
    assert.is.not(keyOf(before), keyOf(after));
  }
});

test('inputs in another order are another manifest, and that is said', () => {
  const inputs = [
    { kind: 'file', path: 'one' },
    { kind: 'file', path: 'two' },
  ];
  const [a, b] = [manifest({ inputs }), manifest({ inputs: [...inputs].reverse() })];
  assert.is.not(keyOf(a), keyOf(b));
  assert.equal(explainChange(a, b), [{ code: 'input', text: 'inputs changed order' }]);
});

test('what a rule remembers is given as a reason after all others', () => {
  const remembering = (order: string, digest: string): ManifestEntry[] => {
    const digests = new Map([['file:in', { digest }]]);
    return buildManifest(step(), digests, { entries: [['order', order]], state: null });
  };
  const before = [...remembering('a', '1'), ['parameter old', 'x']] as ManifestEntry[];
  const reasons = explainChange(before, remembering('b', '2'));
  assert.equal(
    reasons.map(({ code }) => code),
    ['input', 'parameter', 'memory'],
  );
});

test.run();
