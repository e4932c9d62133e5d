/**
 * The small ONNX models that firn computes with, encoded by hand: a matrix product of floats with a bias, and the
 * nearest centroid by products of bytes. Knows the protobuf wire format and nothing of who runs the model.
 *
 * Field numbers are those of onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, ValueInfoProto).
 */

const FLOAT = 1;
const UINT8 = 2;
const INT8 = 3;
const INT64 = 7;
const ATTRIBUTE_INT = 2;
const ATTRIBUTE_INTS = 7;
const IR_VERSION = 8;
const OPSET = 13;
/** Where onnxruntime keeps operators of its own. */
const CONTRIB = 'com.microsoft';

function varint(value: number): number[] {
  const bytes: number[] = [];
  for (let rest = value; ; rest = Math.floor(rest / 128)) {
    if (rest < 128) return [...bytes, rest];
    bytes.push((rest % 128) | 128);
  }
}

/** A varint field. */
function integer(field: number, value: number): number[] {
  return [...varint(field << 3), ...varint(value)];
}

/** A length-delimited field: a string or a nested message. */
function nested(field: number, content: string | number[]): number[] {
  const bytes = typeof content === 'string' ? [...Buffer.from(content)] : content;
  return [...varint((field << 3) | 2), ...varint(bytes.length), ...bytes];
}

function attribute(name: string, value: number): number[] {
  return nested(5, [...nested(1, name), ...integer(3, value), ...integer(20, ATTRIBUTE_INT)]);
}

function axesAttribute(axes: number[]): number[] {
  return nested(5, [
    ...nested(1, 'axes'),
    ...axes.flatMap((axis) => integer(8, axis)),
    ...integer(20, ATTRIBUTE_INTS),
  ]);
}

function node(
  op: string,
  inputs: string[],
  output: string,
  attributes: Record<string, number> = {},
  domain = '',
  axes: number[] = [],
): number[] {
  return nested(1, [
    ...inputs.flatMap((name) => nested(1, name)),
    ...nested(2, output),
    ...nested(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => attribute(name, value)),
    ...(axes.length === 0 ? [] : axesAttribute(axes)),
    ...(domain === '' ? [] : nested(7, domain)),
  ]);
}

/** An input (11) or output (12) of the graph; its dimensions are named, so any size fits. */
function value(field: 11 | 12, name: string, type: number, dims: string[]): number[] {
  const shape = dims.flatMap((dim) => nested(1, nested(2, dim)));
  const tensor = [...integer(1, type), ...nested(2, shape)];
  return nested(field, [...nested(1, name), ...nested(2, nested(1, tensor))]);
}

function model(nodes: number[], inputs: number[][], outputs: number[][]): Uint8Array {
  const graph = [...nodes, ...nested(2, 'firn'), ...inputs.flat(), ...outputs.flat()];
  return Uint8Array.from([
    ...integer(1, IR_VERSION),
    ...nested(7, graph),
    ...nested(8, [...nested(1, ''), ...integer(2, OPSET)]),
    ...nested(8, [...nested(1, CONTRIB), ...integer(2, 1)]),
  ]);
}

/** A model, made when it is first needed. */
export interface Model {
  name: string;
  bytes: () => Uint8Array;
}

/**
 * For a (n x d) and b (m x d), float32: `scores[i, j] = a_i . b_j - halves_j`, the largest of every row, and `halves_j`,
 * which is `|b_j|^2 / 2` for L2 and nothing for the inner product.
 */
export function productModel(metric: 'l2' | 'ip'): Model {
  return { name: `product ${metric}`, bytes: () => productBytes(metric) };
}

