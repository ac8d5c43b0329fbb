import { test } from "vitest";
import type { Shape } from "../../device";
import { expectClose, randomTensor } from "../expectations";
import { Random } from "../random";
import type { TrainingSubject } from "./subject";

export function stepTests(subject: TrainingSubject): void {
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
