import type { Activation, RopeTable, Tensor } from "@transmla/kernels";
import type { Tape, Variable } from "./tape";

/** The operations of a decoder with their gradients; shapes as in `Device` and `TrainingOperations`. */

/** A low-rank matrix beside another: `factor B A`, `a [rank, in]`, `b [out, rank]`. */
export interface LowRank {
  readonly a: Variable;
  readonly b: Variable;
  readonly factor: number;
}

/** `y = x W^T + b`: `x [tokens, in]`, `W [out, in]`, `b [1, out]`; with `beside`, `y = x (W + factor B A)^T + b`. */
export function linear(
  tape: Tape,
  x: Variable,
  weight: Variable,
  bias?: Variable,
  beside?: LowRank,
): Variable {
  const { device } = tape;
  const { training } = device;
  const value = training.product("abT", x.value, weight.value);
  if (bias) addToRows(tape, value, bias.value);
  const low = beside && lowRankProduct(tape, x, beside, value);
  const inputs = [x, weight, ...(bias ? [bias] : []), ...(beside ? [beside.a, beside.b] : [])];
  return tape.record(value, inputs, (dy) => {
    tape.addProduct(x, "ab", dy, weight.value);
    tape.addProduct(weight, "aTb", dy, x.value);
    if (bias?.tracked) tape.add(bias, training.columnSums(dy));
    low?.(dy);
  });
}

/** `y[t] += row`; changes `y`. */
function addToRows({ device }: Tape, y: Tensor, row: Tensor): void {
  const [tokens] = y.shape;
  const ones = device.tensor(new Float32Array(tokens).fill(1), [tokens, 1]);
  device.training.product("ab", ones, row, y);
  device.release(ones);
}

/** Adds `factor x A^T B^T` to `y`; the result hands its gradient on. Only `rank` numbers a token are kept. */
function lowRankProduct(
  tape: Tape,
  x: Variable,
  { a, b, factor }: LowRank,
  y: Tensor,
): (dy: Tensor) => void {
  const { device } = tape;
  const { training } = device;
  const inner = training.product("abT", x.value, a.value);
  multiply(tape, inner, factor);
  training.product("abT", inner, b.value, y);
  return (dy) => {
    tape.addProduct(b, "aTb", dy, inner);
    const dInner = training.product("ab", dy, b.value);
    multiply(tape, dInner, factor);
    tape.addProduct(a, "aTb", dInner, x.value);
    tape.addProduct(x, "ab", dInner, a.value);
    device.release(inner);
    device.release(dInner);
  };
}

/** `x = factor * x` */
const multiply = ({ device }: Tape, x: Tensor, factor: number): void =>
  device.training.addScaled(x, x, factor - 1);

/** `y = a + b` */
export function sum(tape: Tape, a: Variable, b: Variable): Variable {
  return tape.record(tape.device.add(a.value, b.value), [a, b], (dy) => {
    tape.add(a, dy, true);
    tape.add(b, dy, true);
  });
}

/** `y = factor * x` */
export function scaled(tape: Tape, x: Variable, factor: number): Variable {
  const times = (from: Tensor): Tensor => {
    const to = tape.device.training.zeros(from.shape);
    tape.device.training.addScaled(to, from, factor);
    return to;
  };
  return tape.record(times(x.value), [x], (dy) => tape.add(x, times(dy)));
}

/** See `Device.rmsNorm`. */
export function rmsNorm(tape: Tape, x: Variable, weight: Variable, epsilon: number): Variable {
  const { device } = tape;
  const value = device.rmsNorm(x.value, weight.value, epsilon);
  return tape.record(value, [x, weight], (dy) => {
    const { training } = device;
    const { dx, dWeight } = training.rmsNormBackward(x.value, weight.value, epsilon, dy);
    tape.add(x, dx);
    tape.add(weight, dWeight);
  });
}

/** See `Device.gatedActivation`. */
export function gatedActivation(
  tape: Tape,
  gate: Variable,
  up: Variable,
  activation: Activation,
): Variable {
  const { device } = tape;
  const value = device.gatedActivation(gate.value, up.value, activation);
  return tape.record(value, [gate, up], (dy) => {
    const { training } = device;
    const { dGate, dUp } = training.gatedActivationBackward(gate.value, up.value, activation, dy);
    tape.add(gate, dGate);
    tape.add(up, dUp);
  });
}

/** A rotation of rows and its inverse: the same angles, turned the other way. */
export interface Rotation {
  readonly forwards: RopeTable;
  readonly backwards: RopeTable;
  /** Row of the tables for every token. */
  readonly rows: Int32Array;
}

/** See `Device.rope`. The gradient of a rotation is turned back. */
export function rotate(tape: Tape, x: Variable, { forwards, backwards, rows }: Rotation): Variable {
  const { device } = tape;
  return tape.record(device.rope(x.value, forwards, rows), [x], (dy) =>
    tape.add(x, device.rope(dy, backwards, rows)),
  );
}

/** Rows of an embedding table `[vocab, hidden]`: `y[t] = table[ids[t]]`. */
export function embed(tape: Tape, table: Variable, ids: Int32Array): Variable {
  const { device } = tape;
  return tape.record(device.gatherRows(table.value, ids), [table], (dy) => {
    if (table.gradient === undefined) {
      table.gradient = device.training.zeros(table.value.shape);
    }
    device.training.addRows(table.gradient, ids, dy);
  });
}

/** One term of the logits of an attention, as `AttentionPart`. */
export interface AttentionTerm {
  readonly query: Variable;
  readonly key: Variable;
  readonly keyHeads: number;
}

/** `DocumentAttention` of variables. */
export interface AttentionOperation {
  readonly parts: readonly AttentionTerm[];
  readonly values: Variable;
  readonly valueHeads: number;
  readonly heads: number;
  readonly scale: number;
  readonly window?: number | undefined;
  readonly softCap?: number | undefined;
  readonly documents: Int32Array;
}

/** See `TrainingOperations.documentAttention`. */
export function documentAttention(tape: Tape, operation: AttentionOperation): Variable {
  const { device } = tape;
  const { parts, values, ...sizes } = operation;
  const input = {
    ...sizes,
    parts: parts.map(({ query, key, keyHeads }) => ({
      query: query.value,
      key: key.value,
      keyHeads,
    })),
    values: values.value,
  };
  const result = device.training.documentAttention(input);
  const inputs = [...parts.flatMap(({ query, key }) => [query, key]), values];
  return tape.record(result.output, inputs, (dy) => {
    const gradients = device.training.documentAttentionBackward(input, result, dy);
    for (const [i, { query, key }] of parts.entries()) {
      tape.add(query, gradients.parts[i]!.dQuery);
      tape.add(key, gradients.parts[i]!.dKey);
    }
    tape.add(values, gradients.dValues);
    device.release(result.logSums);
  });
}
