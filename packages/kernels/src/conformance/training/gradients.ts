import { test } from "vitest";
import type { Shape } from "../../device";
import { expectClose, randomTensor, soil, tensorOf } from "../expectations";
import { numericGradients } from "../finite-differences";
import { geluTanh, silu } from "../pointwise";
import { Random } from "../random";
import { weighed } from "./weighed";
import type { TrainingSubject } from "./subject";

export function gradientTests(subject: TrainingSubject): void {
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
