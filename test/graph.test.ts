/** Which step waits for which: order, circles, two makers of one thing, and what a target needs. */
import fc from 'fast-check';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { buildGraph, findCycle, selectSteps } from '../src/engine/graph.js';
import type { Rule, Step } from '../src/engine/types.js';
import { FirnError } from '../src/errors.js';

const test = suite('graph');

function step(id: string, from: string[], parts: Partial<Step> = {}): Step {
  return {
    id,
    target: id,
    rule: {} as Rule,
    params: null,
    inputs: from.map((name) => ({ kind: 'file', path: `${name}.out` })),
    outputs: [{ kind: 'file', path: `${id}.out` }],
    ...parts,
  };
}

/** Steps 0..n-1 that wait only for smaller ones, handed over in any order. */
const acyclic = fc
  .integer({ min: 0, max: 12 })
  .chain((n) =>
    fc.tuple(...Array.from({ length: n }, (_, i) => fc.subarray(Array.from({ length: i }, (_, k) => k)))),
  )
  .chain((edges) => {
    const steps = edges.map((from, i) => step(String(i), from.map(String)));
    return fc.shuffledSubarray(steps, { minLength: steps.length, maxLength: steps.length });
  });

const anyGraph = fc.integer({ min: 1, max: 8 }).chain((n) => {
  const ids = Array.from({ length: n }, (_, i) => String(i));
  return fc
    .tuple(...ids.map(() => fc.subarray(ids)))
    .map((edges) => new Map(ids.map((id, i) => [id, edges[i]])));
});

test('every step stands after all that it waits for', () => {
  fc.assert(
    fc.property(acyclic, (steps) => {
      const { order, upstream, downstream } = buildGraph(steps);
      assert.equal(order.map(({ id }) => id).sort(), steps.map(({ id }) => id).sort());
      const place = new Map(order.map(({ id }, i) => [id, i]));
      for (const one of steps) {
        const waitsFor = one.inputs.map(({ path }) => path.replace('.out', ''));
        assert.equal([...(upstream.get(one.id) ?? [])].sort(), waitsFor.sort());
        for (const id of waitsFor) {
          assert.ok((place.get(id) ?? 0) < (place.get(one.id) ?? 0));
          assert.ok(downstream.get(id)?.includes(one.id));
        }
      }
    }),
  );
});

test('a circle is found exactly when there is one, and it is one', () => {
  fc.assert(
    fc.property(anyGraph, (upstream) => {
      const circle = findCycle(upstream, new Set(upstream.keys()));
      // Taking away what waits for nothing leaves something exactly when there is a circle.
      const left = new Map(upstream);
      for (let changed = true; changed; ) {
        changed = false;
        for (const [id, waits] of left) {
          if (waits.some((other) => left.has(other))) continue;
          left.delete(id);
          changed = true;
        }
      }
      assert.is(circle.length > 0, left.size > 0);
      for (let i = 0; i + 1 < circle.length; i++) assert.ok(upstream.get(circle[i])?.includes(circle[i + 1]));
      if (circle.length > 0) assert.is(circle[0], circle[circle.length - 1]);
    }),
    { numRuns: 1000 },
  );
});

test('steps in a circle are an error that goes round it', () => {
  const steps = [step('a', ['c']), step('b', ['a']), step('c', ['b']), step('d', [])];
  assert.throws(
    () => buildGraph(steps),
    (error: FirnError) =>
      error instanceof FirnError &&
      error.kind === 'usage' &&
      /wait for each other: a -> c -> b -> a/.test(error.message),
  );
});

test('two steps that make one file, or one run, are an error', () => {
  const twice = [step('a', []), step('b', [], { outputs: [{ kind: 'file', path: 'a.out' }] })];
  assert.throws(() => buildGraph(twice), /a and b both make a\.out/);
  const run = (id: string, name: string) =>
    step(id, [], { outputs: [{ kind: 'run', path: `runs/A/r1/${name}` }] });
  assert.throws(
    () => buildGraph([run('a', 'embeddings.npy'), run('b', 'embeddings.npz')]),
    /a and b both make runs\/A\/r1/,
  );
});

test('what reads a run waits for its maker and for what rewrites it', () => {
  const run = { kind: 'run', path: 'runs/A/r1' };
  const maker = step('maker', [], { outputs: [{ kind: 'run', path: 'runs/A/r1/embeddings.npy' }] });
  const reader = step('reader', [], { inputs: [run] });
  assert.equal(buildGraph([reader, maker]).upstream.get('reader'), ['maker']);
  const smaller = step('smaller', [], { inputs: [run], rewrites: [run] });
  assert.equal(buildGraph([reader, smaller]).upstream.get('reader'), ['smaller']);
  assert.equal(buildGraph([reader, smaller]).upstream.get('smaller'), []);
});

test('a target brings what it depends on and nothing else, in order', () => {
  fc.assert(
    fc.property(acyclic, fc.nat(), (steps, pick) => {
      const graph = buildGraph(steps);
      assert.equal(selectSteps(graph, []), graph.order);
      if (steps.length === 0) return;
      const wanted = steps[pick % steps.length].id;
      const reached = new Set<string>();
      const visit = (id: string): void => {
        reached.add(id);
        for (const before of graph.upstream.get(id) ?? []) visit(before);
      };
      visit(wanted);
      assert.equal(
        selectSteps(graph, [wanted]).map(({ id }) => id),
        graph.order.map(({ id }) => id).filter((id) => reached.has(id)),
      );
    }),
  );
});

test.run();
