import { afterAll, beforeAll, describe, expect, test } from "vitest";
import type { Shape, Tensor } from "../device";
import type { AttentionPart, DocumentAttention, TrainingDevice } from "../training-device";
import {
  expectClose,
  expectCode,
  randomTensor,
  soil,
  tensorOf,
  type Subject,
} from "./expectations";
import { numericGradients } from "./finite-differences";
import { geluTanh, silu } from "./pointwise";
import { Random } from "./random";

export interface TrainingConformanceOptions {
  /**
   * Largest allowed difference of a gradient to finite differences in float64, relative to its largest number. Default
   * `1e-3`.
   */
  readonly tolerance?: number | undefined;
}

interface TrainingSubject extends Subject {
  readonly device: TrainingDevice;
}

/**
 * Registers vitest tests that hold a device to `TrainingOperations`: known answers, float64 formulas, every gradient
 * against float64 finite differences of the formula, and the code of every refusal.
 */
export function trainingConformance(
  name: string,
  makeDevice: () => TrainingDevice | Promise<TrainingDevice>,
  { tolerance = 1e-3 }: TrainingConformanceOptions = {},
): void {
  describe(`${name} trains`, () => {
    let device: TrainingDevice;
    const subject: TrainingSubject = {
      get device() {
        return device;
      },
      tolerance,
    };
    beforeAll(async () => {
      device = await makeDevice();
    });
    afterAll(() => device.destroy());

    describe("products and sums", () => productTests(subject));
    describe("gradients", () => gradientTests(subject));
    describe("attention within documents", () => attentionTests(subject));
    describe("losses", () => lossTests(subject));
    describe("steps", () => stepTests(subject));
    describe("refusals", () => refusalTests(subject));
  });
}

