/** `firn graph`: Graphviz, Mermaid, SVG and JSON of targets and steps, whatever the names hold. */
import { spawnSync } from 'node:child_process';
import { suite } from 'uvu';
import * as assert from 'uvu/assert';
import { TestProject } from './rig/project.js';
import { oracleTest, python } from './rig/python.js';
import { programLacks, testWhere } from './rig/where.js';

const test = suite('drawing');

const HOSTILE = [
  'quote"',
  'back\\slash',
  'br[ack]et{s}',
  '<b>&amp;',
  'semi;colon -> x',
  '%% click',
  'ünï 🧬',
  'end',
  '#35;',
  '\\N \\G',
];

const shared = new TestProject(`targets:
  compressed: {rule: compress}
  none: {rule: compress, runs: {dataset: Nothing}}
  reference: {rule: consolidate, runs: all, out: data/reference}
  index: {rule: index, from: [reference]}
  report: {rule: command, from: [reference, index], run: [cat, "{in}"], out: r}
`);
for (const name of HOSTILE) await shared.writeRun(`A/${name}`);

async function graph(...args: string[]): Promise<string> {
  const { code, stdout, stderr } = await shared.firn('graph', ...args);
  assert.equal([code, stderr], [0, '']);
  return stdout;
}

interface Drawing {
  nodes: { id: string; rule: string; steps: number }[];
  edges: { from: string; to: string }[];
}

test('targets and how they hang together', async () => {
  const { nodes, edges } = JSON.parse(await graph('--format', 'json')) as Drawing;
  assert.is(await graph('--json'), await graph('--format', 'json'));
  assert.equal(
    nodes.map(({ id, rule, steps }) => `${id} ${rule} ${steps}`),
    [
      `compressed compress ${HOSTILE.length}`,
      'none compress 0',
      'reference consolidate 1',
      'index index 1',
      'report command 1',
    ],
  );
  assert.equal(
    edges.map(({ from, to }) => `${from} -> ${to}`),
    ['reference -> index', 'reference -> report', 'index -> report'],
  );
  assert.is(await graph(), await graph('--format', 'dot'));
  assert.match(await graph(), '  "compressed" [label="compressed (compress, 10 steps)"];\n');
  assert.match(
    await graph('--format', 'mermaid'),
    /^flowchart LR\n {2}n0\["compressed \(compress, 10 steps\)"\]\n/,
  );
});

test('in SVG each target stands right of all it hangs on, whatever the order of the file', async () => {
  const project = new TestProject(`targets:
  report: {rule: command, from: [reference, index], run: [cat, "{in}"], out: r}
  index: {rule: index, from: [reference]}
  reference: {rule: consolidate, runs: all, out: data/reference}
  embedded: {rule: embed, from: "sequences/*/*.fa", with: {version: "1"}}
`);
  project.write('sequences/A/r1.fa', '>one\nACGTACGT\n');
  const { stdout } = await project.firn('graph', '--format', 'svg');
  const boxes = [...stdout.matchAll(/<rect x="(\d+)".*?>(\w+) \(\w+\)<\/text>/g)];
  const names = boxes.sort((a, b) => Number(a[1]) - Number(b[1])).map(([, , name]) => name);
  assert.equal(names, ['embedded', 'reference', 'index', 'report']);
  assert.is(new Set(boxes.map(([, x]) => x)).size, 4, stdout);
});

test('steps are all there, in every form', async () => {
  const { nodes, edges } = JSON.parse(await graph('--steps', '--format', 'json')) as Drawing;
  const ids = nodes.map(({ id }) => id);
  assert.equal(
    [...ids].sort(),
    [...HOSTILE.map((name) => `compressed:A/${name}`), 'index:reference', 'reference', 'report'].sort(),
  );
  assert.ok(edges.every(({ from, to }) => ids.includes(from) && ids.includes(to)));

  // Read back by the rules of the languages: nothing of a name has become syntax.
  const dot = (await graph('--steps')).split('\n');
  const quoted = '"((?:[^"\\\\]|\\\\.)*)"';
  const read = (text: string) => text.replace(/\\(["\\])/g, '$1');
  const dotNodes = dot.flatMap(
    (line) => new RegExp(`^ {2}${quoted} \\[label=${quoted}\\];$`).exec(line)?.[1] ?? [],
  );
  assert.equal(dotNodes.map(read), ids);
  assert.is(
    dot.filter((line) => new RegExp(`^ {2}${quoted} -> ${quoted};$`).test(line)).length,
    edges.length,
  );
  assert.is(dot.filter((line) => line !== '').length, ids.length + edges.length + 4);

  const mermaid = (await graph('--steps', '--format', 'mermaid')).trim().split('\n').slice(1);
  const labels = mermaid.flatMap((line) => /^ {2}n\d+\["([A-Za-z0-9 ()_.,:/#;-]*)"\]$/.exec(line)?.[1] ?? []);
  const decoded = labels.map((label) =>
    label.replace(/#(\d+);/g, (_, code) => String.fromCodePoint(Number(code))),
  );
  assert.equal(
    decoded.map((label) => label.replace(/ \([a-z]+\)$/, '')),
    ids,
  );
  assert.is(mermaid.length, ids.length + edges.length);
});

oracleTest(test, ['xml.etree.ElementTree'], 'an XML parser reads the SVG', async () => {
  const texts = JSON.parse(
    python(
      `
import json, sys, xml.etree.ElementTree as E
root = E.fromstring(sys.argv[1])
ns = '{http://www.w3.org/2000/svg}'
w, h = float(root.get('width')), float(root.get('height'))
boxes = [[float(r.get(k)) for k in ('x', 'y', 'width', 'height')] for r in root.iter(ns + 'rect')]
assert all(x >= 0 and y >= 0 and x + bw <= w and y + bh <= h for x, y, bw, bh in boxes)
assert all(a is b or a[0] + a[2] <= b[0] or b[0] + b[2] <= a[0] or a[1] + a[3] <= b[1] or b[1] + b[3] <= a[1] for a in boxes for b in boxes)
print(json.dumps([t.text for t in root.iter(ns + 'text')]))
`,
      await graph('--steps', '--format', 'svg'),
    ),
  ) as string[];
  for (const name of HOSTILE) assert.ok(texts.includes(`compressed:A/${name} (compress)`), name);
  assert.is(texts.length, HOSTILE.length + 3);
});

testWhere(test, programLacks('dot', '-V'), 'Graphviz draws it', async () => {
  const { status, stdout, stderr } = spawnSync('dot', ['-Tsvg'], {
    input: await graph('--steps'),
    encoding: 'utf8',
  });
  assert.is(status, 0, stderr);
  assert.is(stdout.match(/<g id="node/g)?.length, HOSTILE.length + 3);
});

test.run();
