/** The graph as an SVG: each node one column right of all it hangs on, lines between. Pure; needs no Graphviz. */
import type { Drawing, Labels } from './draw.js';

const CHAR = 7.2;
const BOX = 28;
const GAP = 16;
const SPACE = 60;
const MARGIN = 20;

interface Place {
  x: number;
  y: number;
  width: number;
}

export function toSvg(drawing: Drawing, labels: Labels): string {
  const places = place(drawing, labels);
  const boxes = [...places.values()];
  const width = boxes.reduce((most, { x, width }) => Math.max(most, x + width), 0) + MARGIN;
  const height = boxes.reduce((most, { y }) => Math.max(most, y + BOX), 0) + MARGIN;
  const lines = drawing.edges.flatMap(({ from, to }) => {
    const [a, b] = [places.get(from), places.get(to)];
    if (a === undefined || b === undefined) return [];
    const [x1, y1, x2, y2] = [a.x + a.width, a.y + BOX / 2, b.x, b.y + BOX / 2];
    const middle = (x1 + x2) / 2;
    return `  <path d="M${x1} ${y1} C${middle} ${y1} ${middle} ${y2} ${x2 - 6} ${y2}" marker-end="url(#end)"/>`;
  });
  const nodes = drawing.nodes.map((node) => {
    const { x, y, width } = places.get(node.id) as Place;
    const text = `<text x="${x + width / 2}" y="${y + BOX / 2 + 4}">${entities(labels.get(node.id) ?? node.id)}</text>`;
    return `  <rect x="${x}" y="${y}" width="${width}" height="${BOX}" rx="4"/>${text}`;
  });
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" width="${width}" height="${height}" viewBox="0 0 ${width} ${height}">`,
    '  <style>rect{fill:#eef4fa;stroke:#356}path{fill:none;stroke:#567}text{font:12px monospace;text-anchor:middle}</style>',
    '  <marker id="end" viewBox="0 0 8 8" refX="2" refY="4" markerWidth="7" markerHeight="7" orient="auto">',
    '    <path d="M0 0L8 4L0 8z" style="fill:#567"/></marker>',
    ...lines,
    ...nodes,
    '</svg>',
  ].join('\n');
}

/**
 * The column of each node. Targets may stand before what they hang on, and hang on each other in a circle where no two of
 * their steps do; then it is given up after as many rounds as there are nodes.
 */
function columnsOf({ nodes, edges }: Drawing): Map<string, number> {
  const columnOf = new Map(nodes.map(({ id }) => [id, 0]));
  for (let round = 0, settled = false; !settled && round < nodes.length; round++) {
    settled = true;
    for (const { from, to } of edges) {
      const column = (columnOf.get(from) ?? 0) + 1;
      if ((columnOf.get(to) ?? 0) >= column) continue;
      columnOf.set(to, column);
      settled = false;
    }
  }
  return columnOf;
}

function place(drawing: Drawing, labels: Labels): Map<string, Place> {
  const byColumn = new Map<number, string[]>();
  for (const [id, column] of columnsOf(drawing)) {
    const ids = byColumn.get(column);
    if (ids === undefined) byColumn.set(column, [id]);
    else ids.push(id);
  }
  const columns = [...byColumn].sort(([a], [b]) => a - b).map(([, ids]) => ids);
  const places = new Map<string, Place>();
  let x = MARGIN;
  for (const column of columns) {
    const longest = column.reduce((most, id) => Math.max(most, (labels.get(id) ?? id).length), 0);
    const width = Math.ceil(longest * CHAR) + 20;
    for (const [i, id] of column.entries()) places.set(id, { x, y: MARGIN + i * (BOX + GAP), width });
    x += width + SPACE;
  }
  return places;
}

function entities(text: string): string {
  return text.replace(/[&<>"']/g, (char) => `&#${char.charCodeAt(0)};`);
}