function productBytes(metric: 'l2' | 'ip'): Uint8Array {
  const inputs = [value(11, 'a', FLOAT, ['n', 'd']), value(11, 'b', FLOAT, ['m', 'd'])];
  const outputs = [value(12, 'scores', FLOAT, ['n', 'm']), value(12, 'most', FLOAT, ['n'])];
  const most = node('ReduceMax', ['scores'], 'most', { keepdims: 0 }, '', [1]);
  const halves = [
    ...node('ReduceSumSquare', ['b'], 'squares', { keepdims: 0 }, '', [1]),
    ...node('Mul', ['squares', 'half'], 'halves'),
  ];
  if (metric === 'ip') {
    const product = node('Gemm', ['a', 'b'], 'scores', { transB: 1 });
    return model([...product, ...halves, ...most], [...inputs, half()], [...outputs, halvesOut()]);
  }
  const product = [
    ...node('Neg', ['halves'], 'bias'),
    ...node('Gemm', ['a', 'b', 'bias'], 'scores', { transB: 1 }),
  ];
  return model([...halves, ...product, ...most], [...inputs, half()], [...outputs, halvesOut()]);
}

// Encoded when a model is: most builds need none.
const half = () => value(11, 'half', FLOAT, []);
const halvesOut = () => value(12, 'halves', FLOAT, ['m']);

/** What is scored, and by what. */
type Scored = 'codes' | 'rows';
type ScoredBy = 'codes' | 'floats';

/**
 * `scores` and `lists`: for each of n rows the `each` largest of `row . centroid + bias`, and their positions, the smaller
 * first of equal ones. Rows are codes (u8) or floats; so are centroids (i8, d x m, or float32, m x d).
 */
export function scoreModel(of: Scored, by: ScoredBy): Model {
  return { name: `${of} by ${by}`, bytes: () => scoreBytes(of, by) };
}

const step = () => [value(11, 'step', FLOAT, []), value(11, 'zero', UINT8, [])];

function scoreBytes(of: Scored, by: ScoredBy): Uint8Array {
  const inputs = [
    value(11, 'rows', of === 'codes' ? UINT8 : FLOAT, ['n', 'd']),
    value(11, 'bias', FLOAT, ['m']),
    value(11, 'each', INT64, ['one']),
    ...(of === 'rows' ? [value(11, 'centre', FLOAT, ['d'])] : []),
    ...(of === 'codes' || by === 'codes' ? step() : []),
    ...(by === 'codes'
      ? [value(11, 'centroids', INT8, ['d', 'm']), value(11, 'centroidStep', FLOAT, [])]
      : [value(11, 'centroids', FLOAT, ['m', 'd'])]),
  ];
  const x = operand(of, by);
  const nodes = [...x.nodes, ...product(x.name, by), ...topOf('all')];
  return model(nodes, inputs, [
    value(12, 'scores', FLOAT, ['n', 'k']),
    value(12, 'lists', INT64, ['n', 'k']),
  ]);
}

/** The rows as the product takes them. */
function operand(of: Scored, by: ScoredBy): { name: string; nodes: number[] } {
  if (of === by) return { name: 'rows', nodes: [] };
  if (of === 'codes') return { name: 'x', nodes: node('DequantizeLinear', ['rows', 'step', 'zero'], 'x') };
  const centred = node('Sub', ['rows', 'centre'], 'centred');
  if (by === 'floats') return { name: 'centred', nodes: centred };
  return { name: 'x', nodes: [...centred, ...node('QuantizeLinear', ['centred', 'step', 'zero'], 'x')] };
}

/** `all`: the scores of every centroid. */
function product(rows: string, by: ScoredBy): number[] {
  if (by === 'floats') return node('Gemm', [rows, 'centroids', 'bias'], 'all', { transB: 1 });
  const operands = [rows, 'centroids', 'step', 'centroidStep', 'zero', '', 'bias'];
  return node('MatMulIntegerToFloat', operands, 'all', {}, CONTRIB);
}

function topOf(scores: string): number[] {
  return nested(1, [
    ...[scores, 'each'].flatMap((name) => nested(1, name)),
    ...['scores', 'lists'].flatMap((name) => nested(2, name)),
    ...nested(4, 'TopK'),
  ]);
}
