/**
 * The two small ONNX models that firn computes with, encoded by hand: a matrix product with a bias, and the same
 * followed by the position of each row's maximum. Knows the protobuf wire format and nothing of who runs the model.
 *
 * Field numbers are those of onnx.proto (ModelProto, GraphProto, NodeProto, AttributeProto, ValueInfoProto).
 */

const FLOAT = 1;
const INT32 = 6;
const ATTRIBUTE_INT = 2;
const IR_VERSION = 8;
const OPSET = 13;

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

function node(op: string, inputs: string[], output: string, attributes: Record<string, number>): number[] {
  return nested(1, [
    ...inputs.flatMap((name) => nested(1, name)),
    ...nested(2, output),
    ...nested(4, op),
    ...Object.entries(attributes).flatMap(([name, value]) => attribute(name, value)),
  ]);
}

/** An input (11) or output (12) of the graph; its dimensions are named, so any size fits. */
function value(field: 11 | 12, name: string, type: number, dims: string[]): number[] {
  const shape = dims.flatMap((dim) => nested(1, nested(2, dim)));
  const tensor = [...integer(1, type), ...nested(2, shape)];
  return nested(field, [...nested(1, name), ...nested(2, nested(1, tensor))]);
}

function model(nodes: number[], output: number[]): Uint8Array {
  const graph = [
    ...nodes,
    ...nested(2, 'firn'),
    ...value(11, 'a', FLOAT, ['n', 'd']),
    ...value(11, 'b', FLOAT, ['m', 'd']),
    ...value(11, 'bias', FLOAT, ['m']),
    ...output,
  ];
  return Uint8Array.from([
    ...integer(1, IR_VERSION),
    ...nested(7, graph),
    ...nested(8, [...nested(1, ''), ...integer(2, OPSET)]),
  ]);
}

const product = (output: string): number[] => node('Gemm', ['a', 'b', 'bias'], output, { transB: 1 });

/** `out[i, j] = a_i . b_j + bias_j` for a (n x d), b (m x d), bias (m); all float32. */
export function productModel(): Uint8Array {
  return model(product('out'), value(12, 'out', FLOAT, ['n', 'm']));
}

/** `out[i] = argmax_j (a_i . b_j + bias_j)`, the smallest j where several are equal; int32. */
export function nearestModel(): Uint8Array {
  const nodes = [
    ...product('scores'),
    ...node('ArgMax', ['scores'], 'where', { axis: 1, keepdims: 0, select_last_index: 0 }),
    ...node('Cast', ['where'], 'out', { to: INT32 }),
  ];
  return model(nodes, value(12, 'out', INT32, ['n']));
}