function productTests(subject: TrainingSubject): void {
  const sizes = [
    [1, 1, 1],
    [3, 5, 7],
    [64, 8, 4],
    [130, 17, 33],
    [5, 3, 700],
    [200, 70, 96],
  ] as const;
  for (const form of ["ab", "abT", "aTb"] as const) {
    test(`product ${form}: new, and added to what is there`, async () => {
      const { device } = subject;
      const random = new Random(20);
      for (const [rows, columns, depth] of sizes) {
        const a = randomTensor(device, random, form === "aTb" ? [depth, rows] : [rows, depth]);
        const b = randomTensor(
          device,
          random,
          form === "abT" ? [columns, depth] : [depth, columns],
        );
        const expected = new Float64Array(rows * columns);
        for (let r = 0; r < rows; r++) {
          for (let c = 0; c < columns; c++) {
            for (let k = 0; k < depth; k++) {
              const left = a.values[form === "aTb" ? k * rows + r : r * depth + k]!;
              const right = b.values[form === "abT" ? c * depth + k : k * columns + c]!;
              expected[r * columns + c]! += left * right;
            }
          }
        }
        soil(device, [rows, columns]);
        const y = device.training.product(form, a.tensor, b.tensor);
        await expectClose(subject, y, [rows, columns], expected);
        const to = randomTensor(device, random, [rows, columns]);
        const sum = device.training.product(form, a.tensor, b.tensor, to.tensor);
        expect(sum).toBe(to.tensor);
        await expectClose(
          subject,
          sum,
          [rows, columns],
          expected.map((value, i) => value + to.values[i]!),
        );
      }
    });
  }

  test("addScaled, fill, addRows, columnSums, sumOfSquares: known answers", async () => {
    const { device } = subject;
    const { training } = device;
    const x = tensorOf(device, [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const to = tensorOf(device, [
      [1, 0, 0],
      [0, 1, 0],
    ]);
    training.addScaled(to, x, -2);
    await expectClose(subject, to, [2, 3], [-1, -4, -6, -8, -9, -12]);
    training.fill(to, 0.5);
    await expectClose(subject, to, [2, 3], [0.5, 0.5, 0.5, 0.5, 0.5, 0.5]);
    // Both rows of x go to one row.
    training.addRows(to, Int32Array.of(1, 1), x, 2);
    await expectClose(subject, to, [2, 3], [0.5, 0.5, 0.5, 10.5, 14.5, 18.5]);
    await expectClose(subject, training.columnSums(x), [1, 3], [5, 7, 9]);
    await expectClose(subject, training.sumOfSquares(x), [1, 1], [91]);
  });

  test("sums of many numbers", async () => {
    const { device } = subject;
    const x = randomTensor(device, new Random(21), [300, 333]);
    const columns = new Float64Array(333);
    x.values.forEach((value, i) => (columns[i % 333]! += value));
    await expectClose(subject, device.training.columnSums(x.tensor), [1, 333], columns);
    const squares = x.values.reduce((sum, value) => sum + value ** 2, 0);
    await expectClose(subject, device.training.sumOfSquares(x.tensor), [1, 1], [squares]);
  });

  test("roundToBf16: to the nearest, of two to the even one", async () => {
    const { device } = subject;
    // Steps of bfloat16 at 1 are 1/128.
    const values = [1, 1 + 1 / 256, 1 + 3 / 256, 1 + 1.01 / 256, -1 - 3 / 256, 0, -0, 3e38];
    const rounded = [1, 1, 1 + 1 / 64, 1 + 1 / 128, -1 - 1 / 64, 0, 0, 3.0042023e38];
    const y = await device.read(device.training.roundToBf16(tensorOf(device, [values])));
    expect(y.length).toBe(values.length);
    rounded.forEach((value, i) => {
      expect(Math.abs(y[i]! - value), `${values[i]}`).toBeLessThanOrEqual(1e-4 * Math.abs(value));
    });
    const bits = new Uint32Array(y.buffer, y.byteOffset, y.length);
    expect([...bits].every((word) => (word & 0xffff) === 0)).toBe(true);
  });
}

/** Weighs the result of a formula with fixed random numbers, so that it becomes one number to differentiate. */
const weighed = (y: Float64Array, dy: Float32Array): number =>
  y.reduce((sum, value, i) => sum + value * dy[i]!, 0);

function gradientTests(subject: TrainingSubject): void {
  test("rmsNorm", async () => {
    const { device } = subject;
    const random = new Random(22);
    for (const [tokens, groups, width] of [
      [1, 1, 1],
      [3, 1, 7],
      [2, 3, 8],
      [40, 1, 13],
    ] as const) {
      const shape: Shape = [tokens, groups * width];
      const x = randomTensor(device, random, shape, 2);
      const weight = randomTensor(device, random, [1, width]);
      const dy = randomTensor(device, random, shape);
      const [dx, dWeight] = numericGradients([x.values, weight.values], ([input, w]) => {
        const y = new Float64Array(input!.length);
        for (let start = 0; start < y.length; start += width) {
          const group = input!.subarray(start, start + width);
          const square = group.reduce((sum, value) => sum + value ** 2, 0) / width;
          group.forEach((value, i) => (y[start + i] = (value / Math.sqrt(square + 0.01)) * w![i]!));
        }
        return weighed(y, dy.values);
      });
      soil(device, shape);
      const { training } = device;
      const gradients = training.rmsNormBackward(x.tensor, weight.tensor, 0.01, dy.tensor);
      await expectClose(subject, gradients.dx, shape, dx!);
      await expectClose(subject, gradients.dWeight, [1, width], dWeight!);
    }
  });

  for (const [activation, formula] of [
    ["silu", silu],
    ["gelu-tanh", geluTanh],
  ] as const) {
    test(`gatedActivation ${activation}`, async () => {
      const { device } = subject;
      const random = new Random(23);
      for (const shape of [
        [1, 1],
        [3, 7],
        [9, 32],
      ] as const) {
        const gate = randomTensor(device, random, shape, 4);
        const up = randomTensor(device, random, shape);
        const dy = randomTensor(device, random, shape);
        const [dGate, dUp] = numericGradients([gate.values, up.values], ([g, u]) =>
          weighed(
            g!.map((value, i) => formula(value) * u![i]!),
            dy.values,
          ),
        );
        const { training } = device;
        const gradients = training.gatedActivationBackward(
          gate.tensor,
          up.tensor,
          activation,
          dy.tensor,
        );
        await expectClose(subject, gradients.dGate, shape, dGate!);
        await expectClose(subject, gradients.dUp, shape, dUp!);
      }
      const extreme = tensorOf(device, [[-100, -1e4, 100, 3e3]]);
      const one = tensorOf(device, [[1, 1, 1, 1]]);
      const { dGate } = device.training.gatedActivationBackward(extreme, one, activation, one);
      await expectClose(subject, dGate, [1, 4], [0, 0, 1, 1]);
    });
  }

  test("softCap, from its result", async () => {
    const { device } = subject;
    const random = new Random(24);
    const x = randomTensor(device, random, [5, 7], 12);
    const dy = randomTensor(device, random, [5, 7]);
    const [dx] = numericGradients([x.values], ([input]) =>
      weighed(
        input!.map((value) => 6 * Math.tanh(value / 6)),
        dy.values,
      ),
    );
    const y = device.softCap(x.tensor, 6);
    await expectClose(subject, device.training.softCapBackward(y, 6, dy.tensor), [5, 7], dx!);
  });
}

interface AttentionCase {
  readonly name: string;
  readonly heads: number;
  readonly parts: readonly { readonly keyHeads: number; readonly width: number }[];
  readonly valueHeads: number;
  readonly valueDim: number;
  readonly documents: readonly number[];
  readonly tokens: number;
  readonly window?: number;
  readonly softCap?: number;
}

const attentionCases: readonly AttentionCase[] = [
  {
    name: "one token",
    heads: 1,
    parts: [{ keyHeads: 1, width: 1 }],
    valueHeads: 1,
    valueDim: 1,
    documents: [0],
    tokens: 1,
  },
  {
    name: "grouped heads, three documents",
    heads: 4,
    parts: [{ keyHeads: 2, width: 6 }],
    valueHeads: 2,
    valueDim: 5,
    documents: [0, 1, 9],
    tokens: 21,
  },
  {
    name: "two parts, one shared key, more than a block of queries",
    heads: 2,
    parts: [
      { keyHeads: 2, width: 3 },
      { keyHeads: 1, width: 1 },
    ],
    valueHeads: 1,
    valueDim: 3,
    documents: [0, 66],
    tokens: 69,
  },
  {
    name: "window and soft cap",
    heads: 1,
    parts: [{ keyHeads: 1, width: 5 }],
    valueHeads: 1,
    valueDim: 4,
    documents: [0, 5],
    tokens: 90,
    window: 11,
    softCap: 1.5,
  },
];

/** The formula of `DocumentAttention` in float64, of inputs in the order queries, keys, values. */
function attentionFormula(
  {
    heads,
    parts,
    valueHeads,
    valueDim,
    documents,
    tokens,
    window = Infinity,
    softCap,
  }: AttentionCase,
  scale: number,
  inputs: readonly Float64Array[],
): Float64Array {
  const output = new Float64Array(tokens * heads * valueDim);
  const values = inputs.at(-1)!;
  for (let t = 0; t < tokens; t++) {
    const document = documents.findLast((start) => start <= t)!;
    const first = Math.max(document, t - window + 1);
    for (let head = 0; head < heads; head++) {
      const logits = Array.from({ length: t - first + 1 }, (_, j) => {
        let sum = 0;
        for (const [part, { keyHeads, width }] of parts.entries()) {
          const keyHead = Math.floor((head * keyHeads) / heads);
          const query = inputs[part]!.subarray((t * heads + head) * width);
          const key = inputs[parts.length + part]!.subarray(
            ((first + j) * keyHeads + keyHead) * width,
          );
          for (let i = 0; i < width; i++) sum += query[i]! * key[i]!;
        }
        return softCap ? softCap * Math.tanh((scale * sum) / softCap) : scale * sum;
      });
      const total = logits.reduce((sum, logit) => sum + Math.exp(logit), 0);
      const valueHead = Math.floor((head * valueHeads) / heads);
      for (const [j, logit] of logits.entries()) {
        for (let v = 0; v < valueDim; v++) {
          output[(t * heads + head) * valueDim + v]! +=
            (Math.exp(logit) / total) *
            values[((first + j) * valueHeads + valueHead) * valueDim + v]!;
        }
      }
    }
  }
  return output;
}

function attentionTests(subject: TrainingSubject): void {
  for (const [index, attention] of attentionCases.entries()) {
    test(`forwards and backwards: ${attention.name}`, async () => {
      const { device } = subject;
      const { heads, tokens, valueHeads, valueDim, window, softCap } = attention;
      const random = new Random(30 + index);
      const make = (columns: number) => randomTensor(device, random, [tokens, columns], 1.5);
      const queries = attention.parts.map(({ width }) => make(heads * width));
      const keys = attention.parts.map(({ keyHeads, width }) => make(keyHeads * width));
      const values = make(valueHeads * valueDim);
      const scale = 0.7;
      const input: DocumentAttention = {
        parts: attention.parts.map(({ keyHeads }, i): AttentionPart => ({
          query: queries[i]!.tensor,
          key: keys[i]!.tensor,
          keyHeads,
        })),
        values: values.tensor,
        valueHeads,
        heads,
        scale,
        window,
        softCap,
        documents: Int32Array.from(attention.documents),
      };
      const shape: Shape = [tokens, heads * valueDim];
      const all = [...queries, ...keys, values];
      const wide = all.map((each) => Float64Array.from(each.values));
      soil(device, shape);
      const result = device.training.documentAttention(input);
      await expectClose(subject, result.output, shape, attentionFormula(attention, scale, wide));

      const dy = randomTensor(device, random, shape);
      const expected = numericGradients(
        all.map((each) => each.values),
        (inputs) => weighed(attentionFormula(attention, scale, inputs), dy.values),
      );
      const gradients = device.training.documentAttentionBackward(input, result, dy.tensor);
      const actual: Tensor[] = [
        ...gradients.parts.map(({ dQuery }) => dQuery),
        ...gradients.parts.map(({ dKey }) => dKey),
        gradients.dValues,
      ];
      for (const [i, tensor] of actual.entries()) {
        await expectClose(subject, tensor, all[i]!.tensor.shape, expected[i]!);
      }
    });
  }
}

const softmaxOf = (row: Float64Array): Float64Array => {
  const total = row.reduce((sum, value) => sum + Math.exp(value), 0);
  return row.map((value) => Math.exp(value) / total);
};

function lossTests(subject: TrainingSubject): void {
  const weights = Float32Array.of(1, 0.5, 0, 2);
  for (const columns of [1, 5, 8, 67]) {
    test(`crossEntropy of ${columns} tokens`, async () => {
      const { device } = subject;
      const logits = randomTensor(device, new Random(40), [4, columns], 5);
      const targets = Int32Array.of(0, columns - 1, -1, Math.floor(columns / 2));
      const losses = (values: Float64Array) =>
        Float64Array.from(weights, (weight, t) => {
          if (weight === 0) return 0;
          const row = values.subarray(t * columns, (t + 1) * columns);
          return -weight * Math.log(softmaxOf(row)[targets[t]!]!);
        });
      const [gradient] = numericGradients([logits.values], ([values]) =>
        losses(values!).reduce((sum, loss) => sum + loss, 0),
      );
      soil(device, [4, columns]);
      const result = device.training.crossEntropy(logits.tensor, targets, weights);
      const expected = losses(Float64Array.from(logits.values));
      await expectClose(subject, result.losses, [4, 1], expected);
      if (columns > 1) await expectClose(subject, result.gradient, [4, columns], gradient!);
    });

    test(`divergence of ${columns} tokens`, async () => {
      const { device } = subject;
      const random = new Random(41);
      const logits = randomTensor(device, random, [4, columns], 5);
      const teacher = randomTensor(device, random, [4, columns], 5);
      const temperature = 1.7;
      const losses = (values: Float64Array) =>
        Float64Array.from(weights, (weight, t) => {
          const rowOf = (all: ArrayLike<number>) =>
            Float64Array.from({ length: columns }, (_, i) => all[t * columns + i]! / temperature);
          const p = softmaxOf(rowOf(teacher.values));
          const q = softmaxOf(rowOf(values));
          const kl = p.reduce((sum, pi, i) => sum + pi * Math.log(pi / q[i]!), 0);
          return weight * temperature ** 2 * kl;
        });
      const [gradient] = numericGradients([logits.values], ([values]) =>
        losses(values!).reduce((sum, loss) => sum + loss, 0),
      );
      const result = device.training.divergence(
        logits.tensor,
        teacher.tensor,
        temperature,
        weights,
      );
      if (columns === 1) return;
      const expected = losses(Float64Array.from(logits.values));
      await expectClose(subject, result.losses, [4, 1], expected);
      await expectClose(subject, result.gradient, [4, columns], gradient!);
    });
  }

  test("a row of large logits, and a teacher that excludes tokens", async () => {
    const { device } = subject;
    const logits = tensorOf(device, [[1000, 999, -1000]]);
    const { losses } = device.training.crossEntropy(logits, Int32Array.of(1), Float32Array.of(1));
    await expectClose(subject, losses, [1, 1], [1 + Math.log1p(Math.exp(-1))]);
    const teacher = tensorOf(device, [[0, 0, -1e30]]);
    const even = tensorOf(device, [[0, 0, 0]]);
    const result = device.training.divergence(even, teacher, 1, Float32Array.of(1));
    await expectClose(subject, result.losses, [1, 1], [Math.log(1.5)]);
    await expectClose(subject, result.gradient, [1, 3], [1 / 3 - 0.5, 1 / 3 - 0.5, 1 / 3]);
  });
}

function stepTests(subject: TrainingSubject): void {
  test("adamW: two steps against the formula", async () => {
    const { device } = subject;
    const random = new Random(50);
    const shape: Shape = [7, 19];
    const parameter = randomTensor(device, random, shape);
    const [firstMoment, secondMoment] = [0, 0].map(() =>
      device.tensor(new Float32Array(133), shape),
    );
    const p = Float64Array.from(parameter.values);
    const [m, v] = [new Float64Array(133), new Float64Array(133)];
    const settings = { rate: 0.02, beta1: 0.9, beta2: 0.95, epsilon: 1e-8, decay: 0.1 };
    for (const step of [1, 2]) {
      const gradient = randomTensor(device, random, shape);
      device.training.adamW({
        parameter: parameter.tensor,
        gradient: gradient.tensor,
        firstMoment: firstMoment!,
        secondMoment: secondMoment!,
        step,
        gradientFactor: 0.5,
        ...settings,
      });
      const { rate, beta1, beta2, epsilon, decay } = settings;
      for (let i = 0; i < p.length; i++) {
        const g = 0.5 * gradient.values[i]!;
        m[i] = beta1 * m[i]! + (1 - beta1) * g;
        v[i] = beta2 * v[i]! + (1 - beta2) * g * g;
        const root = Math.sqrt(v[i]! / (1 - beta2 ** step)) + epsilon;
        p[i] = p[i]! * (1 - rate * decay) - (rate * m[i]!) / (1 - beta1 ** step) / root;
      }
    }
    await expectClose(subject, parameter.tensor, shape, p);
    await expectClose(subject, firstMoment!, shape, m);
    await expectClose(subject, secondMoment!, shape, v);
  });
}

function refusalTests(subject: TrainingSubject): void {
  test("wrong shapes, indices and settings are refused before anything changes", async () => {
    const { device } = subject;
    const { training } = device;
    const a = tensorOf(device, [[1, 2, 3]]);
    const b = tensorOf(device, [[1, 2]]);
    const one = Float32Array.of(1);
    expectCode("ShapeMismatch", () => training.product("ab", a, b));
    expectCode("ShapeMismatch", () => training.product("abT", a, a, b));
    expectCode("ShapeMismatch", () => training.addScaled(a, b, 1));
    expectCode("InvalidArgument", () => training.addScaled(a, a, Number.NaN));
    expectCode("IndexOutOfRange", () => training.addRows(a, Int32Array.of(1), a));
    expectCode("ShapeMismatch", () => training.rmsNormBackward(a, b, 1e-6, a));
    expectCode("ShapeMismatch", () => training.gatedActivationBackward(a, b, "silu", a));
    expectCode("InvalidArgument", () => training.softCapBackward(a, 0, a));
    expectCode("IndexOutOfRange", () => training.crossEntropy(a, Int32Array.of(3), one));
    expectCode("ShapeMismatch", () => training.crossEntropy(a, Int32Array.of(0, 1), one));
    expectCode("ShapeMismatch", () => training.divergence(a, b, 1, one));
    expectCode("InvalidArgument", () => training.divergence(a, a, 0, one));
    const attention: DocumentAttention = {
      parts: [{ query: a, key: a, keyHeads: 1 }],
      values: a,
      valueHeads: 1,
      heads: 1,
      scale: 1,
      documents: Int32Array.of(0),
    };
    const refused: readonly [Parameters<typeof expectCode>[0], Partial<DocumentAttention>][] = [
      ["ShapeMismatch", { parts: [{ query: b, key: a, keyHeads: 1 }] }],
      ["InvalidArgument", { parts: [] }],
      ["InvalidArgument", { heads: 2, valueHeads: 3 }],
      ["InvalidArgument", { documents: Int32Array.of(1) }],
      ["InvalidArgument", { documents: Int32Array.of(0, 1) }],
      ["InvalidArgument", { window: 0 }],
    ];
    for (const [code, wrong] of refused) {
      expectCode(code, () => training.documentAttention({ ...attention, ...wrong }));
    }
    const result = training.documentAttention(attention);
    expectCode("ShapeMismatch", () => training.documentAttentionBackward(attention, result, b));
    const step = {
      parameter: a,
      gradient: a,
      firstMoment: a,
      secondMoment: a,
      step: 1,
      rate: 1,
      beta1: 0.9,
      beta2: 0.9,
      epsilon: 1e-8,
      decay: 0,
      gradientFactor: 1,
    };
    expectCode("ShapeMismatch", () => training.adamW({ ...step, gradient: b }));
    expectCode("InvalidArgument", () => training.adamW({ ...step, step: 0 }));
    expectCode("InvalidArgument", () => training.adamW({ ...step, beta1: 1 }));
    await expectClose(subject, a, [1, 3], [1, 2, 3]);
  });
}
