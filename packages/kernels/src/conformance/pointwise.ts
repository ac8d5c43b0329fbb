import { expect, test } from "vitest";
import { ropeTable } from "../rope-table";
import { expectClose, randomTensor, tensorOf, type Subject } from "./expectations";
import { Random } from "./random";

const shapes = [
  [1, 1],
  [3, 3],
  [2, 17],
  [17, 33],
  [5, 64],
  [70, 65],
] as const;

export const silu = (x: number) => x / (1 + Math.exp(-x));
export const geluTanh = (x: number) =>
  (x / 2) * (1 + Math.tanh(0.7978845608028654 * (x + 0.044715 * x * x * x)));

export function pointwiseTests(subject: Subject): void {
  test("add", async () => {
    const random = new Random(10);
    for (const shape of shapes) {
      const a = randomTensor(subject.device, random, shape);
      const b = randomTensor(subject.device, random, shape);
      const expected = a.values.map((value, i) => value + b.values[i]!);
      await expectClose(subject, subject.device.add(a.tensor, b.tensor), shape, expected);
      await expectClose(
        subject,
        subject.device.add(a.tensor, a.tensor),
        shape,
        a.values.map((value) => 2 * value),
      );
    }
  });

  test("gatherRows repeats and reorders", async () => {
    const { device } = subject;
    const x = tensorOf(device, [
      [1, 2, 3],
      [4, 5, 6],
    ]);
    const rows = device.gatherRows(x, Int32Array.of(1, 0, 1));
    await expectClose(subject, rows, [3, 3], [4, 5, 6, 1, 2, 3, 4, 5, 6]);
  });

  test("rmsNorm: known answer, with and without groups", async () => {
    const { device } = subject;
    const x = tensorOf(device, [[3, 4, 0, 0, 1, 1, 1, 1]]);
    const weight = tensorOf(device, [[1, 2, 1, 1]]);
    // Root mean squares: sqrt(25/4) = 2.5 and 1.
    const expected = [1.2, 3.2, 0, 0, 1, 2, 1, 1];
    await expectClose(subject, device.rmsNorm(x, weight, 0), [1, 8], expected);
    const single = tensorOf(device, [[2]]);
    await expectClose(subject, device.rmsNorm(single, single, 12), [1, 1], [1]);
  });

  test("rmsNorm: random", async () => {
    const random = new Random(11);
    for (const [tokens, columns] of shapes) {
      for (const groups of [1, 3]) {
        const width = groups * columns;
        const x = randomTensor(subject.device, random, [tokens, width], 4);
        const w = randomTensor(subject.device, random, [1, columns]);
        const expected = new Float64Array(tokens * width);
        for (let start = 0; start < expected.length; start += columns) {
          let squares = 0;
          for (let i = 0; i < columns; i++) squares += x.values[start + i]! ** 2;
          const rms = Math.sqrt(squares / columns + 1e-5);
          for (let i = 0; i < columns; i++) {
            expected[start + i] = (x.values[start + i]! / rms) * w.values[i]!;
          }
        }
        const y = subject.device.rmsNorm(x.tensor, w.tensor, 1e-5);
        await expectClose(subject, y, [tokens, width], expected);
      }
    }
  });

  test("rmsNorm: an all-zero row stays zero", async () => {
    const { device } = subject;
    const y = device.rmsNorm(tensorOf(device, [[0, 0]]), tensorOf(device, [[1, 1]]), 1e-6);
    await expectClose(subject, y, [1, 2], [0, 0]);
  });

  for (const [activation, formula] of [
    ["silu", silu],
    ["gelu-tanh", geluTanh],
  ] as const) {
    test(`gatedActivation ${activation}: random and extreme gates`, async () => {
      const { device } = subject;
      const random = new Random(12);
      for (const shape of shapes) {
        const gate = randomTensor(device, random, shape, 6);
        const up = randomTensor(device, random, shape);
        const expected = gate.values.map((g, i) => formula(g) * up.values[i]!);
        const y = device.gatedActivation(gate.tensor, up.tensor, activation);
        await expectClose(subject, y, shape, expected);
      }
      // One number per tensor, so that each is compared at its own magnitude.
      for (const g of [-20, -5, -1, -1e-3, 0, 1e-3, 1, 5, 20, 1e4, -1e4, 3e38, -3e38]) {
        const y = device.gatedActivation(
          tensorOf(device, [[g]]),
          tensorOf(device, [[1]]),
          activation,
        );
        const [actual] = await device.read(y);
        const expected = formula(Math.fround(g)) || 0;
        const allowed = subject.tolerance * Math.abs(expected) + 1e-7;
        expect(Math.abs(actual! - expected), `${activation}(${g}) = ${actual}`).toBeLessThanOrEqual(
          allowed,
        );
      }
    });
  }

  test("softCap: random, small and extreme numbers", async () => {
    const { device } = subject;
    const random = new Random(13);
    for (const shape of shapes) {
      const x = randomTensor(device, random, shape, 20);
      const expected = x.values.map((value) => 8 * Math.tanh(value / 8));
      await expectClose(subject, device.softCap(x.tensor, 8), shape, expected);
    }
    // One number per tensor, so that each is compared at its own magnitude.
    for (const x of [0, 1e-6, -1e-3, 0.5, -8.9, 9.1, 40, -300, 3e38, -3e38]) {
      const y = device.softCap(tensorOf(device, [[x]]), 30);
      await expectClose(subject, y, [1, 1], [30 * Math.tanh(Math.fround(x) / 30)]);
    }
  });

  test("rope: a quarter turn", async () => {
    const { device } = subject;
    const table = ropeTable(device, [Math.PI / 2, 0], 3);
    // Head of 4: components (0, 2) turn, (1, 3) stand still.
    const x = tensorOf(device, [
      [1, 2, 3, 4],
      [1, 2, 3, 4],
      [1, 2, 3, 4],
    ]);
    const y = device.rope(x, table, Int32Array.of(0, 1, 2));
    await expectClose(subject, y, [3, 4], [1, 2, 3, 4, -3, 2, 1, 4, -1, 2, -3, 4]);
  });

  test("rope: random heads, sizes and positions", async () => {
    const { device } = subject;
    const random = new Random(13);
    for (const [tokens, heads, half] of [
      [1, 1, 1],
      [3, 2, 3],
      [5, 3, 16],
      [17, 1, 33],
      [2, 9, 4],
    ] as const) {
      const frequencies = random.floats(half, 1);
      const table = ropeTable(device, frequencies, 50);
      const positions = random.indices(tokens, 50);
      const width = heads * 2 * half;
      const x = randomTensor(device, random, [tokens, width]);
      const expected = new Float64Array(tokens * width);
      for (let t = 0; t < tokens; t++) {
        for (let head = 0; head < heads; head++) {
          for (let f = 0; f < half; f++) {
            const re = t * width + head * 2 * half + f;
            const im = re + half;
            const angle = positions[t]! * frequencies[f]!;
            expected[re] = x.values[re]! * Math.cos(angle) - x.values[im]! * Math.sin(angle);
            expected[im] = x.values[re]! * Math.sin(angle) + x.values[im]! * Math.cos(angle);
          }
        }
      }
      await expectClose(subject, device.rope(x.tensor, table, positions), x.tensor.shape, expected);
    }
  });

  test("argmax: the first among equals, in every column", async () => {
    const { device } = subject;
    const x = tensorOf(device, [
      [1, 5, 5, 2, 5],
      [-3, -2, -2, -9, -8],
      [0, 0, 0, 0, 0],
      [-1e30, -3e38, -5, -6, -4],
    ]);
    expect([...(await device.read(device.argmax(x)))]).toEqual([1, 1, 0, 4]);
    for (const columns of [1, 3, 17, 33, 65, 1000]) {
      const rows = Math.min(columns, 70);
      const values = new Random(columns).floats(rows * columns);
      const places = Array.from({ length: rows }, (_, t) => (t * 13) % columns);
      places.forEach((place, t) => (values[t * columns + place] = 2));
      const result = device.argmax(device.tensor(values, [rows, columns]));
      expect(result.shape).toEqual([rows, 1]);
      expect([...(await device.read(result))]).toEqual(places);
    }
  });
}
