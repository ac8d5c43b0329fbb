/**
 * The smallest ONNX file for `y = x w` with `w` inside, written by hand. Field numbers are those of `onnx.proto3`
 * (github.com/onnx/onnx, IR version 8, operator set 17); the format is that of Protocol Buffers.
 */
export function matmulModel({ rows, inner, columns }, w) {
  const FLOAT = 1;
  const weight = join([
    packedInts(1, [inner, columns]), // dims
    int(2, FLOAT), // data_type
    text(8, "w"), // name
    bytes(9, new Uint8Array(w.buffer, w.byteOffset, w.byteLength)), // raw_data
  ]);
  const node = join([text(1, "x"), text(1, "w"), text(2, "y"), text(4, "MatMul")]);
  const value = (name, dimensions) => {
    const shape = join(dimensions.map((size) => bytes(1, int(1, size))));
    const tensor = join([int(1, FLOAT), bytes(2, shape)]);
    return join([text(1, name), bytes(2, bytes(1, tensor))]);
  };
  const graph = join([
    bytes(1, node),
    text(2, "product"),
    bytes(5, weight),
    bytes(11, value("x", [rows, inner])),
    bytes(12, value("y", [rows, columns])),
  ]);
  return join([int(1, 8), bytes(7, graph), bytes(8, join([text(1, ""), int(2, 17)]))]);
}

function varint(value) {
  const result = [];
  let rest = value;
  for (; rest >= 128; rest = Math.floor(rest / 128)) result.push((rest % 128) + 128);
  return [...result, rest];
}

const int = (field, value) => Uint8Array.from([...varint(field * 8), ...varint(value)]);
const text = (field, value) => bytes(field, new TextEncoder().encode(value));
const packedInts = (field, values) => bytes(field, Uint8Array.from(values.flatMap(varint)));

function bytes(field, content) {
  return join([Uint8Array.from([...varint(field * 8 + 2), ...varint(content.length)]), content]);
}

function join(parts) {
  const result = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    result.set(part, at);
    at += part.length;
  }
  return result;
}
