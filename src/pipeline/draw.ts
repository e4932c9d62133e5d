/** The graph as text for other programs: Graphviz, Mermaid, and SVG for a browser. Pure. */
import type { StepGraph } from '../engine/graph.js';
import { toSvg } from './draw-svg.js';
import type { Pipeline } from './load.js';

export interface Drawing {
  nodes: { id: string; rule: string; steps: number }[];
  edges: { from: string; to: string }[];
}

export function stepGraph(graph: StepGraph): Drawing {
  return {
    nodes: graph.order.map((step) => ({ id: step.id, rule: step.rule.name, steps: 1 })),
    edges: graph.order.flatMap((step) =>
      (graph.upstream.get(step.id) ?? []).map((from) => ({ from, to: step.id })),
    ),
  };
}

/** Targets; one hangs on another when one of its steps does. */
export function targetGraph(pipeline: Pipeline, graph: StepGraph): Drawing {
  const targetOf = new Map(graph.order.map((step) => [step.id, step.target]));
  const edges = new Map<string, { from: string; to: string }>();
  for (const step of graph.order) {
    for (const id of graph.upstream.get(step.id) ?? []) {
      const from = targetOf.get(id) as string;
      if (from !== step.target) edges.set(`${from}\0${step.target}`, { from, to: step.target });
    }
  }
  const nodes = [...pipeline.targets.values()].map((target) => ({
    id: target.name,
    rule: target.rule.name,
    steps: graph.order.filter((step) => step.target === target.name).length,
  }));
  return { nodes, edges: [...edges.values()] };
}

export type DrawingFormat = 'dot' | 'mermaid' | 'json' | 'svg';

/** `shown`: how a name is shown to people. */
export function drawGraph(
  drawing: Drawing,
  format: Exclude<DrawingFormat, 'json'>,
  shown: (name: string) => string,
): string {
  const labels = new Map(drawing.nodes.map((node) => [node.id, shown(labelOf(node))]));
  if (format === 'svg') return toSvg(drawing, labels);
  return format === 'dot' ? toDot(drawing, labels) : toMermaid(drawing, labels);
}

/** What stands in the box of each node, by its id. */
export type Labels = ReadonlyMap<string, string>;

function labelOf({ id, rule, steps }: Drawing['nodes'][number]): string {
  return steps === 1 ? `${id} (${rule})` : `${id} (${rule}, ${steps} steps)`;
}

/** In a quoted DOT string only the quote and the backslash mean anything. */
function dotString(text: string): string {
  return `"${text.replace(/[\\"]/g, '\\$&').replace(/\n/g, '\\n')}"`;
}

function toDot({ nodes, edges }: Drawing, labels: Labels): string {
  return [
    'digraph firn {',
    '  rankdir=LR;',
    '  node [shape=box];',
    ...nodes.map(({ id }) => `  ${dotString(id)} [label=${dotString(labels.get(id) ?? id)}];`),
    ...edges.map((edge) => `  ${dotString(edge.from)} -> ${dotString(edge.to)};`),
    '}',
  ].join('\n');
}

/** Mermaid ids are plain words and its labels HTML: names become numbers and entities. */
function toMermaid({ nodes, edges }: Drawing, labels: Labels): string {
  const ids = new Map(nodes.map((node, i) => [node.id, `n${i}`]));
  const text = (value: string) =>
    value.replace(/[^A-Za-z0-9 ()_.,:/-]/gu, (char) => `#${char.codePointAt(0)};`);
  return [
    'flowchart LR',
    ...nodes.map(({ id }) => `  ${ids.get(id)}["${text(labels.get(id) ?? id)}"]`),
    ...edges.map((edge) => `  ${ids.get(edge.from)} --> ${ids.get(edge.to)}`),
  ].join('\n');
}
